"""Peak resident memory of `colinear tune DATA --solver sgd`, in a process of its own. Linux: VmHWM; else ru_maxrss."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TARGET_MB = 1500  # for CIFAR-10
# The child reads its own mark: one read by the parent may hold the parent's size at the time of the fork.
CHILD = """
import json, resource, sys
from pathlib import Path
from colinear.cli import main
try:
    main(sys.argv[2:])
    status = 0
except SystemExit as ended:
    status = ended.code or 0
marks = Path("/proc/self/status")
if marks.exists():
    line = next(line for line in marks.read_text().splitlines() if line.startswith("VmHWM:"))
    peak = int(line.split()[1]) * 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
Path(sys.argv[1]).write_text(json.dumps({"peak_mb": round(peak / 1e6), "status": status}))
"""


def measure_tune(data: str, steps: int) -> dict[str, Any]:
    """Run the command and return {command, peak_mb, target_mb}.

    Buffers are allocated before the first step and the loss history takes 4 bytes a step and candidate, so a few
    hundred steps have the peak of 5,000.
    """
    options = ["tune", data, "--solver", "sgd", "--steps", str(steps)]
    command = f"colinear {' '.join(options)}"
    with tempfile.TemporaryDirectory(prefix="colinear-bench-") as folder:
        result = peak_of([*options, "--quiet", "--out", str(Path(folder) / "run")])
    if result["status"]:
        raise SystemExit(f"{command} ended with status {result['status']}.")
    return {"command": command, "peak_mb": result["peak_mb"], "target_mb": TARGET_MB}


def peak_of(arguments: list[str]) -> dict[str, int]:
    """Run the program in a process of its own: {peak_mb, status}."""
    with tempfile.TemporaryDirectory(prefix="colinear-bench-") as folder:
        report = Path(folder) / "peak.json"
        # what the program prints is dropped, its errors are shown
        subprocess.run([sys.executable, "-c", CHILD, str(report), *arguments], check=True, stdout=subprocess.DEVNULL)
        result: dict[str, int] = json.loads(report.read_text())
    return result
