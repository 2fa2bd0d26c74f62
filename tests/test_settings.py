"""The table of settings: one entry is an option everywhere, and what is written about options follows it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from colinear.checks import MOST_COUNT, MOST_SEED, InputError
from colinear.cli import app, tuning
from colinear.cli.commands import given_options
from colinear.cli.options import takes
from colinear.report.panels import repeat_command
from colinear.search.option import SEED, Kind, count, list_options, setting
from colinear.search.settings import Settings

DOCS = Path(__file__).parents[1] / "docs"
COMMANDS: dict[str, Any] = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Toy(Settings):
    """The table with one more entry."""

    depth: int = setting(
        2, "--depth", count(most=9), "How deep.", "exact", "N", forbids=("refit",), because="{other} is shallow"
    )


def toy_settings(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[Any, str]:
    """The settings that a program with the toy's table makes of `words`, and its help."""
    read: list[Any] = []
    program = typer.Typer()

    @program.command()
    @takes(Toy, search=True)
    def tune(context: typer.Context, *, data: Annotated[str, typer.Argument()], **settings: Any) -> None:
        read.append(tuning.tune_settings(context.params, given_options(context)))

    monkeypatch.setattr(tuning, "Settings", Toy)
    CliRunner().invoke(program, words, catch_exceptions=False)
    return read[0], CliRunner().invoke(program, ["--help"], env={"COLUMNS": "100"}).output


def test_one_entry_is_an_option_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, said = toy_settings(monkeypatch, "digits", "--depth", "3", "--tol", "0.1")
    assert re.search(r"--depth +N +How deep\. \[default: 2\]", said)
    assert settings == Toy("digits", tol=0.1, depth=3)
    assert settings.to_json() == {**Settings("digits", tol=0.1).to_json(), "depth": 3}
    assert repeat_command(settings) == "colinear tune digits --solver exact --tol 0.1 --depth 3 --seed 0"
    with pytest.raises(InputError, match="--depth must be a whole number from 1 to 9; got 10"):
        Toy("digits", depth=10)
    with pytest.raises(InputError, match=r"^--refit is shallow\. Leave --refit out\.$"):
        Toy("digits", refit=True)
    with pytest.raises(InputError, match="--depth belongs to --solver exact"):
        toy_settings(monkeypatch, "digits", "--depth", "3", "--solver", "sgd")


def test_the_options_defaults_are_those_of_settings() -> None:
    context = COMMANDS["tune"].make_context("tune", ["digits"])
    assert tuning.tune_settings(context.params, {}) == Settings("digits")
    assert Settings("digits").learning_rates == (1e-4, 1e-1)
    assert context.params["lr"] == "1e-4:1e-1"  # as help shows it


def test_the_command_repeats_only_what_counts() -> None:
    shortest = "colinear tune digits --solver exact --seed 0"
    assert repeat_command(Settings("digits", steps=3, eta=4)) == shortest  # of the other solver
    assert repeat_command(Settings("digits", tries=3)) == shortest  # of a few-shot run


def test_fit_has_the_options_that_are_not_of_a_search() -> None:
    options = list_options(Settings).values()
    shared = {name for one in options if not one.search_only for name in one.parameters}
    searching = {name for one in options if one.search_only for name in one.parameters}
    names = {one: {parameter.name for parameter in COMMANDS[one].params} for one in ("tune", "fit")}
    assert shared | searching <= names["tune"]
    assert shared <= names["fit"]
    assert searching & names["fit"] == {"reg", "lr"}  # its own: one number each


def limits(kind: Kind) -> str:
    """The range of an option as the manual says it; nothing if it goes without saying."""
    rule = getattr(kind.check, "keywords", {})
    least, most, above = (rule.get(name) for name in ("least", "most", "above"))
    text = "0 to 2^63 - 1" if kind is SEED else ""
    if "minimum" in rule:
        text = f"at least {rule['minimum']}" * (rule["minimum"] > 1) if most == MOST_COUNT else f"at most {most:,}"
    elif most is not None:
        text = f"{least:g} to {most:g}" if above is None else f"above {above:g}, at most {most:g}"
    return re.sub(r"e\+0?", "e", text)


def test_the_manual_has_the_limits_of_the_table() -> None:
    rows = dict(re.findall(r"^\| (.*`--.*) \| (.*) \|$", (DOCS / "cli.md").read_text(), re.MULTILINE))
    for option in list_options(Settings).values():
        named = option.flag in ("--device", "--matmul-precision")  # have no range
        found = [text for what, text in rows.items() if f"`{option.flag}`" in what and not named]
        assert [text.partition(";")[0] for text in found] == [limits(option.kind)] * bool(limits(option.kind))


def test_the_schema_of_results_names_every_setting_and_its_option() -> None:
    entries = json.loads((DOCS / "results.schema.json").read_text())["$defs"]["settings"]
    names = [one.name for one in fields(Settings)]
    assert list(entries["properties"]) == entries["required"] == names
    for name, option in list_options(Settings).items():
        assert re.match(re.escape(option.flag) + r"[.;]", entries["properties"][name]["description"])


def test_whole_numbers_end_where_the_checks_say() -> None:
    most = {"seed": MOST_SEED, "top": MOST_COUNT, "rows": MOST_COUNT}
    commands = [command for name, command in COMMANDS.items() if name != "table"]  # whose --rows are options
    found = {(one.name, one.max) for command in commands for one in command.params if one.name in most}
    assert found == set(most.items())


def test_flags_show_no_type(tmp_path: Path) -> None:
    for name in ("", *COMMANDS):
        said = CliRunner().invoke(app.app, [name, "--help"] if name else ["--help"]).output
        assert "Show this message" in said
        assert "<bool>" not in said
