"""Values that are made several times per call, and so have to be cheap to make.

A frozen dataclass sets each field through `object.__setattr__`: 0.9 µs for nine fields, where plain slots take 0.2 µs.
The type checker sees these frozen all the same: nobody may change one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(made: type[_T]) -> type[_T]:
    """A dataclass of plain slots, compared by its fields, which are given by name."""
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(made)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def positional_value(made: type[_T]) -> type[_T]:
    """The same with fields that are given by position, which is quicker than by name."""
    return dataclass(slots=True, unsafe_hash=True)(made)
