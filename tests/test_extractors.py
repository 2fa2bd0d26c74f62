"""Extractors against plain loops, and the promises of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, load_digits
from colinear.extractors import (
    Custom,
    ExtractedDataset,
    Extractor,
    Fitted,
    Hog,
    Kernel,
    Patches,
    RowKind,
    open_extractor,
    parse_extractor,
    patches,
    restore,
)
from colinear.extractors.patches import k_means

Pictures = Callable[..., ArrayDataset]


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    def draw(n: int = 12, shape: tuple[int, int, int] = (3, 16, 20), seed: int = 0) -> ArrayDataset:
        generator = torch.Generator().manual_seed(seed)
        small = torch.rand(n, shape[0], 5, 5, generator=generator)
        smooth = torch.nn.functional.interpolate(small, shape[1:], mode="bilinear")
        noisy = smooth * 200 + 40 * torch.rand(n, *shape, generator=generator)
        return ArrayDataset(noisy.to(torch.uint8).flatten(1), torch.arange(n) % 2, ("a", "b"), shape, "drawn", 255.0)

    return draw


def all_rows(data: ArrayDataset) -> Tensor:
    return data.take(slice(0, data.n_samples))


def hog_loops(image: NDArray[np.uint8], options: Hog) -> list[float]:
    """Dalal and Triggs as scikit-image has it, (channels, height, width), pixel by pixel."""
    pixels = image.astype(np.float64)
    pixels = np.sqrt(pixels) if options.sqrt else pixels
    channels, high, wide = pixels.shape
    rows, columns, side = high // options.cell, wide // options.cell, options.block
    cells = np.zeros((rows, columns, options.orientations))
    for y in range(rows * options.cell):
        for x in range(columns * options.cell):
            best = (0.0, 0.0, -1.0)
            for channel in range(channels):
                plane = pixels[channel]
                down = plane[y + 1, x] - plane[y - 1, x] if 0 < y < high - 1 else 0.0
                right = plane[y, x + 1] - plane[y, x - 1] if 0 < x < wide - 1 else 0.0
                if math.hypot(down, right) > best[2]:
                    best = (down, right, math.hypot(down, right))
            angle = math.degrees(math.atan2(best[0], best[1])) % 180
            cells[y // options.cell, x // options.cell, int(angle // (180 / options.orientations))] += best[2]
    cells /= options.cell**2
    features: list[float] = []
    for y in range(rows - side + 1):
        for x in range(columns - side + 1):
            block, eps = cells[y : y + side, x : x + side], 1e-5
            if options.norm.startswith("L1"):
                block = block / (np.abs(block).sum() + eps)
                block = np.sqrt(block) if options.norm == "L1-sqrt" else block
            else:
                block = block / np.sqrt((block**2).sum() + eps**2)
                if options.norm == "L2-Hys":
                    block = np.minimum(block, 0.2)
                    block = block / np.sqrt((block**2).sum() + eps**2)
            features += block.ravel().tolist()
    return features


@pytest.mark.parametrize(
    "options",
    [
        Hog(), Hog(orientations=8, cell=8, block=1), Hog(orientations=4, cell=3, block=3, norm="L1"),
        Hog(norm="L1-sqrt", cell=5), Hog(norm="L2", sqrt=True), Hog(orientations=12, cell=2, block=4),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_hog_is_that_of_scikit_image(pictures: Pictures, options: Hog, channels: int) -> None:
    data = pictures(4, (channels, 16, 21))
    found = options.fit(data).transform(all_rows(data))
    expected = [hog_loops(row.numpy().reshape(channels, 16, 21), options) for row in all_rows(data)]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-6, rtol=0)


def test_hog_of_edges_at_bin_boundaries() -> None:
    """Diagonal and straight edges have angles of exactly 0, 45, 90 and 135 degrees."""
    y, x = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    planes = [x * 9, y * 9, (x + y) * 9, (7 - x + y) * 9, 0 * x]
    rows = torch.stack(planes).to(torch.uint8).flatten(1)
    options = Hog(orientations=4, cell=4, block=2)
    fitted = Fitted(options, RowKind(64, (1, 8, 8), 255.0), n_features=16)
    expected = torch.tensor([hog_loops(row.numpy().reshape(1, 8, 8), options) for row in rows])
    torch.testing.assert_close(fitted.transform(rows), expected, atol=1e-6, rtol=0)


def test_hues_of_plain_colours() -> None:
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [90, 90, 90]], dtype=torch.uint8)
    data = ArrayDataset(
        colours.repeat_interleave(64, 1), torch.zeros(5, dtype=torch.int64), ("a",), (3, 8, 8), "c", 255.0
    )
    options = Hog(color=True, hues=6)
    hues = options.fit(data).transform(all_rows(data))[:, Hog().width(RowKind.of(data)) :].view(5, 4, 6)
    expected = torch.zeros(5, 4, 6)
    for row, bin_ in enumerate((0, 2, 4, 1)):
        expected[row, :, bin_] = 1
    torch.testing.assert_close(hues, expected)


def patches_loops(image: NDArray[Any], fitted: Fitted, options: Patches) -> NDArray[np.float64]:
    """Coates, Lee and Ng, patch by patch in float64."""
    mean, whitener, centres = (fitted.tensors[name].double().numpy() for name in ("mean", "whitener", "centres"))
    tall, wide = (side - options.size + 1 for side in image.shape[1:])
    sums = np.zeros((2, 2, options.count))
    for y in range(tall):
        for x in range(wide):
            patch = image[:, y : y + options.size, x : x + options.size].astype(np.float64).ravel()
            patch = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + options.contrast)
            distance = np.linalg.norm((patch - mean) @ whitener - centres, axis=1)
            sums[int(y >= tall // 2), int(x >= wide // 2)] += np.maximum(0, distance.mean() - distance)
    return sums.reshape(-1)


@pytest.mark.parametrize("shape", [(3, 16, 20), (1, 9, 8)])
def test_patches_are_those_of_the_paper(pictures: Pictures, shape: tuple[int, int, int]) -> None:
    data, options = pictures(30, shape), Patches(20)
    fitted = options.fit(data)
    found = fitted.transform(all_rows(data))
    for row in (0, 29):
        expected = patches_loops(all_rows(data)[row].numpy().reshape(shape), fitted, options)
        largest = float(np.abs(expected).max())
        torch.testing.assert_close(found[row].double(), torch.tensor(expected), atol=1e-4 * largest, rtol=0)


def test_zca_whitens_and_centres_are_means(pictures: Pictures) -> None:
    data, options = pictures(60), Patches(8, whitening=1e-6)
    fitted = options.fit(data)
    sample = options._sample(data, torch.Generator().manual_seed(0))
    white = (sample - fitted.tensors["mean"]) @ fitted.tensors["whitener"]
    spectrum = torch.linalg.eigvalsh(torch.cov(white.double().mT))
    assert float(spectrum[-1]) == pytest.approx(1, abs=1e-3)
    nearest = torch.cdist(white, fitted.tensors["centres"]).argmin(1)
    start = white[torch.randperm(len(white))[:8]]
    spread = (white - fitted.tensors["centres"][nearest]).square().sum()
    assert spread < (white - start[torch.cdist(white, start).argmin(1)]).square().sum()


def test_whitening_adds_to_the_variance_of_a_direction(pictures: Pictures) -> None:
    data, options = pictures(60), Patches(8, whitening=0.5)
    fitted = options.fit(data)
    sample = options._sample(data, torch.Generator().manual_seed(0)).double()
    before = torch.linalg.eigvalsh(torch.cov(sample.mT)).clamp(min=0)
    after = torch.linalg.eigvalsh(torch.cov((sample @ fitted.tensors["whitener"].double()).mT))
    torch.testing.assert_close(after, before / (before + 0.5), atol=1e-4, rtol=0)


def test_few_centres_are_left_alone() -> None:
    """Norms of whitened patches have a long tail; of centres that start at patches, half would serve only these."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(4000, 108, generator=generator) * torch.randn(4000, 1, generator=generator).div(2).exp()
    told: list[tuple[int, int]] = []
    centres = k_means(points, 60, generator, lambda *count: told.append(count))
    served = torch.cdist(points, centres).argmin(1).bincount(minlength=60)
    assert int((served <= 2).sum()) <= 3
    means = torch.stack([points[torch.cdist(points, centres).argmin(1) == one].mean(0) for one in range(60)])
    assert float((means - centres).norm() / centres.norm()) < 0.05
    assert told == [(done, patches.ROUNDS) for done in range(1, patches.ROUNDS + 1)]


def test_many_centres_of_few_points_are_points_not_the_origin() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(100, 50, generator=generator)
    centres = k_means(points, 60, generator)
    assert int(torch.cdist(points, centres).argmin(1).unique().numel()) > 54
    assert float(centres.norm(dim=1).min()) > 3  # that of a point is about 7


def test_a_patch_that_is_a_centre_has_a_number(pictures: Pictures) -> None:
    """|w|^2 - 2 w c + |c|^2 may round below 0, whose root is no number."""
    data = pictures(3, (1, 7, 7))
    flat = replace(data, features=torch.zeros_like(all_rows(data)))
    fitted = Patches(5).fit(data)
    white = (fitted.tensors["whitener"].mT @ -fitted.tensors["mean"])[None]
    known = replace(
        fitted, tensors={**fitted.tensors, "centres": torch.cat([white * (1 + 1e-7 * k) for k in range(5)])}
    )
    assert bool(known.transform(all_rows(flat)).isfinite().all())


def test_kernel_features_are_those_of_the_gaussian(pictures: Pictures) -> None:
    data, options = load_digits(), Kernel(20_000)
    fitted = options.fit(data, seed=3)
    rows = all_rows(data)[:40]
    features = fitted.transform(rows).double()
    squares = torch.pdist(
        all_rows(data)[torch.randperm(1797, generator=torch.Generator().manual_seed(3))[:2000]].double()
    )
    width = 0.5 * math.sqrt(float(squares.square().median()))
    expected = (-torch.cdist(rows.double(), rows.double()).square() / (2 * width**2)).exp()
    assert float((features @ features.mT - expected).abs().max()) < 0.05  # six times 1 / sqrt(20,000)


def test_kernel_features_of_a_table_do_not_depend_on_units() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    moved = rows * torch.tensor([1.0, 1e6, 1e-4]) + torch.tensor([0.0, 1e9, 5.0])
    one, other = (
        Kernel(64).fit(data).transform(all_rows(data))
        for data in (ArrayDataset(x, torch.zeros(200, dtype=torch.int64), ("a",)) for x in (rows, moved))
    )
    torch.testing.assert_close(one, other, atol=1e-3, rtol=0)  # float32 has the mean, 1e9, within 64 of a spread of 1e6


EXTRACTORS = [Hog(), Hog(color=True), Patches(17), Kernel(33)]


@pytest.mark.parametrize("options", EXTRACTORS, ids=lambda one: one.name)
def test_a_row_is_its_own_and_seeds_repeat(pictures: Pictures, options: Extractor) -> None:
    data = pictures(40)
    fitted, again, other = (options.fit(data, seed) for seed in (1, 1, 2))
    features = fitted.transform(all_rows(data))
    assert features.dtype == torch.float32
    assert features.shape == (40, fitted.n_features)
    assert torch.equal(features, again.transform(all_rows(data)))
    assert torch.equal(features, other.transform(all_rows(data))) == (not fitted.tensors)
    single = torch.cat([fitted.transform(row[None]) for row in all_rows(data)])
    torch.testing.assert_close(single, features, atol=2e-3, rtol=1e-4)
    derived = ExtractedDataset(data, fitted)
    assert (derived.n_features, derived.image_shape, derived.value_range) == (fitted.n_features, None, 1.0)
    torch.testing.assert_close(
        derived.subset(torch.tensor([7, 3])).take(slice(0, 2)), features[[7, 3]], atol=2e-3, rtol=1e-4
    )


@pytest.mark.parametrize("options", EXTRACTORS, ids=lambda one: one.name)
def test_pictures_of_another_range_are_the_same_pictures(pictures: Pictures, options: Extractor) -> None:
    data = pictures(40)
    unit = replace(data, features=all_rows(data).float() / 255, value_range=1.0)
    one, other = (options.fit(rows).transform(all_rows(rows)) for rows in (data, unit))
    if not isinstance(options, Hog):  # whose bins have edges
        torch.testing.assert_close(one, other, atol=5e-2, rtol=1e-3)
    assert float((one - other).abs().mean()) < 1e-2


@pytest.mark.parametrize("options", [*EXTRACTORS, Custom("mine:embed", "0123")], ids=lambda one: one.name)
def test_facts_and_tensors_are_all_there_is(pictures: Pictures, options: Extractor) -> None:
    data = pictures(40)
    named = replace(options, function=lambda rows: rows.flatten(1)) if isinstance(options, Custom) else options
    fitted = replace(named.fit(data), trained_on="f" * 16)
    back = restore(fitted.facts(), dict(fitted.tensors))
    assert back.facts() == fitted.facts()
    if not isinstance(options, Custom):
        assert torch.equal(back.transform(all_rows(data)), fitted.transform(all_rows(data)))


def spoil(facts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**facts, **changes}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "sift"}, {"kind": ["patches"]}, {"options": {}}, {"options": {"count": 17}}, {"options": None},
        {"options": {"count": 10**9, "size": 6, "contrast": 10.0, "whitening": 0.1}},
        {"options": {"count": 18, "size": 6, "contrast": 10.0, "whitening": 0.1}},
        {"options": {"count": 17, "size": 6, "contrast": None, "whitening": 0.1}},
        {"options": {"count": 17, "size": "6", "contrast": 10.0, "whitening": 0.1}},
        {"image_shape": None}, {"image_shape": [3, 16]}, {"image_shape": [3, 16, -20]}, {"image_shape": "abc"},
        {"image_shape": [[3], 16, 20]}, {"value_range": 0}, {"value_range": "1"}, {"n_inputs": 10**12},
        {"n_inputs": "960"}, {"n_features": 5}, {"n_features": None},
    ],
    ids=str,
)  # fmt: skip
def test_facts_that_do_not_fit_are_refused(pictures: Pictures, change: dict[str, Any]) -> None:
    fitted = Patches(17).fit(pictures(40))
    assert restore(spoil(fitted.facts()), fitted.tensors).n_features == 68
    with pytest.raises(InputError):
        restore(spoil(fitted.facts(), **change), fitted.tensors)


def test_tensors_that_do_not_fit_are_refused(pictures: Pictures) -> None:
    fitted = Patches(17).fit(pictures(40))
    tensors = dict(fitted.tensors)
    for wrong in (
        {},
        {**tensors, "more": torch.zeros(1)},
        {**tensors, "mean": torch.zeros(3)},
        {**tensors, "mean": tensors["mean"].double()},
        {**tensors, "centres": tensors["centres"] * math.nan},
    ):
        with pytest.raises(InputError, match=r"patches:17"):
            restore(fitted.facts(), wrong)
    with pytest.raises(InputError, match="incomplete"):
        restore({"kind": "hog"}, {})


@pytest.mark.parametrize(
    "text",
    [
        "", "sift", "patches", "patches:", "patches:0", "patches:1e3", "patches:٣", "kernel:-5", "kernel:99999999999",
        "hog:8", "HOG", "a b:c", ":f", "m:", "os.system", "hf:",
    ],
)  # fmt: skip
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(InputError):
        parse_extractor(text)


def test_names_are_read_and_written() -> None:
    for text in ("hog", "hog+color", "patches:1600", "kernel:10", "package.module:function"):
        assert parse_extractor(text).name == text


def test_what_extractors_cannot_take(pictures: Pictures) -> None:
    table = ArrayDataset(torch.eye(4), torch.tensor([0, 1, 0, 1]), ("a", "b"), name="table")
    for options in (Hog(), Patches(4)):
        with pytest.raises(InputError, match=r"takes pictures; these are rows of a table. Try kernel:1000"):
            options.fit(table)
    with pytest.raises(InputError, match="at least 7 x 7 pixels; got 6 x 9"):
        Patches(4).fit(pictures(4, (3, 6, 9)))
    with pytest.raises(InputError, match="takes pictures in colour"):
        Hog(color=True).fit(pictures(4, (1, 16, 16)))
    with pytest.raises(InputError, match=r"patches:500 needs as many patches to learn from; 4 pictures give 40"):
        Patches(500).fit(pictures(4))
    with pytest.raises(InputError, match="most are equal"):
        Kernel(5).fit(ArrayDataset(torch.ones(9, 2), torch.zeros(9, dtype=torch.int64), ("a",)))
    fitted = Hog().fit(pictures(4))
    with pytest.raises(InputError, match="must have 960 columns; got 5"):
        fitted.transform(torch.zeros(2, 5))
    with pytest.raises(InputError, match=r"row 1, column 0 has nan"):
        fitted.transform(torch.cat([torch.zeros(1, 960), torch.full((1, 960), math.nan)]))


def test_features_that_are_too_many_or_no_numbers_are_refused(pictures: Pictures) -> None:
    data = pictures()
    with pytest.raises(InputError, match=r"features of a row; at most 1,048,576 are held"):
        Hog(cell=1, block=8, orientations=360).fit(data)
    nothing = Custom("here:nothing", None, lambda batch: batch.flatten(1) * float("nan")).fit(data)
    with pytest.raises(InputError, match="features of here:nothing"):
        nothing.transform(all_rows(data))


def test_functions_of_ones_own(pictures: Pictures) -> None:
    data, seen = pictures(300), []

    def embed(batch: Tensor) -> NDArray[Any]:
        seen.append(tuple(batch.shape))
        return batch.float().mean((2, 3)).numpy()

    fitted = Custom("here:embed", None, embed).fit(data)
    assert fitted.transform(all_rows(data)).shape == (300, 3)
    assert seen == [(1, 3, 16, 20), (256, 3, 16, 20), (44, 3, 16, 20)]
    for wrong, message in (
        (lambda batch: batch.float().mean((1, 2, 3)), r"must return numbers of shape \(b, D\)"),
        (lambda batch: "text", r"failed on a batch of shape \(1, 3, 16, 20\) \(TypeError"),
        (lambda batch: 1 / 0, "ZeroDivisionError: division by zero"),
    ):
        with pytest.raises(InputError, match=message):
            Custom("here:embed", None, wrong).fit(data)


def test_a_function_is_imported_only_where_it_is_named(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imported_by_name.py").write_text("def embed(batch):\n    return batch.flatten(1)[:, :2]\nnumber = 3\n")
    monkeypatch.chdir(tmp_path)
    named = parse_extractor("imported_by_name:embed")
    with pytest.raises(InputError, match=r"which no file starts\. Name it again with --with imported_by_name:embed"):
        named.fit(load_digits())
    assert open_extractor("imported_by_name:embed").fit(load_digits()).n_features == 2
    with pytest.raises(InputError, match="must have a function number"):
        open_extractor("imported_by_name:number")
    with pytest.raises(InputError, match="cannot be imported"):
        open_extractor("no_such_module_anywhere:embed")
