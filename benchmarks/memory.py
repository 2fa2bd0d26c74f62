"""Anonymous memory of a fit on a memory-mapped file: `python -m benchmarks.memory [--rows N] [--columns D]`.

Makes a float32 .npy of separable-with-noise rows in a temporary folder (2,000,000 x 512 by default: 4.1 GB), fits
`SoftmaxClassifier` on the memory map in a process of its own, and samples RssAnon of that process from
/proc/PID/status every 50 ms. Prints a line of JSON with the peak; the file is deleted at the end. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BLOCK = 10_000  # rows written at a time
SAMPLE_SECONDS = 0.05
FIT = """
import json, sys, time
import numpy as np
from colinear.estimators import SoftmaxClassifier
folder, options = sys.argv[1], json.loads(sys.argv[2])
rows, labels = np.load(folder + "/x.npy", mmap_mode="r"), np.load(folder + "/y.npy")
started = time.perf_counter()
model = SoftmaxClassifier(**options).fit(rows, labels)
seconds = time.perf_counter() - started
accuracy = float((model.predict(rows[:100_000]) == labels[:100_000]).mean())
print(json.dumps({"seconds": round(seconds, 1), "passes": model.path_.passes, "reg": model.reg_,
                  "relative_gap": model.relative_gap_, "accuracy": accuracy}))
"""


def write_rows(folder: Path, rows: int, columns: int, classes: int) -> None:
    """Labels from a random linear rule with noise; rows written block by block."""
    generator = np.random.default_rng(0)
    rule = generator.standard_normal((columns, classes), dtype=np.float32) / np.sqrt(columns)
    labels = np.empty(rows, dtype=np.int64)
    matrix = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (rows, columns))
    for start in range(0, rows, BLOCK):
        block = generator.standard_normal((min(BLOCK, rows - start), columns), dtype=np.float32)
        matrix[start : start + len(block)] = block
        noise = generator.gumbel(size=(len(block), classes))
        labels[start : start + len(block)] = (3 * block @ rule + noise).argmax(1)
    matrix.flush()
    np.save(folder / "y.npy", labels)


def anonymous_bytes(pid: int) -> int:
    """RssAnon of a process, 0 once it has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def measure(folder: Path, options: dict[str, float]) -> dict[str, float]:
    """Fit in a process of its own; its numbers and the peak of its anonymous memory."""
    command = [sys.executable, "-c", FIT, str(folder), json.dumps(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(SAMPLE_SECONDS)
        output = process.stdout.read() if process.stdout else ""
    if process.returncode != 0:
        raise SystemExit(process.returncode)
    return {"peak_anonymous_mb": round(peak / 1e6), **json.loads(output)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--reg", type=float, default=None, help="default: the estimator's own, C=1")
    parser.add_argument("--folder", type=Path, default=None, help="where the temporary folder goes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        write_rows(Path(name), given.rows, given.columns, given.classes)
        options = {} if given.reg is None else {"reg": given.reg}
        result = measure(Path(name), options)
    print(json.dumps({"rows": given.rows, "columns": given.columns, "classes": given.classes, **result}))


if __name__ == "__main__":
    main()
