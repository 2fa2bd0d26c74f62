"""What a command takes beside its search: whole processes, and in them the imports as `-X importtime` counts them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.machine import now, spread
from benchmarks.tables import Table, number, say

PROGRAM = ("-m", "colinear.cli")
HALVING = ("--solver", "sgd", "--halving", "--subspace", "0.985")
IMPORT_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\w+)", re.ASCII)
PACKAGES_SHOWN = 6
Seconds = tuple[float, float]  # of the whole process, and of the searches in it


def run_command(data: str, repeats: int) -> dict[str, Any]:
    """Time every command in processes of its own; Python is the one that runs the benchmark.

    Returns commands [{command, whole, beside_search, target_seconds, imports}]. `beside_search` is the process from
    start to end, less the `seconds` that its results.json gives to the search of each loss; what is left is imports,
    reading, scoring, figures and report. imports : seconds of a first run, of the packages that took the most.
    """
    commands = [
        measure("import colinear", ("-c", "import colinear"), 0.15, repeats),
        measure("colinear --help", (*PROGRAM, "--help"), 0.4, repeats),
    ]
    for name, options, target in ((data, (), 4.0), (data, HALVING, 4.0), ("digits", (), 6.0)):
        command = " ".join(("colinear tune", name, *options))
        commands.append(measure(command, (*PROGRAM, "tune", name, *options, "--quiet"), target, repeats))
    return {"commands": commands}


def command_table(report: dict[str, Any]) -> Table:
    table = Table("beside the search, median", ["command", "seconds", "target", "whole", "imports", "most of them"])
    for one in report["commands"]:
        most = ", ".join(list(one["imports"])[1:3])
        table.add(
            one["command"], number(one["beside_search"]["median"]), one["target_seconds"],
            number(one["whole"]["median"]), number(one["imports"]["all"]), most,
        )  # fmt: skip
    return table


def measure(command: str, arguments: tuple[str, ...], target: float, repeats: int) -> dict[str, Any]:
    """The entry of one command: `arguments` are those of python; a `tune` among them gets a folder of its own."""
    imports, _ = _run(("-X", "importtime", *arguments))  # it also fills the system's cache of files
    timed = [_run(arguments)[1] for _ in range(repeats)]
    beside = spread([whole - search for whole, search in timed])
    say(f"{command}: {beside['median']} s beside its search")
    return {
        "command": command, "whole": spread([whole for whole, _ in timed]), "beside_search": beside,
        "target_seconds": target, "imports": _by_package(imports),
    }  # fmt: skip


def _run(arguments: tuple[str, ...]) -> tuple[str, Seconds]:
    """What the process wrote on stderr, and its seconds."""
    with tempfile.TemporaryDirectory(prefix="colinear-bench-") as folder:
        place = ("--out", folder) if "tune" in arguments else ()
        started = now()
        done = subprocess.run([sys.executable, *arguments, *place], check=False, capture_output=True, text=True)
        whole = now() - started
        if done.returncode:
            raise SystemExit(f"python {' '.join(arguments)} ended with status {done.returncode}: {done.stderr[-400:]}")
        results = json.loads((Path(folder) / "results.json").read_text()) if place else {"runs": []}
    return done.stderr, (whole, sum(run["seconds"] for run in results["runs"]))


def _by_package(lines: str) -> dict[str, float]:
    """Seconds of all imports, then of the packages that took the most, each without those that it imports."""
    spent: Counter[str] = Counter()
    for line in lines.splitlines():
        if found := IMPORT_LINE.match(line):
            spent[found[2]] += int(found[1])
    seconds = {name: round(spent[name] / 1e6, 3) for name, _ in spent.most_common(PACKAGES_SHOWN)}
    return {"all": round(spent.total() / 1e6, 3), **seconds}
