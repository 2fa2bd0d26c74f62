"""Mutations of pictures that keep their form, and pictures of kinds that must never be decoded."""

from __future__ import annotations

import random
import struct
import zlib

# what Pillow runs Ghostscript on
FORGED = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
# headers of other formats that Pillow knows; some of its decoders start programs
FOREIGN = (
    FORGED, b"%PDF-1.4\n", b"GIF89a\x05\0\x05\0\0\0\0,\0\0\0\0\x05\0\x05\0\0\x02\0;", b"II*\0\x08" + bytes(13),
    b"MM\0*\0\0\0\x08\0\0", b"8BPS\0\x01" + bytes(20), b"\xd7\xcd\xc6\x9a" + bytes(40), b"P5 64000 64000 255\n",
    b"P6\n5 5\n255\n" + bytes(75), b"SIMPLE  =                    T" + bytes(50), b"qoif" + bytes(20), b"ID;HPHP48-C",
    b"\0\0\x01\0\x01\0\x05\x05" + bytes(20), b"\0\0\0\x1cftypavif" + bytes(60), b"\x01\xda\x01\x01" + bytes(508),
    b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), b"#define x_width 5\n#define x_height 5\n", b"DDS " + bytes(124),
    b"\x76\x2f\x31\x01" + bytes(20), b"icns\0\0\0\x20" + bytes(24), b"\x59\xa6\x6a\x95" + bytes(40), 
    b"BLP2" + bytes(200), b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\xff\xff\xff\xff\xff",
)  # fmt: skip


def change_png(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """One chunk changed, its checksum made right; or a chunk of another kind put in."""
    chunks, at = [], 8
    while at + 8 <= len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += size + 12
    place = rng.randrange(len(chunks))
    kind, data = chunks[place]
    what = rng.choice(("header", "header", "change", "insert", "remove", "repeat"))
    if what == "header":
        fields = list(struct.unpack(">IIBBBBB", chunks[0][1]))
        which = rng.randrange(7)
        wide = (0, 1, 7, 65535, 64_000_000, 2**31 - 1, 2**32 - 1)
        fields[which] = rng.choice(wide) if which < 2 else rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        chunks[0] = (chunks[0][0], struct.pack(">IIBBBBB", *fields))
    elif what == "change":
        junk = bytes(rng.randrange(256) for _ in range(rng.randrange(30)))
        cut = rng.randrange(len(data) + 1)
        chunks[place] = (kind, data[:cut] + junk + data[cut:])
    elif what == "insert":
        name = rng.choice(
            (
                b"eXIf",
                b"iTXt",
                b"zTXt",
                b"tEXt",
                b"iCCP",
                b"acTL",
                b"fcTL",
                b"fdAT",
                b"PLTE",
                b"tRNS",
                b"gAMA",
                b"pHYs",
                b"IDAT",
            )
        )
        junk = rng.choice(
            (
                b"",
                b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0",
                b"II*\0" + b"\xff" * 40,
                b"k\0\0" + zlib.compress(b"\0" * 10**6),
                bytes(30),
            )
        )
        chunks.insert(1 + rng.randrange(len(chunks)), (name, junk))
    elif what == "repeat":
        chunks.insert(place, chunks[place])
    else:
        del chunks[place]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return content[:8] + body, f"png {what}"


def change_jpeg(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A segment of EXIF, ICC, MPF or Photoshop put in front, or the frame's size changed."""
    if rng.random() < 0.4:
        at = next(i for i in range(len(content) - 9) if content[i] == 0xFF and content[i + 1] in (0xC0, 0xC2))
        size = struct.pack(">HH", rng.choice((0, 1, 9, 65535)), rng.choice((0, 1, 9, 65535)))
        return content[: at + 5] + size + content[at + 9 :], "jpeg size"
    order = rng.choice((b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0"))
    entries = bytes(rng.choice((0, 1, 2, 3, 4, 5, 12, 18, 255, rng.randrange(256))) for _ in range(rng.randrange(80)))
    number, lead = rng.choice((
        (0xE1, b"Exif\0\0" + order), (0xE2, b"ICC_PROFILE\0\x01\x01"), (0xE2, b"MPF\0" + order), (0xE1, b"http:"),
        (0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0"), (0xEE, b"Adobe\0\x64"),
    ))  # fmt: skip
    segment = lead + entries
    return content[:2] + bytes((0xFF, number)) + struct.pack(">H", len(segment) + 2) + segment + content[
        2:
    ], "jpeg segment"
