"""`colinear check`: do the losses tell the truth on this data?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from colinear.cli.console import Output
from colinear.cli.progress import Transfer
from colinear.cli.tables import new_table
from colinear.datasets import Features, fit_scaling, open_split
from colinear.gradcheck import GradientCheck
from colinear.schemas import plain_number
from colinear.selfcheck import GRADIENT_TOLERANCE, TOLERANCES, Agreement, LossReport, check_losses

COORDINATES_SHOWN = 5


def run_check(
    data: str, rows: int, data_dir: Path | None, label: str | None, seed: int, as_json: bool, quiet: bool = False
) -> bool:
    """Print what `check_losses` finds on evenly spaced training rows; returns whether everything passed."""
    output = Output(quiet=quiet, as_json=as_json)
    with Transfer(output) as transfer:
        split = open_split(data, data_dir, label=label, progress=transfer)
    train = Features(split.train, fit_scaling(split.train), torch.float64)
    step = max(1, train.n_samples // rows)
    chosen = torch.arange(0, train.n_samples, step)[:rows]
    reports = check_losses(train.gather(chosen), train.labels[chosen], train.n_classes, seed=seed)
    passed = all(report.passed for report in reports)
    output.say(
        f"{split.name}: {len(chosen)} rows, {train.n_features} features (the constant one included), "
        f"{train.n_classes} classes"
    )
    for report in reports:
        _show(output, report)
    output.say("All checks passed." if passed else "A check FAILED.", style="bold")
    output.emit(
        {
            "data": split.name,
            "rows": len(chosen),
            "n_features": train.n_features,
            "n_classes": train.n_classes,
            "passed": passed,
            "losses": [_report_json(report) for report in reports],
        }
    )
    return passed


def _report_json(report: LossReport) -> dict[str, Any]:
    return {
        "loss": report.loss,
        "passed": report.passed,
        "worst_relative_error": plain_number(report.worst_relative_error),
        "gradient": [_plain(check, relative_error=check.relative_error) for check in report.gradient],
        "agreement": [
            _plain(one, dtype=_dtype(one), speedup=one.speedup, passed=one.passed) for one in report.agreement
        ],
    }


def _plain(record: Agreement | GradientCheck, **others: object) -> dict[str, Any]:
    """The fields of a record and `others` in JSON's words; what is not finite becomes null."""
    return {name: plain_number(value) for name, value in {**asdict(record), **others}.items()}


def _show(output: Output, report: LossReport) -> None:
    table = new_table(
        f"{report.loss}: gradient, the {COORDINATES_SHOWN} worst of {len(report.gradient)} coordinates",
        ("coordinate", "by differences", "analytic", "relative error"),
    )
    for check in sorted(report.gradient, key=lambda one: -one.relative_error)[:COORDINATES_SHOWN]:
        place = ", ".join(str(index) for index in check.index)
        table.add_row(place, f"{check.numerical:.8g}", f"{check.analytic:.8g}", f"{check.relative_error:.1e}")
    output.say()
    output.show(table)
    worst = report.worst_relative_error
    output.say(f"{_verdict(worst < GRADIENT_TOLERANCE)}: worst {worst:.1e}, bound {GRADIENT_TOLERANCE:.0e}")
    output.say()
    table = new_table(
        f"{report.loss}: loops against matrices",
        ("", "naive", "vectorised", "difference", "gradient's", "speed-up", "verdict"),
        ("", "verdict"),
    )
    for one in report.agreement:
        table.add_row(
            _dtype(one), f"{one.naive_value:.7g}", f"{one.vectorized_value:.7g}", f"{one.value_difference:.1e}",
            f"{one.gradient_difference:.1e}", f"{one.speedup:.0f} x", _verdict(one.passed),
        )  # fmt: skip
    output.show(table)
    bounds = ", ".join(f"{TOLERANCES[one.dtype]:.0e} in {_dtype(one)}" for one in report.agreement)
    output.say(f"Relative differences of the loss and of its gradient; bounds {bounds}.")


def _dtype(one: Agreement) -> str:
    return str(one.dtype).removeprefix("torch.")


def _verdict(passed: bool) -> str:
    return "ok" if passed else "FAILED"
