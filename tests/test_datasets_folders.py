"""Pictures of any kind, one by one and in folders of classes."""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from colinear.checks import InputError
from colinear.datasets import folders, load_folder, read_image
from colinear.datasets.images import probe_image


def solid(mode: str, color: object, size: tuple[int, int] = (6, 4)) -> Image.Image:
    return Image.new(mode, size, color)  # type: ignore[arg-type]


def palette() -> Image.Image:
    image = Image.new("P", (6, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return image


def clear_palette() -> Image.Image:
    image = palette()
    image.info["transparency"] = 1
    return image


@pytest.mark.parametrize(
    ("image", "ending", "want"),
    [
        (solid("RGB", (10, 20, 30)), "png", (10, 20, 30)),
        (solid("L", 40), "png", (40, 40, 40)),
        (solid("1", 1), "png", (255, 255, 255)),
        (solid("RGBA", (10, 20, 30, 0)), "png", (255, 255, 255)),
        (solid("RGBA", (0, 0, 0, 128)), "png", (127, 127, 127)),
        (solid("LA", (0, 255)), "png", (0, 0, 0)),
        (palette(), "png", (10, 20, 30)),
        (clear_palette(), "png", (255, 255, 255)),
        (solid("I;16", 0x1234), "png", (0x12, 0x12, 0x12)),
        (solid("CMYK", (0, 0, 0, 255)), "jpg", (0, 0, 0)),
        (solid("RGB", (10, 20, 30)), "bmp", (10, 20, 30)),
        (solid("RGB", (128, 128, 128)), "webp", (128, 128, 128)),
    ],
    ids=lambda value: getattr(value, "mode", None),
)
def test_every_mode_becomes_rgb(tmp_path: Path, image: Image.Image, ending: str, want: tuple[int, ...]) -> None:
    path = tmp_path / f"a.{ending}"
    image.save(path)
    row = read_image(path, (3, 2, 3))
    assert (row.shape, row.dtype) == ((18,), torch.uint8)
    assert row.view(3, 6).float().mean(1).tolist() == pytest.approx(want, abs=1)


def test_order_is_channel_row_column(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    row = read_image(tmp_path / "a.png", (3, 2, 4))
    assert row.tolist() == pixels.transpose(2, 0, 1).ravel().tolist()


def test_resizing_averages(tmp_path: Path) -> None:
    """A fine chequerboard shrinks to even grey; without antialiasing it would be black or white."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "a.png")
    row = read_image(tmp_path / "a.png", (1, 8, 8))
    assert int(row.min()) > 110
    assert int(row.max()) < 145


def test_value_range_of_digits(tmp_path: Path) -> None:
    solid("L", 255).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", (1, 8, 8), value_range=16.0).unique().tolist() == [16]


def test_exif_orientation_is_followed(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, 16:] = 255  # right half white; turned by 90 degrees clockwise it is the lower half
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=100)
    row = read_image(tmp_path / "a.jpg", (3, 32, 16)).view(3, 32, 16).float()
    assert float(row[:, :12].max()) < 20
    assert float(row[:, 20:].min()) > 235


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8001, 10_000, 50_000])
def test_bombs_are_refused(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png_header(side, side))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(InputError, match="pixels"):
            read_image(tmp_path / "a.png", (3, 4, 4))
    assert not seen


@pytest.mark.parametrize("content", [b"", b"hello, no image", png_header(32, 32)])
def test_no_image_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png cannot be read as an image"):
        read_image(tmp_path / "a.png", (3, 4, 4))


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp"])
def test_truncated_pictures_are_one_clear_error(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    for length in range(0, len(content) * 9 // 10, len(content) // 9):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="cannot be read as an image"):
            read_image(path, (3, 4, 4))


def test_missing_picture_and_odd_channels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_image(tmp_path / "a.png", (3, 4, 4))
    with pytest.raises(InputError, match="1 or 3 channels"):
        read_image(tmp_path / "a.png", (2, 4, 4))


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Two classes, six pictures 6 x 4 and one 9 x 9; hidden and foreign files beside them."""
    root = tmp_path / "zoo"
    for number, name in enumerate(("ant", "bee")):
        (root / name / "more").mkdir(parents=True)
        for row in range(3):
            place = root / name / ("more" if row == 2 else "")
            solid("RGB", (10 * row, number, 7)).save(place / f"{row}.PNG")
    solid("RGB", (200, 200, 200), (9, 9)).save(root / "bee" / "z.jpg")
    (root / "bee" / "notes.txt").write_text("no picture")
    (root / "bee" / ".hidden.png").write_text("no picture")
    (root / ".cache").mkdir()
    (root / "empty").mkdir()
    return root


def test_folder_in_sorted_order_at_the_common_size(zoo: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    data = load_folder(zoo, progress=lambda *step: seen.append(step))
    assert (data.name, data.class_names, data.image_shape) == ("zoo", ("ant", "bee"), (3, 4, 6))
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert data.take(slice(0, 6))[:, 0].tolist() == [0, 10, 20, 0, 10, 20]
    assert (data.dtype, data.value_range) == (torch.uint8, 255.0)
    assert seen == [("reading headers", 7, 7), ("decoding pictures", 7, 7)]


def test_threads_change_nothing(zoo: Path) -> None:
    assert load_folder(zoo, workers=1).fingerprint == load_folder(zoo, workers=5).fingerprint


def test_size_and_channels_are_the_callers(zoo: Path) -> None:
    assert load_folder(zoo, size=(2, 3), channels=1).image_shape == (1, 2, 3)
    with pytest.raises(InputError, match="sizes must be >= 1"):
        load_folder(zoo, size=(0, 3))
    with pytest.raises(InputError, match="Give another size"):
        load_folder(zoo, size=(100_000, 100_000))


def test_grey_only_if_all_are_grey(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        solid("L", 50 + number).save(tmp_path / name / "0.png")
    assert load_folder(tmp_path).image_shape == (1, 4, 6)
    solid("RGBA", (1, 2, 3, 255)).save(tmp_path / "a" / "1.png")
    mixed = load_folder(tmp_path)
    assert mixed.image_shape == (3, 4, 6)
    assert mixed.take(torch.tensor([0, 1]))[:, [0, 24, 48]].tolist() == [[50, 50, 50], [1, 2, 3]]


@pytest.mark.parametrize("content", [b"no image", png_header(16, 16)], ids=["header", "pixels"])
def test_few_unreadable_files_are_listed_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for row in range(60):
            solid("RGB", (row, 0, 0)).save(tmp_path / name / f"{row:02}.png")
    (tmp_path / "a" / "30x.png").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        data = load_folder(tmp_path)
    assert data.n_samples == 120
    assert data.take(slice(29, 33))[:, 0].tolist() == [29, 30, 31, 32]
    assert data.labels.bincount().tolist() == [60, 60]
    assert "1 of 121 pictures cannot be read" in caplog.text
    assert "30x.png" in caplog.text
    (tmp_path / "b" / "31x.png").write_bytes(content)
    with pytest.raises(InputError, match=r"2 of 122 pictures cannot be read .*30x\.png.*31x\.png"):
        load_folder(tmp_path)


def test_folders_that_have_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one folder a class"):
        load_folder(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        load_folder(tmp_path / "absent")


def test_probe_reads_headers_only(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_header(32, 16))
    assert probe_image(tmp_path / "a.png") == ((16, 32), False)
    (tmp_path / "b.png").write_bytes(b"x")
    assert probe_image(tmp_path / "b.png") is None


def test_a_folder_of_other_things_is_not_walked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("a", 3), ("b", 40), ("c", 40)):
        (tmp_path / name).mkdir()
        Image.new("L", (2, 2)).save(tmp_path / name / "0.png")
        for number in range(count):
            (tmp_path / name / f"{number:02}.txt").touch()
    monkeypatch.setattr(folders, "MOST_OTHERS", 25)
    looked: list[Path] = []
    real = folders._is_picture
    monkeypatch.setattr(folders, "_is_picture", lambda file: bool(looked.append(file)) or real(file))
    with pytest.raises(InputError, match=r"among its first 2\d files and folders that are no pictures stand [12] that"):
        load_folder(tmp_path)
    assert len(looked) <= 28  # of 86
    monkeypatch.setattr(folders, "MOST_OTHERS", 100)
    assert load_folder(tmp_path).n_samples == 3
