"""The command line. Importing it is cheap: torch and matplotlib are loaded by the commands that need them."""

from colinear.cli.app import main

__all__ = ["main"]


def __dir__() -> list[str]:
    return __all__
