"""`python -m benchmarks.run [problem]... [options]`: check, time, print tables, write JSON.

CIFAR-10 is found as the package finds it: COLINEAR_DATA or the user cache.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.classes import ClassesOptions, classes_table, run_classes
from benchmarks.command import command_table, run_command
from benchmarks.constants import run_constants
from benchmarks.costs import tables as cost_tables
from benchmarks.course_search import SearchOptions, run_course_search, search_table
from benchmarks.machine import environment, file_name
from benchmarks.methods.ours import VARIANTS
from benchmarks.methods.peers import PEERS
from benchmarks.path import PathOptions, path_tables, run_path
from benchmarks.problems import WrongAnswerError
from benchmarks.scale import THOUSAND, ScaleOptions, run_memory, run_scale, scale_table
from benchmarks.small import RANDOM, run_small, small_tables
from benchmarks.sparse import SparseOptions, run_sparse, sparse_table
from benchmarks.strengths import RangeOptions, range_table, run_range
from benchmarks.tables import Table
from benchmarks.tune_memory import measure_tune
from benchmarks.wide import WideOptions, run_wide, wide_table
from colinear.checks import InputError
from colinear.datasets import Split, open_split

RESULTS = Path(__file__).parent / "results"
Report = tuple[dict[str, Any], list[Table]]


def course_search(given: argparse.Namespace) -> Report:
    options = SearchOptions(
        given.candidates, given.steps, given.repeats, given.baseline_steps, given.check_steps, tuple(given.variants)
    )
    split = _open(given)
    report = {"data": _describe(split), **run_course_search(split, options)}
    return report, [search_table(report)]


def path(given: argparse.Namespace) -> Report:
    options = PathOptions(
        given.repeats, tuple(given.peers), given.limit, given.all_strengths, given.batching, given.intelex_python
    )
    split = _open(given)
    report = {"data": _describe(split), **run_path(split, options)}
    return report, path_tables(report)


def classes(given: argparse.Namespace) -> Report:
    report = run_classes(ClassesOptions(given.class_rows, given.class_columns, given.classes), given.repeats)
    return report, [classes_table(report)]


def wide(given: argparse.Namespace) -> Report:
    report = run_wide(_open(given).train, WideOptions(given.patches), given.repeats)
    return report, [wide_table(report)]


def memory(given: argparse.Namespace) -> Report:
    """Peak of the tuning process; and of a fit on a memory-mapped file if --fit-rows says how large."""
    report: dict[str, Any] = {"tune": measure_tune(given.data, given.memory_steps)}
    table = Table("memory", ["process", "peak MB", "target MB"])
    table.add(report["tune"]["command"], report["tune"]["peak_mb"], report["tune"]["target_mb"])
    if given.fit_rows:
        fit = importlib.import_module("benchmarks.memory")
        with tempfile.TemporaryDirectory(prefix="colinear-bench-") as folder:
            fit.write_rows(Path(folder), given.fit_rows, given.fit_columns, 10)
            report["fit"] = {"rows": given.fit_rows, "columns": given.fit_columns, **fit.measure(Path(folder), {})}
        shape = f"{given.fit_rows} x {given.fit_columns}"
        table.add(f"SoftmaxClassifier().fit, {shape}, anonymous", report["fit"]["peak_anonymous_mb"], "")
    return report, [table]


def command(given: argparse.Namespace) -> Report:
    report = run_command(given.data, given.repeats)
    return report, [command_table(report)]


def strengths_range(given: argparse.Namespace) -> Report:
    shape = (given.rows, given.columns, given.range_classes, given.clusters)
    report = run_range(RangeOptions(given.repeats, *shape, given.noise, given.decay))
    return report, [range_table(report)]


def small(given: argparse.Namespace) -> Report:
    report = run_small(given.small_repeats, given.random_tables)
    return report, small_tables(report)


def sparse(given: argparse.Namespace) -> Report:
    report = run_sparse(SparseOptions(given.text_rows), given.repeats)
    return report, [sparse_table(report)]


def scale(given: argparse.Namespace) -> Report:
    report = run_scale(replace(ScaleOptions(), rows=given.scale_rows), given.repeats)
    return report, [scale_table(report)]


def scale_memory(given: argparse.Namespace) -> Report:
    report = run_memory(replace(THOUSAND, rows=given.thousand_rows), both=given.both)
    return report, [scale_table(report)]


def costs(given: argparse.Namespace) -> Report:
    report = run_constants()
    return report, cost_tables(report)


PROBLEMS: dict[str, Callable[[argparse.Namespace], Report]] = {
    "course-search": course_search,
    "path": path,
    "classes": classes,
    "wide": wide,
    "memory": memory,
    "command": command,
    "range": strengths_range,
    "small": small,
    "sparse": sparse,
    "scale": scale,
    "scale-memory": scale_memory,
    "costs": costs,
}


def _open(given: argparse.Namespace) -> Split:
    return open_split(given.data).to(torch.device(given.device))


def _describe(split: Split) -> dict[str, Any]:
    train = split.train
    return {
        "name": split.name, "training_rows": train.n_samples, "features": train.n_features,
        "classes": train.n_classes, "validation_rows": split.validation.n_samples, "fingerprint": train.fingerprint,
    }  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("problems", nargs="*", metavar="PROBLEM", help=f"of {', '.join(PROBLEMS)}; default: all")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of everything timed (3)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON files")
    search = parser.add_argument_group("course-search")
    search.add_argument("--candidates", type=int, default=50)
    search.add_argument("--steps", type=int, default=5000)
    search.add_argument("--baseline-steps", type=int, default=150, help="timed of one candidate, then scaled")
    search.add_argument("--check-steps", type=int, default=300, help="of K at once against alone")
    search.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    strengths = parser.add_argument_group("path")
    strengths.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    strengths.add_argument("--limit", type=float, default=900, metavar="SECONDS", help="for a peer's process")
    strengths.add_argument("--all-strengths", action="store_true", help="run the fastest softmax peer at every one")
    strengths.add_argument("--batching", action="store_true", help="also solve 1, 3 and 9 strengths a batch")
    strengths.add_argument("--intelex-python", metavar="PYTHON", help="interpreter that has scikit-learn-intelex")
    planted = parser.add_argument_group("range")
    planted.add_argument("--rows", type=int, default=100_000)
    planted.add_argument("--columns", type=int, default=512)
    planted.add_argument("--range-classes", type=int, default=100)
    planted.add_argument("--clusters", type=int, default=1, metavar="N", help="of each class")
    planted.add_argument("--noise", type=float, default=4.0, help="norm of what is added to a centre of norm 1")
    planted.add_argument("--decay", type=float, default=0.25, metavar="P", help="column j has the scale j^-P")
    many = parser.add_argument_group("classes")
    many.add_argument("--class-rows", type=int, default=ClassesOptions.rows, metavar="N")
    many.add_argument("--class-columns", type=int, default=ClassesOptions.columns, metavar="D")
    many.add_argument("--classes", type=int, default=ClassesOptions.classes, metavar="C")
    dictionary = parser.add_argument_group("wide")
    dictionary.add_argument("--patches", type=int, default=WideOptions.patches, metavar="N", help="in the dictionary")
    text = parser.add_argument_group("sparse")
    text.add_argument("--text-rows", type=int, default=SparseOptions.rows, metavar="N")
    peak = parser.add_argument_group("memory")
    peak.add_argument("--memory-steps", type=int, default=300, help="of the tuning process")
    peak.add_argument("--fit-rows", type=int, default=0, metavar="N", help="also fit a memory map of N rows (2000000)")
    peak.add_argument("--fit-columns", type=int, default=512, metavar="D")
    ranks = parser.add_argument_group("scale, scale-memory")
    ranks.add_argument("--scale-rows", type=int, default=ScaleOptions.rows, metavar="N")
    ranks.add_argument("--thousand-rows", type=int, default=THOUSAND.rows, metavar="N", help="of 1,000 classes")
    ranks.add_argument("--both", action="store_true", help="also measure the memory of two processes")
    tables = parser.add_argument_group("small")
    tables.add_argument("--small-repeats", type=int, default=31, metavar="N", help="of every fit (31)")
    tables.add_argument(
        "--random-tables", type=int, default=RANDOM, metavar="N", help="beside the four of scikit-learn"
    )
    return parser


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser()
    given = parser.parse_args(arguments)
    if unknown := set(given.problems) - set(PROBLEMS):
        parser.error(f"there is no problem {', '.join(sorted(unknown))}; choose from {', '.join(PROBLEMS)}")
    device = torch.device(given.device)
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.problems or PROBLEMS:
        made = environment(device)
        try:
            report, tables = PROBLEMS[name](given)
        except (WrongAnswerError, InputError) as error:
            raise SystemExit(f"{name}: {error}") from None
        target = given.out / file_name(name, device)
        target.write_text(json.dumps({"problem": name, "environment": made, **report}, indent=2) + "\n")
        for table in tables:
            table.show()
        print(f"\n{made['device']}, {made['threads']} threads, commit {made['commit']}: written to {target}")


if __name__ == "__main__":
    main()
