"""The command that repeats a run, from its settings."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Any

from colinear.search.settings import LOSS_NAMES, Settings

EXACT = {"regs": "--regs", "tol": "--tol", "max_passes": "--max-passes", "refit": "--refit", "cv": "--cv"}
SGD = {
    "candidates": "--candidates", "learning_rates": "--lr", "reg_range": "--reg", "steps": "--steps",
    "batch_size": "--batch-size", "momentum": "--momentum", "schedule": "--schedule", "averaging": "--averaging",
    "precision": "--matmul-precision", "eta": "--eta", "subspace": "--subspace",
}  # fmt: skip
SHARED = {
    "standardize": "--standardize", "intercept_scaling": "--intercept-scaling", "augment": "--augment",
    "shots": "--shots", "tries": "--tries",
    "data_dir": "--data-dir", "label": "--label", "seed": "--seed", "device": "--device",
}  # fmt: skip


def repeat_command(settings: Settings) -> str:
    """A shell line with every setting that is not the default, and with the solver and seed in any case.

    >>> repeat_command(Settings(data="my data.npy", solver="sgd", steps=300, losses=("hinge",)))
    "colinear tune 'my data.npy' --loss hinge --solver sgd --steps 300 --seed 0"
    """
    defaults = {field.name: field.default for field in fields(Settings)}
    words = ["colinear", "tune", settings.data]
    if settings.losses != LOSS_NAMES:
        words += ["--loss", settings.losses[0]]
    words += ["--solver", settings.solver]
    for name, option in {**(EXACT if settings.solver == "exact" else SGD), **SHARED}.items():
        value = getattr(settings, name)
        if name == "tries" and settings.shots is None:
            continue
        if name == "eta" and value is not None:
            words.append("--halving")
        if value is True:
            words.append(option)
        elif value != defaults[name] or name == "seed":
            words += [option, _text(name, value)]
    return shlex.join(words)


def _text(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return (":" if name.endswith(("rates", "range")) else ",").join(repr(number) for number in value)
    return str(value)
