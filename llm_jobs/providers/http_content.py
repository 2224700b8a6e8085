"""Undoing a content encoding that nobody asked for. Pure, and bounded: a small body may stand for a huge one."""

from __future__ import annotations

import zlib

_GZIP = 16 + zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS


class Torn(Exception):
    """The body does not decode to its end."""


class UnknownCoding(Exception):
    """The body is in an encoding that is not known here."""


class Inflated(Exception):
    """The body stands for more than is expected of any; the text says how much that is."""


def decoded(body: bytes, coding: str, *, limit: int) -> bytes:
    """`body` without its codings (RFC 9110, 8.4: the last one was applied last).

    Raises UnknownCoding, Torn, or Inflated where it is more than `limit` bytes.
    """
    for name in reversed(coding.lower().split(",")):
        name = name.strip()
        if name in ("gzip", "x-gzip"):
            body = _inflated(body, _GZIP, limit)
        elif name == "deflate":
            # Meant is zlib's format; some servers send the bare stream.
            body = _inflated(body, zlib.MAX_WBITS if _has_zlib_header(body) else _RAW_DEFLATE, limit)
        elif name not in ("", "identity"):
            raise UnknownCoding
    return body


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    while True:  # a gzip body may be several, one after the other
        stream = zlib.decompressobj(window)
        try:
            parts.append(stream.decompress(body, left + 1))
        except zlib.error:
            raise Torn from None
        left -= len(parts[-1])
        if left < 0:
            raise Inflated(f"a compressed body of more than {limit:,} bytes")
        if not stream.eof:
            raise Torn
        body = stream.unused_data
        if not body:
            return b"".join(parts)


def _has_zlib_header(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
