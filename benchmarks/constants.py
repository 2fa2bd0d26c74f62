"""The constants of `costs.Machine`, measured in this process, of one thread, while the others of its group do the same.

`python -m benchmarks.constants FILE`, alone or under torchrun; the first process writes FILE.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.costs import CHECKED_SIZE, Size
from benchmarks.machine import ROOT, now
from colinear.checks import check_finite
from colinear.datasets import ArrayDataset
from colinear.datasets.features import CHUNK_ROWS, Features, fit_scaling
from colinear.losses import Softmax
from colinear.objective import Objective
from colinear.parallel.group import Group
from colinear.parallel.launch import Launch
from colinear.solvers.lbfgs import dot

REPEATS = 9
LARGE_SUM = 4_000_000  # numbers
CHUNKS = 4  # of products, each time
ARRAYS = 24  # of weights, as twelve pairs of L-BFGS are


def run_constants() -> dict[str, dict[str, float]]:
    """Of one process alone, and of two at a time, which the sums are of."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    found = {}
    with tempfile.TemporaryDirectory(prefix="colinear-bench-") as name:
        for key, first in (("alone", ()), ("together", launcher)):
            target = Path(name) / f"{key}.json"
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run(
                [sys.executable, *first, "-m", "benchmarks.constants", str(target)], check=True, cwd=ROOT, env=env
            )
            found[key] = json.loads(target.read_text())
    return found


def draw_rows(size: Size, count: int, seed: int) -> ArrayDataset:
    """Random rows in their order, by number, as those of a drawn part are."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, size.columns, generator=draw)
    labels = torch.randint(size.classes, (count,), generator=draw)
    return ArrayDataset(rows, labels, tuple(map(str, range(size.classes)))).subset(torch.arange(count))


def measure(group: Group, size: Size = CHECKED_SIZE) -> dict[str, float]:
    """All of them: each process at the same time as the others, and the slowest counts."""
    mine = group.own(size.rows)
    n, d, c = mine.stop - mine.start, size.columns, size.classes
    data, draw = draw_rows(size, n, group.rank), torch.Generator().manual_seed(group.rank)
    features = Features(data, fit_scaling(data, group=group))
    objective = Objective(features, group=group)
    coef, regs = torch.zeros(1, c, d + 1), torch.ones(1, dtype=torch.float64)
    loss, direction = Softmax(), torch.zeros(1, c, d + 1)
    held = [torch.randn(1, c, d + 1, generator=draw) for _ in range(ARRAYS)]
    truth = data.labels[:CHUNK_ROWS]
    scores = torch.randn(1, c, len(truth))

    def read() -> None:
        for part in features.ranges():
            features.gather(part)

    def look() -> None:
        for start in range(0, n, CHUNK_ROWS):
            check_finite(data.features[start : start + CHUNK_ROWS])

    def combine() -> None:  # two reads, and two reads and a write, of arrays that no cache holds at once
        for array in held:
            direction.add_(array, alpha=1e-9 * float(dot(array, direction)))

    def seconds(work: Callable[[], object], times: int = 1) -> float:
        """The fastest repeat, of the process that takes longest: what the machine can do."""
        taken = []
        for _ in range(REPEATS + 1):
            group.gather(None)
            started = now()
            for _ in range(times):
                work()
            taken.append((now() - started) / times)
        return max(group.gather(min(taken[1:])))

    moment = objective.second_moment(torch.arange(min(n, 4 * d)))
    stored, flops = 4.0 * n * d, 4.0 * c * (d + 1) * CHUNK_ROWS * CHUNKS
    found = {
        "flops": flops / seconds(_products(c, d + 1, torch.float32)),
        "flops64": flops / seconds(_products(c, d + 1, torch.float64)),
        "rows": stored / seconds(read),
        "score": seconds(lambda: loss.sums_(scores, truth, None, curvature=True)) / scores.numel(),
        "weights": 5 * 4.0 * ARRAYS * direction.numel() / seconds(combine),
        "eigen": 9.0 * (d + 1) ** 3 / seconds(lambda: torch.linalg.eigh(moment)),
        "opened": stored / seconds(look),
        "hashed": 4.0 * direction.numel() / seconds(lambda: hashlib.sha256(direction.numpy()).digest()),
        "pass": seconds(lambda: objective.evaluate(coef, regs, loss, curvature=True)),
    }
    if group.size > 1:
        small, large = torch.ones(100), torch.ones(LARGE_SUM)
        found["latency"] = seconds(lambda: group.sum_(small), 50)
        sent = 8.0 * LARGE_SUM * (group.size - 1) / group.size
        found["sent"] = sent / seconds(lambda: group.sum_(large))
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def _products(c: int, d: int, dtype: torch.dtype) -> Callable[[], None]:
    """Those of some chunks of a pass."""
    rows, coef = torch.randn(CHUNK_ROWS, d, dtype=dtype), torch.randn(c, d, dtype=dtype)
    scores, gradient = torch.empty(c, CHUNK_ROWS, dtype=dtype), torch.zeros(c, d, dtype=dtype)

    def work() -> None:
        for _ in range(CHUNKS):
            torch.mm(coef, rows.mT, out=scores)
            gradient.addmm_(scores, rows, alpha=1e-9)

    return work


def main() -> None:
    group = Group.join(Launch.find())
    torch.set_num_threads(1)
    found = measure(group)
    if group.leads:
        Path(sys.argv[1]).write_text(json.dumps(found))
    group.end()


if __name__ == "__main__":
    main()
