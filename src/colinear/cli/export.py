"""`colinear export`: a saved model as a file for other programs."""

from __future__ import annotations

from pathlib import Path

from colinear.cli.console import Output
from colinear.cli.progress import Transfer
from colinear.datasets import open_dataset
from colinear.export import FORMATS, export_model
from colinear.model import LinearModel
from colinear.outputs import ARRAYS, ONNX, PICKLE, TABLE, check_output

KINDS = {"onnx": ONNX, "sklearn": PICKLE, "numpy": ARRAYS, "csv": TABLE}


def run_export(
    model_file: Path,
    to: str,
    out: Path | None,
    data: str | None,
    data_dir: Path | None,
    label: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the file, beside the model by default, checked on the rows of `data` or on random ones."""
    output = Output(as_json=as_json)
    model = LinearModel.load(model_file)
    target = out or model_file.with_suffix(FORMATS[to][0])
    check_output(target, KINDS[to], inputs=[model_file, *([] if data is None else [data])], force=force)
    rows = None
    if data is not None:
        with Transfer(output) as transfer:
            dataset = open_dataset(data, data_dir, part=None, label=label, progress=transfer)
        rows = dataset.take(slice(0, dataset.n_samples))
    exported = export_model(model, target, to, rows=rows)
    output.say_path(f"Wrote {exported.path} ({exported.path.stat().st_size:,} bytes).")
    if exported.checked:
        ties = f", {exported.near_ties} near-ties aside" if exported.near_ties else ""
        what = "random rows" if data is None else f"rows of {data}"
        output.say(
            f"Checked on {exported.checked:,} {what}: the same labels as the model{ties}; "
            f"scores differ by at most {exported.largest_difference:.1e}."
        )
    else:
        output.say("Not checked: onnxruntime is not installed (pip install 'colinear[onnx]').")
    output.emit(
        {
            "model": str(model_file),
            "file": str(exported.path),
            "format": to,
            "checked_rows": exported.checked,
            "near_ties": exported.near_ties,
            "largest_difference": exported.largest_difference,
        }
    )
