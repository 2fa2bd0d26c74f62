"""Cases drawn from a source of randomness: a seed's, or hypothesis', which then makes the smallest that fails."""

from __future__ import annotations

import importlib
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fuzz.cases import Case
from fuzz.commands import make_command
from fuzz.corpus import BASES, BEGUN, CHEAP, EXTRACTIONS, GRID, MODELS, PICTURES, RUNS, TABLES, Corpus, pick
from fuzz.mutate import mutate
from fuzz.odd import ODD, make_odd
from fuzz.pictures import FOREIGN
from fuzz.seals import seal, seal_learned

SETTINGS = "settings.json"
LARGEST = 32 << 20  # of a file that is carried in a case
Family = Callable[[random.Random, Corpus, str], Case]
TABLE_TARGETS = ("table", "table", "table", "split", "dataset", "info", "tune", "fit", "evaluate")
MODEL_TARGETS = ("model", "model", "model", "info", "predict", "predict", "evaluate", "export")
EXTRACTION_TARGETS = ("extraction", "extraction", "extraction", "features", "features", "tune", "evaluate", "info")
RUN_TARGETS = ("report", "report", "report", "compare", "compare", "resume", "resume")
OTHER_NAMES = ("x.npy", "x.npz", "x.pt", "x.pth", "x.safetensors", "x.parquet", "x.svm", "x.txt", "x.png", "x.jpg", "x")
SHARD_NAMES = (
    "part-3.npy", "part-03.npy", "part-99999999999999999999.npy", "part-٣.npy", "labels.npy", "labels-1.npy", "x.npy",
    "part-0-labels.npy", "rows-2.parquet", "a.parquet", "test-0.npy", "train-0-of-9.parquet", "img_emb", "train",
    "part-0.npz",
)  # fmt: skip
PICTURE_NAMES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".PNG")


def draw_mutation(rng: random.Random, corpus: Corpus, name: str) -> Case:
    """A damaged, odd or hostile file, and a reader or a command that is given it."""
    family = rng.choice([one for one, weight in FAMILIES.items() for _ in range(weight)])
    return family(rng, corpus, name)


def draw_command(rng: random.Random, corpus: Corpus, name: str) -> Case:
    return make_command(rng, corpus, name)


def seeded(kind: str, seed: int, number: int, corpus: Corpus) -> Case:
    """The case of this number; the same for the same seed, number, corpus and version of this code."""
    name = f"{kind}-{seed}-{number}"
    draw = {"mutation": draw_mutation, "command": draw_command}[kind]
    return draw(random.Random(name), corpus, name)


def damaged_table(rng: random.Random, corpus: Corpus, name: str) -> Case:
    item = rng.choice(TABLES)
    labels = f"{Path(item).stem}_labels.npy" if item.endswith(".npy") else ""
    victim = labels if labels and rng.random() < 0.4 else item
    content, notes = mutate(rng, corpus.read(victim), _kind(victim), corpus.donors)
    place = [(one, one) for one in (item, labels) if one and one != victim]
    path = item
    if victim == item and rng.random() < 0.08:
        path = victim = rng.choice(OTHER_NAMES)
    case = Case(name, "", path, place=tuple(place), notes=(victim, *notes)).write(victim, content)
    return _aim(rng, case, rng.choice((*TABLE_TARGETS, *(("features",) if path.endswith(".npy") else ()))))


def odd_table(rng: random.Random, corpus: Corpus, name: str) -> Case:
    path = rng.choice(tuple(ODD))
    case = Case(name, "", path, notes=("odd content",)).write(path, make_odd(rng, path))
    if path.endswith(".npy"):
        case = Case(
            name, "", path, place=(("rows_labels.npy", "odd_labels.npy"),), writes=case.writes, notes=case.notes
        )
    return _aim(rng, case, rng.choice((*TABLE_TARGETS, *(("features", "predict") if path.endswith(".npy") else ()))))


def damaged_parts(rng: random.Random, corpus: Corpus, name: str) -> Case:
    """A folder of files that are one dataset, with one of them damaged, renamed, or something else."""
    item = rng.choice(("parts", "shards", "shards", "tables"))
    file = rng.choice(corpus.files[item])
    written = rng.choice(SHARD_NAMES) if rng.random() < 0.15 else file
    case = Case(name, "", item, place=((item, item),), notes=(item, written))
    if rng.random() < 0.15:
        how = rng.choice((("pipe", ""), ("folder", ""), ("gone", ""), ("link", "."), ("device", "1:5"), ("bytes", "")))
        case = replace(case, writes=((f"{item}/{written}", *how),), notes=(*case.notes, *how))
    else:
        content, notes = mutate(rng, corpus.read(item, file), _kind(file), corpus.donors)
        case = replace(case, notes=(*case.notes, *notes)).write(f"{item}/{written}", content)
    return _aim(rng, case, rng.choice(("split", "split", "dataset", "info", "tune", "evaluate")))


def damaged_picture(rng: random.Random, corpus: Corpus, name: str) -> Case:
    if rng.random() < 0.15:
        content, notes, ending = rng.choice(FOREIGN), ["a foreign format"], rng.choice(PICTURE_NAMES)
        if rng.random() < 0.3:
            content, more = mutate(rng, content, "", corpus.donors)
            notes += more
    else:
        item = rng.choice(PICTURES)
        content, notes = mutate(rng, corpus.read(item), _kind(item), corpus.donors)
        ending = Path(item).suffix if rng.random() < 0.9 else rng.choice(PICTURE_NAMES)
    target = rng.choice(("picture", "picture", "predict", "folder", "info", "tune"))
    path, victim = (
        (f"x{ending}",) * 2 if target in ("picture", "predict") else ("pictures", f"pictures/class 1/x{ending}")
    )
    place: tuple[tuple[str, str], ...] = ()
    if path == "pictures" and rng.random() < 0.5:
        place = (("pictures", "pictures"),)
    elif path == "pictures":  # alone: whatever the header says decides the size of all
        place = (("one.png", "pictures/class 0/a.png"),)
    return _aim(rng, Case(name, "", path, place=place, notes=tuple(notes)).write(victim, content), target)


def odd_folder(rng: random.Random, corpus: Corpus, name: str) -> Case:
    """A folder of pictures with something in it that is no picture."""
    base = rng.choice(("pictures", "split", "split/train"))
    inside = rng.choice(("", "class 1/", "class 9/", "train/", "train/class 1/", "test/class 1/", ".hidden/"))
    names = ("x.png", "x", "x.jpg", "é\udcff.png", "a" * 250 + ".png", ".png", "X_train.npy", "batches.meta")
    file = rng.choice(names)
    how = rng.choice((
        ("pipe", ""), ("folder", ""), ("device", "1:5"), ("device", "1:3"), ("link", "."), ("link", "x.png"),
        ("link", "/nonexistent"), ("link", "../.."), ("bytes", ""), ("gone", ""),
    ))  # fmt: skip
    top = base.split("/")[0]
    case = Case(
        name, "", base, place=((top, top),), writes=((f"{base}/{inside}{file}", *how),), notes=(inside + file, *how)
    )
    return _aim(rng, case, rng.choice(("folder", "split", "dataset", "info", "tune")))


def damaged_cifar(rng: random.Random, corpus: Corpus, name: str) -> Case:
    file = rng.choice(corpus.files["cifar"])
    content, notes = mutate(rng, corpus.read("cifar", file), "pickle", ())
    case = Case(name, "", "cifar", place=(("cifar", "cifar"),), notes=(file, *notes)).write(f"cifar/{file}", content)
    if rng.random() < 0.5:
        return replace(case, target="pickled", path=f"cifar/{file}")
    return _aim(rng, case, rng.choice(("cifar10", "cifar10", "info")))


def damaged_model(rng: random.Random, corpus: Corpus, name: str) -> Case:
    item = rng.choice(MODELS)
    content, notes = mutate(rng, corpus.read(item), ".safetensors", corpus.donors)
    content, notes = _seal(rng, "model", content, notes)
    case = Case(name, "", item, notes=tuple(notes)).write(item, content)
    return _aim(rng, case, rng.choice(MODEL_TARGETS))


def damaged_run(rng: random.Random, corpus: Corpus, name: str) -> Case:
    run = rng.choice(RUNS)
    file = pick(rng, corpus, run)
    place = tuple({run: (run, run), BASES[run]: (BASES[run], BASES[run])}.values())
    if BASES[run].endswith(".npy"):
        place += (("rows_labels.npy", "rows_labels.npy"),)
    if rng.random() < 0.1:
        how = rng.choice((("pipe", ""), ("folder", ""), ("gone", ""), ("link", "."), ("device", "1:5"), ("bytes", "")))
        case = Case(name, "", run, place=place, writes=((f"{run}/{file}", *how),), notes=(file, *how))
    else:
        content, notes = mutate(rng, corpus.read(run, file), _kind(file), corpus.donors)
        base = Path(file).name
        sealed = "model" if base.startswith("model-") else "checkpoint" if run in BEGUN and base != SETTINGS else base
        content, notes = _seal(rng, sealed, content, notes)
        case = Case(name, "", run, place=place, notes=(file, *notes)).write(f"{run}/{file}", content)
    if run == "swept":
        return _aim(rng, case, rng.choice(("swept", "swept", "again", "summary", "tabulate")))
    return _aim(rng, case, "resume" if run in BEGUN else rng.choice(RUN_TARGETS))


def damaged_grid(rng: random.Random, corpus: Corpus, name: str) -> Case:
    content, notes = mutate(rng, corpus.read(GRID), ".toml", corpus.donors)
    place = (("rows.npy", "rows.npy"), ("double.npy", "double.npy"))
    return Case(name, "grid", GRID, place=place, notes=tuple(notes)).write(GRID, content)


def damaged_extraction(rng: random.Random, corpus: Corpus, name: str) -> Case:
    """A folder of features with one of its files damaged, mostly under a digest that fits."""
    item = rng.choice(tuple(EXTRACTIONS))
    source, extractor = EXTRACTIONS[item]
    file = pick(rng, corpus, item)
    names = {item, source, MODELS[2], *(("rows_labels.npy",) if source.endswith(".npy") else ())}
    case = Case(name, "", item, place=tuple((one, one) for one in sorted(names)))
    if rng.random() < 0.1:
        how = rng.choice((("pipe", ""), ("folder", ""), ("gone", ""), ("link", "."), ("device", "1:5"), ("bytes", "")))
        case = replace(case, writes=((f"{item}/{file}", *how),), notes=(file, *how))
    else:
        content, notes = mutate(rng, corpus.read(item, file), _kind(file), corpus.donors)
        case = replace(case, notes=(file, *notes)).write(f"{item}/{file}", content)
        if file == "extractor.safetensors" and rng.random() < 0.85:
            case = case.write(f"{item}/features.json", seal_learned(corpus.read(item, "features.json"), content))
    words = {
        "features": ("features", source, "--with", extractor, "--out", item),
        "tune": ("tune", item, *CHEAP, "--regs", "0.1", "--out", "new"),
        "evaluate": ("evaluate", MODELS[2], item),
        "info": ("info", item),
    }
    target = rng.choice(EXTRACTION_TARGETS)
    return replace(case, target="command", words=words[target]) if target in words else replace(case, target=target)


def hostile(rng: random.Random, corpus: Corpus, name: str) -> Case:
    """One of the named files of tests/hostile.py, or an odd table where there are none."""
    table = hostile_table()
    if not table:
        return odd_table(rng, corpus, name)
    wanted = rng.choice(sorted(table))
    with tempfile.TemporaryDirectory() as folder:
        made = table[wanted](Path(folder))
        if sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) > LARGEST:
            return odd_table(rng, corpus, name)
        path = str(made.relative_to(folder)) if made.is_relative_to(folder) else str(made)
        case = Case(name, "", path, notes=(wanted,))
        for file in sorted(Path(folder).rglob("*")):
            inside = str(file.relative_to(folder))
            if file.is_symlink():
                to = (
                    os.path.relpath(file.readlink(), file.parent) if folder in str(file.readlink()) else file.readlink()
                )
                case = replace(case, writes=(*case.writes, (inside, "link", str(to))))
            elif file.is_file():
                case = case.write(inside, file.read_bytes())
            elif file.is_fifo():
                case = replace(case, writes=(*case.writes, (inside, "pipe", "")))
    return _aim(rng, case, rng.choice((*TABLE_TARGETS, "picture", "model", "folder", "features")))


def hostile_table() -> dict[str, Callable[[Path], Path]]:
    try:
        table: dict[str, Callable[[Path], Path]] = importlib.import_module("tests.hostile").HOSTILE
    except (ImportError, AttributeError):
        return {}
    return table


def _seal(rng: random.Random, kind: str, content: bytes, notes: list[str]) -> tuple[bytes, list[str]]:
    """Mostly with a digest that fits."""
    if rng.random() < 0.15:
        return content, notes
    content, done = seal(kind, content)
    return content, [*notes, *(("sealed",) if done else ())]


def _kind(name: str) -> str:
    return "pickle" if Path(name).name.startswith(("data_batch", "batches", "test_batch")) else Path(name).suffix


def _aim(rng: random.Random, case: Case, target: str) -> Case:
    """`case` with its target; names of commands become words for the program."""
    path = case.path
    json = ("--json",) if rng.random() < 0.3 else ()
    picture = "one.png"
    words: dict[str, tuple[str, ...]] = {
        "info": ("info", path),
        "tune": ("tune", path, *CHEAP, "--regs", "0.1", "--out", "new"),
        "fit": ("fit", path, "--max-passes", "3", "--out", "new.safetensors"),
        "evaluate": ("evaluate", path, "pictures") if _is_model(path) else ("evaluate", MODELS[1], path),
        "predict": ("predict", path, picture) if _is_model(path) else ("predict", MODELS[0], path),
        "export": ("export", path, "--to", rng.choice(("onnx", "sklearn", "numpy", "csv")), "--out", "exported"),
        "resume": ("tune", "--resume", path),
        "again": ("sweep", BASES["swept"], *CHEAP, "--regs", "0.1", "--out", path),
        "summary": ("report", path),
        "tabulate": ("table", path, "--to", rng.choice(("md", "csv", "latex", "json"))),
    }
    extra: dict[str, tuple[str, ...]] = {
        "evaluate": ("pictures",) if _is_model(path) else (MODELS[1],),
        "predict": (picture,) if _is_model(path) else (MODELS[0],),
        "compare": ("exact" if path != "exact" else "run",),
    }
    place = (*case.place, *((item, item) for item in extra.get(target, ()) if item != path))
    if target == "compare":
        return replace(case, target=target, place=place, words=extra[target])
    if target not in words:
        return replace(case, target=target)
    return replace(case, target="command", place=place, words=words[target] + json)


def _is_model(path: str) -> bool:
    return path in MODELS


FAMILIES: dict[Family, int] = {
    damaged_table: 30, odd_table: 12, damaged_parts: 8, damaged_picture: 16, odd_folder: 5, damaged_cifar: 8,
    damaged_model: 14, damaged_run: 20, damaged_grid: 3, damaged_extraction: 10, hostile: 4,
}  # fmt: skip
