"""`colinear info`: what a model file or a dataset is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from colinear.checks import InputError
from colinear.cli.console import CLASS_WIDTH, Output
from colinear.cli.progress import Transfer
from colinear.cli.tables import as_percent, new_table
from colinear.datasets import open_split
from colinear.datasets.answers import count_rows
from colinear.datasets.base import Split
from colinear.model import LinearModel
from colinear.outputs import PICTURE, check_output, save_whole
from colinear.search.wording import describe_above, is_number, is_placed
from colinear.texts import printable, short_number, shorten, shown_path

NAMES_SHOWN = 12
SAMPLE_REMEDY = "Pass another --save-sample, or --force to replace it."


def run_info(
    thing: str,
    data_dir: Path | None,
    label: str | None,
    as_json: bool,
    quiet: bool = False,
    sample: Path | None = None,
    force: bool = False,
) -> None:
    """Describe a model file, or else a dataset, whose first test picture is written to `sample`."""
    output = Output(quiet=quiet, as_json=as_json)
    path = Path(thing).expanduser()
    if sample is not None:
        if _is_model(path):
            raise InputError(
                f"--save-sample is of a dataset; {shown_path(path)} is a model. Name what it learned from."
            )
        check_output(sample, PICTURE, inputs=[thing], force=force, option="--save-sample", remedy=SAMPLE_REMEDY)
    facts = model_facts(path) if _is_model(path) else _data_facts(thing, data_dir, label, output, sample)
    _show(output, facts)
    if sample is not None:
        output.say_path(f"Written: {sample}")
    output.emit(facts)


def _is_model(path: Path) -> bool:
    """Whether a safetensors file is a model, or so damaged that it might be one."""
    if path.suffix != ".safetensors" or not path.is_file():
        return path.suffix == ".safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            return "colinear" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return True


def model_facts(path: Path) -> dict[str, Any]:
    """What a model's file says about it; what it is comes before what its provenance says of it."""
    model = LinearModel.load(path)
    facts = {
        "model": str(path),
        "n_classes": model.n_classes,
        "n_features": model.n_features,
        "image_shape": None if model.image_shape is None else list(model.image_shape),
        "dtype": str(model.weight.dtype).removeprefix("torch."),
        "value_range": model.value_range,
        "bytes": path.stat().st_size,
        "class_names": list(model.class_names),
    }
    if model.extractor is not None:
        raw = model.extractor.rows
        facts |= {"extractor": model.extractor.name, "n_inputs": raw.n_inputs, "image_shape": raw.image_shape}
    return facts | {name: value for name, value in model.provenance.items() if name not in facts}


def _data_facts(
    data: str, data_dir: Path | None, label: str | None, output: Output, sample: Path | None
) -> dict[str, Any]:
    with Transfer(output) as transfer:
        split = open_split(data, data_dir, label=label, progress=transfer)
    if sample is not None:
        _save_sample(split, sample)
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    counts = {
        part: [0] * split.train.n_classes if rows is None else count_rows(rows.labels, rows.n_classes).tolist()
        for part, rows in parts.items()
    }
    train = split.train
    return {
        "data": split.name,
        "n_features": train.n_features,
        "image_shape": None if train.image_shape is None else list(train.image_shape),
        "dtype": str(train.dtype).removeprefix("torch."),
        "value_range": train.value_range,
        "rows": {part: 0 if rows is None else rows.n_samples for part, rows in parts.items()},
        "fingerprint": train.fingerprint,
        "class_names": list(train.class_names),
        "class_rows": counts,
    }


def _save_sample(split: Split, target: Path) -> None:
    """The first row of the test part, or of training where there is none, as a PNG that says who wrote it."""
    from PIL.Image import fromarray
    from PIL.PngImagePlugin import PngInfo

    rows, shape = split.train if split.test is None else split.test, split.train.image_shape
    if shape is None or shape[0] not in (1, 3) or getattr(split.train, "extractor", None) is not None:
        raise InputError(f"--save-sample needs pictures; rows of {shorten(split.name)} are none. Leave it out.")
    raw = rows.take(slice(0, 1)).cpu().double().view(shape) * (255 / rows.value_range)
    levels = raw.round().clamp(0, 255).byte().permute(1, 2, 0).squeeze(2).contiguous().numpy()
    said, buffer = PngInfo(), io.BytesIO()
    said.add_text("Software", "colinear")
    fromarray(levels).save(buffer, "PNG", pnginfo=said)
    save_whole(target, buffer.getvalue(), str(target), "Free some space.")


def _show(output: Output, facts: dict[str, Any]) -> None:
    table = new_table("", ("what", "value"), ("what", "value"))
    table.show_header = False
    for name, value in facts.items():
        if name == "class_names":
            more = len(value) - NAMES_SHOWN
            value = ", ".join(shorten(one, CLASS_WIDTH) for one in value[:NAMES_SHOWN])
            value += f", ... and {more} more" if more > 0 else ""
        elif name == "class_rows" and "model" not in facts:  # a model's provenance may hold anything under any name
            value = f"{min(value['train'])} to {max(value['train'])} for training"
        elif name in ("rows", "versions") and isinstance(value, dict):
            value = ", ".join(
                f"{key} {number:,}" if isinstance(number, int) else f"{key} {number}" for key, number in value.items()
            )
        elif name == "above_optimum" and is_placed(value):
            name, value = "objective", f"{describe_above(value)} for its reg"
        elif name == "relative_gap" and is_number(value):
            value = as_percent(value)
        elif name == "image_shape" and value is not None:
            value = " x ".join(str(size) for size in value) + " (channels x height x width)"
        elif isinstance(value, float):
            value = short_number(value, 6)
        elif type(value) is int and name != "seed":
            value = f"{value:,}"
        if value is not None:
            table.add_row(printable(name.replace("_", " ")), printable(value))
    output.show(table)
