"""Copies of images against plain loops over pixels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, AugmentedDataset, Dataset, load_digits, parse_augment
from colinear.datasets.augment import Augmentation


def images(n: int = 4, channels: int = 2, height: int = 3, width: int = 4) -> ArrayDataset:
    generator = torch.Generator().manual_seed(n)
    pixels = torch.randint(0, 256, (n, channels * height * width), generator=generator, dtype=torch.uint8)
    return ArrayDataset(pixels, torch.arange(n) % 3, ("a", "b", "c"), (channels, height, width), value_range=255.0)


def copied(image: torch.Tensor, down: int, right: int, flip: bool) -> torch.Tensor:
    """One image (channels, height, width), pixel by pixel: move it, repeat the edge, then mirror."""
    _, height, width = image.shape
    out = torch.empty_like(image)
    for y in range(height):
        for x in range(width):
            from_x = width - 1 - x if flip else x
            out[:, y, x] = image[:, min(max(y - down, 0), height - 1), min(max(from_x - right, 0), width - 1)]
    return out


def expected(data: ArrayDataset, mirror: bool, shift: int) -> torch.Tensor:
    moves = [(0, 0), (-shift, 0), (shift, 0), (0, -shift), (0, shift)] if shift else [(0, 0)]
    flips = [False, True] if mirror else [False]
    shape = data.image_shape
    assert shape is not None
    rows = [copied(row.view(shape), *move, flip).flatten() for flip in flips for move in moves for row in data.features]
    return torch.stack(rows)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_copies_equal_the_loops(mirror: bool, shift: int) -> None:
    data = images()
    augmented = AugmentedDataset(data, mirror, shift)
    torch.testing.assert_close(augmented.take(slice(0, augmented.n_samples)), expected(data, mirror, shift))
    assert augmented.n_samples == (2 if mirror else 1) * (5 if shift else 1) * data.n_samples


@given(data=st.data())
def test_any_rows_of_any_view_are_the_rows_of_the_whole(data: st.DataObject) -> None:
    base = images(3)
    augmented = AugmentedDataset(base, mirror=True, shift=1)
    whole = expected(base, True, 1)
    n = augmented.n_samples
    rows = torch.tensor(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=12)))
    start, stop = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    torch.testing.assert_close(augmented.take(rows), whole[rows])
    torch.testing.assert_close(augmented.take(slice(start, stop)), whole[start:stop])
    torch.testing.assert_close(augmented.take(slice(start, stop, 3)), whole[start:stop:3])
    view = augmented.subset(rows)
    torch.testing.assert_close(view.take(slice(0, 5)), whole[rows][:5])
    torch.testing.assert_close(view.labels, augmented.labels[rows])
    torch.testing.assert_close(view.base_rows, augmented.base_rows[rows])
    torch.testing.assert_close(view.subset(slice(1, None)).labels, augmented.labels[rows[1:]])


def test_labels_follow_the_base_image() -> None:
    augmented = AugmentedDataset(images(), mirror=True, shift=1)
    assert augmented.base_rows.tolist() == list(range(4)) * 10
    assert augmented.labels.tolist() == [0, 1, 2, 0] * 10


def test_protocol_and_base_facts() -> None:
    data = load_digits()
    augmented = parse_augment("mirror,shift:1").apply(data)
    assert isinstance(augmented, Dataset)
    assert augmented.n_samples == 17970
    for name in ("name", "class_names", "image_shape", "n_features", "n_classes", "dtype", "value_range"):
        assert getattr(augmented, name) == getattr(data, name)
    assert augmented.fingerprint != data.fingerprint
    assert augmented.to(torch.device("cpu")).fingerprint == augmented.fingerprint


def test_stored_images_are_never_written() -> None:
    data = images()
    before = data.features.clone()
    augmented = AugmentedDataset(data, mirror=True, shift=1)
    for start in range(0, augmented.n_samples, 3):
        augmented.take(slice(start, start + 3))
    assert torch.equal(data.features, before)


def test_chunk_of_a_copy_is_the_first_row_order() -> None:
    """Copy 0 is the image itself, so the first rows are the base rows, without a copy of memory."""
    data = images()
    assert AugmentedDataset(data, shift=1).take(slice(0, 4)).data_ptr() == data.features.data_ptr()


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("mirror", Augmentation(True, 0)),
        ("shift:2", Augmentation(False, 2)),
        ("shift:1, mirror", Augmentation(True, 1)),
        ("none", Augmentation()),
    ],
)
def test_parse(text: str, want: Augmentation) -> None:
    assert parse_augment(text) == want
    assert parse_augment(str(want)) == want


@pytest.mark.parametrize("text", ["", "mirror:1", "shift", "shift:0", "shift:-1", "shift:1,shift:2", "mirror,,", "x"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(InputError, match="augment must be parts of mirror and shift:PIXELS"):
        parse_augment(text)


def test_no_copies_is_the_dataset_itself() -> None:
    data = images()
    assert parse_augment("none").apply(data) is data


def test_tables_and_large_shifts_are_refused() -> None:
    table = ArrayDataset(torch.zeros(2, 3), torch.tensor([0, 1]), ("a", "b"))
    with pytest.raises(InputError, match="augmenting needs images"):
        AugmentedDataset(table, mirror=True)
    with pytest.raises(InputError, match="shift must be less than the images' 3 x 4 pixels; got 3"):
        AugmentedDataset(images(), shift=3)
    with pytest.raises(InputError, match="shift must be a whole number"):
        AugmentedDataset(images(), shift=-1)
