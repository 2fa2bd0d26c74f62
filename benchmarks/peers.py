"""One strength by another package, in a process of its own: `python -m benchmarks.peers NAME FOLDER REG`.

FOLDER holds features.npy (n, d) float64 and labels.npy; weights and seconds are written there.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np

NAMES = ("lbfgs", "newton-cg", "intelex", "crammer-singer", "ovr-hinge")


def solve(name: str, rows: np.ndarray, labels: np.ndarray, reg: float) -> tuple[np.ndarray, float, str]:
    """(weights, seconds, note); defaults but for the strength and the penalised constant column."""
    strength = 1 / (2 * len(labels) * reg)
    if name == "intelex":
        from sklearnex import patch_sklearn

        patch_sklearn()
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    if name in ("lbfgs", "newton-cg", "intelex"):
        solver = "lbfgs" if name == "intelex" else name
        model = LogisticRegression(C=strength, solver=solver, fit_intercept=False, max_iter=1000)
    elif name == "crammer-singer":
        model = LinearSVC(C=strength, multi_class="crammer_singer", fit_intercept=False)
    else:
        model = LinearSVC(C=strength, loss="hinge", fit_intercept=False)
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(rows, labels)
    seconds = time.perf_counter() - started
    return model.coef_, seconds, "; ".join(sorted({w.category.__name__ for w in caught}))


if __name__ == "__main__":
    peer, folder, reg = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    features = np.ascontiguousarray(np.load(folder / "features.npy"))
    weights, seconds, note = solve(peer, features, np.load(folder / "labels.npy"), reg)
    np.save(folder / f"{peer}.npy", weights)
    (folder / f"{peer}.json").write_text(json.dumps({"seconds": seconds, "note": note}))
