"""Every file that wants to hurt ends in one clear line; every odd file of daily use is read.

The table is `tests.hostile`. A child process reads all of it: nothing here may hang this one, or take its memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.hostile import EVERYDAY, HOSTILE, PICTURES
from tests.hostile import everyday as files
from tests.program import Program, assert_refused

from colinear.datasets import load_table, read_image

LONGEST = 500  # characters of a message without the folder that the test chose
MOST_MEGABYTES = 300  # that reading all of them, one after the other, may add
READER = """
import json, sys, warnings
from pathlib import Path
from colinear.checks import InputError
from colinear.datasets import load_folder, open_split, read_image

def peak():  # MB; not getrusage, whose peak is the parent's where that is higher
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

warnings.simplefilter("error")
for name, kind, path in json.load(sys.stdin):
    reader = {"picture": lambda at: read_image(at, (3, 8, 8)), "pictures": load_folder, "data": open_split}[kind]
    before, said = peak(), None
    try:
        reader(Path(path))
    except InputError as error:
        said = str(error)
    except Exception as error:
        said = repr(error)
        kind = "defect"
    print(json.dumps([name, kind, said, peak() - before]), flush=True)
"""


def write_all(root: Path) -> list[tuple[str, str, str]]:
    """(name, what kind of reader is to read it, path) of every threat; pictures also as the only ones of a class."""
    work = []
    for name, make in HOSTILE.items():
        folder = root / name
        folder.mkdir()
        path = make(folder)
        work.append((name, "picture" if name in PICTURES else "data", str(path)))
        if name in PICTURES:
            (folder / "classes" / "a").mkdir(parents=True)
            (folder / "classes" / "a" / path.name).symlink_to(path)
            work.append((f"{name} in a folder", "pictures", str(folder / "classes")))
    return work


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """name -> (kind, message or None, MB added to the peak); `started` tells which programs were started."""
    root = tmp_path_factory.mktemp("h")
    work = write_all(root)
    traps = root / "programs"
    traps.mkdir()
    for program in ("gs", "gswin32c", "djpeg", "sh", "cat"):
        (traps / program).write_text(f"#!/bin/bash\necho {program} >> {traps}/started\n")
        (traps / program).chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(work),
        env={**os.environ, "PATH": str(traps)},
        capture_output=True,
        text=True,
        timeout=300,  # a reader that waits for ever is a failure, not a wait
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        name, kind, said, megabytes = json.loads(line)
        found[name] = (kind, None if said is None else said.replace(str(root / name.split()[0]), ""), megabytes)
    started = traps / "started"
    return {**found, "started": started.read_text() if started.exists() else ""}


@pytest.mark.parametrize("name", [*HOSTILE, *(f"{name} in a folder" for name in PICTURES)])
def test_every_threat_is_one_clear_error(verdicts: dict[str, Any], name: str) -> None:
    kind, said, _ = verdicts[name]
    assert said is not None, "it was read"
    assert kind != "defect", said
    lines = said.splitlines()
    assert 1 <= len(lines) <= 2
    assert len(said) <= LONGEST, said
    assert all(line.isprintable() for line in lines), said


def test_threats_take_no_memory_and_start_no_program(verdicts: dict[str, Any]) -> None:
    assert verdicts.pop("started") == ""
    assert sum(megabytes for _, _, megabytes in verdicts.values()) < MOST_MEGABYTES


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("eps_named_png", "none of PNG, JPEG, BMP, WEBP"),
        ("avif_damaged_named_jpg", "none of PNG, JPEG, BMP, WEBP"),
        ("png_of_one_long_column", "has 1 x 64000000 pixels"),
        ("jpeg_of_endless_scans", "more than 100 scans"),
        ("picture_is_a_pipe", "must be a regular file; it is a pipe"),
        ("picture_is_a_device", "must be a regular file; it is a device"),
        ("table_is_a_socket", "must be a regular file; it is a socket"),
        ("svm_of_a_billion_columns", "1,000,000,000 columns need takes 59.6 GiB, announced by 14 bytes"),
        ("npy_shape_beyond_the_file", "announces float32 of shape (1000000000, 1000), but holds 96 bytes"),
        ("npy_larger_than_memory_as_float32", "memory"),
        ("npy_labels_of_a_million_characters", "at most 1,000 characters"),
        ("npz_that_inflates", "at most 500 times its size is believed"),
        ("npz_member_announces_too_much", "but holds 0 bytes of values"),
        ("npz_by_lzma", "must be stored or deflated"),
        ("pt_sparse", "got a sparse_coo tensor of float32"),
        ("pt_nested", "got a nested tensor"),
        ("pt_quantized", "got a tensor of quint8"),
        ("pt_meta", "got a meta tensor"),
        ("pt_float8", "got a tensor of float8_e4m3fn"),
        ("pt_bits8", "got a tensor of bits8"),
        ("pt_labels_none", "one label per row; got NoneType"),
        ("pt_labels_one_number", "one label per row; got int"),
        ("pt_labels_one_of_five_megabytes", "5,000,000 characters without white space"),
        ("pt_rows_that_share_memory", "announced by"),
        ("parquet_of_long_runs", "at most 500 times its size is believed"),
        ("parquet_label_of_five_megabytes", "row 999 has 5,000,000"),
        ("folder_with_a_pipe", "1 of 5 pictures cannot be read (less than 1 % may be): a/x.png"),
        ("folder_of_pictures_that_inflate", "the matrix of pixels takes 366 MiB"),
    ],
)
def test_the_message_says_what_is_wrong(verdicts: dict[str, Any], name: str, words: str) -> None:
    assert words in verdicts[name][1]


@pytest.mark.parametrize("name", [name for name in EVERYDAY if not name.startswith("picture")])
def test_everyday_data_is_read(tmp_path: Path, name: str) -> None:
    from colinear.datasets import open_split

    split = open_split(EVERYDAY[name](tmp_path))
    assert split.train.n_classes == 3
    assert split.train.n_samples >= 21
    split.train.name.encode()  # names can be written anywhere
    for label in split.train.class_names:
        label.encode()


@pytest.mark.parametrize("name", [name for name in EVERYDAY if name.startswith("picture")])
def test_everyday_pictures_are_read(tmp_path: Path, name: str) -> None:
    row = read_image(EVERYDAY[name](tmp_path), (3, 8, 8))
    assert row.view(3, 64).float().mean(1).tolist() == pytest.approx([10, 20, 30], abs=1)


@pytest.mark.parametrize("make", [files.pt_parameter, files.pt_requires_grad])
def test_parameters_become_plain_rows(tmp_path: Path, make: Any) -> None:
    data = load_table(make(tmp_path))
    assert type(data.features) is type(files.ROWS)
    assert not data.features.requires_grad
    assert data.features.tolist() == files.ROWS.tolist()
    assert data.labels.tolist() == files.CODES.tolist()


def test_class_folders_that_are_not_utf8_stay_apart(tmp_path: Path) -> None:
    from colinear.datasets import load_folder

    assert load_folder(files.classes_not_utf8(tmp_path)).class_names == ("café", "caf\\xe8", "caf\\xe9")


def test_orientation_is_followed_where_the_rest_of_the_exif_is_broken(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    path = files.picture_with_orientation_of_fractions(tmp_path)
    with Image.open(path) as image:
        exif = image.info["exif"]
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, 16:] = 255  # the right half; turned clockwise it lies below
    Image.fromarray(pixels).save(path, exif=exif, quality=100)
    row = read_image(path, (3, 32, 16)).view(3, 32, 16).float()
    assert float(row[:, :12].max()) < 20
    assert float(row[:, 20:].min()) > 235


@pytest.mark.parametrize("name", ["eps_named_png", "png_of_one_long_column", "picture_is_a_pipe"])
def test_predict_names_the_picture(colinear: Program, tmp_path: Path, model_file: Path, name: str) -> None:
    path = HOSTILE[name](tmp_path)
    assert_refused(colinear("predict", model_file, path), path.name)


@pytest.mark.parametrize("name", ["npy_type_is_empty_tuple", "pt_labels_none", "table_is_a_device"])
def test_the_program_names_the_file(colinear: Program, tmp_path: Path, name: str) -> None:
    path = HOSTILE[name](tmp_path)
    assert_refused(colinear("fit", path, "--out", tmp_path / "m.safetensors"), path.name[-20:])


def test_the_program_says_of_a_name_too_long_that_it_is(colinear: Program, tmp_path: Path) -> None:
    path = HOSTILE["table_name_too_long"](tmp_path)
    assert_refused(colinear("fit", path, "--out", tmp_path / "m.safetensors"), "304 bytes", "255")


def test_a_folder_that_is_not_utf8_trains_a_model(colinear: Program, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    said = colinear("fit", files.folder_not_utf8(tmp_path), "--out", out, "--quiet")
    assert (said.status, said.err) == (0, "")
    assert out.is_file()
