"""The command line. Importing it is cheap: torch and matplotlib are loaded by the commands that need them."""

from colinear.cli.app import main

__all__ = ["main"]
__dir__ = __all__.copy
