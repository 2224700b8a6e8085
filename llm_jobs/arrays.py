"""Python values as Arrow arrays, without the third of a second in which `pyarrow.array` imports pandas.

`pyarrow.array` asks of every list whether it is a Series, and has to import pandas to know. A column of text, integers,
numbers or booleans is built from its parts instead; every other column goes through `pyarrow.array`. The arrays are
equal to those that it makes, and a value that does not fit raises what it raises. What the values mean, and what a
column is called, is not decided here.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
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
    held.discard(NoneType)
    if not held:
        return pa.nulls(len(values), kind)
    if held == {str} and kind == pa.string():
        return _texts(values)
    if held == {bool} and kind == pa.bool_():
        return pa.Array.from_buffers(kind, len(values), [_validity(values), _bits(values)])
    if kind in _FIXED and held == {_FIXED[kind][0]}:
        return _numbers(values, kind, _FIXED[kind][1])
    return pa.array(values, type=kind)


def scalar_of(value: Any, kind: pa.DataType) -> pa.Scalar:
    """`value` for functions of Arrow, which would make a scalar of it by themselves, and import pandas for that."""
    return array_of([value], kind)[0]


def _texts(values: Sequence[Any]) -> pa.Array:
    builder = pa.lib.StringBuilder()
    builder.append_values(values)
    return builder.finish()


def _numbers(values: Sequence[Any], kind: pa.DataType, code: str) -> pa.Array:
    validity = _validity(values)
    held = values if validity is None else [0 if value is None else value for value in values]
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(array(code, held))])


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    return _bits([value is not None for value in values]) if None in values else None


def _bits(flags: Sequence[Any]) -> pa.Buffer:
    """A bit for each, the first one lowest, as Arrow lays them out."""
    digits = "".join(["1" if flag else "0" for flag in reversed(flags)])
    return pa.py_buffer(int(digits, 2).to_bytes((len(flags) + 7) // 8, "little"))
