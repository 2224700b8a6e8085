"""Small images, made as their formats say: a PNG that any decoder shows, and headers of the other kinds."""

from __future__ import annotations

import struct
import zlib


def png(seed: int = 0, *, width: int = 8, height: int = 8) -> bytes:
    """A whole PNG of one colour; another `seed` is another image of the same size."""
    row = b"\0" + (seed & 0xFFFFFF).to_bytes(3, "big") * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"tEXt", b"seed\0%d" % seed), (b"IDAT", zlib.compress(row * height)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks))


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    name, data = chunk
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def jpeg(*, width: int = 300, height: int = 200) -> bytes:
    """A JPEG up to its frame header, which stands behind a long comment, as behind a camera's."""
    comment = b"\xff\xfe" + struct.pack(">H", 40_002) + b"c" * 40_000
    return b"\xff\xd8" + comment + b"\xff\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\0" * 9


def gif(*, width: int = 300, height: int = 200) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def webp(form: bytes, *, width: int = 300, height: int = 200) -> bytes:
    """The head of a WebP: `VP8 ` (lossy), `VP8L` (lossless) or `VP8X` (extended)."""
    if form == b"VP8X":
        data = b"\0" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif form == b"VP8L":
        data = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)
    else:
        data = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return b"RIFF" + struct.pack("<I", len(data) + 12) + b"WEBP" + form + struct.pack("<I", len(data)) + data
