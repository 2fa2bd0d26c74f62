"""Mutations that keep a file's outer form, so that what is inside it is reached: JSON, safetensors, zip, npy, pickle.

Each takes (rng, content) and returns (new content, what was done); content that it cannot parse raises anything.
"""

from __future__ import annotations

import io
import json
import pickletools
import random
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from fuzz.pictures import change_jpeg, change_png

Edit = Callable[[random.Random, bytes], tuple[bytes, str]]
DEEP = "@@DEEP@@"
WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308, 1e-320, 1e39,
    float("nan"), float("inf"), float("-inf"), "", "x", "é\u202e", "\ud800", "nan", "1", "\x1b[31m", "a\nb", "<b>&",
    "a" * 5000, "../../x", "~nouser", "\x00", [], [[]], {}, {"a": 1}, [0] * 100, [None], ["x", 1], [float("nan")],
    {"": {}}, DEEP,
)  # fmt: skip
DEPTHS = (60, 1200, 200_000)
DESCRS = (
    "|O", "<f2", ">f4", "<f8", "<f16", "<c16", "|b1", "|i1", ">i8", "<u8", "<M8[s]", "<m8", "|S5", "<U3", "|V8", "|S0",
    "<U0", "", "<f9", "nonsense", "O8", "<U100000000", "f4, i4", "(2,)f4",
)  # fmt: skip
SHAPES = (
    "()", "(0,)", "(0, 4)", "(4, 0)", "(24,)", "(1, 24, 4)", "(-1,)", "(-24, -4)", "(True, 4)", "(2.0, 4)",
    "(1e3,)", "(4294967296, 4294967296)", "(9223372036854775808, 2)", "(" + "9" * 400 + ",)", "24", "None", "'24'",
    "[24, 4]", "(24, 4, )", "(" + "1," * 70 + ")", "((24, 4),)", "(24L, 4L)",
)  # fmt: skip
TENSOR_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4,
    "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8, "F4": 1, "C64": 8,
}  # fmt: skip
GLOBALS = (
    "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch._utils _rebuild_sparse_tensor",
    "torch._utils _rebuild_qtensor", "torch._utils _rebuild_meta_tensor_no_storage", "torch FloatStorage",
    "torch BFloat16Storage", "torch LongStorage", "torch ByteStorage", "torch UntypedStorage", "torch.nn Parameter",
    "torch Tensor", "torch Size", "collections OrderedDict", "torch device", "torch float8_e4m3fn", "numpy ndarray",
    "numpy dtype", "numpy.core.multiarray _reconstruct", "_codecs encode", "os system", "builtins eval",
    "torch.serialization _get_layout", "torch.storage TypedStorage", "builtins set",
)  # fmt: skip


def replace_json(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """One or more values of a JSON document replaced, removed, repeated, renamed or nested."""
    value = json.loads(content)
    done = []
    for _ in range(1 if rng.random() < 0.8 else 3):
        value, what = _edit_value(rng, value)
        done.append(what)
    return dump_json(rng, value).encode("utf-8", "surrogatepass"), "json: " + "; ".join(done)


def dump_json(rng: random.Random, value: Any) -> str:
    depth = rng.choice(DEPTHS)
    nested = rng.choice(("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth))
    return json.dumps(value, ensure_ascii=rng.random() < 0.8).replace(json.dumps(DEEP), nested)


def _edit_value(rng: random.Random, root: Any) -> tuple[Any, str]:
    places = list(_places(root))
    if not places or rng.random() < 0.02:
        return rng.choice(WRONG), "the whole of it"
    holder, key, path = rng.choice(places)
    action = rng.choice(("replace", "replace", "replace", "nudge", "remove", "repeat", "swap", "wrap"))
    old = holder[key]
    if action == "remove":
        del holder[key]
    elif action == "repeat" and isinstance(old, list):
        holder[key] = old * rng.choice((2, 3, 50))
    elif action == "swap":
        other, at, _ = rng.choice(places)
        holder[key], other[at] = other[at], old
    elif action == "wrap":
        holder[key] = rng.choice(([old], {"x": old}, str(old)))
    elif action == "nudge" and isinstance(old, int | float):
        holder[key] = rng.choice((-old, old + 1, old - 1, old * 10**6, float(old), old / 3, -1, 1e300))
    else:
        holder[key] = rng.choice(WRONG)
    return root, f"{action} {path}"


def _places(value: Any, path: str = "") -> list[tuple[Any, Any, str]]:
    """(container, key, path) of every value below; of long lists the first and last few."""
    found: list[tuple[Any, Any, str]] = []
    if isinstance(value, dict):
        keys: list[Any] = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value))) if len(value) < 6 else [0, 1, len(value) - 1]
    else:
        return found
    for key in keys:
        found.append((value, key, f"{path}/{key}"))
        found += _places(value[key], f"{path}/{key}")
    return found


def split_safetensors(content: bytes) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def join_safetensors(header: str, data: bytes) -> bytes:
    text = header.encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def change_safetensors(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """Our own header inside the metadata, the list of tensors, a tensor's type, or its numbers."""
    header, data = split_safetensors(content)
    inner = [key for key, text in header.get("__metadata__", {}).items() if text.startswith(("{", "["))]
    part = rng.choice((*("inner",) * (3 if inner else 0), "header", "retype", "numbers"))
    if part == "inner":
        key = rng.choice(inner)
        text, what = replace_json(rng, header["__metadata__"][key].encode())
        header["__metadata__"][key] = text.decode("utf-8", "surrogatepass")
    elif part == "retype":
        what = _retype(rng, header)
    elif part == "numbers":
        data, what = _put_numbers(rng, data)
    else:
        header, what = _edit_value(rng, header)
        return join_safetensors(dump_json(rng, header), data), f"safetensors header: {what}"
    return join_safetensors(json.dumps(header), data), f"safetensors {part}: {what}"


def _retype(rng: random.Random, header: dict[str, Any]) -> str:
    """Another type for a tensor, with a shape that fits its bytes."""
    name = rng.choice([key for key in header if key != "__metadata__"])
    entry = header[name]
    kind = rng.choice(tuple(TENSOR_BYTES))
    room = (entry["data_offsets"][1] - entry["data_offsets"][0]) // TENSOR_BYTES[kind]
    entry["dtype"] = kind
    first = entry["shape"][0] if entry["shape"] else 1
    entry["shape"] = rng.choice(([first, room // max(first, 1)], [room], [room, 1], [1, 1, room]))
    return f"{name} as {kind} {entry['shape']}"


def _put_numbers(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    number = rng.choice((float("nan"), float("inf"), float("-inf"), 3e38, 1e-45, -0.0))
    if len(data) < 8:
        return data, "none"
    at = rng.randrange(len(data) // 4) * 4
    packed = struct.pack("<f", number) if rng.random() < 0.7 else struct.pack("<d", number)
    if rng.random() < 0.2:
        return (packed * len(data))[: len(data)], f"all {number}"
    return data[:at] + packed + data[at + len(packed) :], f"{number} at {at}"


def change_npy(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """Type, shape or order in the header's text; its length made to fit, mostly."""
    major = content[6]
    size, start = (struct.unpack("<H", content[8:10])[0], 10) if major == 1 else (
        struct.unpack("<I", content[8:12])[0], 12)  # fmt: skip
    text, data = content[start : start + size].decode("latin1"), content[start + size :]
    what = rng.choice(("descr", "shape", "order", "word", "both"))
    if what in ("descr", "both"):
        text = re.sub(r"'descr': *'[^']*'", lambda _: f"'descr': '{rng.choice(DESCRS)}'", text)
    if what in ("shape", "both"):
        text = re.sub(r"'shape': *\([^)]*\)", lambda _: f"'shape': {rng.choice(SHAPES)}", text)
    if what == "order":
        text = re.sub(r"(True|False)", rng.choice(("True", "False", "None", "1", "'C'", "{}", "[")), text, count=1)
    if what == "word":
        words = ("\\", "(", "{", "'", '"""', "\n", "\t", "#", "lambda:0", "0x", "1_", "\x00", "é", "(" * 300, "-" * 200)
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(words) + text[at + rng.randrange(3) :]
    head = text.encode("latin1")
    length = len(head) if rng.random() < 0.9 else rng.choice((0, 1, 65535, len(head) + 7))
    packed = struct.pack("<H", min(length, 65535)) if major == 1 else struct.pack("<I", length)
    version = content[:6] + bytes((major, content[7])) if rng.random() < 0.95 else content[:6] + b"\x07\x00"
    return version + packed + head + data, f"npy {what}"


def change_zip(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """One member changed by its own kind's mutation, renamed, emptied, repeated or packed in another way."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = rng.randrange(len(members))
    name, inner = members[at]
    what = rng.choice(("inside", "inside", "inside", "rename", "empty", "remove", "repeat", "pack", "raw"))
    pack = zipfile.ZIP_STORED
    if what == "inside":
        edit = change_npy if name.endswith(".npy") else change_pickle if name.endswith(".pkl") else None
        inner, how = edit(rng, inner) if edit else _put_numbers(rng, inner)
        members[at], what = (name, inner), f"{name}: {how}"
    elif what == "rename":
        members[at] = (
            rng.choice(("X", "y.npy", "", "../x.npy", "X.npy.npy", "é.npy", "\ud800?.npy"[1:], name * 90)),
            inner,
        )
    elif what == "empty":
        members[at] = (name, b"")
    elif what == "raw":
        members[at] = (name.removesuffix(".npy"), bytes(rng.randrange(256) for _ in range(20)))
    elif what == "remove":
        del members[at]
    elif what == "repeat":
        members.append((name, members[rng.randrange(len(members))][1]))
    else:
        pack = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    return write_zip(members, pack), f"zip {what}"


def write_zip(members: list[tuple[str, bytes]], pack: int = zipfile.ZIP_STORED) -> bytes:
    """An archive whose bytes depend on its members alone: every date is 1980."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = pack
            with_warnings = archive.NameToInfo.pop(name, None)  # zipfile warns of a name that is there twice
            archive.writestr(info, content)
            del with_warnings
    return file.getvalue()


def change_pickle(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """Opcodes removed, repeated or swapped, a global's name or a number replaced."""
    starts = [place for _, _, place in pickletools.genops(content) if place is not None]
    pieces = [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]
    named = [at for at, piece in enumerate(pieces) if piece[:1] == b"c"]
    numbers = [at for at, piece in enumerate(pieces) if piece[:1] in (b"K", b"M", b"J")]
    what = rng.choice(("global", "global", "number", "number", "remove", "repeat", "swap", "insert"))
    at = rng.randrange(len(pieces))
    if what == "global" and named:
        module, name = rng.choice(GLOBALS).split()
        pieces[rng.choice(named)] = f"c{module}\n{name}\n".encode()
    elif what == "number" and numbers:
        number = rng.choice((0, 1, -1, 255, 2**16, 2**31 - 1, -(2**31), 2**63, 2**70, rng.randrange(100)))
        size = (number.bit_length() + 8) // 8
        pieces[rng.choice(numbers)] = b"\x8a" + bytes((size,)) + number.to_bytes(size, "little", signed=True)
    elif what == "repeat":
        pieces.insert(at, pieces[at])
    elif what == "swap":
        other = rng.randrange(len(pieces))
        pieces[at], pieces[other] = pieces[other], pieces[at]
    elif what == "insert":
        pieces.insert(
            at,
            rng.choice(
                (
                    b"N",
                    b"\x88",
                    b"}",
                    b"]",
                    b")",
                    b"0",
                    b"2",
                    b"1",
                    b"(",
                    b"b",
                    b"R",
                    b"Q",
                    b"G" + b"\x7f\xf8" + b"\0" * 6,
                )
            ),
        )
    else:
        del pieces[at]
    return b"".join(pieces), f"pickle {what}"


def change_svmlight(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """One token of the text."""
    tokens = re.split(rb"([ :\n])", content)
    at = rng.randrange(len(tokens))
    tokens[at] = rng.choice((
        b"0", b"-1", b"2147483648", b"4294967297", b"9" * 30, b"nan", b"inf", b"-inf", b"1e400", b"1e-400", b"qid",
        b"#", b"", b"\n", b":", b"1:1", b"1000000000:1", b"x", b"1,2", b"\x00", b"\xff", b"0x10", b"1_0", b"5" * 5000,
    ))  # fmt: skip
    return b"".join(tokens), "svmlight token"


EDITS: dict[str, Edit] = {
    ".json": replace_json, ".safetensors": change_safetensors, ".npy": change_npy, ".npz": change_zip,
    ".pt": change_zip, ".pth": change_pickle, "pickle": change_pickle, ".svm": change_svmlight, ".png": change_png,
    ".jpg": change_jpeg,
}  # fmt: skip
