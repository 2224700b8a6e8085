"""Bodies on their way into the ledger and out: one zstd frame each, so that one can be erased without the others.

Small bodies that look alike are what a ledger holds, so they are compressed against a dictionary of such bodies
(docs/decisions/0012-payload-dictionary.md): half the size, and under half the time. Invariant: `payloads-1.dict` never
changes and never goes, for every ledger needs it. Frames without a dictionary, which the first release wrote, are
read too.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from pathlib import Path

import zstandard

_DICTIONARY = Path(__file__).with_name("payloads-1.dict")
_OF_THREAD = threading.local()
_LEVEL = 1  # 2 µs for a body of 400 bytes; level 3 takes 40 % longer and saves 5 %


@functools.cache
def _dictionary() -> zstandard.ZstdCompressionDict:
    dictionary = zstandard.ZstdCompressionDict(_DICTIONARY.read_bytes(), dict_type=zstandard.DICT_TYPE_FULLDICT)
    dictionary.precompute_compress(level=_LEVEL)
    return dictionary


class PayloadCodec:
    """Compresses and decompresses bodies. Not safe for use by two threads at once (`own_codec` is one thread's)."""

    def __init__(self) -> None:
        dictionary = _dictionary()
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary)
        self._decompressor = zstandard.ZstdDecompressor(dict_data=dictionary)

    def pack(self, body: bytes) -> bytes:
        return self._compressor.compress(body)

    def pack_all(self, bodies: Sequence[bytes]) -> list[bytes]:
        """The same of each. The interpreter's lock is given up once, where `pack` gives it up for every body and has to
        wait for it again."""
        if not any(bodies):  # which the library refuses
            return [self.pack(body) for body in bodies]
        packed = self._compressor.multi_compress_to_buffer(list(bodies))
        return [packed[number].tobytes() for number in range(len(packed))]

    def pack_optional(self, body: bytes | None) -> bytes | None:
        return None if body is None else self._compressor.compress(body)

    def unpack(self, stored: bytes) -> bytes:
        return self._decompressor.decompress(stored)

    def unpack_optional(self, stored: bytes | None) -> bytes | None:
        return None if stored is None else self._decompressor.decompress(stored)


def own_codec() -> PayloadCodec:
    """The codec of the thread that asks. One more takes 25 µs, as long as a dozen bodies."""
    try:
        codec: PayloadCodec = _OF_THREAD.codec
    except AttributeError:
        codec = _OF_THREAD.codec = PayloadCodec()
    return codec
