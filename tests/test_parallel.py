"""Several processes are one: real processes, over gloo on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.problems import draw_rows
from tests.processes import run, run_well

from colinear.checks import InputError
from colinear.datasets import Features, fit_scaling
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.parallel.group import ALONE
from colinear.parallel.launch import Launch
from colinear.solvers.path import solve_path

HERE = Path(__file__).parent.parent
BEGIN = """
import os, sys, signal, torch
from colinear.checks import InputError
from colinear.datasets import Features, fit_scaling
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.parallel.group import Group
from colinear.parallel.launch import GroupError, Launch
from colinear.solvers.newton import suits_newton
from colinear.solvers.path import solve_path
from colinear.solvers.tuning import Tuning
from tests.problems import draw_rows
group = Group.join(Launch.find(), 20)
"""


def found(tmp_path: Path, code: str, size: int) -> list[Any]:
    """What each process saves as `found` after `code`."""
    ending = f"torch.save(found, {str(tmp_path)!r} + f'/found-{{group.rank}}.pt')\ngroup.end()"
    run_well(["-c", f"{BEGIN}{code}\n{ending}"], size, HERE)
    return [torch.load(tmp_path / f"found-{rank}.pt", weights_only=False) for rank in range(size)]


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
    assert Launch.find(slurm) == Launch(3, 4, 1, 2, "a1", 15_001)
    assert Launch.find({**slurm, **torchrun}) == Launch(1, 2, 1, 2, "here", 5, served=True, attempt=3)


@pytest.mark.parametrize("wrong", [{"RANK": "two"}, {"RANK": "2"}, {"MASTER_PORT": ""}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InputError):
        Launch.find({"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "5", **wrong})


def test_threads_are_the_cores_dealt_to_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as torchrun sets it
    assert [Launch(0, 9, 0, count, "", 1).threads for count in (1, 3, 9)] == [8, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert Launch(0, 9, 0, 3, "", 1).threads == 5


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


def test_a_group_of_one_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("all_gather", "all_reduce", "all_gather_object", "barrier"):
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


def test_a_mistake_of_one_process_is_the_mistake_of_all(tmp_path: Path) -> None:
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


def test_a_process_that_dies_ends_the_others(tmp_path: Path) -> None:
    code = """
if group.rank == 2:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    while True:
        group.sum_(torch.ones(3))
except GroupError as error:
    group.end(error)
    sys.exit(str(error))
"""
    said = run(["-c", BEGIN + code], 3, HERE)
    assert [one.status for one in said] == [1, 1, -9], said
    assert "another of the 3 processes has gone" in said[0].err


def test_weights_that_drift_apart_end_the_run(tmp_path: Path) -> None:
    code = """
data = draw_rows(40, 4, 3)
features = Features(data.subset(slice(20 * group.rank, 20 * group.rank + 20)), fit_scaling(data), torch.float64)
preconditioned = Objective.second_moment
Objective.second_moment = lambda self, *more: preconditioned(self, *more) * (1 + group.rank)  # another processor
try:
    solve_path(Objective(features, group=group), LOSSES["softmax"], [1e-2])
except GroupError as error:
    group.end(error)
    sys.exit(str(error))
"""
    said = run(["-c", BEGIN + code], 2, HERE)
    assert [one.status for one in said] == [1, 1], said
    assert "have come to different weights" in said[0].err
