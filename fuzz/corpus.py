"""One small valid file of every kind that the package reads, made anew: nothing is stored.

A corpus is a folder. An item is a file or a folder in it; the same versions of the libraries make the same bytes, dates
and seconds aside, which are written over.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from fuzz.structure import join_safetensors, split_safetensors, write_zip

ROWS, COLUMNS, CLASSES = 30, 4, 3
SHAPE = (3, 8, 9)  # of the pictures: channels, height, width; the least that every extractor takes
CHEAP = ("--loss", "softmax", "--max-passes", "5")
CHEAP_SGD = ("--solver", "sgd", "--steps", "6", "--candidates", "2", "--batch-size", "4")
TABLES = (
    "rows.npy", "double.npy", "bytes.npy", "half.npy", "big.npy", "stored.npz", "packed.npz", "text.npz", "tensors.pt",
    "old.pth", "tensors.safetensors", "lists.parquet", "columns.parquet", "rows.svm",
    "thin.svm", "csr.npz", "csc.npz", "coo.npz", "answers.npz", "names.parquet",
)  # fmt: skip
PICTURES = ("one.png", "grey16.png", "palette.png", "one.jpg", "one.bmp", "one.webp")
FOLDERS = ("pictures", "split", "parts", "shards", "tables", "extracted")
MODELS = ("model.safetensors", "table-model.safetensors", "patches-model.safetensors")
RUNS = ("run", "exact", "begun", "path", "few", "swept")
GRID = "grid.toml"
BEGUN = ("begun", "path")  # runs that were stopped
EXTRACTIONS = {  # folders of features, each with the source and the extractor; the second was stopped
    "extracted": ("pictures", "patches:3"), "extracting": ("rows.npy", "kernel:5")
}  # fmt: skip
BASES = {  # what a run is a run on
    "run": "pictures", "exact": "rows.npy", "begun": "pictures", "path": "wide.npz", "few": "stored.npz",
    "swept": "rows.npy",
}  # fmt: skip
ADDRESS = re.compile(rb"X[\x09-\x14]\0\0\0(\d{9,20})")


@dataclass(frozen=True)
class Corpus:
    """The folder, and the bytes of its files."""

    folder: Path

    @cached_property
    def files(self) -> dict[str, tuple[str, ...]]:
        """Item -> its files, relative to the item ('' for an item that is a file); sorted."""
        return {
            item.name: tuple(sorted(str(file.relative_to(item)) for file in item.rglob("*") if file.is_file()))
            if item.is_dir()
            else ("",)
            for item in sorted(self.folder.iterdir())
        }

    def read(self, item: str, file: str = "") -> bytes:
        return (self.folder / item / file if file else self.folder / item).read_bytes()

    @cached_property
    def donors(self) -> tuple[bytes, ...]:
        """Small files to splice with."""
        return tuple(self.read(item) for item, files in self.files.items() if files == ("",))


def build_corpus(folder: Path) -> Corpus:
    """Make every item in `folder`. Takes 2 to 3 s, most of it the four runs."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    labels = np.arange(ROWS) % CLASSES
    rows = (generator.normal(size=(ROWS, COLUMNS)) + labels[:, None]).astype(np.float32)
    _write_arrays(folder, rows, labels)
    _write_archives(folder, rows, labels)
    _write_columns(folder, rows, labels)
    _write_pictures(folder, generator)
    _write_cifar(folder / "cifar", generator)
    _write_extractions(folder)
    _write_runs(folder)
    return Corpus(folder)


def _write_arrays(folder: Path, rows: np.ndarray, labels: np.ndarray) -> None:
    for name, array in {
        "rows": rows,
        "double": np.asfortranarray(rows.astype(np.float64)),
        "bytes": (rows * 20 + 100).astype(np.uint8),
        "half": rows.astype(np.float16),
        "big": (rows * 1000).astype(">i8"),
    }.items():
        np.save(folder / f"{name}.npy", array)
        np.save(folder / f"{name}_labels.npy", labels if name != "half" else np.array(["a", "bb", "ç"])[labels])
    parts = folder / "parts"
    parts.mkdir()
    for part, cut in (("train", slice(0, 18)), ("val", slice(18, 24)), ("test", slice(24, ROWS))):
        np.save(parts / f"X_{part}.npy", rows[cut])
        np.save(parts / f"y_{part}.npy", labels[cut])
    shards = folder / "shards"
    shards.mkdir()
    for number, cut in enumerate((slice(0, 7), slice(7, 8), slice(8, ROWS))):
        np.save(shards / f"part-{number}.npy", rows[cut].astype(np.float16))
        np.save(shards / f"part-{number}-labels.npy", labels[cut])


def _write_archives(folder: Path, rows: np.ndarray, labels: np.ndarray) -> None:
    named = np.array(["no", "yes", "maybe"])[labels]
    wide = np.random.default_rng(1).normal(size=(200, 170)).astype(np.float32)  # too many weights for Newton's method
    members = [("X.npy", _npy(wide)), ("y.npy", _npy(np.arange(200) % 10))]
    (folder / "wide.npz").write_bytes(write_zip(members, 8))
    for name, pack, y in (("stored", 0, labels), ("packed", 8, labels), ("text", 8, named)):
        members = [("X.npy", _npy(rows)), ("y.npy", _npy(y))]
        (folder / f"{name}.npz").write_bytes(write_zip(members, pack))
    answers = np.eye(3, dtype=np.int8)[labels] + np.eye(3, k=1, dtype=np.int8)[labels]
    (folder / "answers.npz").write_bytes(write_zip([("X.npy", _npy(rows)), ("y.npy", _npy(answers))], 8))
    tensors = {"features": torch.from_numpy(rows), "labels": torch.from_numpy(labels)}
    (folder / "tensors.pt").write_bytes(torch_bytes(tensors))
    (folder / "old.pth").write_bytes(torch_bytes(tensors, old=True))
    save_file(tensors, folder / "tensors.safetensors")


def torch_bytes(value: object, *, old: bool = False) -> bytes:
    """What `torch.save` writes, the same in every process: the old form names and sorts tensors by their addresses."""
    kept: list[object] = []
    while True:
        file, names = io.BytesIO(), dict[bytes, bytes]()
        torch.save(value, file, _use_new_zipfile_serialization=not old)
        if not old:
            return file.getvalue()
        content = ADDRESS.sub(
            lambda found, n=names: b"X\x08\0\0\0" + n.setdefault(found[1], b"%08d" % len(n)), file.getvalue()
        )
        order = [found[1] for found in re.finditer(rb"X\x08\0\0\0(\d{8})", content)][-len(names) :]
        if order == sorted(order):
            return content
        kept.append(value)
        value = torch.load(io.BytesIO(file.getvalue()), weights_only=False)  # the same, elsewhere in memory


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _write_columns(folder: Path, rows: np.ndarray, labels: np.ndarray) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"x": list(rows), "label": labels}), folder / "lists.parquet")
    columns = {f"c{number}": rows[:, number] for number in range(COLUMNS)}
    parquet.write_table(pyarrow.table({**columns, "class": [f"k{y}" for y in labels]}), folder / "columns.parquet")
    named = [["no", "yes", "maybe"][: y + 1] for y in labels]
    parquet.write_table(pyarrow.table({"x": list(rows), "label": named}), folder / "names.parquet")
    (folder / "tables").mkdir()
    for number, cut in enumerate((slice(0, 12), slice(12, ROWS))):
        shard = {"x": list(rows[cut]), "label": labels[cut]}
        parquet.write_table(pyarrow.table(shard), folder / f"tables/rows-{number}.parquet")
    lines = (
        f"{y} " + " ".join(f"{n + 1}:{v:.4g}" for n, v in enumerate(row)) for row, y in zip(rows, labels, strict=True)
    )
    (folder / "rows.svm").write_text("\n".join(lines) + "\n")
    _write_sparse(folder, rows, labels)


def _write_sparse(folder: Path, rows: np.ndarray, labels: np.ndarray) -> None:
    """Two values a row in 40 columns, as text and as `scipy.sparse.save_npz` lays them out, labels inside."""
    place = np.arange(2 * ROWS)
    columns = (place % 2 * 20 + np.repeat(labels, 2) * 6 + place % 5).astype(np.int32)
    values, bounds = rows.reshape(-1)[: 2 * ROWS], np.arange(0, 2 * ROWS + 1, 2, dtype=np.int32)
    lines = (
        f"{y} " + " ".join(f"{columns[n] + 1}:{values[n]:.4g}" for n in (2 * row, 2 * row + 1))
        for row, y in enumerate(labels)
    )
    (folder / "thin.svm").write_text("\n".join(lines) + "\n")
    order = np.argsort(columns, kind="stable")
    ends = np.searchsorted(columns[order], np.arange(41)).astype(np.int32)
    kinds = {
        "csr": {"indices": columns, "indptr": bounds, "data": values},
        "csc": {"indices": (order // 2).astype(np.int32), "indptr": ends, "data": values[order]},
        "coo": {"row": (place // 2).astype(np.int32), "col": columns, "data": values},
    }
    for kind, parts in kinds.items():
        members = {**parts, "format": np.array(kind.encode()), "shape": np.array([ROWS, 40]), "y": labels}
        packed = write_zip([(f"{name}.npy", _npy(np.asarray(part))) for name, part in members.items()], 8)
        (folder / f"{kind}.npz").write_bytes(packed)


def _write_pictures(folder: Path, generator: np.random.Generator) -> None:
    _, height, width = SHAPE

    def picture(number: int) -> Image.Image:
        pixels = generator.integers(0, 160, (height, width, 3)).astype(np.uint8)
        pixels[..., number % 3] += 90
        return Image.fromarray(pixels)

    for place, count in (("pictures", 10), ("split/train", 5), ("split/test", 2)):
        for number in range(count * CLASSES):
            ending = ("png", "jpg", "bmp", "webp")[number % 4]
            target = folder / place / f"class {number % CLASSES}" / f"{number:02}.{ending}"
            target.parent.mkdir(parents=True, exist_ok=True)
            picture(number).save(target)
    one = picture(0)
    for ending in ("png", "bmp", "webp"):
        one.save(folder / f"one.{ending}")
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    one.save(folder / "one.jpg", exif=exif)
    Image.fromarray(generator.integers(0, 65535, (height, width)).astype(np.uint16)).save(folder / "grey16.png")
    one.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "palette.png", transparency=0)


def _write_cifar(folder: Path, generator: np.random.Generator) -> None:
    """The official files' form, four rows each, as Python 2 pickled them."""
    folder.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        batch = {"batch_label": name, "labels": [0, 1, 2, 1], "data": generator.integers(0, 256, (4, 3072), np.uint8)}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    names = {"num_cases_per_batch": 4, "label_names": ["cat", "dog", "eel"]}
    (folder / "batches.meta").write_bytes(pickle.dumps(names, protocol=2))


def _write_extractions(folder: Path) -> None:
    """A finished folder of features and one that was stopped behind the validation rows."""
    from colinear.datasets import open_split
    from colinear.extractors import parse_extractor
    from colinear.extractors.folder import Extraction
    from colinear.search.runfolder import RunFolder

    def stop(what: str, done: int, total: int) -> None:
        if "test" in what:
            raise KeyboardInterrupt

    for name, (source, extractor) in EXTRACTIONS.items():
        with contextlib.chdir(folder), RunFolder(name) as place, contextlib.suppress(KeyboardInterrupt):
            stopper = stop if name == "extracting" else None
            Extraction(open_split(source), parse_extractor(extractor)).run([place.path], stopper)


def _write_runs(folder: Path) -> None:
    """A finished run of each solver, one of few shots, one that was stopped; and their models."""
    call("tune", BASES["run"], *CHEAP_SGD, "--out", "run", folder=folder)
    call("tune", BASES["exact"], "--regs", "1e-2,1e-1", "--max-passes", "20", "--out", "exact", folder=folder)
    call("tune", BASES["few"], "--shots", "2", "--tries", "2", *CHEAP, "--regs", "0.1", "--out", "few", folder=folder)
    shutil.copy(folder / "run/model-softmax.safetensors", folder / MODELS[0])
    shutil.copy(folder / "exact/model-hinge.safetensors", folder / MODELS[1])
    call("sweep", BASES["swept"], *CHEAP, "--regs", "0.1", "--out", "swept", folder=folder)
    (folder / GRID).write_text('data = ["rows.npy", "{kind}.npy"]\nloss = ["softmax", "hinge"]\nseed = [0, 1]\n')
    call("fit", "extracted", *CHEAP, "--out", MODELS[2], folder=folder)
    _stop_runs(folder)
    for name in (*RUNS, *EXTRACTIONS):
        anew = ("report.html", ".lock", "summary.html", "summary.csv")
        for file in (file for one in anew for file in (folder / name).rglob(one)):
            file.unlink()  # written anew by every command that needs them
        for file in (folder / name).rglob("*.json"):
            text = re.sub(r'("[a-z_]*seconds": )[0-9.e+-]+', r"\g<1>1.0", file.read_text())
            file.write_text(re.sub(r'("stamp": )"\w+"', r'\g<1>"0"', text))


def call(*words: str, folder: Path) -> None:
    """Run the program here, in `folder`, without its figures; an exit status other than 0 is an error."""
    from colinear.cli.app import main

    said = io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
        mock.patch("colinear.report.figures.write_figures", return_value=[]),
    ):
        try:
            main([*words, "--quiet"])
        except SystemExit as left:
            if left.code:
                raise RuntimeError(f"{words}: {said.getvalue()}") from None


def _stop_runs(folder: Path) -> None:
    from colinear.datasets import open_split
    from colinear.search.listener import Silent
    from colinear.search.runfolder import RunFolder
    from colinear.search.settings import Settings
    from colinear.search.tune import tune
    from colinear.solvers.threads import one_thread_if

    class Stopper(Silent):
        stopping = True
        reports = 0

        def progressed(self, progress: object) -> None:
            self.reports += 1
            if self.reports > (2 if name == "begun" else 28):
                raise KeyboardInterrupt

    one, few = {"losses": ("softmax",)}, {"candidates": 2, "batch_size": 4, "momentum": 0.5}
    for name, settings in {
        "begun": Settings(BASES["begun"], **one, solver="sgd", steps=40, **few),
        "path": Settings(BASES["path"], **one, regs=(1e-3, 1e-2), tol=1e-6, refit=True),
    }.items():
        one_thread = one_thread_if(True)  # as in the child processes: a run goes on with as many threads as it had
        with contextlib.chdir(folder), RunFolder(name) as run, one_thread, contextlib.suppress(KeyboardInterrupt):
            tune(settings, open_split(settings.data), run, Stopper())
        for checkpoint in (folder / name / "checkpoints").iterdir():
            header, data = split_safetensors(checkpoint.read_bytes())  # its order changes from process to process
            checkpoint.write_bytes(join_safetensors(json.dumps(header, sort_keys=True), data))


def environment(home: Path) -> dict[str, str]:
    """Variables under which cases run: no network, no cache of the user's, one thread, little address space."""
    return {
        "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "COLINEAR_DATA": str(home / "nothing"),
        "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system", "MPLBACKEND": "Agg",
        "COLUMNS": "80",
    }  # fmt: skip


def pick(rng: random.Random, corpus: Corpus, item: str) -> str:
    """One of an item's files, those of JSON and safetensors first."""
    files = corpus.files[item]
    wanted = [file for file in files if file.endswith((".json", ".safetensors"))]
    return rng.choice(wanted if wanted and rng.random() < 0.9 else files)
