"""The options that commands share: names, help texts, panels. Nothing here imports torch.

Defaults that stand here as text are those of `search.settings.Settings`; a test compares them.
"""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Annotated, TypeVar

import typer

Place = TypeVar("Place")
DATA_PANEL = "Data"
SGD_PANEL = "The course's search (--solver sgd)"
EXACT_PANEL = "The exact path (--solver exact)"
FEATURES_PANEL = "Features and rows"
RUN_PANEL = "The run"
DATA_HELP = "digits, cifar10, a feature file (.npy .npz .pt .safetensors .parquet .svm) or an image folder."


MOST_COUNT = 2**31 - 1  # as `checks` has it, which needs torch; a test compares them
MOST_SEED = 2**63 - 1
LONGEST_NAME = 255  # bytes of a name of a file
LONGEST_PATH = 4095


def check_place(value: Place) -> Place:
    """Refuse what no file can be called, before anything tries: a callback of every argument that is a path."""
    for place in value if isinstance(value, list) else [value]:
        text = "" if place is None else str(place)
        longest = max(len(name.encode(errors="surrogatepass")) for name in text.split(os.sep))
        if place is not None and not text:
            raise typer.BadParameter("a path is not empty. Is a variable unset?")
        if "\0" in text:
            raise typer.BadParameter("a path has no NUL character.")
        if longest > LONGEST_NAME or len(text.encode(errors="surrogatepass")) > LONGEST_PATH:
            raise typer.BadParameter(f"a name of {longest:,} bytes fits in no folder; {LONGEST_NAME} do.")
        if text.startswith("~") and os.path.expanduser(text) == text and not os.path.exists(text):
            raise typer.BadParameter(f"there is no user {text.split(os.sep)[0]!r}. Write ./~... for a file.")
    return value


class Losses(enum.StrEnum):
    """What `tune --loss` takes."""

    BOTH = "both"
    SOFTMAX = "softmax"
    HINGE = "hinge"


class Loss(enum.StrEnum):
    """What `fit --loss` takes."""

    SOFTMAX = "softmax"
    HINGE = "hinge"


class Solver(enum.StrEnum):
    EXACT = "exact"
    SGD = "sgd"


class Schedule(enum.StrEnum):
    CONSTANT = "constant"
    COSINE = "cosine"


class Precision(enum.StrEnum):
    HIGHEST = "highest"
    HIGH = "high"


class Format(enum.StrEnum):
    """What `export --to` takes."""

    ONNX = "onnx"
    SKLEARN = "sklearn"
    NUMPY = "numpy"
    CSV = "csv"


class Part(enum.StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    ALL = "all"


Data = Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False, callback=check_place)]
ModelFile = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="A .safetensors file of tune or fit.", show_default=False, callback=check_place
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where CIFAR-10 lies; else COLINEAR_DATA, else the cache.",
        rich_help_panel=DATA_PANEL,
        callback=check_place,
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Where a feature file has its labels: column, key or file.", rich_help_panel=DATA_PANEL
    ),
]
Shots = Annotated[
    int | None,
    typer.Option(
        metavar="K", help="Few-shot: train on K rows of each class, several times.", rich_help_panel=FEATURES_PANEL
    ),
]
Tries = Annotated[
    int, typer.Option(metavar="N", help="With --shots: so many draws of the rows.", rich_help_panel=FEATURES_PANEL)
]
LogDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write TensorBoard event files too; also with --resume.",
        rich_help_panel=RUN_PANEL,
        callback=check_place,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        min=0, max=MOST_SEED, metavar="N", help="Draws rows, settings and first weights.", rich_help_panel=RUN_PANEL
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="cpu, cuda, cuda:1 ..., or auto: a GPU if there is one.", rich_help_panel=RUN_PANEL
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace what is there, even if it is another kind of file; never an input.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel="Output")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.", rich_help_panel="Output")]

SolverOption = Annotated[
    Solver | None,
    typer.Option(
        help="exact: every strength to a certificate, no learning rate. sgd: the course's random search.",
        show_default="exact; sgd if one of its options is given",
    ),
]
Steps = Annotated[int, typer.Option(metavar="N", help="Minibatches each candidate sees.", rich_help_panel=SGD_PANEL)]
BatchSize = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Rows a step.", show_default="500 for hinge, 200 for softmax", rich_help_panel=SGD_PANEL
    ),
]
Momentum = Annotated[float, typer.Option(metavar="M", help="In [0, 1).", rich_help_panel=SGD_PANEL)]
ScheduleOption = Annotated[Schedule, typer.Option(help="Of the learning rate.", rich_help_panel=SGD_PANEL)]
Averaging = Annotated[
    float,
    typer.Option(
        metavar="SHARE", help="Average the iterates of this last share of the steps.", rich_help_panel=SGD_PANEL
    ),
]
MatmulPrecision = Annotated[
    Precision,
    typer.Option(help="high: tensor cores may multiply float32 in TF32.", rich_help_panel=SGD_PANEL),
]
Tolerance = Annotated[
    float,
    typer.Option(
        "--tol",
        metavar="GAP",
        help="Relative duality gap to reach: 1e-3 is 0.1 % of the optimum.",
        rich_help_panel=EXACT_PANEL,
    ),
]
MaxPasses = Annotated[
    int,
    typer.Option(metavar="N", help="Passes over the data after which a strength stops.", rich_help_panel=EXACT_PANEL),
]
Standardize = Annotated[
    bool,
    typer.Option(
        "--standardize", help="Divide each feature by its standard deviation.", rich_help_panel=FEATURES_PANEL
    ),
]
InterceptScaling = Annotated[
    float,
    typer.Option(
        metavar="VALUE",
        help="Value of the constant feature; large: the bias is hardly penalised.",
        rich_help_panel=FEATURES_PANEL,
    ),
]
Augment = Annotated[
    str | None,
    typer.Option(
        metavar="KINDS",
        help="Train on copies too: mirror, shift:1, or both with a comma.",
        rich_help_panel=FEATURES_PANEL,
    ),
]
