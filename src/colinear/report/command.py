"""The command that repeats a run, from its settings."""

from __future__ import annotations

import shlex

from colinear.search.option import write_options
from colinear.search.settings import Settings


def repeat_command(settings: Settings) -> str:
    """A shell line with every setting that is not the default, and with the solver and seed in any case.

    >>> repeat_command(Settings(data="my data.npy", solver="sgd", steps=300, losses=("hinge",)))
    "colinear tune 'my data.npy' --loss hinge --solver sgd --steps 300 --seed 0"
    """
    return shlex.join(["colinear", "tune", settings.data, *write_options(settings)])
