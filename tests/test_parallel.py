"""Several processes are one: real processes, over gloo on this machine."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.problems import draw_rows
from tests.processes import HERE, JOIN, SECONDS, end, find, free_port, run, run_well, start
from tests.program import Program, Said, assert_refused

from colinear.checks import InputError
from colinear.datasets import Features, Split, fit_scaling, open_split
from colinear.losses import LOSSES
from colinear.model import LinearModel
from colinear.objective import Objective
from colinear.parallel.group import ALONE, Group
from colinear.parallel.launch import Launch, Seat
from colinear.search.settings import Settings
from colinear.search.tune import Run
from colinear.solvers.certificate import certify
from colinear.solvers.path import solve_path

BEGIN = (
    JOIN
    + """
import signal
from colinear.datasets import Features, fit_scaling
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.parallel.launch import GroupError
from colinear.solvers.newton import suits_newton
from colinear.solvers.path import solve_path
from colinear.solvers.tuning import Tuning
from tests.problems import draw_rows
"""
)


def found(tmp_path: Path, code: str, size: int) -> list[Any]:
    """What each process has as `found` after `code`."""
    return find(tmp_path, BEGIN + code, size)


# What a launcher says


def test_no_launcher_is_no_group() -> None:
    assert Launch.find({}) is None
    assert Launch.find({"RANK": "0", "WORLD_SIZE": "1", "MASTER_PORT": "1"}) is None
    script = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}  # of sbatch, before any srun
    assert Launch.find(script) is None


def test_torchrun_comes_before_slurm() -> None:
    slurm = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_JOB_ID": "1", "SLURM_LOCALID": "1"}
    slurm |= {"SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_NODEID": "1", "SLURM_STEP_NODELIST": "a[1-2]"}
    torchrun = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "here"}
    torchrun |= {"MASTER_PORT": "5", "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "3"}
    assert Launch.find(slurm) == Launch(3, 4, 1, 2, "a1", 15_001, job="1.0")
    assert Launch.find({**slurm, **torchrun}) == Launch(1, 2, 1, 2, "here", 5, served=True, attempt=3)


def test_steps_of_one_job_that_run_at_once_do_not_meet() -> None:
    slurm = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_JOB_ID": "7"}
    found = [Launch.find({**slurm, "SLURM_STEP_ID": step}) for step in "01"]
    assert [(one.port, one.job) for one in found if one is not None] == [(15_007, "7.0"), (16_016, "7.1")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"RANK": "two"}, {"RANK": "-1"}, {"RANK": "9" * 5000}, {"RANK": "2"}, {"WORLD_SIZE": "0"},
        {"WORLD_SIZE": "1", "RANK": "1"}, {"MASTER_PORT": ""}, {"MASTER_PORT": "0"}, {"MASTER_PORT": "65536"},
        {"LOCAL_WORLD_SIZE": "0"},
    ],
    ids=lambda wrong: str(wrong)[:40],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InputError):
        Launch.find({"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "5", **wrong})


def test_a_mistake_in_the_command_is_told_though_the_launcher_makes_no_sense_either(
    colinear: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "abc")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert_refused(colinear("--nonsense"), "No such option: --nonsense")
    assert_refused(colinear("info", "digits"), "RANK must be a whole number >= 0; got 'abc'")


def test_threads_are_the_cores_dealt_to_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as torchrun sets it
    seat = Seat.here()
    assert [seat.threads([seat] * count) for count in (1, 3, 9)] == [8, 2, 1]
    elsewhere = Seat("other", seat.cores)
    assert seat.threads([seat, *[elsewhere] * 7]) == 8
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert Seat.here().threads([seat] * 8) == 5


def test_processes_that_are_bound_have_their_own_cores() -> None:
    """As srun binds tasks: 16 cores of a machine to 4 tasks are 4 each, and not 4 divided by 4."""
    seats = [Seat("a", range(4 * task, 4 * task + 4)) for task in range(4)]
    assert [seat.threads(seats) for seat in seats] == [4] * 4
    assert Seat("a", range(2, 6)).threads([*seats, Seat("a", range(2, 6))]) == 2


# Sums and agreement


def test_sums_are_of_all_and_small_ones_are_added_in_the_order_of_ranks(tmp_path: Path) -> None:
    code = """
values = (2.0**53, 1.0, 1.0)
small = torch.full((5,), values[group.rank], dtype=torch.float64)  # 2^53 + 1 is not a float64: the order shows
large, whole = torch.full((70_000,), 1.0 + group.rank), torch.tensor([group.rank])
nothing = torch.empty(0)
group.sum_(small, large, whole, nothing)
top = torch.tensor([[group.rank, -group.rank]])
group.max_(top)
found = small, large, whole, top, group.gather("abc"[group.rank]), group.own(8)
"""
    every = found(tmp_path, code, 3)
    for small, large, whole, top, gathered, _ in every:
        assert small.tolist() == [2.0**53] * 5
        assert large.tolist() == [6.0] * 70_000
        assert (whole.item(), top.tolist(), gathered) == (3, [[2, 0]], ["a", "b", "c"])
    assert [one[-1] for one in every] == [slice(0, 2), slice(2, 5), slice(5, 8)]


def test_what_is_gathered_is_of_its_own_size(tmp_path: Path) -> None:
    """Of a view of the first row of a mapped file, one row."""
    code = """
rows = torch.arange(3000.0).view(1000, 3)
found = group.gather((rows[:1], {"row": [rows[group.rank], None]}, ("a", 2, 0.5, True, rows.shape)))
"""
    for every in found(tmp_path, code, 2):
        for rank, (first, rest, plain) in enumerate(every):
            assert first.tolist() == [[0, 1, 2]]
            assert rest["row"][0].tolist() == [3 * rank, 3 * rank + 1, 3 * rank + 2]
            assert [one.untyped_storage().nbytes() for one in (first, rest["row"][0])] == [12, 12]
            assert (rest["row"][1], plain) == (None, ("a", 2, 0.5, True, torch.Size([1000, 3])))


def test_nothing_runs_that_another_process_sends(tmp_path: Path) -> None:
    code = f"""
class Harm:
    def __reduce__(self):
        return os.mkdir, ({str(tmp_path / "harm")!r},)
group.gather(Harm() if group.rank else None)
"""
    said = run(["-c", BEGIN + code], 2, HERE)
    assert all("Weights only load failed" in one.err for one in said), said
    assert not (tmp_path / "harm").exists()


def test_a_group_of_one_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("all_gather", "all_reduce", "barrier"):
        monkeypatch.setattr(torch.distributed, name, lambda *_: pytest.fail("a message"))
    data = draw_rows(40, 4, 3)
    objective = Objective(Features(data, fit_scaling(data)))
    assert objective.group is ALONE
    assert objective.together() is objective
    assert solve_path(objective, LOSSES["softmax"], [0.1]).points[0].status.name == "CONVERGED"
    assert ALONE.end()


def test_ranges_one_of_them_empty_have_the_statistics_of_all_rows(tmp_path: Path) -> None:
    code = """
data = draw_rows(40, 4, 3)
mine = (slice(0, 17), torch.empty(0, dtype=torch.int64), slice(17, 40))[group.rank]
weights = torch.linspace(0, 2, 40)
found = [vars(fit_scaling(data.subset(mine), group=group, **more)) for more in (
    {}, {"standardize": True}, {"standardize": True, "row_weights": weights[mine]})]
"""
    data, weights = draw_rows(40, 4, 3), torch.linspace(0, 2, 40)
    settings: list[dict[str, Any]] = [{}, {"standardize": True}, {"standardize": True, "row_weights": weights}]
    every = found(tmp_path, code, 3)
    for number, more in enumerate(settings):
        whole = fit_scaling(data, **more)
        for one in every:
            torch.testing.assert_close(one[number]["shift"], whole.shift, rtol=1e-13, atol=1e-14)
            torch.testing.assert_close(one[number]["scale"], whole.scale, rtol=1e-13, atol=0)
            assert torch.equal(one[number]["shift"], every[0][number]["shift"])


def test_small_problems_are_those_of_one_process(tmp_path: Path) -> None:
    """Newton's method (the hinge to 1e-6) and the space of the rows (12 rows, 30 columns) need all rows at once."""
    code = """
found = {}
for name, n, d in (("newton", 40, 4), ("space", 12, 30)):
    data = draw_rows(n, d, 3)
    cut = slice(0, n // 4) if group.rank == 0 else slice(n // 4, n)
    features = Features(data.subset(cut), fit_scaling(data), torch.float64)
    path = solve_path(Objective(features, group=group), LOSSES["hinge"], [1e-2, 1e-3], tol=1e-6)
    found[name] = path.coef, [point.status.name for point in path.points], path.details
data = draw_rows(40, 4, 3)
shared = Objective(Features(data.subset(slice(20)), fit_scaling(data)), group=group)
found["few"] = [suits_newton(shared, tuning=Tuning(newton_values=40 * 5 - less)) for less in (0, 1)]
"""
    every = found(tmp_path, code, 2)
    assert [one["few"] for one in every] == [[True, False]] * 2
    for name, n, d in (("newton", 40, 4), ("space", 12, 30)):
        data = draw_rows(n, d, 3)
        features = Features(data, fit_scaling(data), torch.float64)
        path = solve_path(Objective(features), LOSSES["hinge"], [1e-2, 1e-3], tol=1e-6)
        for coef, statuses, details in (one[name] for one in every):
            assert statuses == ["CONVERGED"] * 2
            assert ("subspace" in details) == (name == "space")
            torch.testing.assert_close(coef, path.coef, rtol=1e-5, atol=1e-5)


# One voice


def test_a_mistake_of_one_process_is_the_mistake_of_all() -> None:
    code = """
try:
    if group.rank == 1:
        raise InputError("row 7 has nan.")
    group.sum_(torch.ones(3))
except InputError as error:
    speaks = group.end(error)
    print(error, "speaks" if speaks else "is silent")
    sys.exit(2)
"""
    said = run(["-c", BEGIN + code], 3, HERE)
    assert [one.status for one in said] == [2] * 3, said
    assert sorted(one.out for one in said) == ["row 7 has nan. is silent\n"] * 2 + ["row 7 has nan. speaks\n"]


def test_processes_that_do_not_meet_say_where(tmp_path: Path) -> None:
    """The first waits for one that never comes; one comes to a place that is taken by something else."""
    alone = """
import sys
from colinear.cli.app import main
main(["tune", "digits", "--timeout", "1", "--out", sys.argv[1]])
"""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for port, words in (
            (free_port(), "within 1 s (--timeout)"),
            (taken.getsockname()[1], "is taken. Set MASTER_PORT"),
        ):
            told = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            done = subprocess.run(
                [sys.executable, "-c", alone, str(tmp_path / "run")], capture_output=True, text=True, timeout=SECONDS,
                check=False, env={**os.environ, **told},
            )  # fmt: skip
            [line] = done.stderr.splitlines()
            assert done.returncode == 1
            assert f"'127.0.0.1:{port}'" in line
            assert words in line


@pytest.mark.parametrize("victim", [0, 2])  # 0 holds the store that all met at
def test_a_process_that_dies_ends_the_others(victim: int) -> None:
    code = f"""
if group.rank == {victim}:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    while True:
        group.sum_(torch.ones(3))
except GroupError as error:
    group.end(error)
    sys.exit(str(error))
"""
    said = run(["-c", BEGIN + code], 3, HERE)
    assert [one.status for one in said] == [-9 if rank == victim else 1 for rank in range(3)], said
    assert "another of the 3 processes has gone" in said[1].err


def test_after_a_death_one_process_speaks() -> None:
    """The first to notice has the store: it stays until the other has seen there that it need not speak."""
    code = """
import time
from colinear.parallel.group import WORD
if group.rank == 2:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    group.sum_(torch.ones(1))
except GroupError as error:
    until = time.monotonic() + (1 if group.rank else 0)
    try:
        while time.monotonic() < until:
            group.store.add(WORD, 0)
    except RuntimeError:  # the first has gone
        pass
    print(group.end(error))
"""
    said = run(["-c", BEGIN + code], 3, HERE)
    assert [one.out.strip() for one in said] == ["True", "False", ""], said


def test_weights_that_drift_apart_end_the_run() -> None:
    code = """
data = draw_rows(40, 4, 3)
features = Features(data.subset(slice(20 * group.rank, 20 * group.rank + 20)), fit_scaling(data), torch.float64)
shared, tuning = Objective(features, group=group), Tuning(newton_weights=0)
preconditioned = Objective.second_moment
Objective.second_moment = lambda *given, **more: preconditioned(*given, **more) * (1 + group.rank)  # another processor
try:
    solve_path(shared, LOSSES["softmax"], [1e-2], tuning=tuning)
except GroupError as error:
    group.end(error)
    sys.exit(str(error))
"""
    said = run(["-c", BEGIN + code], 2, HERE)
    assert [one.status for one in said] == [1, 1], said
    assert "have come to different weights" in said[0].err


# The program


PROGRAM = ("-m", "colinear", "tune")


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize(
    ("size", "loss", "more"),
    [(2, "softmax", ()), (2, "hinge", ()), (3, "softmax", ("--refit", "--standardize")), (3, "softmax", ("--cv", "3"))],
    ids=["2", "2 hinge", "3 refit", "3 cv"],
)
def test_tune_in_several_processes_is_tune(
    table: Path, tmp_path: Path, colinear: Program, size: int, loss: str, more: tuple[str, ...]
) -> None:
    """The hinge has kinks, where rounding decides the way: objectives agree as well as their gaps are small."""
    tol, regs = (1e-7, "1e-2:1:3") if loss == "softmax" else (1e-3, "0.3:1:2")
    asked = (str(table), "--loss", loss, *more, "--tol", str(tol), "--regs", regs, "--quiet")
    first, *others = run_well([*PROGRAM, *asked, "--out", str(tmp_path / "several")], size)
    assert [first.err, *(one.out + one.err for one in others)] == [""] * size
    assert colinear("tune", *asked, "--out", tmp_path / "one").status == 0
    several, one = results(tmp_path / "several"), results(tmp_path / "one")
    assert several["dataset"] == one["dataset"]
    [theirs], [mine] = several["runs"], one["runs"]
    assert theirs["best"] == mine["best"]
    for trial, alone in zip(theirs["trials"], mine["trials"], strict=True):
        assert trial["status"] == "converged"
        assert trial["objective"] == pytest.approx(alone["objective"], rel=2 * tol)
        assert trial["val_accuracy"] == pytest.approx(alone["val_accuracy"], abs=0 if loss == "softmax" else 0.01)
    if loss == "softmax":
        assert theirs["confusion_matrix"] == mine["confusion_matrix"]
    if not more:  # else the winner's weights have seen other rows than those of its entry
        _certify(table, tmp_path / "several", loss, tol)


def _certify(table: Path, folder: Path, loss: str, tol: float) -> None:
    """The gap of the winner, whose float32 weights are those of raw rows, computed anew on all its training rows."""
    split = open_split(table)
    model = LinearModel.load(folder / f"model-{loss}.safetensors")
    entry = next(one for one in results(folder)["runs"] if one["loss"] == loss)
    winner = entry["trials"][entry["best"]]
    scaling = fit_scaling(split.train)
    bias = model.bias + model.weight @ (scaling.shift / scaling.scale).to(model.weight)
    coef = torch.cat([model.weight / scaling.scale.to(model.weight), bias.unsqueeze(1)], 1).double()
    value, gap = certify(Objective(Features(split.train, scaling, torch.float64)), LOSSES[loss], coef, winner["reg"])
    assert value == pytest.approx(winner["objective"], rel=1e-5)
    if loss == "softmax":  # a grid of smoothings is too coarse for the hinge: its own width is not kept
        assert gap <= (tol + 1e-5) * value


def test_the_same_command_on_three_processes_gives_the_same_bytes(table: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run_well([*PROGRAM, str(table), "--regs", "1e-1:1:2", "--quiet", "--out", str(tmp_path / name)], 3)
    for model in ("model-softmax.safetensors", "model-hinge.safetensors"):
        assert (tmp_path / "a" / model).read_bytes() == (tmp_path / "b" / model).read_bytes()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("digits", "--features", "hog"), "without --features"),
        (("digits", "--shots", "5000"), "5000"),
        (("nowhere.npz",), "nowhere.npz"),
        (("digits", "--nonsense"), "--nonsense"),
    ],
)
def test_a_mistake_is_said_once_and_status_2_everywhere(tmp_path: Path, asked: tuple[str, ...], words: str) -> None:
    said = run([*PROGRAM, *asked, "--out", str(tmp_path / "run")], 2)
    assert [one.status for one in said] == [2, 2], said
    speaker, silent = sorted(said, key=lambda one: one.err, reverse=True)
    assert_refused(speaker, words)
    assert silent.out + silent.err == ""
    assert not (tmp_path / "run").exists()


def test_settings_that_take_one_process_are_refused_by_a_run(split: Split) -> None:
    two = Group(0, 2)
    with pytest.raises(InputError, match="several processes, here 2"):
        Run(Settings("digits", device="cpu", features="hog"), split, None, group=two)


@pytest.mark.parametrize("what", ["data", "weights", "torch", "--resume"])
def test_processes_with_other_settings_data_or_versions_are_refused(table: Path, tmp_path: Path, what: str) -> None:
    """The second has rows, weights, a library or a command of its own: all are compared before the first sum."""
    with np.load(table) as file:
        features, labels = file["features"], file["labels"]
    for rank in (0, 1):
        (tmp_path / str(rank)).mkdir()
        weights = 1.0 + (what == "weights") * rank * np.arange(len(labels))
        np.savez(
            tmp_path / str(rank) / "rows.npz",
            features=features + (what == "data") * rank,
            labels=labels,
            weights=weights,
        )
    code = f"""
import os, torch
from colinear.cli.app import main
rank = os.environ["RANK"]
os.chdir({str(tmp_path)!r} + "/" + rank)
if rank == "1" and {what!r} == "torch":
    torch.__version__ = "1.0"
run = {str(tmp_path / "run")!r}
main(["tune", "--resume", run] if rank == "1" and {what!r} == "--resume" else
     ["tune", "rows.npz", "--sample-weight", "weights", "--out", run])
"""
    said = run(["-c", code], 2)
    assert [one.status for one in said] == [2, 2], said
    name = {"data": "train data", "weights": "train weights"}.get(what, what)
    assert_refused(max(said, key=lambda one: one.err), f"must have the same {name}")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("truncated", "part-0001.npy"),
        ("columns", "part-0001.npy must have 5 columns"),
        ("labels", "part-0001.npy must have one label per row"),
        ("infinite", "part-0002.npy must be finite; row 19"),
        ("settings", "must have the same tol"),
    ],
)
def test_a_fault_in_one_process_ends_all_with_one_message(tmp_path: Path, fault: str, words: str) -> None:
    """The last of three processes has shards, or a command, of its own."""
    rng = np.random.default_rng(0)
    for rank in range(3):
        for number in range(3):
            folder = tmp_path / str(rank) / "rows"
            folder.mkdir(parents=True, exist_ok=True)
            wrong = rank == 2 and (number == 1 or fault == "infinite")
            rows = rng.normal(size=(20, 4 if wrong and fault == "columns" else 5))
            rows[-1, 0] = np.inf if wrong and fault == "infinite" else 0
            labels = np.arange(19 if wrong and fault == "labels" else 20) % 2
            np.save(folder / f"part-{number:04}.npy", rows)
            np.save(folder / f"part-{number:04}-labels.npy", labels)
            if wrong and fault == "truncated":
                whole = (folder / f"part-{number:04}.npy").read_bytes()
                (folder / f"part-{number:04}.npy").write_bytes(whole[:-8])
    code = f"""
import os
from colinear.cli.app import main
rank = os.environ["RANK"]
os.chdir({str(tmp_path)!r} + "/" + rank)
more = ["--tol", "1e-4"] if rank == "2" and {fault!r} == "settings" else []
main(["tune", "rows", "--out", {str(tmp_path / "run")!r}, *more])
"""
    said = run(["-c", code], 3)
    assert [one.status for one in said] == [2] * 3, said
    [speaker] = [one for one in said if one.err]
    assert_refused(speaker, words)
    assert not (tmp_path / "run/results.json").exists()


def test_a_run_goes_on_where_only_the_first_process_sees_its_folder(table: Path, tmp_path: Path) -> None:
    code = f"""
import os
from colinear.cli.app import main
os.makedirs({str(tmp_path)!r} + "/" + os.environ["RANK"], exist_ok=True)
os.chdir({str(tmp_path)!r} + "/" + os.environ["RANK"])
main("""
    begin = ["tune", str(table), "--loss", "softmax", "--regs", "1e-2:1:2", "--out", "run"]
    run_well(["-c", f"{code}{begin})"], 2)
    whole = (tmp_path / "0/run/model-softmax.safetensors").read_bytes()
    for name in ("results.json", "model-softmax.safetensors"):
        (tmp_path / "0/run" / name).unlink()
    run_well(["-c", f"{code}['tune', '--resume', 'run'])"], 2)
    assert (tmp_path / "0/run/model-softmax.safetensors").read_bytes() == whole
    assert list((tmp_path / "1").iterdir()) == []


def test_a_process_that_dies_ends_the_run_with_what_is_kept(table: Path, tmp_path: Path) -> None:
    code = """
import os, signal
from colinear.cli.app import main
from colinear.objective import Objective
if os.environ["RANK"] == "1":
    evaluate, passes = Objective.evaluate, []
    def die(self, *given, **more):
        passes.append(1)
        if len(passes) > 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return evaluate(self, *given, **more)
    Objective.evaluate = die
"""
    run_it = f"main(['tune', {str(table)!r}, '--out', {str(tmp_path / 'run')!r}, '--timeout', '20'])"
    said = end(start(["-c", code + run_it], 2))
    assert [one.status for one in said] == [1, -9], said
    assert "Kept in" in said[0].err
    assert len([line for line in said[0].err.splitlines() if line.startswith("error: ")]) == 1


def test_a_disk_that_is_full_at_the_last_file_is_said_once_and_status_2_everywhere(table: Path, tmp_path: Path) -> None:
    """The others have nothing left to do but to take leave."""
    code = """
from colinear.cli.app import main
from colinear.search import runfolder
write = runfolder.write_whole
def full(target, *given):
    if target.name.startswith("model"):
        raise OSError(28, "No space left on device")
    return write(target, *given)
runfolder.write_whole = full
main()
"""
    asked = (str(table), "--loss", "softmax", "--regs", "1e-2:1:2", "--quiet", "--out", str(tmp_path / "run"))
    speaker, *silent = run(["-c", code, "tune", *asked], 3)
    assert_refused(speaker, "model-softmax.safetensors could not be written: No space left on device")
    assert [(one.status, one.err) for one in silent] == [(2, "")] * 2


def test_other_commands_take_one_process(tmp_path: Path) -> None:
    said = run(["-m", "colinear", "fit", "digits", "--out", str(tmp_path / "model.safetensors")], 2)
    assert [one.status for one in said] == [2, 2]
    assert "fit takes one process" in said[0].err
    assert said[1].err == ""


def torchrun(*arguments: str) -> Said:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "colinear", "tune"]
    done = subprocess.run(
        [sys.executable, *launcher, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


def test_torchrun_starts_it(tmp_path: Path, colinear: Program) -> None:
    """Digits are few enough for every process to have them all, so the bytes are those of one process."""
    asked = ("digits", "--loss", "hinge", "--regs", "1e-2:1:3")
    said = torchrun(*asked, "--json", "--out", str(tmp_path / "several"))
    assert said.status == 0, said
    assert said.json["folder"] == str(tmp_path / "several")
    assert colinear("tune", *asked, "--out", tmp_path / "one", "--quiet").status == 0
    model = "model-hinge.safetensors"
    assert (tmp_path / "several" / model).read_bytes() == (tmp_path / "one" / model).read_bytes()


def test_under_torchrun_too_a_mistake_is_said_once(tmp_path: Path) -> None:
    said = torchrun(str(tmp_path / "nowhere.npz"), "--out", str(tmp_path / "run"))
    assert said.status == 1  # torchrun's own, whatever its processes leave with
    assert len([line for line in said.err.splitlines() if line.startswith("error: ")]) == 1
    assert len(re.findall(r"exitcode\s*: 2 ", said.err)) == 2
