"""How a group is divided: all of it once and in order, each part as long as fits, the same parts when rows come."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.engine.levels import _parts
from llm_jobs.errors import RowError

LIMIT = 100
SIZES = st.lists(st.integers(0, LIMIT), max_size=60)


def fits(part: list[JsonValue]) -> bool:
    return sum(int(str(size)) for size in part) <= LIMIT


def parts_of(sizes: list[int]) -> list[list[JsonValue]]:
    return _parts(list(sizes), fits, lambda place: RowError(str(place)))


@given(SIZES)
def test_every_row_is_in_one_part_in_order_and_no_part_could_be_longer(sizes: list[int]) -> None:
    parts = parts_of(sizes)
    assert [size for part in parts for size in part] == sizes
    assert all(fits(part) for part in parts)
    assert not any(fits([*part, after[0]]) for part, after in pairwise(parts))


@given(SIZES, SIZES)
def test_rows_that_are_added_leave_all_parts_but_the_last_as_they_were(sizes: list[int], added: list[int]) -> None:
    before = parts_of(sizes)[:-1]
    assert parts_of([*sizes, *added])[: len(before)] == before


@given(SIZES, st.integers(LIMIT + 1), SIZES)
def test_a_row_that_does_not_fit_alone_is_named(before: list[int], size: int, after: list[int]) -> None:
    with pytest.raises(RowError) as refused:
        parts_of([*before, size, *after])
    assert str(refused.value) == str(len(before))
