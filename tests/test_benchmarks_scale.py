"""Two processes against one at toy size, and the cost model: its counts, and its tables in the manual."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import constants, costs, resident, scale
from benchmarks.costs import LARGE, Machine, Size, as_markdown, pass_seconds, path_seconds
from benchmarks.problems import WrongAnswerError
from benchmarks.scale import ScaleOptions

from colinear.datasets import Features, fit_scaling, open_split
from colinear.datasets.arrays import open_npy
from colinear.losses import Softmax
from colinear.objective import Objective
from colinear.parallel.group import Group
from colinear.solvers.path import _groups, _pairs
from colinear.solvers.tuning import USUAL

ROOT = Path(__file__).parents[1]
TOY = ScaleOptions(2000, 40, 40, "1e-3:1e-2:2", 1e-3)
LINUX = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="memory is read as Linux tells it")


# Two processes and one


@LINUX
def test_two_processes_find_what_one_does_and_tell_what_they_hold() -> None:
    report = scale.run_memory(TOY, both=True)
    assert [len(report[name]["memory"]) for name in ("alone", "together")] == [1, 2]
    every = [each for name in ("alone", "together") for each in report[name]["memory"]]
    assert all(each["imports_mb"] > 50 and 0 < each["anonymous_mb"] < 500 for each in every)
    assert len(scale.scale_table(report).rows) == 3


def found(**changes: Any) -> dict[str, Any]:
    memory = [{"imports_mb": 100.0, "anonymous_mb": 20.0, "data_mb": 30.0, "data_share_mb": 10.0}]
    return {
        "whole": 3.0, "search": 2.0, "processor": 4.0, "passes": 9, "memory": memory,
        "winner": 1e-3, "test_accuracy": 0.9,
        "points": [[1e-3, 1.0, 1e-4]], **changes,
    }  # fmt: skip


def test_ratios_are_of_one_round_and_the_shards_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []

    def run(data: Path, options: ScaleOptions, ranks: int) -> dict[str, Any]:
        seen.append((data.name, ranks))
        larger = [{**found()["memory"][0], "anonymous_mb": 5.0}, {**found()["memory"][0], "anonymous_mb": 8.0}]
        return found(memory=larger, whole=1.5, search=0.5) if ranks > 1 else found()

    monkeypatch.setattr(scale, "run_tune", run)
    report = scale.run_scale(TOY, 2)
    assert seen == [("x.npy", 1), ("x.npy", 2), ("x.npy", 1), ("x.npy", 2), ("shards", 2)]
    assert (report["times"], report["search_times"], report["share"]) == (0.5, 0.25, 18 / 30)
    assert scale.scale_table(report).rows[-1][1:5] == ("0.5", "0.25", "", "0.6 (target 0.6)")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"winner": 1e-2}, "the winner is 0.01, in one process 0.001"),
        ({"points": [[1e-3, 1 + 2e-6, 1e-4]]}, r"reg 0.001 has objective 1\.000002"),
        ({"points": [[1e-3, float("nan"), 1e-4]]}, "reg 0.001 has objective nan"),
        ({"test_accuracy": 0.9004}, "test accuracy 0.9004, alone 0.9"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_answer_is_refused(other: dict[str, Any], said: str) -> None:
    scale.check_same(found(), found(points=[[1e-3, 1 + 5e-7, 1e-4]], test_accuracy=0.9002), "two")
    with pytest.raises(WrongAnswerError, match=f"two: {said}"):
        scale.check_same(found(), found(**other), "two")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_uneven_shards_are_the_planted_rows(dtype: str, tmp_path: Path) -> None:
    options = replace(TOY, rows=500, dtype=dtype)
    file = scale.write_planted(tmp_path, options)
    assert np.load(file).dtype == dtype
    folder = scale.cut_into_shards(tmp_path, tmp_path / "shards")
    sizes = [len(np.load(folder / f"part-{number:04}.npy", mmap_mode="r")) for number in range(7)]
    assert sum(sizes) == 500
    assert all(first < second for first, second in pairwise(sizes))
    one, other = (open_split(place).train for place in (file, folder))
    assert one.fingerprint == other.fingerprint


def test_rows_lie_about_the_centres_of_their_classes(tmp_path: Path) -> None:
    options = replace(TOY, rows=4000, columns=20, classes=4, distance=3.0)
    rows, labels = np.load(scale.write_planted(tmp_path, options)), np.load(tmp_path / "y.npy")
    centres = np.stack([rows[labels == label].mean(0) for label in range(4)])
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 3, rtol=0.1)
    np.testing.assert_allclose((rows - centres[labels]).std(), 1, rtol=0.02)


@LINUX
def test_pages_of_a_mapped_file_are_seen_as_they_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((4096, 256), np.float32))
    rows = open_npy(tmp_path / "x.npy")

    def mapped(place: Path) -> tuple[int, int]:
        return resident.mapped_bytes(Path("/proc/self/smaps").read_text(), str(place))

    before = mapped(tmp_path)[0]
    assert float(rows.sum()) == 4096 * 256
    assert before < 2**21
    assert 2**22 <= mapped(tmp_path)[0] == mapped(tmp_path)[1] <= 2**22 + 2**16
    assert mapped(tmp_path / "x") == (0, 0)


# The cost model


@pytest.mark.parametrize(("c", "d"), [(3, 10), (10, 3072), (100, 512), (1000, 512), (1000, 2048), (1000, 8000)])
def test_the_model_batches_and_remembers_as_the_solver_does(c: int, d: int) -> None:
    size = Size(100_000, d, c, strengths=9)
    groups = _groups(torch.logspace(-4, -1, 9), (c, d + 1), 2.0 * size.weights * 2048, False, USUAL)
    assert -(-9 // size.together) == len(groups)
    assert size.pairs == _pairs(size.together * size.weights, size.rows, USUAL)


def test_ranks_share_rows_and_loss_and_repeat_steps() -> None:
    machine = Machine(1e11, 5e10, 1e9, 1e-9, 1e10, 1e10, 1e9, 1e9, latency=1e-4, sent=1e9)
    one, eight = (replace(LARGE[0], ranks=ranks) for ranks in (1, 8))
    alone, among = pass_seconds(one, machine), pass_seconds(eight, machine)
    assert alone["products"] == pytest.approx(4 * 1000 * 2049 * 1_281_167 / 1e11)
    for name in ("products", "rows", "loss"):
        assert among[name] == pytest.approx(alone[name] / 8)
    assert (alone["sums"], alone["steps"] > 0, among["steps"]) == (0, True, alone["steps"])
    step = 8 * 1000 * 2049 * 2049 / 1e11 + 4 * 1000 * 2049 * (costs.ARRAYS + 10 * one.pairs) / 1e10
    assert alone["steps"] == pytest.approx(step)
    ring = 2 * 7 / 8 * 4 * 1000 * 2049 / 1e9
    assert among["sums"] == pytest.approx(21 * 1e-4 + ring + 4 * 1000 * 2049 / 1e9 / 8)
    few = replace(eight, classes=10, columns=511, strengths=1)  # gathered as float64
    assert few.sent_bytes == 8 * 10 * 512 * 7
    double = pass_seconds(eight, machine, double=True)
    assert (double["products"], double["rows"], double["steps"]) == (2 * among["products"], 2 * among["rows"], 0)
    assert double["sums"] == pytest.approx(among["sums"] + ring)


def test_a_path_is_its_passes_certificates_spectrum_and_opening() -> None:
    machine = Machine(1e11, 5e10, 1e9, 1e-9, 1e10, 1e10, 2e9, 1e9)
    size = Size(100_000, 512, 1000, strengths=3)
    spent, one = path_seconds(size, machine, passes=7), pass_seconds(size, machine)
    assert spent["products"] == pytest.approx(3 * (7 + 2) * one["products"])
    assert spent["opening"] == pytest.approx(100_000 * 512 * 4 / 2e9)
    assert spent["spectrum"] == pytest.approx(2 * 10_000 * 513**2 / 1e11 + 9 * 513**3 / 1e10)


def test_a_device_waits_for_its_host_only_where_chunks_are_quick() -> None:
    slow = Machine(1e11, 5e10, 1e9, 1e-9, 1e10, 1e10, 1e9, 1e9, launch=1e-4)
    quick = replace(slow, flops=1e18, rows=1e18, score=0.0)
    assert pass_seconds(LARGE[0], slow)["launches"] == 0
    assert pass_seconds(LARGE[0], quick)["launches"] == pytest.approx(1_281_167 / 2048 * 1e-4, rel=1e-3)


def test_flops_of_a_pass_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    size = Size(512, 32, 5, strengths=1)
    data = constants.draw_rows(size, 512, seed=0)
    objective = Objective(Features(data, fit_scaling(data)))
    with FlopCounterMode(display=False) as counter:
        objective.evaluate(torch.zeros(1, 5, 33), torch.ones(1, dtype=torch.float64), Softmax())
    assert 2 * counter.get_total_flops() == size.pass_flops  # the product of the gradient is in place: it counts none


def test_constants_are_measured_of_what_a_pass_does() -> None:
    measured = constants.measure(Group(), Size(256, 16, 5, strengths=1))
    assert set(measured) == {*costs.UNITS, "pass"} - {"latency", "sent"}
    assert all(0 < value < 1e15 for value in measured.values())
    assert Machine.of(measured).flops == measured["flops"]


@pytest.mark.parametrize("module", [costs, resident])
def test_examples_run(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


def test_the_manual_has_the_tables_of_the_model_and_of_the_files() -> None:
    page = (ROOT / "docs/scaling.md").read_text()
    reports = {
        name: json.loads((ROOT / f"benchmarks/results/{name}-cpu-avx-512-vnni.json").read_text())
        for name in ("costs", "scale", "scale-memory")
    }
    held = [scale.scale_table(reports[name]) for name in ("scale", "scale-memory")]
    for table in [*costs.tables(reports["costs"]), *held]:
        assert as_markdown(table) in page, as_markdown(table)
