"""Everything that decides what `tune` does, as one JSON-able value: written to the run folder, read by --resume."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from colinear.checks import InputError, check_choice, check_count, check_number, check_seed
from colinear.datasets.augment import parse_augment
from colinear.datasets.features import MOST_INTERCEPT_SCALING
from colinear.search.candidates import Range, check_range
from colinear.search.schema import results_schema

LOSS_NAMES = ("hinge", "softmax")
LEAST_RATE, MOST_RATE = 1e-20, 1e20  # of --reg, --regs and --lr: beyond, products with them leave float32
MOST_CANDIDATES = 100_000  # the course tries 50; the memory of fewer is checked with the data
MOST_BATCH = 1_000_000  # rows a step; full passes belong to the exact path
MOST_TRIES = 10_000  # each has a folder
LONGEST_AUGMENT = 100  # characters
COURSE_BATCH = {"hinge": 500, "softmax": 200}  # the course's batch sizes


@dataclass(frozen=True)
class Settings:
    """Settings of a tuning run; the defaults are the command line's.

    data .. seed : what is trained on.   candidates .. subspace : the course's search (solver 'sgd').
    regs .. cv : the exact path (solver 'exact').   shots, tries : few-shot runs, None for all training rows.
    Raises `InputError` for values out of range: strengths and rates lie in [1e-20, 1e20], the constant feature in
    [0, 1e8], tol in (0, 1], seeds in [0, 2^63), candidates in [1, 100,000].
    """

    data: str
    data_dir: str | None = None
    label: str | None = None
    losses: tuple[str, ...] = LOSS_NAMES
    solver: str = "exact"
    seed: int = 0
    device: str = "auto"
    standardize: bool = False
    intercept_scaling: float = 1.0
    augment: str | None = None

    candidates: int = 50
    learning_rates: Range = (1e-4, 1e-1)
    reg_range: Range = (1e-3, 1.0)
    steps: int = 5000
    batch_size: int | None = None
    momentum: float = 0.0
    schedule: str = "constant"
    averaging: float = 0.0
    precision: str = "highest"
    eta: int | None = None
    subspace: float | None = None

    regs: tuple[float, ...] | None = None
    tol: float = 1e-3
    max_passes: int = 300
    refit: bool = False
    cv: int | None = None

    shots: int | None = None
    tries: int = 5  # of a few-shot run

    def __post_init__(self) -> None:
        for loss in self.losses:
            check_choice("loss", loss, LOSS_NAMES)
        check_choice("solver", self.solver, ("exact", "sgd"))
        check_seed("--seed", self.seed)
        check_count("--candidates", self.candidates, most=MOST_CANDIDATES)
        check_range("--lr", *self.learning_rates, least=LEAST_RATE, most=MOST_RATE)
        check_range("--reg", *self.reg_range, least=LEAST_RATE, most=MOST_RATE)
        check_number("--tol", self.tol, above=0, most=1)
        check_count("--max-passes", self.max_passes)
        check_count("--steps", self.steps)
        check_number("--intercept-scaling", self.intercept_scaling, least=0, most=MOST_INTERCEPT_SCALING)
        if self.batch_size is not None:
            check_count("--batch-size", self.batch_size, most=MOST_BATCH)
        if self.augment is not None:
            if len(self.augment) > LONGEST_AUGMENT:
                raise InputError(f"--augment has {len(self.augment)} characters. Write it as mirror,shift:1.")
            parse_augment(self.augment)
        if self.subspace is not None:
            check_number("--subspace", self.subspace, above=0, most=1)
        if self.eta is not None:
            check_count("--eta", self.eta, 2)
        for reg in self.regs or ():
            check_number("--regs", reg, least=LEAST_RATE, most=MOST_RATE)
        if self.cv is not None:
            check_count("--cv", self.cv, 2)
            if self.refit:
                raise InputError("--cv trains the winner on training and validation rows anyway. Leave --refit out.")
        check_count("--tries", self.tries, most=MOST_TRIES)
        if self.shots is not None:
            self._check_shots(self.shots)

    def _check_shots(self, shots: int) -> None:
        check_count("--shots", shots)
        for name, given in (("--cv", self.cv is not None), ("--refit", self.refit)):
            if given:
                raise InputError(
                    f"--shots trains on {shots} rows of each class and selects on the validation rows; {name} would "
                    f"train on these too. Leave {name} out."
                )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        """The settings written by an earlier run; unknown or missing names are refused."""
        names = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            raise InputError("the run's settings were written by another version. Start a new run.")
        wrong = results_schema().problem(values, "#/$defs/settings")
        if wrong is not None:
            raise InputError(f"the run's settings are damaged: {wrong}. Start a new run.")
        tuples: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**tuples)
