"""`colinear tune --layers 6,12`: features of several layers in one pass of the network, then a run for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from colinear.cli.console import Output
from colinear.cli.extracting import keep_features
from colinear.cli.tables import as_accuracy, new_table
from colinear.metrics import METRICS
from colinear.search.judging import score_of
from colinear.search.runfolder import refuse_used
from colinear.search.settings import Settings

Json = dict[str, Any]
Values = Mapping[str, Any]


class Collected(Output):
    """An output whose JSON is kept for the command that began several runs."""

    emitted: Json

    def emit(self, value: Any) -> None:
        self.emitted = value


def run_layers(
    values: Values, settings: Settings, default: Callable[[], Path], run: Callable[[Values, Output], None]
) -> None:
    """Run each layer in a folder of its own, layer-N in --out, as `run` does one, and compare their winners.

    settings : of the whole command.     default : makes the folder that stands for --out.
    """
    output = Output(quiet=values["quiet"], as_json=values["json"])
    names = {layer: f"layer-{layer}" for layer in settings.layers or ()}
    for name in names.values() if values["out"] is not None and not values["auto_resume"] else ():
        refuse_used(Path(values["out"]) / name)
    keep_features(settings, output)
    folder = Path(values["out"]) if values["out"] is not None else default()
    found: list[Json] = []
    for number, (layer, name) in enumerate(names.items(), 1):
        output.note(f"Layer {layer}, {number} of {len(names)}")
        one = Collected(quiet=values["quiet"], as_json=values["json"])
        log = None if values["log_dir"] is None else Path(values["log_dir"]) / name
        run({**values, "layers": str(layer), "out": folder / name, "log_dir": log}, one)
        found.append({"layer": layer, **one.emitted})
    _show_layers(output, settings, found)
    output.say_path(f"Written to {folder}: {', '.join(names.values())} (a run of its own each)")
    output.emit({"folder": str(folder), "layers": found})


def _show_layers(output: Output, settings: Settings, found: list[Json]) -> None:
    """The winner of each layer and loss, and the best layer of a loss: by validation rows alone."""
    metric = METRICS[settings.metric]
    for loss in settings.losses:
        scores = [_winner(one, loss) for one in found]
        known = [score for score, _ in scores if score is not None]
        best = (max if metric.higher else min)(known, default=None)
        table = new_table(f"{loss}: layers, {metric.name}", ("layer", "validation", "test"))
        for one, (score, test) in zip(found, scores, strict=True):
            style = "bold" if score is not None and score == best else None
            table.add_row(str(one["layer"]), as_accuracy(score), as_accuracy(test), style=style)
        output.show(table)
        named = [str(one["layer"]) for one, (score, _) in zip(found, scores, strict=True) if score == best]
        output.say(f"Best on validation: layer {' and '.join(named)}.")
        output.say()


def _winner(results: Json, loss: str) -> tuple[float | None, float | None]:
    """Its score on validation and on test rows, of a run, or the means of a few-shot run."""
    if results.get("tries"):
        record = next(one for one in results["tries"] if one["loss"] == loss)
        return tuple(record.get(f"{part}_score", record[f"{part}_accuracy"]) for part in ("val", "test"))
    entry = next(one for one in results["runs"] if one["loss"] == loss)
    return score_of(entry["trials"][entry["best"]]), entry.get("test_score", entry["test_accuracy"])
