"""Does a change move a number? `python -m benchmarks.sameness REVISION` runs the same commands on both sources.

The revision is checked out beside; every command of `RUNS` and `FITS` runs with each of the two sources, in a folder
of its own. Whatever it writes is compared byte for byte: models, settings, report data, and results.json without its
times. Prints one line a run; exit status 1 if anything differs. For work on the house that is to change nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RUNS = {
    "exact": "tune digits",
    "cv": "tune digits --cv 3 --regs 1e-3:1e-1:3",
    "refit": "tune digits --refit --regs 1e-3:1e-1:3",
    "augment": "tune digits --augment shift:1 --loss softmax --regs 1e-3,1e-2",
    "standardize": "tune digits --standardize --intercept-scaling 10 --regs 1e-3,1e-2 --tol 1e-4",
    "few-shot": "tune digits --shots 3 --tries 2 --regs 1e-2,1e-1",
    "sgd": "tune digits --solver sgd --steps 300 --candidates 8",
    "halving": "tune digits --solver sgd --steps 270 --candidates 9 --halving --subspace 0.95 --seed 3",
    "momentum": "tune digits --steps 200 --candidates 4 --momentum 0.9 --schedule cosine --averaging 0.5",
}
FITS = {
    "fit": "fit digits --out model.safetensors",
    "fit-sgd": "fit digits --loss hinge --solver sgd --lr 1e-2 --steps 200 --reg 1e-2 --out model.safetensors",
}
ESTIMATORS = """
import json, warnings
import numpy as np
from sklearn.datasets import load_digits, load_iris
from colinear import HingeClassifier, HingeClassifierCV, SoftmaxClassifier, SoftmaxClassifierCV
warnings.simplefilter("ignore")
found = {}
for name, (rows, labels) in {"iris": load_iris(return_X_y=True), "digits": load_digits(return_X_y=True)}.items():
    weights = 1 + np.arange(len(labels)) % 3
    for kind in (SoftmaxClassifier, HingeClassifier, SoftmaxClassifierCV, HingeClassifierCV):
        options = {"cv": 3} if kind.__name__.endswith("CV") else {"C": 0.1}
        model = kind(tol=1e-3, **options).fit(rows, labels, weights)
        found[f"{kind.__name__} {name}"] = [model.coef_.tolist(), model.intercept_.tolist(), model.gap_]
        found[f"{kind.__name__} {name} passes"] = model.path_.passes
        if hasattr(model, "scores_"):
            found[f"{kind.__name__} {name} folds"] = [model.scores_.tolist(), model.spread_.tolist()]
json.dump(found, open("estimators.json", "w"))
"""


def without_times(value: Any) -> Any:
    """`value` without what differs from run to run: seconds of any kind."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if not key.endswith("seconds")}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def content_of(path: Path) -> bytes:
    if path.suffix != ".json":
        return path.read_bytes()
    return json.dumps(without_times(json.loads(path.read_text())), sort_keys=True).encode()


def written(folder: Path) -> dict[str, bytes]:
    """Everything a run wrote that holds numbers; pages and pictures are made of these."""
    kept = (path for path in sorted(folder.rglob("*")) if path.suffix in (".json", ".safetensors"))
    return {str(path.relative_to(folder)): content_of(path) for path in kept}


def run(source: Path, name: str, arguments: list[str], place: Path) -> dict[str, bytes]:
    """Run Python with `arguments` on `source` in a folder of its own; raises with its output if it fails."""
    place.mkdir(parents=True)
    surroundings = {**os.environ, "PYTHONPATH": str(source / "src"), "PYTHONHASHSEED": "0"}
    done = subprocess.run([sys.executable, *arguments], cwd=place, env=surroundings, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{name} on {source} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return written(place)


def commands() -> Iterator[tuple[str, list[str]]]:
    for name, text in RUNS.items():
        yield name, ["-m", "colinear.cli", *text.split(), "--out", "run", "--quiet"]
    for name, text in FITS.items():
        yield name, ["-m", "colinear.cli", *text.split(), "--quiet"]
    yield "estimators", ["-c", ESTIMATORS]


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.sameness", description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="what git calls the source to compare with, as HEAD~3 or main")
    parser.add_argument("runs", nargs="*", help=f"of {', '.join([*RUNS, *FITS, 'estimators'])}; default: all")
    options = parser.parse_args(given)
    failed = False
    with tempfile.TemporaryDirectory(prefix="colinear-sameness-") as name:
        place = Path(name)
        before = place / "before"
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", str(before), options.revision], cwd=ROOT, check=True
        )
        try:
            for title, arguments in commands():
                if options.runs and title not in options.runs:
                    continue
                old = run(before, title, arguments, place / "old" / title)
                new = run(ROOT, title, arguments, place / "new" / title)
                others = [file for file in sorted({*old, *new}) if old.get(file) != new.get(file)]
                failed |= bool(others) or not new
                print(f"{title}: {'differs in ' + ', '.join(others) if others else f'{len(new)} files, the same'}")
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(before)], cwd=ROOT, check=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
