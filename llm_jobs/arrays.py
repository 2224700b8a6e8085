"""Python values as Arrow arrays, without the third of a second in which `pyarrow.array` imports pandas.

`pyarrow.array` asks of every list whether it is a Series, and has to import pandas to know. A column of text, integers,
numbers or booleans is built from its parts instead; every other column goes through `pyarrow.array`. The arrays are
equal to those that it makes, and a value that does not fit raises what it raises. What the values mean, and what a
column is called, is not decided here.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from types import NoneType
from typing import Any

import pyarrow as pa

_FIXED = {  # the type of the column: that of its values, and their code in the standard library's `array`
    pa.int64(): (int, "q"),
    pa.float64(): (float, "d"),
    pa.timestamp("us", tz="UTC"): (int, "q"),
}


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """`values` as an array of type `kind`; None is null. Raises ArrowInvalid, ArrowTypeError or OverflowError."""
    held = set(map(type, values))
    if held <= {NoneType}:
        return pa.nulls(len(values), kind)
    validity = _validity(values) if NoneType in held else None
    held.discard(NoneType)
    if held == {str} and kind == pa.string():
        return _texts(values, validity)
    if held == {bool} and kind == pa.bool_():
        return pa.Array.from_buffers(kind, len(values), [validity, _bits(values)])
    if kind in _FIXED and held == {_FIXED[kind][0]}:
        return _numbers(values, kind, _FIXED[kind][1], validity)
    return pa.array(values, type=kind)


def scalar_of(value: Any, kind: pa.DataType) -> pa.Scalar:
    """`value` for functions of Arrow, which would make a scalar of it by themselves, and import pandas for that."""
    return array_of([value], kind)[0]


def _texts(values: Sequence[Any], validity: pa.Buffer | None) -> pa.Array:
    """One text of them all, and where each begins: a third of the time that appending one after the other takes."""
    texts = values if validity is None else [value or "" for value in values]
    if all(map(str.isascii, texts)):
        sizes, utf8 = map(len, texts), "".join(texts).encode()
    else:  # joined as bytes: one emoji would make four bytes of every character
        encoded = [text.encode() for text in texts]
        sizes, utf8 = map(len, encoded), b"".join(encoded)
    offsets = array("i", accumulate(sizes, initial=0))
    return pa.Array.from_buffers(pa.string(), len(texts), [validity, pa.py_buffer(offsets), pa.py_buffer(utf8)])


def _numbers(values: Sequence[Any], kind: pa.DataType, code: str, validity: pa.Buffer | None) -> pa.Array:
    held = values if validity is None else [0 if value is None else value for value in values]
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(array(code, held))])


def _validity(values: Sequence[Any]) -> pa.Buffer:
    return _bits([value is not None for value in values])


def _bits(flags: Sequence[Any]) -> pa.Buffer:
    """A bit for each, the first one lowest, as Arrow lays them out."""
    digits = "".join(["1" if flag else "0" for flag in reversed(flags)])
    return pa.py_buffer(int(digits, 2).to_bytes((len(flags) + 7) // 8, "little"))
