"""What an entry of the table `Settings` says: an option's name, kind and range, what it needs, where help shows it.

Whatever knows the options reads them here: the command line, the check of settings, the command that repeats a run, the
tests of the manual. Needs neither torch nor typer.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import PurePath
from typing import Any

from colinear.checks import (
    MOST_COUNT,
    InputError,
    Range,
    check_choice,
    check_count,
    check_number,
    check_range,
    check_seed,
)
from colinear.search.regs import parse_regs
from colinear.texts import shown

PANELS = {  # of the help, in its order
    "": None,
    "exact": "The exact path (--solver exact)",
    "sgd": "The course's search (--solver sgd)",
    "features": "Features and rows",
    "data": "Data",
    "run": "The run",
    "output": "Output",
}
LONGEST_AUGMENT = 100  # characters
MOST_LAYERS = 1000


def take(flag: str, given: Any) -> Any:
    """The setting is what the command line read; a path or a choice is its text."""
    return str(given) if isinstance(given, str | PurePath) else given


def pass_any(flag: str, value: Any) -> None:
    """Every value goes: what uses it has the rule."""


@dataclass(frozen=True)
class Kind:
    """The type that the command line reads, the range of the setting, and its way from text and back to it.

    `check` and `parse` get the flag's name, and raise `InputError` with it.
    """

    read: Any = str
    check: Callable[[str, Any], Any] = pass_any
    parse: Callable[[str, Any], Any] = take
    write: Callable[[Any], str] = str


SEED = Kind(int, check_seed)


def count(least: int = 1, most: int = MOST_COUNT) -> Kind:
    """A whole number from `least` to `most`."""
    return Kind(int, partial(check_count, minimum=least, most=most))


def number(**limits: Any) -> Kind:
    """A number with the limits of `check_number`."""
    return Kind(float, partial(check_number, **limits))


def choice(*names: str, **others: Any) -> Kind:
    """One of some names. `others` as of `Kind`."""
    kind = Kind(
        enum.StrEnum("Choice", {name.upper(): name for name in names}),
        lambda flag, name: check_choice(flag.strip("-").replace("-", " "), name, names),
    )
    return replace(kind, **others)


def span(least: float, most: float) -> Kind:
    """LOW:HIGH, both in [least, most], or one number for both."""
    return Kind(str, partial(_check_ends, least=least, most=most), parse_range, lambda ends: ":".join(map(repr, ends)))


def strengths(least: float, most: float) -> Kind:
    """What `parse_regs` reads; dino45, which depends on the number of rows, as for one row; None is auto."""
    rule = partial(_check_each, least=least, most=most)
    return Kind(
        str,
        rule,
        lambda flag, text: None if text.strip() == "auto" else parse_regs(text, 1),
        lambda regs: ",".join(map(repr, regs)),
    )


def parse_range(flag: str, text: str) -> Range:
    """LOW:HIGH, or one number for both.

    >>> parse_range("--lr", "1e-4:1e-1"), parse_range("--lr", "0.5")
    ((0.0001, 0.1), (0.5, 0.5))
    """
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise InputError(f"{flag} must be a range LOW:HIGH or one number; got {shown(text)}. Try {flag} 1e-4:1e-1.")
    return check_range(flag, numbers[0], numbers[-1])


def check_augment(flag: str, text: str) -> None:
    """Raise `InputError` if `parse_augment` cannot read `text`."""
    from colinear.datasets.augment import parse_augment  # needs torch

    if len(text) > LONGEST_AUGMENT:
        raise InputError(f"{flag} has {len(text)} characters. Write it as mirror,shift:1.")
    parse_augment(text)


def parse_layers(flag: str, text: str) -> tuple[int, ...]:
    """Whole numbers with commas.

    >>> parse_layers("--layers", "6,12")
    (6, 12)
    """
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise InputError(f"{flag} must be whole numbers with commas; got {shown(text)}. Try {flag} 6,12.")
    return tuple(map(int, words))


def check_layers(flag: str, layers: tuple[int, ...]) -> None:
    """Raise `InputError` for numbers that no layer of a network has, and for one that stands twice."""
    for place, layer in enumerate(layers):
        check_count(flag, layer, minimum=0, most=MOST_LAYERS)
        if layer in layers[:place]:
            raise InputError(f"{flag} must name each layer once; got {','.join(map(str, layers))}.")


LAYERS = Kind(str, check_layers, parse_layers, lambda layers: ",".join(map(str, layers)))


def check_extractor(flag: str, text: str) -> None:
    """Raise `InputError` if `parse_extractor` cannot read `text`."""
    from colinear.extractors import parse_extractor  # needs torch

    parse_extractor(text)


def _check_ends(flag: str, ends: Range, **limits: float) -> None:
    check_range(flag, *ends, **limits)


def _check_each(flag: str, numbers: Sequence[float], **limits: float) -> None:
    for one in numbers:
        check_number(flag, one, **limits)


@dataclass(frozen=True)
class Option:
    """An option of `colinear tune`, and of `fit` unless `search_only`.

    default : as the command line reads it; with a `switch` it is the value of the flag when that is given.
    panel : a key of `PANELS`; exact and sgd are also the solver it belongs to.
    shown : what help says in place of the default.     late : help shows it after the others of its panel.
    switch : a flag without which the setting is None, and the help of that flag.
    needs : the option without which it means nothing, with its value: --shots K.
    forbids : settings that may not go with it, `because` of something.
    repeated : stands in the command that repeats a run even if it has its default.
    """

    default: Any
    flag: str
    kind: Kind
    help: str
    panel: str = ""
    metavar: str | None = None
    shown: str | None = None
    switch: tuple[str, str] | None = None
    needs: str = ""
    forbids: tuple[str, ...] = ()
    because: str = ""
    search_only: bool = False
    repeated: bool = False
    late: bool = False

    @property
    def parameters(self) -> dict[str, str]:
        """Parameter of the command -> how it is written: of the switch, if there is one, and of the option."""
        flags = ([self.switch[0]] if self.switch else []) + [self.flag]
        return {flag.strip("-").replace("-", "_"): flag for flag in flags}

    @property
    def solver(self) -> str | None:
        return self.panel if self.panel in ("exact", "sgd") else None

    @property
    def needed(self) -> str:
        return self.needs.partition(" ")[0]

    @property
    def initial(self) -> Any:
        """The setting where the command line says nothing."""
        return None if self.switch or self.default is None else self.kind.parse(self.flag, self.default)

    def setting(self, values: Mapping[str, Any]) -> Any:
        """The setting, from the parameters of the command."""
        *switch, given = (values[name] for name in self.parameters)
        return None if given is None or switch == [False] else self.kind.parse(self.flag, given)


def setting(*entry: Any, **entries: Any) -> Any:
    """A field of the table: arguments as of `Option`."""
    option = Option(*entry, **entries)
    return field(default=option.initial, metadata={"option": option})


def list_options(table: Any) -> dict[str, Option]:
    """Name of the setting -> its option, of the class `table` or one of its values, in its order."""
    return {one.name: one.metadata["option"] for one in fields(table) if "option" in one.metadata}


def solver_parameters(table: Any, solver: str) -> list[str]:
    """Parameters of the command that belong to one solver."""
    return [name for one in list_options(table).values() if one.solver == solver for name in one.parameters]


def check_values(settings: Any) -> None:
    """Raise `InputError` with the first setting that is out of range, or may not go with another."""
    options = list_options(settings)
    for name, option in options.items():
        value = getattr(settings, name)
        if value is None and option.initial is None:
            continue
        option.kind.check(option.flag, value)
        for other in () if value is False else option.forbids:
            if getattr(settings, other) != options[other].initial:
                flag = options[other].flag
                raise InputError(f"{option.because.format(value=value, other=flag)}. Leave {flag} out.")


def check_needs(table: Any, given: Collection[str]) -> None:
    """Raise `InputError` for the first option among those `given`, as --eta, whose condition is not among them."""
    for option in list_options(table).values():
        if option.flag in given and option.needs and option.needed not in given:
            raise InputError(
                f"{option.flag} belongs to {option.needs}. Add {option.needed}, or leave {option.flag} out."
            )


def write_options(settings: Any) -> list[str]:
    """The words of a command line that says all that differs from the defaults, panel by panel."""
    words = []
    options = list_options(settings)
    unset = {option.flag for name, option in options.items() if getattr(settings, name) is None}
    for name, option in sorted(options.items(), key=lambda item: list(PANELS).index(item[1].panel)):
        value = getattr(settings, name)
        idle = option.solver not in (None, settings.solver) or option.needed in unset
        if not idle and (option.repeated or value != option.initial):
            words += [option.switch[0]] if option.switch else []
            words += [option.flag] if value is True else [option.flag, option.kind.write(value)]
    return words
