"""What kind of image some bytes are, and how large: by their signature, never by a name. Pure; decodes nothing.

The kinds are those that the vendors take: PNG (RFC 2083), JPEG (ITU-T T.81, annex B), GIF (GIF89a, §18) and WebP
(RFC 9649).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

KINDS = ("image/png", "image/jpeg", "image/gif", "image/webp")
_PNG = b"\x89PNG\r\n\x1a\n"
# Frame headers of JPEG: SOF0 to SOF15 without the three markers among them that are something else.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


@dataclass(frozen=True, slots=True)
class ImageKind:
    media_type: str
    width: int  # pixels
    height: int


def image_kind(content: bytes) -> ImageKind | None:
    """The kind and size of an image; None where it is none that is known, or has no whole header."""
    try:
        if content.startswith(_PNG) and content[12:16] == b"IHDR":
            return ImageKind("image/png", *struct.unpack_from(">II", content, 16))
        if content.startswith((b"GIF87a", b"GIF89a")):
            return ImageKind("image/gif", *struct.unpack_from("<HH", content, 6))
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return _webp(content)
        if content.startswith(b"\xff\xd8\xff"):
            return _jpeg(content)
    except (struct.error, IndexError):
        return None
    return None


def _webp(content: bytes) -> ImageKind | None:
    form = content[12:16]
    if form == b"VP8X":  # three bytes each, less one
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
    elif form == b"VP8L":  # fourteen bits each, less one
        (bits,) = struct.unpack_from("<I", content, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif form == b"VP8 ":
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", content, 26))
    else:
        return None
    return ImageKind("image/webp", width, height)


def _jpeg(content: bytes) -> ImageKind | None:
    """The size stands in the first frame header, behind segments of any length."""
    at = 2
    while content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return ImageKind("image/jpeg", width, height)
        if marker == 0xFF:  # fill
            at += 1
        elif marker in _BARE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", content, at + 2)[0]
    return None
