"""Threats by svmlight text and Parquet: indices that no matrix has, runs that unfold, names without end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet


def _text(folder: Path, text: str) -> Path:
    (folder / "x.svm").write_text(text)
    return folder / "x.svm"


def svm_of_a_billion_columns(folder: Path) -> Path:
    return _text(folder, "1 1000000000:1")


def svm_of_many_rows_and_columns(folder: Path) -> Path:
    return _text(folder, "1 1:1 100000:1\n" * 1000)


def svm_index_beyond_int32(folder: Path) -> Path:
    return _text(folder, "1 2147483648:1\n2 1:1\n")


def svm_index_beyond_int64(folder: Path) -> Path:
    return _text(folder, "1 9223372036854775808:1\n2 1:1\n")


def svm_index_of_400_digits(folder: Path) -> Path:
    return _text(folder, f"1 {'9' * 400}:1\n2 1:1\n")


def svm_index_negative(folder: Path) -> Path:
    return _text(folder, "1 -5:1\n2 1:1\n")


def svm_label_infinite(folder: Path) -> Path:
    return _text(folder, "1e400 1:1\n2 1:1\n")


def svm_value_infinite(folder: Path) -> Path:
    return _text(folder, "1 1:1e400\n2 1:1\n")


def svm_of_one_long_word(folder: Path) -> Path:
    return _text(folder, "1 " + "x\x1b[31m" * 100_000)


def svm_of_zero_bytes(folder: Path) -> Path:
    (folder / "x.svm").write_bytes(b"\0" * 10_000)
    return folder / "x.svm"


def _parquet(folder: Path, table: pa.Table) -> Path:
    parquet.write_table(table, folder / "x.parquet")
    return folder / "x.parquet"


def parquet_of_long_runs(folder: Path) -> Path:
    """80 million equal values in some hundred kB."""
    ones = pa.array(np.ones(10_000_000, np.int8))
    return _parquet(folder, pa.table({**{f"f{place}": ones for place in range(7)}, "label": ones}))


def parquet_label_of_five_megabytes(folder: Path) -> Path:
    labels = pa.array(["a", "b"] * 499 + ["a", "c" * 5_000_000])
    return _parquet(folder, pa.table({"f": np.zeros(1000), "label": labels}))


def parquet_label_of_five_megabytes_in_every_row(folder: Path) -> Path:
    """One text, named by 1,000 rows: 5 GB, if each row had its own."""
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int32)), pa.array(["c" * 5_000_000]))
    return _parquet(folder, pa.table({"f": np.zeros(1000), "label": words}))


def parquet_of_long_names(folder: Path) -> Path:
    return _parquet(folder, pa.table({f"{n}" + "\n" * 5000: [1.0] for n in range(20)}))


def parquet_of_deep_types(folder: Path) -> Path:
    kind, value = pa.int8(), 1
    for _ in range(50):
        kind, value = pa.struct([("a_long_name_of_a_field", kind)]), {"a_long_name_of_a_field": value}
    return _parquet(folder, pa.table({"f": pa.array([value], kind), "label": [1]}))


def parquet_of_dates_as_labels(folder: Path) -> Path:
    return _parquet(folder, pa.table({"f": [1.0, 2.0], "label": pa.array([1, 2], pa.timestamp("us"))}))


def parquet_of_bytes_as_labels(folder: Path) -> Path:
    return _parquet(folder, pa.table({"f": [1.0, 2.0], "label": pa.array([[1], [2]])}))


def parquet_footer_damaged(folder: Path) -> Path:
    path = _parquet(folder, pa.table({"f": [1.0, 2.0], "label": [0, 1]}))
    content = bytearray(path.read_bytes())
    content[-60:-20] = b"\xff" * 40
    path.write_bytes(content)
    return path


def table_is_a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "x.npz")
    return folder / "x.npz"


def table_is_a_device(folder: Path) -> Path:
    (folder / "x.svm").symlink_to("/dev/zero")
    return folder / "x.svm"


def table_is_a_socket(folder: Path) -> Path:
    listener, here = socket.socket(socket.AF_UNIX), Path.cwd()
    os.chdir(folder)  # a socket's path has at most 108 bytes
    try:
        listener.bind("x.pt")
    finally:
        os.chdir(here)
        listener.close()
    return folder / "x.pt"


def table_is_a_dead_link(folder: Path) -> Path:
    (folder / "x.safetensors").symlink_to(folder / "nowhere")
    return folder / "x.safetensors"


def table_links_to_itself(folder: Path) -> Path:
    (folder / "x.parquet").symlink_to(folder / "x.parquet")
    return folder / "x.parquet"


def table_is_empty(folder: Path) -> Path:
    (folder / "x.parquet").touch()
    return folder / "x.parquet"


def table_of_no_kind(folder: Path) -> Path:
    (folder / ("x." + "\x1b[31m" * 20)).write_text("1")
    return folder / ("x." + "\x1b[31m" * 20)


def table_name_too_long(folder: Path) -> Path:
    return folder / ("n" * 300 + ".npy")


def table_name_with_a_zero_byte(folder: Path) -> Path:
    return folder / "x\0.npy"


def table_of_nobody(folder: Path) -> Path:
    return Path("~no-such-user-of-this-machine") / "x.npy"
