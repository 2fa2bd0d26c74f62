"""Problem `sparse`: text as words, 20,000 x 65,536 in 20 classes, nine certified strengths of the softmax.

Two sets: words drawn by Zipf's law, some of them by a ranking of their class's own; and the sources of installed
packages, cut into pieces, hashed, and labelled by package. Held against one fit of scikit-learn at an equal gap.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from benchmarks.machine import now, spread
from benchmarks.problems import WrongAnswerError
from benchmarks.tables import Table, number, say
from colinear.datasets import load_table
from colinear.losses import LOSSES
from colinear.solvers.path import Path as Solution
from colinear.solvers.path import solve_path

Labelled = tuple[sparse.csr_matrix, NDArray[np.int64]]
TOL = 1e-3
COSTS = tuple(np.logspace(-2, 2, 9).tolist())  # of scikit-learn, C
PEERS = ("newton-cg", "lbfgs")  # saga takes minutes; newton-cholesky's Hessian would have 1e12 numbers
PEER_TOLS = (1e-3, 1e-4, 1e-5, 1e-6)  # the first that reaches the gap is timed
SHOWN = (1.0, 10.0, 100.0)  # the costs that scikit-learn is given


@dataclass(frozen=True)
class SparseOptions:
    """words : drawn for a row.    own : share of them that follows the ranking of the row's class."""

    rows: int = 20_000
    columns: int = 65_536
    classes: int = 20
    words: int = 80
    own: float = 0.15
    limit: float = 8.0  # seconds after which no smaller tolerance of a peer is tried


def draw_words(options: SparseOptions) -> Labelled:
    draw = np.random.default_rng(0)
    shape = options.rows, options.words
    heights = (1 / np.arange(1, options.columns + 1)).cumsum()
    ranks = np.searchsorted(heights, draw.random(shape) * heights[-1]).clip(max=options.columns - 1)
    labels = np.arange(options.rows) % options.classes
    rankings = np.stack([draw.permutation(options.columns) for _ in range(options.classes)])
    words = np.where(draw.random(shape) < options.own, rankings[labels[:, None], ranks], ranks)
    place = np.repeat(np.arange(options.rows), options.words)
    counts = sparse.csr_matrix(
        (np.ones(words.size, np.float32), (place, words.ravel())), (options.rows, options.columns)
    )
    return TfidfTransformer(sublinear_tf=True).fit_transform(counts).astype(np.float32), labels


def cut_sources(options: SparseOptions, lines: int = 25) -> Labelled:
    """Pieces of `lines` lines of the packages that have the most of them, as many of each."""
    pieces: dict[str, list[str]] = {}
    wanted = options.rows // options.classes
    for package in sorted(distributions(), key=lambda one: one.name):
        for file in package.files or ():
            place = Path(str(file.locate()))
            if file.suffix == ".py" and len(pieces.get(package.name, ())) < wanted and place.is_file():
                text = place.read_text(errors="replace").splitlines()
                found = ["\n".join(text[start : start + lines]) for start in range(0, len(text), lines)]
                pieces.setdefault(package.name, []).extend(found)
    most = sorted(pieces, key=lambda name: (-len(pieces[name]), name))[: options.classes]
    texts = [text for name in most for text in pieces[name][:wanted]]
    labels = np.concatenate([np.full(len(pieces[name][:wanted]), code) for code, name in enumerate(most)])
    rows = HashingVectorizer(n_features=options.columns, alternate_sign=False, dtype=np.float32).transform(texts)
    return rows, labels


SETS = {"zipf": draw_words, "sources": cut_sources}


def certify(rows: sparse.csr_matrix, labels: NDArray[np.int64], coef: NDArray[Any], reg: float) -> tuple[float, float]:
    """(objective, relative gap) of weights (c, d + 1), in float64 by scipy alone."""
    wide, n, coef = rows.astype(np.float64), len(labels), coef.astype(np.float64)
    scores = wide @ coef[:, :-1].T + coef[:, -1]
    scores -= scores.max(1, keepdims=True)
    exps = np.exp(scores)
    sums = exps.sum(1)
    value = float(np.mean(np.log(sums) - scores[np.arange(n), labels])) + reg * float((coef**2).sum())
    slopes = exps / sums[:, None]
    slopes[np.arange(n), labels] -= 1
    gradient = np.column_stack([(wide.T @ slopes).T, slopes.sum(0)]) / n + 2 * reg * coef
    return value, float((gradient**2).sum()) / (4 * reg) / value


def run_sparse(options: SparseOptions, repeats: int) -> dict[str, Any]:
    """Every set: certificates first, then our nine strengths and each peer's one in turn, and the memory of ours."""
    return {"tol": TOL, "costs": COSTS, "sets": {name: _run(name, options, repeats) for name in SETS}}


def _run(name: str, options: SparseOptions, repeats: int) -> dict[str, Any]:
    rows, labels = SETS[name](options)
    n = len(labels)
    held = rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes
    say(f"{name}: {rows.shape[0]:,} x {rows.shape[1]:,}, {rows.nnz / n:.0f} numbers a row, {held / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory(prefix="colinear-bench-") as folder:
        file = Path(folder) / "rows.npz"
        sparse.save_npz(file, rows)
        np.save(Path(folder) / "rows_labels.npy", labels)
        path, _ = fit_nine(file)
        points = []
        for point in path.points:
            objective, gap = certify(rows, labels, point.coef.cpu().numpy(), point.reg)
            if not gap <= TOL * (1 + 1e-6) or abs(objective / point.objective - 1) > 1e-9:
                raise WrongAnswerError(f"{name}: reg {point.reg:.3g} has gap {gap:.2g}, objective {objective}")
            points.append({"reg": point.reg, "passes": point.passes, "objective": objective, "relative_gap": gap})
        theirs = [_tune_peer(rows, labels, cost, options.limit) for cost in SHOWN]
        seconds: list[float] = []
        for _ in range(repeats):
            seconds.append(fit_nine(file)[1])
            for peer in theirs:
                if peer["solver"] is not None:
                    peer["times"].append(_fit_peer(rows, labels, peer["cost"], peer["solver"], peer["peer_tol"])[1])
        say(f"nine strengths {number(float(np.median(seconds)))} s")
        child = subprocess.run(
            [sys.executable, "-m", "benchmarks.sparse", str(file)], capture_output=True, text=True, check=True
        )
    ours = spread(seconds)
    for peer in theirs:
        times = peer.pop("times")
        peer |= {"fit": spread(times), "ratio": ours["median"] / float(np.median(times))} if times else {}
    return {
        "rows": n, "columns": rows.shape[1], "numbers": int(rows.nnz), "matrix_mb": held / 1e6, "points": points,
        "passes": path.passes, "nine": ours, "scikit-learn": theirs, "memory_mb": json.loads(child.stdout),
    }  # fmt: skip


def fit_nine(file: Path) -> tuple[Solution, float]:
    """Our path, and its seconds from the matrix to the last certificate."""
    data = load_table(file)
    began = now()
    path = solve_path(data, LOSSES["softmax"], [1 / (2 * data.n_samples * cost) for cost in COSTS], tol=TOL)
    return path, now() - began


def _fit_peer(rows: Any, labels: Any, cost: float, solver: str, tol: float) -> tuple[NDArray[Any], float]:
    """Weights (c, d + 1) of rows with a constant column, and seconds."""
    with_ones = sparse.hstack([rows, np.ones((rows.shape[0], 1), np.float32)], format="csr")
    began = now()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=cost, fit_intercept=False, solver=solver, tol=tol, max_iter=1000)
        model.fit(with_ones, labels)
    return model.coef_, now() - began


def _tune_peer(rows: Any, labels: Any, cost: float, limit: float) -> dict[str, Any]:
    """The solver of scikit-learn that is fastest to the gap at this cost, and the tolerance that gets it there."""
    best: dict[str, Any] = {"cost": cost, "solver": None, "times": [], "tried": []}
    fastest = np.inf
    for solver in PEERS:
        for tol in PEER_TOLS:
            coef, seconds = _fit_peer(rows, labels, cost, solver, tol)
            gap = certify(rows, labels, coef, 1 / (2 * len(labels) * cost))[1]
            best["tried"].append({"solver": solver, "tol": tol, "seconds": seconds, "relative_gap": gap})
            if gap <= TOL and seconds < fastest:
                fastest = seconds
                best |= {"solver": solver, "peer_tol": tol}
            if gap <= TOL or seconds > limit:
                break
    say(f"C={cost:g}: {best['solver']} {number(fastest)} s")
    return best


def sparse_table(report: dict[str, Any]) -> Table:
    table = Table("sparse: nine certified strengths against one fit of scikit-learn", ["", "seconds", "ratio", "MB"])
    for name, one in report["sets"].items():
        memory = one["memory_mb"]
        table.add(f"{name}: nine, {one['passes']} passes", number(one["nine"]["median"]), "", number(memory["fit"]))
        for peer in one["scikit-learn"]:
            if peer["solver"] is not None:
                title = f"  scikit-learn, {peer['solver']}, C={peer['cost']:g}"
                table.add(title, number(peer["fit"]["median"]), number(peer["ratio"]), "")
    return table


def _measure(file: Path) -> dict[str, float]:
    """What a fit takes beside the process and the matrix that it is given, MB: the rise of the peak."""
    load_table(file)
    before = _peak()
    path, _ = fit_nine(file)
    weights = sum(point.coef.numel() * point.coef.itemsize for point in path.points) / 1e6
    return {"fit": _peak() - before, "weights_returned": weights}


def _peak() -> float:
    """MB. That of `resource` begins with the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]))))
