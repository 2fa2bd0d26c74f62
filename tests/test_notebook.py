"""The notebook: what is stored of it, and that its source runs from a clean kernel on digits."""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_notebook, new_output
from notebooks import build, solutions


@pytest.fixture(scope="module")
def stored() -> NotebookNode:
    """The notebook as it is in the repository."""
    return build.read()


@pytest.fixture(scope="module")
def on_digits() -> NotebookNode:
    """Its source, executed in a clean kernel on digits: nothing is taken from the stored outputs."""
    notebook = build.read()
    for cell in build.code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    build.execute(notebook, "digits")
    return notebook


@pytest.fixture(scope="module")
def instructors() -> NotebookNode:
    """The solutions and their checks, with what they need, executed in a clean kernel."""
    solved = build.solve(build.read())
    needed = (build.TURN, build.CHECK)
    cells = [c for c in build.code_cells(solved) if c.id in ("switch", "settings") or set(needed) & set(build.tags(c))]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    notebook = new_notebook(cells=cells)
    build.execute(notebook, "digits")
    return notebook


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    return [cell for cell in build.code_cells(notebook) if tag in build.tags(cell)]


def cell_of(notebook: NotebookNode, ident: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if cell.id == ident)


def printed(notebook: NotebookNode, ident: str) -> str:
    return "".join(build.texts(cell_of(notebook, ident)))


def figures(cell: NotebookNode) -> list[bytes]:
    pictures = (output.get("data", {}).get("image/png") for output in cell.outputs)
    return [base64.b64decode(picture) for picture in pictures if picture]


# As it is stored


def test_it_is_fit_to_be_published(stored: NotebookNode) -> None:
    assert list(build.faults(stored)) == []
    assert stored.metadata["colinear"]["data"] == "cifar10"
    assert set(stored.metadata) == {"kernelspec", "language_info", "colinear"}


def test_cells_that_show_images_of_the_data_set_are_stored_without_output(stored: NotebookNode) -> None:
    showing = [cell for cell in build.code_cells(stored) if "visualize_dataset" in cell.source]
    tagged = [cell for cell in build.code_cells(stored) if build.STRIPPED in build.tags(cell)]
    assert [cell.id for cell in showing] == [cell.id for cell in tagged] == ["samples"]
    assert all(cell.outputs == [] for cell in tagged)
    for cell in build.code_cells(stored):  # what is drawn as a picture elsewhere is weights, not images
        assert (".imshow(" in cell.source) <= (cell.id in ("samples", "templates"))


def test_it_keeps_its_curves_and_templates(stored: NotebookNode) -> None:
    for ident, count in {"sgd-plot": 1, "search-plot": 1, "templates": 1, "many-plot": 2, "final-templates": 2}.items():
        assert len(figures(cell_of(stored, ident))) == count, ident


def test_its_stability_check_gives_the_known_number(stored: NotebookNode) -> None:
    """3,073 features, 10 classes, all weights 1, reg 25,000, in float32."""
    assert "loss     768249984.0" in printed(stored, "stable-check")


def test_every_stored_certificate_is_within_its_tolerance(stored: NotebookNode) -> None:
    lines = re.findall(r"([\d.]+)%.*converged", printed(stored, "exact"))
    assert len(lines) == 7 + 9
    assert all(float(gap) <= 0.1 for gap in lines)


# As it runs


def test_it_installs_nothing_where_colinear_is_there(stored: NotebookNode, on_digits: NotebookNode) -> None:
    for notebook in (stored, on_digits):
        cell = cell_of(notebook, "install")
        assert "%pip install" in cell.source
        assert cell.outputs == []


def test_the_badge_and_the_first_cell_name_the_repository(stored: NotebookNode) -> None:
    """As `pyproject.toml` does: Colab opens the notebook of it, and the archive of the same branch is installed."""
    project = tomllib.loads((build.NOTEBOOK.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    home = project["urls"]["Repository"]
    owner_and_name = home.removeprefix("https://github.com/")
    path = f"github/{owner_and_name}/blob/main/notebooks/{build.NOTEBOOK.name}"
    assert f"](https://colab.research.google.com/{path})" in cell_of(stored, "title").source
    assert f"%pip install --quiet {home}/archive/refs/heads/main.zip" in cell_of(stored, "install").source


def test_every_cell_runs_on_digits(stored: NotebookNode, on_digits: NotebookNode) -> None:
    cells = build.code_cells(on_digits)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell, kept in zip(cells, build.code_cells(stored), strict=True):
        drawn = 1 if build.STRIPPED in build.tags(cell) else len(figures(kept))
        assert len(figures(cell)) == drawn, cell.id
        assert all(output.get("name") != "stderr" for output in cell.outputs), printed(on_digits, cell.id)


def test_its_classifiers_learn_the_digits(on_digits: NotebookNode) -> None:
    lines = re.findall(r"^(\w+, [\w ]+?) +(0\.\d{4}) ", printed(on_digits, "final"), re.MULTILINE)
    assert len(dict(lines)) == 6
    assert all(float(accuracy) > 0.9 for _, accuracy in lines), lines


def test_its_gradients_pass_their_checks(on_digits: NotebookNode) -> None:
    for ident in ("hinge-check", "softmax-start"):
        errors = [float(e) for e in re.findall(r"largest relative error: (\S+)", printed(on_digits, ident))]
        assert len(errors) == 2
        assert max(errors) < 1e-2, ident


# Your turn


def test_what_students_have_not_written_is_told_and_stops_nothing(on_digits: NotebookNode) -> None:
    for turn, check in zip(tagged(on_digits, build.TURN), tagged(on_digits, build.CHECK), strict=True):
        name = re.findall(r"^def (\w+)", turn.source)[0]
        said = f"not yet: {name} is still to be written: put your own lines in place of its last one\n"
        assert "".join(build.texts(check)) == said
        assert f"({name}" in check.source


def test_the_instructors_solutions_pass(instructors: NotebookNode) -> None:
    assert len(tagged(instructors, build.CHECK)) == 4
    assert list(build.refused(instructors)) == []
    for check in tagged(instructors, build.CHECK):
        assert "".join(build.texts(check)).startswith("right: ")


def test_the_stored_notebook_tells_no_solution(stored: NotebookNode) -> None:
    turns = tagged(stored, build.TURN)
    assert len(turns) == 4
    for cell in turns:
        assert cell.source.endswith('"""\n    raise NotImplementedError')
    assert all(cell.outputs == [] for cell in [*turns, *tagged(stored, build.CHECK)])


def test_a_solution_has_the_head_that_students_are_given(stored: NotebookNode) -> None:
    solved = build.solve(stored)
    for turn, solution in zip(tagged(stored, build.TURN), tagged(solved, build.TURN), strict=True):
        head = turn.source.removesuffix("    raise NotImplementedError")
        assert solution.source.startswith(head)
        assert len(solution.source) > len(turn.source)
    assert [c.source for c in tagged(solved, build.CHECK)] == [c.source for c in tagged(stored, build.CHECK)]


# What the build refuses


def spoil_order(notebook: NotebookNode) -> None:
    cells = build.code_cells(notebook)
    cells[2].execution_count, cells[3].execution_count = cells[3].execution_count, cells[2].execution_count


def spoil_source(notebook: NotebookNode) -> None:
    cell_of(notebook, "sgd").source += "\n# edited"


def show_images(notebook: NotebookNode) -> None:
    cell_of(notebook, "samples").outputs = [new_output("display_data", data={"image/png": ""})]


def say(text: str, name: str = "stdout") -> Callable[[NotebookNode], None]:
    def spoil(notebook: NotebookNode) -> None:
        cell_of(notebook, "data").outputs.append(new_output("stream", name=name, text=text))

    return spoil


def fail(notebook: NotebookNode) -> None:
    cell_of(notebook, "data").outputs.append(new_output("error", ename="E", evalue="", traceback=["E"]))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (spoil_order, "not executed once each"),
        (spoil_source, "outputs belong to another source"),
        (show_images, "samples shows images of the data set"),
        (say("read from /home/me/data"), "shows the path /home/me"),
        (say("cache: /tmp"), "shows the path /tmp"),
        (say("read from ~/data"), "shows the path ~/data"),
        (say(r"read from C:\data"), "shows the path C:"),
        (say("careful", name="stderr"), "stored an error or a warning"),
        (fail, "stored an error or a warning"),
        (say("x" * build.MOST_BYTES), "the limit is 5,000,000"),
    ],
)
def test_a_fault_is_found(spoil: Callable[[NotebookNode], None], complaint: str, stored: NotebookNode) -> None:
    spoilt = deepcopy(stored)
    spoil(spoilt)
    found = list(build.faults(spoilt))
    assert len(found) == 1
    assert complaint in found[0]


def test_what_looks_like_a_path_but_is_none_passes(stored: NotebookNode) -> None:
    fine = deepcopy(stored)
    say("iteration 0 / 1500, and/or 1/2/3, https://example.org/a/b, <a.b object>")(fine)
    assert list(build.faults(fine)) == []


def test_the_name_of_the_machine_is_no_part_of_it(stored: NotebookNode) -> None:
    named = deepcopy(stored)
    say("made on box-7.local")(named)
    assert list(build.faults(named, "box-7")) == ["cell data shows the machine's name"]
    assert list(build.faults(named, "box")) == ["cell data shows the machine's name"]
    assert list(build.faults(named, "ox-7")) == []


def test_tidying_strips_images_and_times(stored: NotebookNode) -> None:
    notebook = deepcopy(stored)
    show_images(notebook)
    cell_of(notebook, "data").metadata["execution"] = {"iopub.execute_input": "now"}
    notebook.metadata["language_info"]["version"] = "3.0"
    build.tidy(notebook, "cifar10")
    assert notebook == stored


def build_with(monkeypatch: pytest.MonkeyPatch, execute: Callable[[NotebookNode], None], *arguments: str) -> int:
    """The status of `make notebook ARGS=ARGUMENTS`, with `execute` in place of minutes of work."""

    def executed(notebook: NotebookNode, data: str) -> None:
        for cell in tagged(notebook, build.CHECK):
            cell.outputs = [new_output("stream", name="stdout", text="right: as it should be\n")]
        execute(notebook)

    monkeypatch.setattr(build, "execute", executed)
    monkeypatch.setattr("sys.argv", ["build.py", *arguments])
    return build.main()


def test_the_build_writes_what_is_stored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.ipynb"
    assert build_with(monkeypatch, show_images, "--out", str(out)) == 0
    assert out.read_bytes() == build.NOTEBOOK.read_bytes()
    assert capsys.readouterr().out.endswith("bytes, executed on cifar10\n")


def test_the_build_runs_the_solutions_and_shows_them_to_instructors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "instructor.ipynb"

    def see(notebook: NotebookNode) -> None:
        assert "clamp(min=0)" in cell_of(notebook, "hinge-turn").source

    assert build_with(monkeypatch, see, "--solutions", "--out", str(out)) == 0
    notebook = build.read(out)
    assert list(build.faults(notebook)) == []
    assert cell_of(notebook, "gap-turn").source in Path(solutions.__file__).read_text("utf-8")
    assert printed(notebook, "gap-turn-check") == "right: as it should be\n"


def test_the_build_writes_nothing_if_it_finds_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.ipynb"
    assert build_with(monkeypatch, say("read from /home/me"), "--out", str(out)) == 1
    assert not out.exists()
    assert capsys.readouterr().err == "not written:\n  cell data shows the path /home/me\n"


def test_the_build_writes_nothing_if_a_check_does_not_take_a_solution(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(notebook: NotebookNode) -> None:
        cell_of(notebook, "gap-turn-check").outputs[0].text = "not yet: too small\n"

    out = tmp_path / "out.ipynb"
    assert build_with(monkeypatch, refuse, "--out", str(out)) == 1
    assert not out.exists()
    said = "not written:\n  cell gap-turn-check does not take its solution: not yet: too small\n"
    assert capsys.readouterr().err == said


def test_solutions_are_not_written_over_the_students_notebook(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        build_with(monkeypatch, show_images, "--solutions")
    assert left.value.code == 2
    assert "--solutions needs --out FILE" in capsys.readouterr().err


def test_the_build_needs_known_data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        build_with(monkeypatch, show_images, "--data", "mnist")
    assert left.value.code == 2
    assert "invalid choice: 'mnist'" in capsys.readouterr().err
