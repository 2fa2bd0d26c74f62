"""Results of several runs as one table."""

from __future__ import annotations

import csv
import io
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reporting import digits_split, run, table_split

from colinear.checks import InputError
from colinear.metrics import mcnemar
from colinear.report.summary import pick_sides
from colinear.search.records import load_record
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.sweep import list_results, tabulate, write_table
from colinear.sweep.formats import write_csv
from colinear.sweep.plan import Planned, write_plan
from colinear.sweep.table import holm, select

HOSTILE = "<b>|_$&%#{}~^\\x\x1b[31m\n"


def result(**facts: Any) -> dict[str, Any]:
    return {
        "run": "r", "data": "d", "loss": "softmax", "metric": "accuracy", "seed": 0, "count": 1, "test": 0.5,
        "validation": 0.6, "low": 0.4, "high": 0.6, "spread": None, "validation_spread": None, **facts,
    }  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs on the same test rows, by SGD and by the exact path, of two losses each."""
    folder = tmp_path_factory.mktemp("runs")
    for name, solver in (("quick", "sgd"), ("exact", "exact")):
        run(folder / name, digits_split("<i>digits</i>"), solver, losses=("hinge", "softmax"))
    return [folder / "quick", folder / "exact"]


def test_results_are_those_of_the_file(runs: list[Path]) -> None:
    found = list_results(runs)
    assert [(one["run"], one["loss"]) for one in found] == [*product(("quick", "exact"), ("hinge", "softmax"))]
    for one in found:
        results = json.loads((Path(one["folder"]) / "results.json").read_text())
        entry = next(entry for entry in results["runs"] if entry["loss"] == one["loss"])
        assert one["test"] == entry["test_accuracy"]
        assert [one["low"], one["high"]] == entry["test_accuracy_ci95"]
        assert one["reg"] == entry["trials"][entry["best"]]["reg"]
        assert one["data"] == "<i>digits</i>"
        assert one["n_classes"] == 4
    assert list(found[0])[:4] == ["run", "data", "source", "loss"]


def test_the_paired_test_is_that_of_the_rows(runs: list[Path]) -> None:
    found = list_results(runs)
    cells = tabulate(found, ("data",), ("solver", "loss"))
    assert sum(cell["best"] for cell in cells) >= 1
    correct = {
        (one["solver"], one["loss"]): load_record(RunFolder(Path(one["folder"])), one["loss"]).get("correct")  # type: ignore[union-attr]
        for one in found
    }
    top = max(cells, key=lambda cell: cell["value"])
    others = [cell for cell in cells if not cell["best"]]
    truth = torch.ones_like(correct["sgd", "hinge"])
    wanted = [
        mcnemar(truth, correct[top["solver"], top["loss"]], correct[cell["solver"], cell["loss"]]).p_value
        for cell in others
    ]
    assert [cell["p_value"] for cell in others] == pytest.approx(holm(wanted))
    assert [cell["tied"] for cell in others] == [p >= 0.05 for p in holm(wanted)]


def test_a_record_of_another_model_is_not_paired(runs: list[Path]) -> None:
    found = list_results(runs)
    wrong = [{**one, "test": one["test"] - 0.001 * (one["loss"] == "hinge")} for one in found]
    cells = tabulate([one for one in wrong if one["solver"] == "exact"])
    assert [cell["p_value"] for cell in cells] == [None, None]


def test_other_test_rows_are_not_paired(tmp_path: Path, runs: list[Path]) -> None:
    run(tmp_path / "table", table_split())
    cells = tabulate(
        select(list_results([*runs, tmp_path / "table"]), {"loss": "softmax"}), ("loss",), ("data", "solver")
    )
    of_table = next(cell for cell in cells if cell["data"] == "<b>table</b>")
    assert (of_table["p_value"], of_table["tied"], of_table["best"]) == (None, None, False)
    assert sum(cell["p_value"] is not None or cell["best"] for cell in cells) == 2  # those of the digits


def test_the_best_is_looked_for_in_rows_or_in_columns() -> None:
    scores = {("a", "x"): 0.5, ("a", "y"): 0.7, ("b", "x"): 0.9, ("b", "y"): 0.8}
    results = [result(data=data, loss=loss, test=test) for (data, loss), test in scores.items()]
    for side, wanted in (("row", [("a", "y"), ("b", "x")]), ("column", [("b", "x"), ("b", "y")])):
        cells = tabulate(results, best_of=side)
        assert [(cell["data"], cell["loss"]) for cell in cells if cell["best"]] == wanted


def test_of_a_loss_the_lowest_is_the_best() -> None:
    results = [result(loss=loss, metric="log-loss", test=test) for loss, test in (("hinge", 0.5), ("softmax", 0.4))]
    assert [cell["best"] for cell in tabulate(results)] == [False, True]


def test_equal_values_are_both_the_best_and_no_value_is_none() -> None:
    results = [result(loss=loss, test=test) for loss, test in (("a", 0.5), ("b", 0.5), ("c", None))]
    assert [cell["best"] for cell in tabulate(results)] == [True, True, False]
    assert not any(cell["best"] for cell in tabulate([result(test=None)]))


def test_seeds_become_a_mean_with_its_spread() -> None:
    results = [result(seed=seed, test=test, fingerprint=str(seed)) for seed, test in enumerate((0.5, 0.6, 0.7))]
    [cell] = tabulate(results)
    assert (cell["value"], cell["spread"], cell["count"]) == (pytest.approx(0.6), pytest.approx(0.1), 3)
    assert cell["low"] is None


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ([result(), result(standardize=True)], "differ in standardize"),
        ([result(), result(run="copy")], "differ in nothing but the folder"),
        ([result(), result(seed=1, tol=0.1)], "differ in tol"),
        ([result(), result(metric="auc")], "one metric"),
        ([], "at least one result"),
    ],
)
def test_results_that_make_no_table(results: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        tabulate(results)


def test_names_and_choices_that_are_not_there() -> None:
    for sides in ((("layer",), ("loss",)), (("loss",), ("loss",)), ((), ("loss",))):
        with pytest.raises(InputError):
            tabulate([result()], *sides)
    with pytest.raises(InputError, match="value"):
        tabulate([result()], value="train")
    with pytest.raises(InputError, match=r"none of 1 results has loss=hinge\. loss is one of: softmax"):
        select([result()], {"loss": "hinge"})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_of_bonferroni(p_values: list[float]) -> None:
    found = holm(p_values)
    order = sorted(p_values)
    for p_value, corrected in zip(p_values, found, strict=True):
        steps = [min(1.0, (len(order) - k) * one) for k, one in enumerate(order) if one <= p_value]
        assert corrected == pytest.approx(max(steps))
        assert p_value <= corrected <= min(1.0, len(order) * p_value)
    assert [found[n] for n in sorted(range(len(found)), key=p_values.__getitem__)] == sorted(found)


def test_rows_and_columns_stand_in_the_order_of_their_numbers() -> None:
    results = [result(data=f"layer-{layer}", layer=layer) for layer in (10, 9, 2)]
    text = write_table(tabulate(results, ("data",), ("layer",)), rows=("data",), columns=("layer",))
    assert text.splitlines()[0] == "| data | 2 | 9 | 10 |"
    assert [line.split(" | ")[0] for line in text.splitlines()[2:5]] == ["| layer-2", "| layer-9", "| layer-10"]


def test_markdown_and_latex_escape_names_and_mark_the_best() -> None:
    results = [result(data=HOSTILE, loss=loss, test=test) for loss, test in (("a", 0.5), ("b", 0.75))]
    cells = tabulate(results)
    cells[0].update(tied=True, p_value=0.5)
    line = write_table(cells).splitlines()[2]
    assert line == (r"| \<b\>\|\_\$\&%\#{}\~^\\x\\x1b\[31m\\n | 50.00† [40.00, 60.00] | **75.00** [40.00, 60.00] |")
    text = write_table(cells, "latex", intervals=False)
    name = r"\textless{}b\textgreater{}\textbar{}\_\$\&\%\#\{\}\textasciitilde{}\textasciicircum{}"
    assert f"{name}\\textbackslash{{}}x\\textbackslash{{}}x1b[31m\\textbackslash{{}}n & 50.00$^\\dagger$" in text
    assert "\\textbf{75.00} \\\\" in text
    assert "Test accuracy in \\%" in text
    assert "p $\\ge$ 0.05" in text


def test_csv_and_json_have_every_cell() -> None:
    cells = tabulate([result(data="=cmd", loss=loss) for loss in ("a", "b")])
    assert json.loads(write_table(cells, "json")) == cells
    [first, _] = csv.DictReader(io.StringIO(write_table(cells, "csv")))
    assert (first["data"], first["loss"], float(first["value"])) == ("'=cmd", "a", 0.5)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), st.text(), st.floats(), st.booleans()))))
def test_any_text_comes_back_from_csv(records: list[dict[str, Any]]) -> None:
    lines = list(csv.reader(io.StringIO(write_csv(records), newline="")))
    names = list(dict.fromkeys(name for one in records for name in one))
    assert lines[0] == names
    assert len(lines) == len(records) + 1
    for one, line in zip(records, lines[1:], strict=True):
        for name, cell in zip(names, line, strict=False):
            assert not cell.startswith(("=", "+", "@", "\t", "\r")) or not isinstance(one.get(name), str)


def test_data_that_does_not_fit_the_pattern_is_refused(runs: list[Path]) -> None:
    with pytest.raises(InputError, match="does not fit --pattern"):
        list_results(runs, "layer-{layer}")
    assert {one["tag"] for one in list_results(runs, "<{tag}>digits</*>")} == {"i"}


def test_a_sweep_without_results_has_none(tmp_path: Path) -> None:
    write_plan(RunFolder(tmp_path), [Planned.of(Settings("a.npz"), {})])
    with pytest.raises(InputError, match="has results yet"):
        list_results([tmp_path])


@pytest.mark.parametrize(
    ("facts", "fields", "sides"),
    [
        ([{"data": "a"}, {"data": "b"}], (), (("data",), ("loss",))),
        ([{"data": "a"}, {"data": "a", "loss": "hinge"}], (), (("data",), ("loss",))),
        ([{"source": "x/a"}, {"source": "y/a"}], (), (("source",), ("loss",))),
        ([{"tol": 0.1}, {"tol": 0.2}], (), (("data", "tol"), ("loss",))),
        ([{"seed": 0}, {"seed": 1}], (), (("data",), ("loss",))),
        ([{"layer": n, "data": s, "source": s} for n, s in enumerate("ab")], ("layer",), (("loss",), ("layer",))),
        ([{"layer": 1, "data": "a"}, {"layer": 1, "data": "b"}], ("layer",), (("data",), ("loss",))),
        ([{"set": s, "layer": n} for s in "ab" for n in (1, 2)], ("set", "layer"), (("set", "loss"), ("layer",))),
    ],
)  # fmt: skip
def test_the_sides_of_a_sweep_tell_its_results_apart(
    facts: list[dict[str, Any]], fields: tuple[str, ...], sides: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    results = [result(**{"source": "s", "tol": 0.1, **one}) for one in facts]
    assert pick_sides(results, fields) == sides
    tabulate(results, *sides)
