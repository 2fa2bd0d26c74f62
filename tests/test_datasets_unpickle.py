"""CIFAR's pickles are data: what may be built is built right, everything else is refused and named."""

from __future__ import annotations

import collections
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from colinear.checks import InputError
from colinear.datasets.unpickle import unpickle

PATH = Path("data_batch_1")


class Command:
    """A pickle that runs a shell command when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def python2_pickle() -> bytes:
    """The opcodes that Python 2 and its numpy wrote for {'data': uint8 (2, 3) in column order, 'labels': [1, 0]}."""
    return (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05"
        b"U\x01bq\x06\x87q\x07Rq\x08(K\x01K\x02K\x03\x86q\x09cnumpy\ndtype\nq\x0aU\x02u1q\x0bK\x00K\x01\x87q\x0cRq\x0d"
        b"(K\x03U\x01|q\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x88U\x06\x01\x04\x02\x05\x03\x06tb"
        b"U\x06labelsq\x0f]q\x10(K\x01K\x00eu."
    )


def test_python2_pickle_in_column_order_is_read() -> None:
    batch = unpickle(python2_pickle(), PATH)
    assert batch["labels"] == [1, 0]
    assert batch["data"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert batch["data"].dtype == np.uint8


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
@given(array=hnp.arrays(st.sampled_from(["u1", "<i4", ">i2", "<f8", "?"]), hnp.array_shapes(max_side=4)))
def test_arrays_come_back_as_they_were(protocol: int, array: np.ndarray) -> None:
    batch = unpickle(pickle.dumps({"data": array, b"label_names": [b"cat"]}, protocol), PATH)
    np.testing.assert_array_equal(batch["data"], array)
    assert batch["data"].dtype == array.dtype
    assert batch["label_names"] == [b"cat"]


def test_a_command_is_refused_and_not_run(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    with pytest.raises(InputError, match=r"data_batch_1 asks to run posix\.system|nt\.system"):
        unpickle(pickle.dumps({"data": Command(target)}), PATH)
    assert not target.exists()


@pytest.mark.parametrize("value", [collections.OrderedDict(a=1), {1, 2}.__class__, np.float64(3), os.getcwd, 1j])
def test_other_names_are_refused(value: object) -> None:
    with pytest.raises(InputError, match="asks to run"):
        unpickle(pickle.dumps({"data": value}, 2), PATH)


@pytest.mark.parametrize("name", [b"numpy.core.multiarray\n_reconstruct", b"numpy\ndtype", b"_codecs\nencode"])
def test_allowed_names_cannot_be_changed_by_a_pickle(name: bytes) -> None:
    """BUILD sets attributes on whatever is on the stack; the names we allow must not give way."""
    for state in (b"}U\x0c__defaults__)s", b"N}U\x06hackedK\x01s\x86"):
        with pytest.raises(InputError):
            unpickle(b"\x80\x02}U\x01ac" + name + b"\n" + state + b"bs.", PATH)
    assert unpickle(python2_pickle(), PATH)["labels"] == [1, 0]


def test_object_arrays_are_refused() -> None:
    with pytest.raises(InputError, match="object arrays never"):
        unpickle(pickle.dumps({"data": np.array([None, []], dtype=object)}), PATH)


def test_record_arrays_are_refused() -> None:
    with pytest.raises(InputError, match="only numbers are read"):
        unpickle(pickle.dumps({"data": np.zeros(2, dtype=[("a", "u1")])}), PATH)


def test_array_with_fewer_bytes_than_its_shape_is_refused() -> None:
    content = python2_pickle().replace(b"K\x01K\x02K\x03\x86", b"K\x01K\xffK\xff\x86")
    with pytest.raises(InputError, match="6 bytes for an array of shape"):
        unpickle(content, PATH)


@pytest.mark.parametrize("length", range(len(python2_pickle())))
def test_every_truncation_is_one_clear_error(length: int) -> None:
    with pytest.raises(InputError, match="data_batch_1 cannot be read"):
        unpickle(python2_pickle()[:length], PATH)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",
        b"\x80\x02}q\x00K\x01\x85q\x01h\x01h\x01\x86q\x02h\x02h\x02\x86q\x03K\x01s.",
        b"\x80\x04}K\x01\x85\x942\x86K\x01s.",
    ],
    ids=["memo index of 2^31", "tuples of the same tuple", "tuple doubled"],
)
def test_pickles_that_never_end_are_refused_before_they_start(content: bytes) -> None:
    with pytest.raises(InputError, match=r"it stores a value under|it uses one tuple twice"):
        unpickle(content, PATH)


def test_known_content_is_still_data(tmp_path: Path) -> None:
    """A digest spares the check of opcodes, and nothing else."""
    target = tmp_path / "ran"
    with pytest.raises(InputError, match="asks to run"):
        unpickle(pickle.dumps({"data": Command(target)}), PATH, known=True)
    assert not target.exists()
    assert unpickle(python2_pickle(), PATH, known=True)["labels"] == [1, 0]


@given(position=st.integers(0, len(python2_pickle()) - 1), byte=st.integers(0, 127))
def test_a_damaged_byte_never_escapes_as_another_error(position: int, byte: int) -> None:
    content = bytearray(python2_pickle())
    content[position] = byte
    try:
        result: object = unpickle(bytes(content), PATH)
    except InputError:
        result = {}
    assert isinstance(result, dict)


def test_top_must_be_a_dict() -> None:
    buffer = io.BytesIO()
    pickle.dump([1, 2], buffer)
    with pytest.raises(InputError, match="holds a list, not a dict"):
        unpickle(buffer.getvalue(), PATH)
