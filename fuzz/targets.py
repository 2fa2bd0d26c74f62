"""What cases call: every reader, the model, a run's folder, the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fuzz.cases import Case

Target = Callable[[Case], object]
NO_NUMBER = re.compile(r"(?<![\w.])[-+]?(nan|inf)(?![\w.])", re.IGNORECASE)


class WrongResultError(Exception):
    """A call came back, with something that breaks its promise."""


def expect(claim: bool, text: str) -> None:
    if not claim:
        raise WrongResultError(text)


def check_rows(data: Any) -> None:
    """What every dataset promises: (n, d) finite numbers of three types, labels of known classes (or an answer for
    each), names that differ.
    """
    rows: Tensor = data.take(slice(0, data.n_samples))
    expect(rows.ndim == 2 and min(rows.shape) >= 1, f"rows of shape {tuple(rows.shape)}")
    expect(rows.dtype in (torch.uint8, torch.float32, torch.float64), f"rows of {rows.dtype}")
    expect(not rows.requires_grad, "rows that require gradients")
    expect(bool(torch.isfinite(rows.float() if rows.dtype == torch.uint8 else rows).all()), "rows that are not finite")
    many = data.labels.ndim == 2
    kind = (torch.int8, (len(rows), data.n_classes)) if many else (torch.int64, (len(rows),))
    expect((data.labels.dtype, tuple(data.labels.shape)) == kind, "labels that do not fit the rows")
    least, most = (-1, 1) if many else (0, data.n_classes - 1)
    expect(int(data.labels.min()) >= least and int(data.labels.max()) <= most, "a label of no class")
    expect(len(set(data.class_names)) == data.n_classes >= 1, f"class names {data.class_names[:5]}")
    expect(all(isinstance(name, str) for name in data.class_names), "class names that are no text")
    expect(all(_fits_utf8(name) for name in data.class_names), "a class name that cannot be printed")


def _fits_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def table(case: Case) -> None:
    from colinear.datasets import load_table

    check_rows(load_table(case.path))


def features(case: Case) -> None:
    from colinear.datasets import load_features

    expect(bool(torch.isfinite(load_features(case.path).double()).all()), "features that are not finite")


def folder(case: Case) -> None:
    from colinear.datasets import load_folder

    check_rows(load_folder(case.path))


def split(case: Case) -> None:
    from colinear.datasets import open_split

    parts = open_split(case.path)
    check_rows(parts.train)
    check_rows(parts.validation)


def dataset(case: Case) -> None:
    from colinear.datasets import open_dataset

    check_rows(open_dataset(case.path))


def picture(case: Case) -> None:
    from colinear.datasets import read_image

    expect(read_image(case.path, (3, 4, 4)).shape == (48,), "a picture of another size")
    read_image(case.path, (1, 4, 4), value_range=16.0)


def cifar10(case: Case) -> None:
    """The files with sums that fit, as a file that someone else has made would come with."""
    from colinear.datasets import Source, load_cifar10
    from colinear.datasets.fetch import md5_of

    place = Path(case.path)
    sums = {name: md5_of(place / name) if (place / name).is_file() else "" for name in Source().md5s}
    for part in load_cifar10(place, source=Source(md5s=sums)):
        check_rows(part)


def pickled(case: Case) -> None:
    from colinear.datasets.unpickle import unpickle

    expect(isinstance(unpickle(Path(case.path).read_bytes(), Path(case.path)), dict), "a pickle of no dict")


def model(case: Case) -> None:
    """Load, score, save, load again."""
    from colinear.model import LinearModel

    loaded = LinearModel.load(case.path)
    expect(loaded.n_classes >= 1 and len(set(loaded.class_names)) == loaded.n_classes, "names of classes")
    expect(np.isfinite(loaded.value_range) and loaded.value_range > 0, f"value range {loaded.value_range}")
    rows = torch.zeros(2, loaded.n_features)
    expect(bool(torch.isfinite(loaded.scores(rows)).all()), "scores that are not finite")
    loaded.save("again.safetensors")
    expect(torch.equal(LinearModel.load("again.safetensors").predict(rows), loaded.predict(rows)), "another model")


def extraction(case: Case) -> None:
    """A folder of features: its parts, and the extractor that a model of them would keep."""
    from colinear.extractors.folder import open_extraction

    found = open_extraction(Path(case.path))
    if found is None:
        return
    parts, facts = found
    check_rows(parts.train)
    check_rows(parts.validation)
    fitted: Any = parts.train.extractor  # type: ignore[attr-defined]
    rows = fitted.transform(torch.zeros(2, fitted.rows.n_inputs))
    expect(rows.shape == (2, parts.train.n_features), f"features of shape {tuple(rows.shape)}")
    expect(isinstance(facts["augment"], str | None), f"copies that are {type(facts['augment'])}")


def report(case: Case) -> None:
    from colinear.report import write_report

    expect(write_report(case.path).is_file(), "no page")


def compare(case: Case) -> None:
    from colinear.report import write_comparison

    expect(write_comparison([case.path, *case.words], "compare.html").is_file(), "no page")


def swept(case: Case) -> None:
    """Results, tables and page of a sweep."""
    from colinear.report.summary import remake_summary
    from colinear.sweep import list_results, tabulate, write_table
    from colinear.sweep.formats import FORMATS

    results = list_results([case.path])
    for to in FORMATS:
        expect(bool(write_table(tabulate(results), to)), "no table")
    expect(remake_summary(Path(case.path)).is_file(), "no page")


def grid(case: Case) -> None:
    from colinear.sweep.grid import read_grid

    expect(bool(read_grid(Path(case.path))), "a sweep without runs")


def command(case: Case) -> None:
    """The program, as the shell calls it; what it says is judged by the caller."""
    from colinear.cli.app import main

    main(list(case.words))


TARGETS: dict[str, Target] = {
    "table": table, "features": features, "folder": folder, "split": split, "dataset": dataset, "picture": picture,
    "cifar10": cifar10, "pickled": pickled, "model": model, "extraction": extraction,
    "report": report, "compare": compare, "swept": swept, "grid": grid, "command": command,
}  # fmt: skip
