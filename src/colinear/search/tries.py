"""Few-shot runs: a whole search for each of several draws of a few training rows of every class.

A try is a run of its own in the folder try-1, try-2, ..., so it can be stopped, resumed and looked at like any
other. Validation and test rows are all of them in every try, and the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from colinear.checks import InputError
from colinear.datasets.base import Split
from colinear.datasets.stratified import draw_shots
from colinear.parallel.group import ALONE, Group
from colinear.search.device import pick_device
from colinear.search.judging import score_of
from colinear.search.listener import Listener, Silent
from colinear.search.resultsfile import results_json
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import Run, agree
from colinear.search.written import read_results, write_settings

Listen = Callable[[int, RunFolder, Split], AbstractContextManager[Listener]]  # number, folder and rows of a try


def try_name(number: int) -> str:
    """The folder of a try, counted from 1."""
    return f"try-{number}"


def try_split(settings: Settings, split: Split, number: int) -> Split:
    """The rows of try `number` = 1, 2, ...: `settings.shots` of each class, drawn with seed + number - 1.

    Raises `InputError` if a class has too few training rows, or without shots.
    """
    if settings.shots is None:
        raise InputError("--tries needs --shots, the number of training rows of each class.")
    return replace(split, train=draw_shots(split.train, settings.shots, settings.seed + number - 1))


def tune_tries(
    settings: Settings, split: Split, folder: RunFolder | None, listen: Listen | None = None, group: Group = ALONE
) -> dict[str, Any]:
    """Run every try; after each one results.json is whole, with the mean and spread of the tries so far.

    Each try picks its own winners on the validation rows and scores them on the test rows once. The seed of the
    search itself (its random settings, first weights, minibatches) is the same in all tries: they differ by their
    training rows alone. A try that an earlier process finished is taken from its folder, one that it had begun
    goes on. Returns what results.json holds.

    listen : gives the listener of a try, as a context that is left when the try is finished.
    folder, group : as of `search.tune.Run`; the processes that follow the first need no folder, and return nothing.
    """
    agree(settings, split, group)
    device = pick_device(settings.device)
    split = split.to(device) if group.size == 1 else split  # else each process moves rows of its own
    try_split(settings, split, 1)  # too many shots are refused before anything is written
    if folder is None:
        return _follow(settings, split, group)
    results = {**results_json(settings, split, [], device), "tries": []}
    if (folder.path / "results.json").is_file():
        read_results(folder, settings)
    write_settings(folder, settings)
    listen = listen or (lambda number, own, rows: nullcontext(Silent()))
    tries: list[list[dict[str, Any]]] = []
    for number in range(1, settings.tries + 1):
        rows = try_split(settings, split, number)
        with RunFolder(folder.path / try_name(number)) as own, listen(number, own, rows) as listener:
            run = Run(settings, rows, own, listener, group)
            done = run.finished()
            group.gather(bool(done))
            for one in done:
                listener.finished(one)
            tries.append([one.entry for one in done or run.search()])
        results["tries"] = [summarize(entries, settings.seed) for entries in zip(*tries, strict=True)]
        folder.write_json("results.json", results)
    return read_results(folder)


def _follow(settings: Settings, split: Split, group: Group) -> dict[str, Any]:
    """Search with the first process the tries that it has not finished before."""
    for number in range(1, settings.tries + 1):
        run = Run(settings, try_split(settings, split, number), None, group=group)
        if not group.gather(False)[0]:
            run.search()
    return {}


def summarize(entries: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """One entry of `tries` in results.json, from the entries of one loss, try by try."""
    each = [
        {
            "folder": try_name(number), "seed": seed + number - 1, "winner": entry["trials"][entry["best"]],
            "winner_at": entry["details"].get("range", {}).get("winner_at"),
            "test_accuracy": entry["test_accuracy"], "seconds": entry["seconds"],
            **({"test_score": entry["test_score"]} if "test_score" in entry else {}),
        }
        for number, entry in enumerate(entries, 1)
    ]  # fmt: skip
    val_accuracy, val_spread = mean_and_spread([one["winner"]["val_accuracy"] for one in each])
    test_accuracy, test_spread = mean_and_spread([one["test_accuracy"] for one in each])
    scores: dict[str, float | None] = {}
    if any("val_score" in one["winner"] for one in each):
        scores["val_score"], scores["val_score_spread"] = mean_and_spread([score_of(one["winner"]) for one in each])
        scores["test_score"], scores["test_score_spread"] = mean_and_spread([one.get("test_score") for one in each])
    return {
        "loss": entries[0]["loss"], "solver": entries[0]["solver"], "metric": entries[0]["metric"], "count": len(each),
        "val_accuracy": val_accuracy, "val_spread": val_spread,
        "test_accuracy": test_accuracy, "test_spread": test_spread, **scores, "each": each,
    }  # fmt: skip


def mean_and_spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean, and standard deviation with n - 1; None where there is nothing to compute it from.

    >>> mean_and_spread([0.25, 0.75])
    (0.5, 0.353...)
    >>> mean_and_spread([0.5]), mean_and_spread([None, None])
    ((0.5, None), (None, None))
    """
    known = [value for value in values if value is not None]
    if not known:
        return None, None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None
