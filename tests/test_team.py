"""SGD by several processes is SGD by one, wherever the rows are."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import scipy.sparse
import torch
from tests.problems import draw_rows
from tests.processes import JOIN, end, find, run, run_well, start
from tests.program import Program
from torch import Tensor

from colinear.datasets import ArrayDataset, Dataset, Features, fit_scaling
from colinear.datasets.augment import Augmentation
from colinear.datasets.blocks import Matrix
from colinear.datasets.sparse import SparseMatrix
from colinear.losses import LOSSES
from colinear.parallel.group import ALONE, Group
from colinear.search.judging import weigh_rows
from colinear.solvers import SGD
from colinear.solvers.team import Team

CUTS = (slice(0, 13), torch.empty(0, dtype=torch.int64), slice(13, 40))  # of 40 rows, for three processes
KINDS = ("table", "sparse", "pictures", "weighted")


def draw(kind: str) -> ArrayDataset:
    """40 rows of 12 columns and 3 classes."""
    data = draw_rows(40, 12, 3)
    if kind == "sparse":
        rows: Matrix = SparseMatrix.from_scipy(scipy.sparse.csr_array(data.take(slice(0, 40)).clamp(min=0).numpy()))
        return ArrayDataset(rows, data.labels, ("a", "b", "c"))
    if kind == "pictures":
        pixels = (data.take(slice(0, 40)) * 40 + 128).clamp(0, 255).to(torch.uint8)
        return ArrayDataset(pixels, data.labels, ("a", "b", "c"), (1, 3, 4), value_range=255.0)
    weights = torch.linspace(0, 2, 40, dtype=torch.float64) if kind == "weighted" else None
    return ArrayDataset(data.take(slice(0, 40)), data.labels, ("a", "b", "c"), sample_weight=weights)


def train(kind: str, group: Group = ALONE) -> dict[str, Tensor]:
    """Steps with all extras, in two stretches, some candidates leaving between them."""
    data = draw(kind)
    own: Dataset = data if group.size == 1 else data.subset(CUTS[group.rank])
    own = Augmentation(mirror=True, shift=1).apply(own) if kind == "pictures" else own
    features = Features(own, fit_scaling(data), copies=getattr(own, "copies", 1))
    sgd = SGD(30, 8, momentum=0.5, schedule="cosine", averaging=0.5)
    rates = torch.logspace(-2, -1, 4, dtype=torch.float64)
    state = sgd.start(torch.zeros(3, 13), rates, rates, torch.Generator().manual_seed(3))
    weights = weigh_rows(own, (1.0, 2.0, 1.0)) if kind == "weighted" else None
    team = Team(sgd, features, LOSSES["softmax"], weights, group)
    team.advance(state, 11)
    state.keep(torch.tensor([0, 2]))
    team.advance(state, 30)
    return {name: getattr(state, name) for name in ("coef", "velocity", "average", "history")}


def read(folder: Path) -> Any:
    [entry] = json.loads((folder / "results.json").read_text())["runs"]
    return entry


@pytest.mark.parametrize("most_bytes", [0, 2000, 1 << 25], ids=["a_step", "some", "all_rows"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_candidate_has_the_numbers_of_one_process(tmp_path: Path, kind: str, most_bytes: int) -> None:
    code = f"""
from colinear.solvers import team
from tests.test_team import train
team.MOST_BYTES = {most_bytes}
found = train({kind!r}, group)
"""
    alone = train(kind)
    first, *others = find(tmp_path, JOIN + code, 3)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-5, atol=1e-6, equal_nan=True)
        assert all(torch.equal(one[name].nan_to_num(-1), first[name].nan_to_num(-1)) for one in others), name


# The program

SEARCH = ("--solver", "sgd", "--candidates", "7", "--steps", "120", "--halving", "--quiet")


@pytest.mark.parametrize(
    ("loss", "size", "more"),
    [
        ("softmax", 3, ("--subspace", "0.9")),
        ("softmax", 2, ("--class-weight", "balanced", "--momentum", "0.9")),
        ("hinge", 3, ("--averaging", "0.5")),
    ],
    ids=["subspace", "weights", "hinge"],
)
def test_a_search_of_several_processes_is_that_of_one(
    table: Path, tmp_path: Path, colinear: Program, loss: str, size: int, more: tuple[str, ...]
) -> None:
    asked = (str(table), "--loss", loss, *SEARCH, *more)
    first, *others = run_well(["-m", "colinear", "tune", *asked, "--out", str(tmp_path / "several")], size)
    assert [first.err, *(one.out + one.err for one in others)] == [""] * size
    assert colinear("tune", *asked, "--out", tmp_path / "one").status == 0
    several, one = read(tmp_path / "several"), read(tmp_path / "one")
    assert several["best"] == one["best"]
    assert [rung["candidates"] for rung in several["rungs"]] == [rung["candidates"] for rung in one["rungs"]]
    for trial, alone in zip(several["trials"], one["trials"], strict=True):
        assert trial["val_accuracy"] == pytest.approx(alone["val_accuracy"], abs=0.01)
        assert trial["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    mine, theirs = (entry["trials"][entry["best"]] for entry in (several, one))
    assert mine["objective"] == pytest.approx(theirs["objective"], rel=1e-5)
    assert mine["above_optimum"] == pytest.approx(theirs["above_optimum"], rel=0.05)


EXACT = ("--tol", "1e-6", "--regs", "1e-2:1:2")


@pytest.mark.parametrize("more", [EXACT, (*EXACT, "--cv", "2"), SEARCH], ids=["exact", "cv", "sgd"])
def test_copies_are_those_of_one_process(tmp_path: Path, colinear: Program, more: tuple[str, ...]) -> None:
    asked = ("digits", "--loss", "softmax", "--augment", "mirror,shift:1", *more, "--quiet")
    run_well(["-m", "colinear", "tune", *asked, "--out", str(tmp_path / "several")], 3)
    assert colinear("tune", *asked, "--out", tmp_path / "one").status == 0
    several, one = read(tmp_path / "several"), read(tmp_path / "one")
    assert several["best"] == one["best"]
    for trial, alone in zip(several["trials"], one["trials"], strict=True):
        assert trial["train_accuracy"] == pytest.approx(alone["train_accuracy"], abs=1e-3)
    mine, theirs = (entry["trials"][entry["best"]] for entry in (several, one))
    assert mine["objective"] == pytest.approx(theirs["objective"], rel=1e-5)


KILLED = """
import os, signal
from colinear.cli.app import main
from colinear.solvers.team import Team
advance, steps = Team.advance, []
def die(self, state, until):
    if state.step > 40 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return advance(self, state, until)
Team.advance = die
main(%r)
"""


def test_a_search_goes_on_from_its_checkpoint_with_the_same_bytes(table: Path, tmp_path: Path) -> None:
    """One process dies after the rung of step 40."""
    asked = ["tune", str(table), "--loss", "softmax", *SEARCH, "--momentum", "0.5", "--averaging", "0.5"]
    run_well(["-m", "colinear", *asked, "--out", str(tmp_path / "a")], 3)
    said = run(["-c", KILLED % [*asked, "--out", str(tmp_path / "b")]], 3)
    assert [one.status for one in said] == [1, -9, 1], said
    assert (tmp_path / "b/checkpoints/softmax.safetensors").is_file()
    steps = "import colinear.solvers.team as team; advance = team.Team.advance\n"
    steps += "team.Team.advance = lambda self, state, until: (print(state.step), advance(self, state, until))[1]\n"
    again = f"{steps}from colinear.cli.app import main\nmain(['tune', '--resume', {str(tmp_path / 'b')!r}, '--quiet'])"
    assert run_well(["-c", again], 3)[1].out.startswith("40\n")
    name = "model-softmax.safetensors"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_few_shot_runs_are_those_of_one_process(tmp_path: Path) -> None:
    """Tries so small that every process solves all their rows: the bytes are those of one. A finished one is kept."""
    asked = ("digits", "--shots", "3", "--tries", "2", "--loss", "softmax", "--regs", "1e-2:1:3")
    for name, size in (("several", 3), ("one", 1)):  # each process with one thread
        run_well(["-m", "colinear", "tune", *asked, "--quiet", "--out", str(tmp_path / name)], size)
    model = "try-2/model-softmax.safetensors"
    first = (tmp_path / "several" / model).read_bytes()
    assert first == (tmp_path / "one" / model).read_bytes()
    accuracies = [json.loads((tmp_path / name / "results.json").read_text())["tries"][0] for name in ("several", "one")]
    assert accuracies[0]["test_accuracy"] == accuracies[1]["test_accuracy"]
    for path in (tmp_path / "several/results.json", *(tmp_path / "several/try-2").glob("*.*")):
        path.unlink()
    kept = (tmp_path / "several/try-1/results.json").stat().st_mtime_ns
    run_well(["-m", "colinear", "tune", "--resume", str(tmp_path / "several"), "--quiet"], 3)
    assert (tmp_path / "several" / model).read_bytes() == first
    assert (tmp_path / "several/try-1/results.json").stat().st_mtime_ns == kept


def test_a_signal_to_all_lets_the_first_write_its_checkpoint(table: Path, tmp_path: Path) -> None:
    """One that follows hears of it while the first waits for it, and may not leave before."""
    os.mkfifo(tmp_path / "go")
    asked = ["tune", str(table), "--loss", "softmax", *SEARCH, "--out", str(tmp_path / "run")]
    asked.remove("--halving")  # no rung, at which one would be written anyway
    code = f"""
import os
from colinear.cli.app import main
from colinear.solvers.team import Team
advance = Team.advance
def wait(self, state, until):
    if state.step == 30:
        print("waits", flush=True)
        if os.environ["RANK"] == "1":
            open({str(tmp_path / "go")!r}).read()
    return advance(self, state, until)
Team.advance = wait
main({asked!r})
"""
    processes = start(["-c", code], 2)
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
    for process in reversed(processes):
        process.terminate()
    (tmp_path / "go").write_text("")
    said = end(processes)
    assert [one.status for one in said] == [128 + signal.SIGTERM] * 2, said
    assert [one.out + one.err for one in said] == [""] * 2
    assert (tmp_path / "run/checkpoints/softmax.safetensors").is_file()
