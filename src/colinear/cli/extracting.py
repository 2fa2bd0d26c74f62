"""`colinear features`, and the features that other commands ask for: extracted once, kept, and found again."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from colinear.checks import InputError
from colinear.cli.console import Output
from colinear.cli.progress import Transfer
from colinear.cli.signals import Stopped, exit_status
from colinear.datasets import open_split
from colinear.datasets.base import Split
from colinear.datasets.doors import as_path
from colinear.datasets.fetch import user_cache
from colinear.datasets.sources import NAMED
from colinear.extractors import Custom, Network, open_extractor
from colinear.extractors.folder import Extraction, open_extraction
from colinear.model import LinearModel
from colinear.parallel.group import ALONE, Group
from colinear.search.option import parse_layers
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.texts import shown

MOST_KEPT = 20e9  # bytes in the cache besides those in use: three of patches:4000 with mirrored copies of CIFAR-10
DAY = 86_400  # seconds
Json = dict[str, Any]
Opened = Callable[[Settings, Output], Split]
MOST_NAME = 200  # characters of a folder's name, before its key


def run_features(
    data: str,
    extractor: str,
    out: Path,
    pool: str | None,
    layers: str | None,
    dtype: str,
    augment: str | None,
    data_dir: Path | None,
    label: str | None,
    seed: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write the features of every part of `data` into the folder `out`, or what is missing there.

    Those of several layers go into a folder each, layer-N in `out`.
    """
    output = Output(quiet=quiet, as_json=as_json)
    chosen = () if layers is None else parse_layers("--layers", layers)
    opened = open_extractor(extractor, pool, chosen)
    with Transfer(output) as transfer:
        split = open_split(data, data_dir, label=label, seed=seed, progress=transfer)
    extraction = Extraction(split, opened, seed, dtype, augment)
    places = [out / f"layer-{layer}" for layer in chosen] if len(chosen) > 1 else [out]
    facts = _extract(extraction, places, "pass another --out", output, f"the same command goes on in {out}")
    for place, one in zip(places, facts, strict=True):
        output.say_path(f"Written to {place}: {_describe(one)}")
    output.say_path(f"Learn from it: colinear tune {places[-1]} --standardize")
    written = [{"folder": str(place), **one} for place, one in zip(places, facts, strict=True)]
    output.emit(written[0] if len(written) == 1 else {"folder": str(out), "layers": written})


def open_raw(settings: Settings, output: Output, group: Group = ALONE) -> Split:
    """The parts of a dataset as it stores them."""
    with Transfer(output) as transfer:
        return open_split(
            settings.data, settings.data_dir, label=settings.label, seed=settings.seed, progress=transfer,
            weight=settings.sample_weight, group=group,
        )  # fmt: skip


def open_rows(settings: Settings, output: Output, opened: Opened = open_raw) -> Split:
    """The parts that `settings` name: of a dataset, of a folder of features, or of features that are extracted now.

    opened : gives the parts of a dataset.

    Extracted ones are kept in the user's cache, where the same extractor, options, seed and data find them again.
    Raises `InputError` for copies of pictures among rows that folds or shots would have to keep together, and for
    weights of rows, which no file of features holds.
    """
    if settings.features is None:
        found = None if settings.data in NAMED else open_extraction(as_path(settings.data))
        if found is None:
            return opened(settings, output)
        split, facts = found
        _check_rows(settings, facts["augment"])
        return split
    _check_rows(settings, settings.augment)
    return _open_cached(settings, output, opened)


def _check_rows(settings: Settings, augment: str | None) -> None:
    if settings.sample_weight is not None:
        raise InputError("--sample-weight is not for features, whose files hold no weights. Leave it out.")
    for flag, value in (("--cv", settings.cv), ("--shots", settings.shots)):
        if augment is not None and value is not None:
            raise InputError(
                f"{flag} would part pictures from their copies: these features are of --augment {augment}. Leave one "
                "of them out."
            )


def keep_features(settings: Settings, output: Output, opened: Opened = open_raw) -> list[Path]:
    """The folders in the user's cache that hold the features, one for each layer: extracted now, where they are not.

    opened : see `open_rows`.
    Raises `InputError` as `open_rows`.
    """
    _check_rows(settings, settings.augment)
    return _keep(settings, opened(settings, output), output)


def _keep(settings: Settings, raw: Split, output: Output) -> list[Path]:
    opened = open_extractor(str(settings.features), settings.pool, settings.layers or ())
    extraction = Extraction(raw, opened, settings.seed, augment=settings.augment)
    name = re.sub(r"[^\w.+-]+", "-", f"{raw.name[:60]}-{settings.features}")[:MOST_NAME]
    paths = [user_cache() / "features" / f"{name}-{one.key}" for one in extraction.apart()]
    remedy = "extract with `colinear features` and tune its folder"
    _drop_unused(paths, output)
    facts = _extract(extraction, paths, remedy, output, "the same command goes on")
    for path, one in zip(paths, facts, strict=True):
        output.note(f"Features: {_describe(one)}, in {path}")
    return paths


def _open_cached(settings: Settings, output: Output, opened: Opened) -> Split:
    if len(settings.layers or ()) > 1:
        raise InputError("--layers must be one for one model; tune makes a run for each of several.")
    raw = opened(settings, output)
    [path] = _keep(settings, raw, output)
    found = open_extraction(path)
    if found is None:
        raise InputError(f"{path} has been emptied. Run again.")
    split = found[0]
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    return Split(**{part: rows and replace(rows, name=raw.name) for part, rows in parts.items()})  # type: ignore[arg-type,type-var]


def _drop_unused(paths: list[Path], output: Output) -> None:
    """Drop folders beside `paths`, longest unused first, until they take MOST_KEPT; one that is written to stays."""
    used = {lock.parent: lock.stat().st_mtime for lock in paths[0].parent.glob("*/.lock") if lock.parent not in paths}
    sizes = {one: sum(file.stat().st_size for file in one.iterdir()) for one in sorted(used, key=used.__getitem__)}
    total = sum(sizes.values())
    for folder, size in sizes.items():
        if total <= MOST_KEPT:
            return
        with suppress(InputError, OSError), RunFolder(folder):
            shutil.rmtree(folder)
            total -= size
            days = (time.time() - used[folder]) / DAY
            output.note(f"Dropped from the cache, unused for {days:.0f} days: {folder.name}, {size / 1e6:,.0f} MB")


def _extract(extraction: Extraction, paths: list[Path], remedy: str, output: Output, advice: str) -> list[Json]:
    """Run an extraction, all its folders held; a signal says what is kept."""
    with ExitStack() as stack:
        folders = [stack.enter_context(RunFolder(path, "folder of features", remedy)).path for path in paths]
        transfer = stack.enter_context(Transfer(output))
        try:
            return extraction.run(folders, transfer)
        except (KeyboardInterrupt, Stopped) as error:
            transfer.__exit__(None, None, None)
            with suppress(OSError):  # the terminal may be what has gone
                output.note(f"Stopped. What is finished is kept: {advice}.")
            raise typer.Exit(exit_status(error)) from None


def _describe(facts: Json) -> str:
    fitted, rows = facts["fitted"], facts["data"]["rows"]
    count = sum(rows.values())
    size = count * fitted["n_features"] * (2 if facts["dtype"] == "float16" else 4)
    layer = "".join(f", layer {one}" for one in fitted["options"].get("layers", ()))
    made = f"{count:,} rows of {fitted['n_features']:,} features, {max(1, round(size / 1e6)):,} MB"
    return f"{fitted['name']}{layer}, {made}"


def name_extractor(model: LinearModel, given: str | None, output: Output) -> LinearModel:
    """`model` with the function or network that --with names, which its file does not have.

    Raises `InputError` where the model's features are made by another.
    """
    if given is None:
        return model
    if model.extractor is None:
        raise InputError("this model takes rows as they are, and no features of them. Leave --with out.")
    known = model.extractor.extractor
    if isinstance(known, Network) and given.startswith("hf:"):
        return replace(model, extractor=replace(model.extractor, extractor=known.name_again(given[3:])))
    named = open_extractor(given)
    if not isinstance(known, Custom) or not isinstance(named, Custom):
        if known != named:
            raise InputError(f"this model's features are of {known.name}; got --with {shown(given)}. Leave it out.")
        return model
    if known.digest != named.digest:
        output.note(f"{given} is not the source that the model's features were made with: they may differ.")
    return replace(model, extractor=replace(model.extractor, extractor=named))
