"""One strength by another package, in a process of its own: `python -m benchmarks.methods.peers NAME FOLDER REG`.

FOLDER holds float64.npy, float32.npy (n, d) and labels.npy; weights and a JSON of seconds and notes are written there.
This module needs numpy and scikit-learn only, so that it also runs in an environment without this package.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

SOFTMAX = "mean cross-entropy + reg |W|^2"
CRAMMER_SINGER = "mean_i max_j margin_ij + reg |W|^2 (Crammer-Singer: the worst class only)"
OVR = "for each class: mean binary hinge + reg |w|^2 (one-vs-rest)"
NOT_INSTALLED = 3  # exit status


@dataclass(frozen=True)
class Peer:
    """An estimator at its defaults but for C = 1 / (2 n reg) and the constant column in place of an intercept."""

    objective: str
    options: dict[str, Any]
    dtype: str = "float64"
    intelex: bool = False

    @property
    def is_softmax(self) -> bool:
        return self.objective == SOFTMAX


PEERS = {
    "lbfgs": Peer(SOFTMAX, {"solver": "lbfgs"}),
    "lbfgs-float32": Peer(SOFTMAX, {"solver": "lbfgs"}, "float32"),
    "newton-cg": Peer(SOFTMAX, {"solver": "newton-cg"}),
    "newton-cg-float32": Peer(SOFTMAX, {"solver": "newton-cg"}, "float32"),
    "intelex": Peer(SOFTMAX, {"solver": "lbfgs"}, intelex=True),
    "intelex-float32": Peer(SOFTMAX, {"solver": "lbfgs"}, "float32", intelex=True),
    "liblinear-crammer-singer": Peer(CRAMMER_SINGER, {"multi_class": "crammer_singer"}),
    "liblinear-ovr-hinge": Peer(OVR, {"loss": "hinge"}),
}


def fit(name: str, folder: Path, reg: float) -> tuple[np.ndarray, dict[str, Any]]:
    """Weights (c, d) and what there is to say: seconds of the fit, iterations, warnings, versions."""
    peer = PEERS[name]
    rows = np.load(folder / f"{peer.dtype}.npy", mmap_mode="r").copy()  # read before the clock starts
    labels = np.load(folder / "labels.npy")
    notes = _Notes()
    if peer.intelex:
        import sklearnex  # type: ignore[import-not-found]

        logging.getLogger("sklearnex").addHandler(notes)
        logging.getLogger("sklearnex").setLevel(logging.INFO)
        sklearnex.patch_sklearn(verbose=False)
    import sklearn
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    kind = LogisticRegression if peer.is_softmax else LinearSVC
    model = kind(C=1 / (2 * len(labels) * reg), fit_intercept=False, **peer.options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        started = time.perf_counter()
        model.fit(rows, labels)
        seconds = time.perf_counter() - started
    report = {
        "seconds": seconds,
        "iterations": int(np.max(model.n_iter_)),
        "warnings": sorted({str(w.message).splitlines()[0] for w in caught}),
        "scikit-learn": sklearn.__version__,
    }
    if peer.intelex:
        report |= {"intelex": version("scikit-learn-intelex"), "log": sorted(set(notes.lines))}
    return model.coef_, report


class _Notes(logging.Handler):
    """Keeps what intelex says about which implementation ran."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage().strip())


def main(name: str, folder: Path, reg: float) -> None:
    try:
        weights, report = fit(name, folder, reg)
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_INSTALLED)
    np.save(folder / "peer-coef.npy", weights)
    (folder / "peer.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
