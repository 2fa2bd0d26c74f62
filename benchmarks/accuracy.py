"""`python -m benchmarks.accuracy RUN...`: the winners of finished runs as one JSON file, for the tables of the docs.

It copies what `results.json` of each run says; nothing is trained or scored here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from colinear.report.panels import repeat_command
from colinear.search.settings import Settings

TARGET = Path(__file__).parent / "results" / "accuracy-cifar10.json"
ENVIRONMENT = ("colinear", "torch", "python", "device", "threads")
LEFT_OUT = ("--loss softmax", "--loss hinge", "--solver exact", "--seed 0")  # a column of the table, and defaults


def winners(folder: Path) -> list[dict[str, Any]]:
    """One entry a loss, with the command that makes it."""
    results = json.loads((folder / "results.json").read_text())
    settings = Settings.from_json({**results["settings"], "data_dir": None})
    command = repeat_command(settings)
    for words in LEFT_OUT:
        command = command.replace(f" {words}", "")
    found = []
    for run in results["runs"]:
        winner = run["trials"][run["best"]]
        found.append(
            {
                "command": command,
                "loss": run["loss"],
                "reg": winner["reg"],
                "relative_gap": winner.get("relative_gap"),
                "val_accuracy": winner["val_accuracy"],
                "test_accuracy": run["test_accuracy"],
                "test_accuracy_ci95": run["test_accuracy_ci95"],
                "rows": {part: results["dataset"][f"n_{part}"] for part in ("train", "validation", "test")},
                "data_fingerprint": results["dataset"]["fingerprint"],
                "environment": {name: results["environment"][name] for name in ENVIRONMENT},
            }
        )
    return found


def main(folders: list[str]) -> None:
    runs = [entry for folder in folders for entry in winners(Path(folder))]
    TARGET.write_text(json.dumps({"problem": "accuracy", "runs": runs}, indent=2) + "\n")
    for entry in runs:
        shown = f"{entry['val_accuracy']:.3f} | {entry['test_accuracy']:.4f}"
        print(f"| `{entry['command']}` | {entry['loss']} | {shown} |")


if __name__ == "__main__":
    main(sys.argv[1:])
