"""The options that commands share: those of the table of settings as typer takes them, and others. Needs no torch."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterator
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import typer
from typer.models import OptionInfo

from colinear.checks import MOST_SEED
from colinear.search.option import PANELS, SEED, Option, list_options
from colinear.search.settings import Settings

Place = TypeVar("Place")
Command = TypeVar("Command", bound=Callable[..., None])
SETTINGS = list_options(Settings)
DATA_HELP = (
    "digits, cifar10, a feature file (.npy .npz .pt .safetensors .parquet .svm), a folder of shards or of images."
)
RUN_HELP = "A folder that `colinear tune` has written."
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


def argument(metavar: str, said: str) -> Any:
    """An argument that names a file or folder, perhaps among other things."""
    return typer.Argument(metavar=metavar, help=said, show_default=False, callback=check_place)


def place(metavar: str, said: str, panel: str = "", flag: str | None = None, **others: Any) -> Any:
    """An option that names a file or folder."""
    flags = (flag,) if flag else ()
    return typer.Option(
        *flags, metavar=metavar, help=said, rich_help_panel=PANELS[panel], callback=check_place, **others
    )


Loss = enum.StrEnum(  # of `fit --loss`
    "Loss", {"SOFTMAX": "softmax", "HINGE": "hinge", "LOGISTIC": "logistic", "SQUARED_HINGE": "squared-hinge"}
)
Format = enum.StrEnum("Format", ["ONNX", "SKLEARN", "NUMPY", "CSV"])  # of `export --to`
TableFormat = enum.StrEnum("TableFormat", ["MD", "CSV", "LATEX", "JSON"])  # of `table --to`
CardFormat = enum.StrEnum("CardFormat", ["MD", "JSON"])  # of `card --to`
TableValue = enum.StrEnum("TableValue", ["TEST", "VALIDATION"])
Side = enum.StrEnum("Side", ["ROW", "COLUMN"])
Figures = enum.StrEnum("Figures", ["PNG", "SVG", "PDF"])  # of `tune --figures`
Only = enum.StrEnum("Only", {"TRY_IT": "try-it"})  # of `report --only`
Dtype = enum.StrEnum("Dtype", ["FLOAT32", "FLOAT16"])  # of `features --dtype`
Part = enum.StrEnum("Part", ["TRAIN", "VALIDATION", "TEST", "ALL"])  # of `evaluate --part`


def describe_option(option: Option) -> Any:
    """An option of the table as typer takes it."""
    limits: dict[str, Any] = {"min": 0, "max": MOST_SEED} if option.kind is SEED else {}
    return typer.Option(
        option.flag,
        metavar=option.metavar,
        help=option.help,
        show_default=True if option.shown is None else option.shown,
        rich_help_panel=PANELS[option.panel],
        callback=check_place if option.kind.read is Path else None,
        **limits,
    )


def list_parameters(option: Option) -> Iterator[Parameter]:
    """The keyword parameters of a command that stand for an option: its switch, if it has one, and itself."""
    *switch, name = option.parameters
    if option.switch:
        flag, said = option.switch
        info = typer.Option(flag, help=said, rich_help_panel=PANELS[option.panel])
        yield Parameter(switch[0], Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, info])
    default = None if option.shown else option.default
    read: Any = option.kind.read if default is not None else option.kind.read | None
    yield Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[read, describe_option(option)])


def takes(table: Any, *, search: bool) -> Callable[[Command], Command]:
    """Give a command the options of a table in place of its `**settings`, of a search or only those that `fit` shares.

    Its own parameters of the same name stay; help shows all panel by panel.
    """

    def extend(command: Command) -> Command:
        own = [one for one in signature(command, eval_str=True).parameters.values() if one.kind is not one.VAR_KEYWORD]
        names = {one.name for one in own}
        options = [one for one in list_options(table).values() if search or not one.search_only]
        for option in sorted(options, key=lambda one: one.late):
            own += [one for one in list_parameters(option) if one.name not in names]
        own.sort(key=lambda one: list(PANELS.values()).index(_panel(one.annotation)))
        vars(command)["__signature__"] = Signature(own)  # typer asks for it and for the annotations
        command.__annotations__ = {one.name: one.annotation for one in own}
        return command

    return extend


def _panel(annotation: Any) -> str | None:
    """Where help shows a parameter; what has no panel comes first."""
    return next((one.rich_help_panel for one in get_args(annotation)[1:] if isinstance(one, OptionInfo)), None)


Data = Annotated[str, argument("DATA", DATA_HELP)]
ModelFile = Annotated[Path, argument("MODEL", "A .safetensors file of tune or fit.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace what is there, even if it is another kind of file; never an input.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=PANELS["output"])]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON and nothing else on stdout.", rich_help_panel=PANELS["output"])
]
With = Annotated[
    str | None,
    typer.Option(
        "--with",
        metavar="EXTRACTOR",
        help="Makes features of pictures, for a model of those of a network or a function: the hf:NAME_OR_FOLDER or "
        "MODULE:FUNCTION that the model was trained with.",
        rich_help_panel=PANELS["features"],
    ),
]
DataDir = Annotated[Path | None, describe_option(SETTINGS["data_dir"])]
Label = Annotated[str | None, describe_option(SETTINGS["label"])]
Layers = Annotated[str | None, describe_option(SETTINGS["layers"])]
Metric = SETTINGS["metric"].kind.read  # of `evaluate --metric`
Pool = SETTINGS["pool"].kind.read  # of `features --pool`
SampleWeight = Annotated[str | None, describe_option(SETTINGS["sample_weight"])]
