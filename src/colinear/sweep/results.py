"""What finished runs have found, flat: a dict for each run and loss, as a DataFrame or a CSV file wants them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from colinear.checks import InputError
from colinear.search.judging import score_of
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.written import read_results
from colinear.sweep.pattern import Field, Pattern, read_fields
from colinear.sweep.plan import PLAN, read_plan
from colinear.texts import listed

Json = dict[str, Any]
OWN = ("data", "losses")  # settings that a result says in other words


def list_results(paths: Sequence[str | os.PathLike[str]], pattern: str | None = None) -> list[Json]:
    """Return what the losses of some runs have found, in the order of runs and losses: a dict for each.

    paths : folders of runs, or of sweeps, which stand for their runs.     pattern : what reads fields from DATA, as
    '{dataset}/layer-{layer}.npz', see `Pattern`; a sweep's own fields come first.
    A dict has, each under its name, the fields; run (the folder's name), data (the name of the dataset), source (DATA),
    loss; validation, test (values of the metric that selected; None without test rows) with low, high (the 95 %
    interval of test), spread (of few-shot tries) and count (of tries, 1 otherwise); reg, learning_rate, gap (relative),
    seconds; n_train, n_test, n_features, n_classes, fingerprint; every setting; and folder.
    Raises   `InputError` for a folder that holds no results, and for DATA that does not fit the pattern.

    >>> list_results(["nowhere"])
    Traceback (most recent call last):
    ...
    colinear.checks.InputError: nowhere holds no results.json: it is no run of `colinear tune`.
    """
    read = None if pattern is None else Pattern(pattern)
    found: list[Json] = []
    for path in map(Path, paths):
        if not (path / PLAN).is_file():
            found += results_of(path, {}, read)
            continue
        plan = read_plan(RunFolder(path))
        done = [one for one in plan if (path / one.folder / "results.json").is_file()]
        for one in done:
            found += results_of(path / one.folder, one.fields, read)
    if not found:
        raise InputError(f"no run of {listed(paths)} has results yet. Finish the sweep first.")
    return found


def results_of(path: Path, fields: Mapping[str, Field], pattern: Pattern | None = None) -> list[Json]:
    """The same of one run, whose fields come before those of the pattern and whatever has their names."""
    results = read_results(RunFolder(path))
    settings = Settings.from_json(results["settings"]).to_json()
    dataset = results["dataset"]
    shared = {
        "run": Path(os.path.realpath(path)).name, "data": dataset["name"], "source": settings["data"],
        **read_fields(pattern, settings["data"]), **fields,
    }  # fmt: skip
    facts = {
        **{name: dataset[name] for name in ("n_train", "n_test", "n_features")},
        "n_classes": len(dataset["class_names"]), "fingerprint": dataset["fingerprint"],
        **{name: value for name, value in settings.items() if name not in OWN}, "folder": str(path),
    }  # fmt: skip
    entries = [*map(_of_loss, results["runs"]), *map(_of_tries, results.get("tries", []))]
    return [{**shared, **entry, **facts} for entry in entries]


def _of_loss(entry: Json) -> Json:
    winner, refit = entry["trials"][entry["best"]], entry["details"].get("refit")
    own = "test_score" in entry
    low, high = entry["test_score_ci95" if own else "test_accuracy_ci95"] or (None, None)
    return {
        "loss": entry["loss"], "metric": entry["metric"], "validation": score_of(winner),
        "test": entry["test_score"] if own else entry["test_accuracy"], "low": low, "high": high,
        "validation_spread": winner.get("spread"), "spread": None, "count": 1,
        "reg": winner["reg"], "learning_rate": winner.get("learning_rate"),
        "gap": (refit or winner).get("relative_gap"), "seconds": entry["seconds"],
    }  # fmt: skip


def _of_tries(entry: Json) -> Json:
    own = "val_score" in entry
    validation, test = ("val_score", "test_score") if own else ("val_accuracy", "test_accuracy")
    spreads = ("val_score_spread", "test_score_spread") if own else ("val_spread", "test_spread")
    seconds = [one["seconds"] for one in entry["each"]]
    return {
        "loss": entry["loss"], "metric": entry["metric"], "validation": entry[validation], "test": entry[test],
        "low": None, "high": None, "validation_spread": entry[spreads[0]], "spread": entry[spreads[1]],
        "count": entry["count"], "reg": None, "learning_rate": None, "gap": None,
        "seconds": None if None in seconds else sum(seconds),
    }  # fmt: skip
