"""Several runs beside each other: which winners labelled the same test rows, and which of them is better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colinear.metrics import mcnemar
from colinear.report.record import load_record
from colinear.search.runfolder import RunFolder

Run = tuple[Path, list[dict[str, Any]]]  # a folder and its panels


def compare_winners(runs: Sequence[Run]) -> dict[str, Any]:
    """The paired test of every two winners that were scored on the same test rows.

    runs : folders and what `read_panels` makes of them.
    Returns pairs [{first, second, only_first, only_second, difference, p_value}], first < second numbers of panels
    counted through all runs, and untested, how many pairs share no test rows.
    """
    panels = [panel for _, those in runs for panel in those]
    correct = [_correct(path, panel) for path, those in runs for panel in those]
    pairs, untested = [], 0
    for second, theirs in enumerate(correct):
        for first in range(second):
            mine = correct[first]
            same = panels[first].get("test_fingerprint") == panels[second].get("test_fingerprint")
            if mine is None or theirs is None or not same or len(mine) != len(theirs):
                untested += 1
                continue
            pairs.append({"first": first, "second": second, **_paired(mine, theirs)})
    return {"pairs": pairs, "untested": untested}


def _paired(first: Tensor, second: Tensor) -> dict[str, Any]:
    """McNemar's test from what each winner labelled right, (n,) uint8."""
    test = mcnemar(torch.ones_like(first), first, second)
    return {
        "only_first": test.only_first,
        "only_second": test.only_second,
        "difference": (test.only_first - test.only_second) / len(first),
        "p_value": test.p_value,
    }


def _correct(path: Path, panel: dict[str, Any]) -> Tensor | None:
    record = load_record(RunFolder(path), panel["loss"])
    return None if record is None or panel.get("test_fingerprint") is None else record.get("correct")
