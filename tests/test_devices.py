"""All of a pass and of a step happens on the device of the rows, and the host waits for none of it.

Each test runs in a process of its own, on a device that is pretended.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.problems import draw_rows
from tests.processes import HERE, run_well
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from colinear.checks import InputError
from colinear.datasets import Features, Split, fit_scaling
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.parallel.group import Group
from colinear.search import device as devices
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import tune
from colinear.solvers import path
from colinear.solvers.path import fit_preconditioner, solve_path
from colinear.solvers.tuning import Tuning

BEGIN = """
import torch
from tests.pretended import DEVICE, pretend
from colinear.datasets import ArrayDataset, AugmentedDataset, Features
from colinear.datasets.features import Scaling
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.solvers import SGD
from colinear.solvers.path import fit_preconditioner

def draw(dtype, shape=None, n=5000, d=12):
    data = ArrayDataset(torch.zeros(n, d, dtype=dtype, device=DEVICE), torch.zeros(n, dtype=torch.int64, device=DEVICE),
                        ("a", "b", "c"), shape)
    data = data if shape is None else AugmentedDataset(data, mirror=True, shift=1)
    scaling = Scaling(torch.ones((), dtype=torch.float64), torch.zeros(d, dtype=torch.float64))
    return Features(data, scaling, torch.float64 if dtype == torch.float64 else torch.float32)

def device_of(*parts):
    return {part.device.type for part in parts}
"""


def pretended(code: str) -> None:
    lines = "\n".join(f"    {line}" for line in code.strip().splitlines())
    run_well(["-c", f"{BEGIN}\nwith pretend() as waits:\n{lines}"], 1, HERE)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_pass_stays_on_the_device(loss: str) -> None:
    pretended(f"""
loss = LOSSES[{loss!r}]
for features in (draw(torch.float32), draw(torch.float64), draw(torch.uint8), draw(torch.uint8, (1, 3, 4))):
    n = features.n_samples
    weights, folds = torch.ones(n, device=DEVICE), torch.zeros(n, dtype=torch.int64, device=DEVICE)
    coef = torch.zeros(2, 3, 13, device=DEVICE, dtype=features.dtype)
    regs, held = torch.ones(2, dtype=torch.float64, device=DEVICE), torch.zeros(2, dtype=torch.int64, device=DEVICE)
    for more in ((None, None, None), (weights, folds, held)):
        objective = Objective(features, *more[:2])
        _ = objective.unit_weights
        smooth = loss.smooth(torch.ones(2, dtype=torch.float64, device=DEVICE))
        del waits.seen[:]
        found = objective.evaluate(coef, regs, smooth, more[2], curvature=True)
        assert device_of(*vars(found).values()) == {{DEVICE}}
        assert device_of(objective.accuracy(coef)) == {{DEVICE}}
        assert waits.seen == [], waits.seen
""")


@pytest.mark.parametrize("loss", LOSSES)
def test_steps_of_sgd_stay_on_the_device(loss: str) -> None:
    pretended(f"""
sgd = SGD(9, 4, momentum=0.5, schedule="cosine", averaging=0.5)
for features in (draw(torch.float32), draw(torch.uint8), draw(torch.uint8, (1, 3, 4))):
    for weights in (None, torch.ones(features.n_samples, device=DEVICE)):
        rates = torch.ones(2, dtype=torch.float64)
        state = sgd.start(torch.zeros(3, 13, device=DEVICE), rates, rates, torch.Generator())
        del waits.seen[:]
        sgd.advance(state, features, LOSSES[{loss!r}], 9, weights)
        assert device_of(state.coef, state.velocity, state.average, state.history) == {{DEVICE}}
        assert waits.seen == [], waits.seen
""")


def test_the_preconditioner_stays_on_the_device() -> None:
    pretended("""
for features in (draw(torch.float32), draw(torch.uint8), draw(torch.float32, n=5000, d=4000)):
    made = fit_preconditioner(Objective(features))
    assert device_of(made.spectrum.values, made.spectrum.vectors) == {DEVICE}
    del waits.seen[:]
    gradient = torch.zeros(2, 3, features.n_features, device=DEVICE)
    regs = torch.ones(2, dtype=torch.float64, device=DEVICE)
    solved = made.at(torch.zeros(2, 3, device=DEVICE), regs)(gradient)
    assert device_of(solved) == {DEVICE}
    assert waits.seen == [], waits.seen
""")


class Reads(TorchDispatchMode):
    """Counts numbers that the host reads of tensors, wherever they are."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_the_host_reads_a_fixed_few_numbers_a_pass(loss: str) -> None:
    """More rows, or more candidates, are no more of them; those that leave are read once each."""
    tuning, found = Tuning(newton_weights=0, newton_values=1), []
    for n, k in ((300, 2), (6000, 2), (300, 6)):
        data = draw_rows(n, 8, 3, dtype=torch.float32)
        objective = Objective(Features(data, fit_scaling(data)), chunk_rows=256)
        preconditioner = fit_preconditioner(objective, tuning=tuning)
        regs = torch.logspace(-3, -2, k, dtype=torch.float64).tolist()
        with Reads() as reads:
            solved = solve_path(objective, LOSSES[loss], regs, tol=1e-2, preconditioner=preconditioner, tuning=tuning)
        found.append((reads.count - 20 * k) / solved.passes)
    assert max(found) <= 9, found


# Several processes, a GPU each


def test_what_is_large_is_summed_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []

    def note(name: str) -> Callable[..., Done]:
        return lambda tensor, *_, **__: (seen.append((name, tensor.device.type)), Done())[1]

    for name in ("all_reduce", "broadcast"):
        monkeypatch.setattr(torch.distributed, name, note(name))
    pair = Group(0, 2)
    with FakeTensorMode():
        for kind in ("cuda", "cpu"):
            large = torch.empty(70_000, device=kind)
            pair.sum_(large)
            pair.max_(large)
            pair.fill_(large, (30_000, 40_000))
    assert seen == [
        (name, kind) for kind in ("cuda", "cpu") for name in ("all_reduce", "all_reduce", "broadcast", "broadcast")
    ]


class Done:
    def wait(self) -> None: ...


@pytest.mark.parametrize(
    ("name", "device", "words"),
    [
        ("cuda:1", "cuda:1", "take one GPU each, or the processor; got cuda:1"),
        ("mps", "mps", "take one GPU each, or the processor; got mps"),
        ("auto", "cuda", "3 processes on a machine need as many GPUs; this one has 2"),
    ],
)
def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch, name: str, device: str, words: str) -> None:
    monkeypatch.setattr(devices, "pick_device", lambda _: torch.device(device))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(Group, "agree", lambda *_: None)
    with pytest.raises(InputError, match=words):
        devices.check_group(name, Group(0, 3, local_size=3))
    if name == "auto":
        devices.check_group(name, Group(0, 6, local_size=2))


def test_matmul_precision_is_that_of_the_passes_and_of_no_more(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of float64, those that are certified, are never multiplied in less."""
    seen = set()
    evaluate = Objective.evaluate

    def look(objective: Objective, coef: torch.Tensor, *given: Any, **more: Any) -> Any:
        seen.add((coef.dtype, torch.get_float32_matmul_precision()))
        return evaluate(objective, coef, *given, **more)

    monkeypatch.setattr(Objective, "evaluate", look)
    monkeypatch.setattr(path, "suits_newton", lambda *_: False)
    settings = Settings("digits", device="cpu", losses=("softmax",), regs=(1e-2,), precision="high")
    [run] = tune(settings, split, RunFolder(tmp_path))
    assert seen == {(torch.float32, "high"), (torch.float64, "high")}
    assert run.entry["trials"][0]["relative_gap"] <= 1e-3
    assert torch.get_float32_matmul_precision() == "highest"
