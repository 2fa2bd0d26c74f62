"""The door of every reader: what may be opened, how much may be asked for, what a message may say."""

from __future__ import annotations

import threading
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from colinear.checks import InputError
from colinear.datasets import doors, encode_labels, images, load_features, load_table, read_image
from colinear.datasets.doors import (
    as_path,
    check_claim,
    check_file,
    check_memory,
    check_regular,
    guarded,
    reading,
)
from colinear.datasets.unpickle import check_opcodes

PLACE = Path("some") / "file.npz"


def test_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "full")
    (tmp_path / "empty").touch()
    assert check_file(tmp_path / "full") == check_file(tmp_path / "link") == 3
    assert check_regular(tmp_path / "empty") == 0
    with pytest.raises(InputError, match="is empty"):
        check_file(tmp_path / "empty")
    with pytest.raises(InputError, match="it is a folder"):
        check_file(tmp_path)
    with pytest.raises(InputError, match="it is a device"):
        check_file(Path("/dev/null"))
    with pytest.raises(InputError, match="cannot be opened"):
        check_file(Path("n" * 300))
    with pytest.raises(InputError, match="no such user"):
        as_path("~no-such-user-of-this-machine/x")


def test_a_claim_is_believed_up_to_500_times_the_file() -> None:
    check_claim(PLACE, doors.FREE_BYTES, 1)  # anybody's
    check_claim(PLACE, 500 << 20, 1 << 20)
    with pytest.raises(InputError, match=r"file\.npz: its content takes 256 MiB, announced by 1 bytes"):
        check_claim(PLACE, doors.FREE_BYTES + 1, 1)
    with pytest.raises(InputError, match="at most 500 times its size is believed"):
        check_claim(PLACE, (500 << 20) + 1, 1 << 20)


def test_memory_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "machine_memory", lambda: 1 << 30)
    check_memory(PLACE, 1 << 30)
    with pytest.raises(InputError, match=r"takes 2 GiB; this machine has 1 GiB of memory"):
        check_memory(PLACE, 2 << 30)


def test_machine_memory_is_a_number_without_sysconf(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doors.machine_memory() > 1 << 28
    monkeypatch.delattr(doors.os, "sysconf")
    assert doors.machine_memory() == 16 << 30


@pytest.mark.parametrize(
    "error",
    [
        IndexError("out of\nrange"),
        AssertionError(),
        OverflowError("x" * 10**6),
        RecursionError("\x1b[31m"),
        KeyError(3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_parser_raises_is_one_line(error: Exception) -> None:
    with pytest.raises(InputError, match=r"file\.npz cannot be read as \.npz \(") as caught, guarded(PLACE, ".npz"):
        raise error
    said = str(caught.value)
    assert len(said) < 300
    assert said.isprintable()


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), OSError(12, "Cannot allocate memory")],
)
def test_no_memory_is_said_as_such(error: Exception) -> None:
    with pytest.raises(InputError, match="does not fit into memory"), guarded(PLACE, ".npz"):
        raise error


def test_a_mistake_that_is_known_passes_as_it_is_and_ctrl_c_too() -> None:
    with pytest.raises(InputError, match=r"^known$"), guarded(PLACE, ".npz"):
        raise InputError("known")
    with pytest.raises(KeyboardInterrupt), guarded(PLACE, ".npz"):
        raise KeyboardInterrupt


def test_warnings_of_parsers_are_dropped() -> None:
    with reading(PLACE, ".npz"):
        warnings.warn("of a parser", stacklevel=1)


# labels


def test_one_long_label_takes_its_own_room_only() -> None:
    """As an array of text, 1,000 rows of which one has 5 MB take 20 GB."""
    tracemalloc.start()
    with pytest.raises(InputError, match=r"at most 1,000 characters.*row 999 has 5,000,000"):
        encode_labels(["a", "b"] * 499 + ["a", "c" * 5_000_000])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000_000


@pytest.mark.parametrize(
    "make", [list, np.array, lambda rows: np.array(rows, object), lambda rows: np.array(rows, "S")]
)
def test_labels_have_at_most_a_thousand_characters(make: object) -> None:
    codes, names = encode_labels(make(["b" * 1000, "a"]))  # type: ignore[operator]
    assert (codes.tolist(), names) == ([1, 0], ("a", "b" * 1000))
    with pytest.raises(InputError, match="at most 1,000 characters"):
        encode_labels(make(["b" * 1001, "a"]))  # type: ignore[operator]


def test_bytes_that_are_not_utf8_stay_different_classes() -> None:
    """Both were the replacement sign, and one class."""
    codes, names = encode_labels(np.array([b"caf\xe9", b"caf\xe8", "café".encode()]))
    assert names == ("caf\\xe8", "caf\\xe9", "café")
    assert codes.tolist() == [1, 0, 2]


def test_half_of_a_surrogate_pair_is_no_label() -> None:
    with pytest.raises(InputError, match=r"row 1 has 2: 'é\\ud800'"):
        encode_labels(["a", "é\ud800"])
    assert encode_labels(["\U0001f600", "a"])[1] == ("a", "\U0001f600")


@pytest.mark.parametrize("values", [None, 3, 2.5, "abc", b"abc", {0: 1}, {1, 2}, iter([1, 2]), object()])
def test_what_is_no_list_of_labels(values: object) -> None:
    with pytest.raises(InputError, match="must be an array or a list with one label per row"):
        encode_labels(values)  # type: ignore[arg-type]


def test_objects_in_one_column_are_labels() -> None:
    assert encode_labels(np.array([["b"], ["a"]], object))[1] == ("a", "b")
    with pytest.raises(InputError, match=r"must have shape"):
        encode_labels(np.array(["a"] * 4).reshape(2, 2))
    with pytest.raises(InputError, match="one label per row"):
        encode_labels(np.array("a", object))


# tables


def test_members_are_held_against_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "FREE_BYTES", 1000)
    np.savez(tmp_path / "a.npz", X=np.zeros((300, 200)), y=np.arange(300) % 2)
    assert load_table(tmp_path / "a.npz").n_samples == 300
    np.savez_compressed(tmp_path / "a.npz", X=np.zeros((300, 2000)), y=np.arange(300) % 2)
    with pytest.raises(InputError, match=r"X\.npy takes 4\.58 MiB, announced by"):
        load_table(tmp_path / "a.npz")


@pytest.mark.parametrize("stored", [np.int16, bool])
def test_a_copy_as_float32_has_to_fit_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: type[np.generic]
) -> None:
    np.save(tmp_path / "a.npy", np.ones((10, 10), stored))
    np.save(tmp_path / "a_labels.npy", np.arange(10) % 2)
    monkeypatch.setattr(doors, "machine_memory", lambda: 399)
    with pytest.raises(InputError, match="the matrix as float32 takes 400 bytes; this machine has 399 bytes"):
        load_table(tmp_path / "a.npy")
    for mapped in (np.float32, np.float16):  # as it is
        np.save(tmp_path / "a.npy", np.ones((10, 10), mapped))
        assert load_table(tmp_path / "a.npy").n_samples == 10
    with pytest.raises(InputError, match="the matrix as float32 takes 400 bytes"):
        load_features(tmp_path / "a.npy")  # one tensor of float32


def test_a_tensor_that_needs_a_copy_has_to_fit_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"X": torch.ones(100, 100, dtype=torch.int16), "y": torch.arange(100) % 2}, tmp_path / "a.pt")
    monkeypatch.setattr(doors, "machine_memory", lambda: 39_999)
    with pytest.raises(InputError, match=r"the matrix as float32 takes 39\.1 KiB"):
        load_table(tmp_path / "a.pt")


def test_a_long_double_beyond_float64_is_named(tmp_path: Path) -> None:
    values = np.ones((4, 2), np.longdouble)
    values[2, 1] = np.longdouble(10) ** 400
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "a_labels.npy", np.arange(4) % 2)
    with pytest.raises(InputError, match="row 2, column 1 has inf"):
        load_table(tmp_path / "a.npy")


def test_a_mapped_matrix_without_values_is_said_to_have_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 5), np.float32))
    np.save(tmp_path / "a_labels.npy", np.zeros(0, np.int64))
    with pytest.raises(InputError, match=r"neither 0; got \(0, 5\)"):
        load_table(tmp_path / "a.npy")


# pickles


def test_opcodes_share_as_many_tuples_as_they_may() -> None:
    content = b"\x80\x02K\x01\x85q\x00h\x00h\x00\x86."
    check_opcodes(content, shared=2)
    with pytest.raises(Exception, match="one tuple twice"):
        check_opcodes(content, shared=1)


def test_words_in_a_pickle_are_bounded_texts_are_not() -> None:
    def text(content: bytes) -> bytes:
        return b"\x80\x02X" + len(content).to_bytes(4, "little") + content + b"."

    check_opcodes(text(b"m" * 2000), longest=2000)
    check_opcodes(text(b"two words " * 1000), longest=2000)
    with pytest.raises(Exception, match="2,001 characters without white space"):
        check_opcodes(text(b"m" * 2001), longest=2000)


# pictures


def test_pictures_share_the_room_for_pixels() -> None:
    """Eight pixels are being decoded: two more may be at once, five more have to wait."""
    asked: list[bool] = []
    first = threading.Event()

    class Watched(threading.Condition):
        def wait_for(self, predicate, timeout=None):  # type: ignore[no-untyped-def]
            asked.append(predicate())
            first.set()
            return super().wait_for(predicate, timeout)

    room = images._Room(10)
    room.changed = Watched()

    def decode() -> None:
        with room.of(5):
            asked.append(room.taken <= 10)

    with room.of(8), room.of(2):
        first.clear()
        thread = threading.Thread(target=decode)
        thread.start()
        assert first.wait(60)
    thread.join(60)
    assert asked == [True, True, False, True]
    assert room.taken == 0
    with room.of(50):  # larger than the room: alone
        assert room.taken == 50


def test_sides_are_bounded_by_the_row_to_be_made(tmp_path: Path) -> None:
    """Lines are resized first: 2,000 columns of 60,000 lines would be 120 million pixels in between."""
    Image.new("L", (2, 60_000), 7).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", (1, 2, 1000)).unique().tolist() == [7]
    with pytest.raises(InputError, match="and 32,000 on a side"):
        read_image(tmp_path / "a.png", (1, 2, 2000))


@pytest.mark.parametrize("tail", [b"", b"\xff\xda\x00\x08" * 100_000], ids=["bare", "with a video behind it"])
def test_scans_are_counted_up_to_the_end_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tail: bytes
) -> None:
    path = tmp_path / "a.jpg"
    Image.effect_noise((400, 300), 50).save(path, progressive=True)  # six scans, restart markers none
    path.write_bytes(path.read_bytes() + tail)
    monkeypatch.setattr(images, "MAX_PIXELS", 120_000)
    monkeypatch.setattr(images, "MOST_SCANS", 6)
    assert read_image(path, (1, 2, 2)).shape == (4,)
    monkeypatch.setattr(images, "MOST_SCANS", 5)
    with pytest.raises(InputError, match="more than 5 scans"):
        read_image(path, (1, 2, 2))


def test_sixteen_bits_keep_their_upper_eight(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", (1, 1, 4)).tolist() == [0, 0, 1, 255]
