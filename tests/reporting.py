"""Small runs for the tests of the report: classes with hostile names, images or a table, SGD or the exact path."""

from __future__ import annotations

from pathlib import Path

import torch

from colinear.datasets import load_digits
from colinear.datasets.base import ArrayDataset, Split
from colinear.datasets.stratified import split_stratified
from colinear.extractors import Extractor, Patches
from colinear.extractors.folder import Extraction, open_extraction
from colinear.report import Recorder, write_report
from colinear.search.listener import Silent
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import tune

HOSTILE = ("<script>alert(1)</script>", "</script><!--", "a & \"b\" 'c'", "two\u2028lines")


def digits_split(name: str = "digits") -> Split:
    """Four digits under hostile names: 40 rows of training, validation and test for each."""
    whole = load_digits()
    rows = torch.cat([(whole.labels == digit).nonzero().squeeze(1)[:120] for digit in range(4)])
    part = ArrayDataset(whole.features[rows], whole.labels[rows], HOSTILE, (1, 8, 8), name, 16.0)
    train, validation, test = (
        part.subset(chosen) for chosen in split_stratified(part.labels, (1 / 3, 1 / 3, 1 / 3), seed=0)
    )
    return Split(train, validation, test)


def colour_split(classes: int = 3, side: int = 6) -> Split:
    """Random colour images with a coloured tinge for each class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(classes).repeat(20)
    noise = torch.randint(0, 160, (len(labels), 3, side, side), generator=generator)
    noise[torch.arange(len(labels)), labels % 3] += 60
    data = ArrayDataset(
        noise.to(torch.uint8).flatten(1), labels, tuple(f"class {n}" for n in range(classes)), (3, side, side),
        "tinges", 255.0,
    )  # fmt: skip
    return Split(data, data, data)


def table_split() -> Split:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(3).repeat(30)
    features = torch.randn(90, 7, generator=generator) + 2 * torch.eye(7)[labels]
    data = ArrayDataset(features, labels, ("a", "b", "<i>c</i>"), name="<b>table</b>")
    return Split(data, data, data)


def many_split() -> Split:
    """A table of 100 classes."""
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(100).repeat(4)
    features = torch.randn(400, 30, generator=generator)
    data = ArrayDataset(features, labels, tuple(f"class {n}" for n in range(100)), name="many")
    return Split(data, data, data)


def patches_split(folder: Path, shape: str = "digits", extractor: Extractor | None = None) -> Split:
    """Features of digits under hostile names, or of coloured pictures, in a folder of their own."""
    raw = digits_split() if shape == "digits" else colour_split(classes=3, side=9)
    folder.mkdir()
    Extraction(raw, extractor or Patches(12, size=3)).run([folder])
    found = open_extraction(folder)
    assert found is not None
    return found[0]


def run(path: Path, split: Split, solver: str = "sgd", losses: tuple[str, ...] = ("softmax",), seed: int = 0) -> Path:
    """Tune on `split` into `path`, record and write the report; returns the page."""
    settings = Settings(
        data=split.name, losses=losses, solver=solver, seed=seed, candidates=5, steps=60, batch_size=32,
        learning_rates=(1e-2, 1e-1), reg_range=(1e-4, 1e-1), regs=(1e-3, 1e-2, 1e-1) if solver == "exact" else None,
    )  # fmt: skip
    with RunFolder(path) as folder:
        tune(settings, split, folder, Recorder(Silent(), folder, split))
        return write_report(path)
