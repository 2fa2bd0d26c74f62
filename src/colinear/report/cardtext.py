"""A model's card as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from colinear.sweep.formats import escape_markdown as escape
from colinear.texts import short_number, shorten

Json = dict[str, Any]
NONE = "–"
HEAD = "| class | test rows | recall | 95 % interval | precision | 95 % interval |"
RULE = "| :-- | --: | --: | :-: | --: | :-: |"


def card_text(card: Mapping[str, Any]) -> str:
    """The card as Markdown. Names are text of strangers, and are escaped."""
    model, data, training, score = (card[name] for name in ("model", "data", "training", "score"))
    parts = {
        "Model": [
            ("file", f"{model['file']}, {model['bytes']:,} bytes"), ("takes", model["takes"]),
            ("answers", f"{model['n_classes']:,} classes"), ("probabilities", model["probabilities"] or "none"),
        ],
        "Data": [
            ("name", data["name"]), ("fingerprint of the training rows", data["fingerprint"]),
            *((name.removeprefix("n_") + " rows", data[name]) for name in ("n_train", "n_validation", "n_test")),
        ],
        "Training": [
            ("loss", training["loss"]), ("loss of a row", training["formula"]), ("solver", training["solver"]),
            ("reg", training["reg"]), ("learning rate", training["learning_rate"]), ("seed", training["seed"]),
            ("command", training["command"]), ("certificate", card["certificate"]),
            ("versions", ", ".join(f"{name} {one}" for name, one in training["versions"].items())),
        ],
        "Accuracy": [
            ("validation, which selected it", _percent(score["validation_accuracy"])), *_tested(score["test"]),
        ],
    }  # fmt: skip
    lines = [f"# {escape(model['file'])}", ""]
    for title, rows in parts.items():
        known = [(name, one) for name, one in rows if one not in (None, "")]
        lines += [f"## {title}", "", *(f"- {name}: {escape(_plain(one))}" for name, one in known), ""]
    lines += [escape(note) + "\n" for note in training["notes"]]
    if card["classes"]:
        lines += [
            "| class | test rows | recall | 95 % interval | precision | 95 % interval |",
            "| :-- | --: | --: | :-: | --: | :-: |",
        ]
        for one in card["classes"]:
            cells = [escape(shorten(one["class"])), f"{one['rows']:,}"]
            for name in ("recall", "precision"):
                cells += [_percent(one[name]), _span(one[f"{name}_ci95"])]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, "## Limits", "", *(f"- {escape(one)}" for one in card["limits"])]) + "\n"


def _tested(test: Json | None) -> list[tuple[str, str]]:
    if test is None:
        return [("test", "no test rows")]
    said = [("test", f"{_percent(test['accuracy'])}{_behind(test['accuracy_ci95'])}")]
    if "metric" in test:
        low, high = test["score_ci95"]
        said.append((f"test {test['metric']}", f"{test['score']:.4f} (95 % interval {low:.4f} to {high:.4f})"))
    return said


def _behind(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" (95 % interval {_span(interval)})"


def _percent(share: float | None) -> str:
    return f"{100 * share:.2f} %" if isinstance(share, int | float) else NONE


def _span(interval: Sequence[float] | None) -> str:
    return NONE if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return short_number(value, 4)
    return f"{value:,}" if isinstance(value, int) else shorten(value, 400)
