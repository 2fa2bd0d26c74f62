"""Files that look odd and are in daily use: they must work."""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

ROWS = torch.arange(60, dtype=torch.float32).reshape(30, 2) / 60
CODES = torch.arange(30) % 3


def pt_parameter(folder: Path) -> Path:
    torch.save({"X": torch.nn.Parameter(ROWS), "y": CODES}, folder / "x.pt")
    return folder / "x.pt"


def pt_requires_grad(folder: Path) -> Path:
    torch.save({"X": ROWS.clone().requires_grad_(), "y": CODES.float().requires_grad_()}, folder / "x.pt")
    return folder / "x.pt"


def pt_float16(folder: Path) -> Path:
    torch.save({"X": ROWS.half(), "y": CODES.half()}, folder / "x.pt")
    return folder / "x.pt"


def pt_bfloat16_parameter(folder: Path) -> Path:
    torch.save({"X": torch.nn.Parameter(ROWS.bfloat16()), "y": CODES.bfloat16()}, folder / "x.pt")
    return folder / "x.pt"


def pt_state_dict(folder: Path) -> Path:
    torch.save(OrderedDict(embeddings=ROWS, labels=CODES, epoch=3, note="kept"), folder / "x.pt")
    return folder / "x.pt"


def pt_before_torch_1_6(folder: Path) -> Path:
    torch.save({"X": ROWS, "y": CODES}, folder / "x.pth", _use_new_zipfile_serialization=False)
    return folder / "x.pth"


def pt_transposed_view(folder: Path) -> Path:
    torch.save({"X": ROWS.T.contiguous().T, "y": CODES}, folder / "x.pt")
    return folder / "x.pt"


def pt_labels_in_a_list(folder: Path) -> Path:
    torch.save({"X": ROWS, "y": ["a", "b", "c"] * 10}, folder / "x.pt")
    return folder / "x.pt"


def pt_labels_uint8(folder: Path) -> Path:
    torch.save({"X": ROWS, "y": CODES.to(torch.uint8)}, folder / "x.pt")
    return folder / "x.pt"


def pt_labels_uint16(folder: Path) -> Path:
    torch.save({"X": ROWS, "y": CODES.to(torch.uint16)}, folder / "x.pt")
    return folder / "x.pt"


def pt_labels_int16(folder: Path) -> Path:
    torch.save({"X": ROWS, "y": CODES.to(torch.int16)}, folder / "x.pt")
    return folder / "x.pt"


def pt_rows_uint16(folder: Path) -> Path:
    torch.save({"X": (ROWS * 60).to(torch.uint16), "y": CODES}, folder / "x.pt")
    return folder / "x.pt"


def npy_in_column_order(folder: Path) -> Path:
    np.save(folder / "x.npy", np.asfortranarray(ROWS.numpy()))
    np.save(folder / "y.npy", CODES.numpy().reshape(-1, 1))
    return folder / "x.npy"


def npy_through_a_link(folder: Path) -> Path:
    np.save(folder / "elsewhere.npy", ROWS.numpy())
    np.save(folder / "y.npy", CODES.numpy())
    (folder / "x.npy").symlink_to(folder / "elsewhere.npy")
    return folder / "x.npy"


def npy_of_long_doubles(folder: Path) -> Path:
    np.save(folder / "x.npy", ROWS.numpy().astype(np.longdouble))
    np.save(folder / "y.npy", CODES.numpy())
    return folder / "x.npy"


def npz_deflated(folder: Path) -> Path:
    np.savez_compressed(folder / "x.npz", X=ROWS.numpy(), y=np.array(["a", "b", "c"] * 10), scalar=3)
    return folder / "x.npz"


def npz_of_nothing_but_zeros(folder: Path) -> Path:
    """16 MB in 16 kB: small things may be as empty as they like."""
    np.savez_compressed(folder / "x.npz", X=np.zeros((30, 133_333), np.float32), y=CODES.numpy())
    return folder / "x.npz"


def svm_sparse_text(folder: Path) -> Path:
    (folder / "x.svm").write_text("".join(f"{row % 3} {1 + row}:1 50000:0.5\n" for row in range(30)))
    return folder / "x.svm"


def parquet_of_categories(folder: Path) -> Path:
    frame = pd.DataFrame(ROWS.numpy(), columns=["a", "b"])
    frame.assign(label=pd.Categorical(["x", "y", "z"] * 10)).to_parquet(folder / "x.parquet", row_group_size=7)
    return folder / "x.parquet"


def _folder(root: Path, *names: str | bytes) -> Path:
    for number, name in enumerate(names):
        place = Path(os.fsdecode(os.path.join(os.fsencode(root), os.fsencode(name))))
        place.mkdir(parents=True)
        for row in range(10):
            Image.new("RGB", (4, 4), (row, number, 0)).save(place / f"{row}.png")
    return root


def folder_not_utf8(folder: Path) -> Path:
    return _folder(Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")), "a", "b", "c")


def classes_not_utf8(folder: Path) -> Path:
    return _folder(folder / "data", b"caf\xe9", b"caf\xe8", "café")


def folder_named_as_a_picture(folder: Path) -> Path:
    root = _folder(folder / "data", "a", "b", "c")
    (root / "a" / "more.png").mkdir()
    Image.new("RGB", (4, 4)).save(root / "a" / "more.png" / "x.png")
    return root


def folder_of_links(folder: Path) -> Path:
    root = _folder(folder / "data", "a", "b", "c")
    for place in sorted(root.iterdir()):
        (place / "again.png").symlink_to(place / "0.png")
    return root


def _with_exif(path: Path, exif: bytes) -> Path:
    Image.new("RGB", (32, 16), (10, 20, 30)).save(path, exif=b"Exif\0\0" + exif)
    return path


def picture_with_exif_of_noise(folder: Path) -> Path:
    return _with_exif(folder / "x.jpg", bytes(range(200)))


def picture_with_exif_cut_short(folder: Path) -> Path:
    return _with_exif(folder / "x.png", b"MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\xff\xff")


def picture_with_orientation_of_fractions(folder: Path) -> Path:
    """A turned picture whose EXIF has a fraction by zero, which Pillow cannot write back."""
    entries = struct.pack("<HHIHxx", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x011A, 5, 1, 38)
    return _with_exif(
        folder / "x.jpg", b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4) + struct.pack("<II", 1, 0)
    )


def picture_with_orientation_of_text(folder: Path) -> Path:
    return _with_exif(
        folder / "x.jpg",
        b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHI4s", 0x0112, 2, 4, b"six\0") + bytes(4),
    )


def picture_with_orientation_of_many(folder: Path) -> Path:
    return _with_exif(
        folder / "x.jpg",
        b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHIHH", 0x0112, 3, 2, 6, 6) + bytes(4),
    )


def picture_of_a_long_strip(folder: Path) -> Path:
    Image.new("RGB", (60_000, 3), (10, 20, 30)).save(folder / "x.png")
    return folder / "x.png"


def picture_by_another_name(folder: Path) -> Path:
    Image.new("RGB", (8, 8), (10, 20, 30)).save(folder / "x.png", "JPEG")
    return folder / "x.png"
