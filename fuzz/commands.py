"""Command lines drawn from the program's own list of commands and options, so that new options join by themselves.

A value is good or bad. Good values are small: a run that is in order takes a second. A bad value is one that has to be
refused, or costs nothing; a large value that merely takes long (`--steps 1000000000`) is neither, and is not drawn.
"""

from __future__ import annotations

import base64
import enum
import random
import typing
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from fuzz.cases import MODES, Case
from fuzz.corpus import BASES, EXTRACTIONS, FOLDERS, MODELS, PICTURES, RUNS, TABLES, Corpus
from fuzz.pictures import FORGED

DATA = (
    "rows.npy", "packed.npz", "pictures", "lists.parquet", "tensors.pt", "split", "parts", "shards", "tables",
    "rows.svm", "csr.npz", "answers.npz", "names.parquet", "extracted", "extracting",
)  # fmt: skip
# the last three import a module: one that fails on rows, one without such a function, one that is nowhere
EXTRACTORS = ("hog", "hog+color", "patches:3", "kernel:5", "json:loads", "json:nothing", "nowhere:embed")
# What stands for good by an option's name; others go by their type. None: the option is left out.
GOOD: dict[str, tuple[str, ...]] = {
    "data": DATA,
    "thing": (*MODELS, "rows.npy", "pictures", "digits"),
    "model": MODELS,
    "inputs": ("one.png", "one.jpg", "one.webp", "rows.npy", "shards", "coo.npz"),
    "run": ("run", "exact", "few/try-1"),
    "runs": ("run", "exact", "swept"),
    "columns": ("loss", "solver", "reg"),
    "where": ("loss=softmax", "seed=0"),
    "pattern": ("{name}", "{kind}.npy"),
    "resume": ("run", "begun", "path", "exact", "few"),
    "regs": ("1e-2", "1e-3:1e-1:3", "0.1,0.2", "dino45", "auto"),
    "lr": ("1e-2", "1e-3:1e-1"),
    "reg": ("1e-3", "1e-2"),
    "tol": ("0.1", "1e-3"),
    "max_passes": ("1", "4"),
    "cv": ("2", "3"),
    "candidates": ("1", "3"),
    "steps": ("1", "5"),
    "batch_size": ("1", "4"),
    "eta": ("2", "3"),
    "subspace": ("0.5", "0.985"),
    "momentum": ("0.5",),
    "averaging": ("0.5",),
    "intercept_scaling": ("0", "1", "10"),
    "augment": ("mirror", "shift:1", "mirror,shift:1"),
    "layers": ("0", "1,3"),
    "shots": ("1", "2"),
    "tries": ("1", "2"),
    "rows": ("2", "10"),
    "top": ("1", "2", "99"),
    "seed": ("0", "7", "4294967296"),
    "device": ("cpu", "auto"),
    "features": EXTRACTORS,
    "extractor": EXTRACTORS,
    "out": ("new", "new.safetensors", "new.html", "new/deep.onnx"),
    "log_dir": ("log",),
    "label": ("rows_labels.npy", "label", "labels", "y", "class", "c0,c1"),
    "loss": ("softmax", "hinge", "both", "logistic", "squared-hinge,softmax"),
    "sample_weight": ("rows_labels.npy", "weight", "y"),
    "metric": ("macro-f1", "map", "log-loss"),
    "calibrate": ("temperature", "both"),
    "class_weight": ("balanced", '{"0": 2}', '{"none": 1}'),
    "data_dir": ("cifar", "nowhere"),
}
BAD_NUMBERS = (
    "-1", "0", "-0", "1.5", "1e3", "1e308", "-1e308", "1e309", "1e-308", "5e-324", "nan", "inf", "-inf", "0x10", "1_0",
    "٣", "½", "1e", "--1", "1,", "9" * 400, "-" + "9" * 400, "9" * 5000, "0." + "0" * 399 + "1", str(2**63), str(2**64),
    str(2**63 - 1), str(10**30), "10000000000000000",
)  # fmt: skip
BAD_TEXTS = (
    "", " ", "x", "é", "\udcff\udc80", "\u202e", "\x1b[31m", "a\nb", "a\tb", "%s%n", "{}", "[red]", "~", "~nouser",
    "~nouser/x", ".", "..", "-", "--", "a" * 300, "a/" * 200, "a" * 5000, ":", ",", "1:", ":1", "1:2:", "1:2:-3",
    "1:2:3:4", "2:1:3", "1:2:nan", "1:2:1e3", "nan:nan:3", "1e-5:1e5:" + "9" * 400, "1e-3:1:100000000000", "1,,2",
    "1e-308", "0:1", "1e-400:1", "1e308:1e309", "dino45,", "mirror,mirror", "shift:-1", "shift:" + "9" * 400,
    "shift:1.5", "shift:100000", "mirror:2", "shift",
)  # fmt: skip
BAD_DEVICES = (
    "meta",
    "hpu",
    "privateuseone",
    "cuda:99",
    "cuda:-1",
    "cpu:5",
    "mps",
    "xla",
    "vulkan",
    "CPU",
    "cuda:" + "9" * 30,
)
# files and folders that are not what is wanted: the laid-out names of `oddities`
BAD_PATHS = (
    "pipe.npy", "device.npy", "pipe", "device", "loop.npy", "nowhere.npy", "empty.npy", "empty", "hidden", "text.txt",
    "text.html", "picture.eps.png", "folder.npy", "folder.safetensors", "rows.npy", "one.png", "run", "pictures",
    "run/settings.json", "run/results.json", "rows.npy/x", "b\udcffd", "b\udcffd.npy", "model.safetensors",
)  # fmt: skip
PATHS = frozenset(
    (
        "data",
        "thing",
        "model",
        "inputs",
        "run",
        "runs",
        "resume",
        "out",
        "log_dir",
        "label",
        "data_dir",
        "sample_weight",
        "class_weight",
    )
)
# what bounds the work of a command that is not told otherwise
BOUNDS = {
    "max_passes": "4",
    "steps": "5",
    "candidates": "2",
    "batch_size": "4",
    "regs": "0.1",
    "rows": "10",
    "tries": "2",
}
SEARCHES = ("tune", "sweep")
EXACT, SGD = ("max_passes", "regs"), ("steps", "candidates")
FALSE_PICTURE = base64.b64encode(FORGED).decode()


@dataclass(frozen=True)
class Parameter:
    """An argument (no `options`) or an option of a command: the types that its annotation allows, and its spellings."""

    name: str
    options: tuple[str, ...]
    kinds: tuple[type, ...]
    required: bool

    @property
    def is_flag(self) -> bool:
        return bool in self.kinds

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(str(one.value) for kind in self.kinds if issubclass(kind, enum.Enum) for one in kind)


@cache
def list_parameters() -> dict[str, tuple[Parameter, ...]]:
    """Command -> what it takes, as the program declares it."""
    import typer

    from colinear.cli.app import app

    program: Any = typer.main.get_command(app)
    hints = {
        one.name or one.callback.__name__: typing.get_type_hints(one.callback)
        for one in app.registered_commands
        if one.callback
    }
    return {
        name: tuple(_describe(parameter, hints[name].get(parameter.name)) for parameter in command.params)
        for name, command in sorted(program.commands.items())
    }


def _describe(parameter: Any, hint: Any) -> Parameter:
    inside = typing.get_args(hint) or (hint,)
    kinds = tuple(kind for kind in inside if isinstance(kind, type) and kind is not type(None))
    options = tuple(option for option in parameter.opts if option.startswith("-"))
    return Parameter(parameter.name, options, kinds, bool(parameter.required))


def make_command(rng: random.Random, corpus: Corpus, name: str) -> Case:
    """A case that runs the program with words of which most are good."""
    commands = list_parameters()
    from colinear.search.option import solver_parameters
    from colinear.search.settings import Settings

    # else most runs are refused for naming both solvers
    left_out = rng.choice((solver_parameters(Settings, "exact"), solver_parameters(Settings, "sgd"), []))
    weights = {"tune": 4, "fit": 3}
    command = rng.choice([one for one in commands for _ in range(weights.get(one, 1))])
    bad = rng.choice((0.0, 0.15, 0.5))  # a third of the commands are in order, mostly
    chosen: dict[str, list[str]] = {}
    words = [command]
    for parameter in commands[command]:
        wanted = parameter.required or parameter.name == "data" or rng.random() < (0.12 if parameter.options else 0.5)
        if not wanted or rng.random() < 0.01 or (command in SEARCHES and parameter.name in left_out):
            continue
        values = [
            draw_value(rng, parameter, bad)
            for _ in range(rng.choice((1, 1, 2)) if parameter.name in ("inputs", "runs") else 1)
        ]
        chosen[parameter.name] = values
    for parameter in commands[command]:
        if parameter.name in chosen:
            words += _spell(rng, parameter, chosen[parameter.name])
    words += _bounds(command, chosen, {parameter.name: parameter for parameter in commands[command]})
    if rng.random() < 0.04:
        words.insert(
            rng.randrange(len(words) + 1),
            rng.choice((*BAD_TEXTS, *BAD_DEVICES, "--nonsense", "-h", "--version", "--out=", "-q")),
        )
    mode = "plain" if rng.random() < 0.85 else rng.choice(MODES[1:])
    words = [word.replace("\0", "") for word in words]  # no system passes these on
    return replace(oddities(Case(name, "command", words=tuple(words), mode=mode), words), place=_needed(words))


def draw_value(rng: random.Random, parameter: Parameter, bad: float) -> str:
    """A good value, or with probability `bad` one that is not."""
    name = parameter.name
    if rng.random() >= bad:
        by_kind = ("1", "2") if int in parameter.kinds else ("0.5", "1") if float in parameter.kinds else ("x", "new")
        return rng.choice(GOOD.get(name) or parameter.choices or by_kind)
    if name in PATHS:
        return rng.choice((*BAD_PATHS, *BAD_PATHS, *BAD_TEXTS))
    if name == "device":
        return rng.choice((*BAD_DEVICES, *BAD_TEXTS))
    return rng.choice((*BAD_NUMBERS, *BAD_NUMBERS, *BAD_TEXTS))


def _spell(rng: random.Random, parameter: Parameter, values: list[str]) -> list[str]:
    if not parameter.options:
        return [f"./{value}" if value.startswith("-") and rng.random() < 0.5 else value for value in values]
    option = rng.choice(parameter.options)
    if parameter.is_flag:
        return [option]
    return [f"{option}={values[0]}"] if rng.random() < 0.2 and option.startswith("--") else [option, values[0]]


def _bounds(command: str, chosen: dict[str, list[str]], known: dict[str, Parameter]) -> list[str]:
    """Options that keep a run small, of the solver that the chosen ones ask for."""
    sgd = {"candidates", "lr", "steps", "batch_size", "halving", "subspace", "momentum", "averaging", "reg", "eta"}
    asked = chosen.get("solver", [""])[0]
    is_sgd = asked == "sgd" or (asked != "exact" and bool(sgd & set(chosen)) and command in SEARCHES)
    names = SGD if is_sgd else EXACT
    if command == "check":
        names = ("rows",)
    if "shots" in chosen:
        names = (*names, "tries")
    if command not in (*SEARCHES, "fit", "check") or "resume" in chosen:
        return []
    return [
        word
        for name in names
        if name in known and name not in chosen
        for word in (known[name].options[0], BOUNDS[name])
    ]


def _needed(words: list[str]) -> tuple[tuple[str, str], ...]:
    """The items of the corpus that the words name, with what belongs to them."""
    items = (*TABLES, *PICTURES, *FOLDERS, *MODELS, *RUNS, *EXTRACTIONS, "cifar", "rows_labels.npy")
    named = {item for item in items for word in words if word.split("=")[-1].split("/")[0] == item}
    named |= {BASES[run] for run in RUNS if run in named}
    named |= {f"{item[:-4]}_labels.npy" for item in named if item.endswith(".npy") and not item.endswith("_labels.npy")}
    return tuple((item, item) for item in sorted(named))


def oddities(case: Case, words: list[str]) -> Case:
    """`case` with those of BAD_PATHS that `words` name and that are no item of the corpus."""
    spelled = " ".join(words)
    made = {
        "pipe.npy": ("pipe", ""), "pipe": ("pipe", ""), "device.npy": ("device", "1:5"), "device": ("device", "1:3"),
        "loop.npy": ("link", "loop.npy"), "empty.npy": ("bytes", ""), "empty": ("folder", ""),
        "hidden": ("folder", ""), "text.txt": ("bytes", base64.b64encode(b"a b\n").decode()),
        "text.html": ("bytes", base64.b64encode(b"<p>mine</p>\n").decode()),
        "picture.eps.png": ("bytes", FALSE_PICTURE),
        "folder.npy": ("folder", ""), "folder.safetensors": ("folder", ""), "b\udcffd": ("folder", ""),
        "b\udcffd.npy": ("bytes", FALSE_PICTURE),
    }  # fmt: skip
    writes = tuple((name, *how) for name, how in made.items() if name in spelled)
    return replace(case, writes=case.writes + writes)
