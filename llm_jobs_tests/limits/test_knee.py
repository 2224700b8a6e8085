"""The search for the knee: what measurements say, which level comes next, and when all is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.limits.knee import Knee, grid_of

GRID = grid_of(1, 512)
TOP = len(GRID) - 1


def searched(throughput: Callable[[int], float], *, start: int = 8) -> Knee:
    """A search over a server without noise, until nothing is unknown."""
    knee = Knee(GRID)
    index: int | None = knee.nearest(start)
    measured = 0
    while index is not None:
        knee.record(index, throughput(GRID[index]), 400)
        index = knee.unknown(top=TOP)
        measured += 1
        assert measured < 60
    return knee


def test_the_grid_has_whole_levels_from_the_least_to_the_most() -> None:
    assert GRID[:4] == (1, 2, 3, 4)
    assert GRID[-1] == 512
    assert grid_of(7, 7) == (7,)
    assert all(later <= max(earlier + 1, 1.1 * earlier) for earlier, later in pairwise(GRID))


@pytest.mark.parametrize("at", [1, 4, 23, 100, 200, 512])
@pytest.mark.parametrize("start", [1, 8, 400])
def test_a_hard_knee_is_found_from_below_and_from_above(at: int, start: int) -> None:
    knee = searched(lambda level: min(level, at) * 2.0, start=start)
    assert 0.9 * at - 1 <= GRID[knee.target] <= 1.15 * at + 1


@given(st.integers(1, 512), st.floats(0.3, 2), st.integers(1, 512))
def test_a_peak_is_found_wherever_it_is(at: int, steep: float, start: int) -> None:
    def throughput(level: int) -> float:
        return level * 1.0 if level <= at else at * (at / level) ** steep

    knee = searched(throughput, start=start)
    # What may be a plateau is searched to three levels, 19 %, and held at its lower end.
    assert throughput(GRID[knee.target]) >= 0.86 * at


@pytest.mark.parametrize("soft", [1, 5, 20, 60])
def test_where_throughput_only_nears_its_most_nine_tenths_of_it_are_had(soft: int) -> None:
    def throughput(level: int) -> float:
        return level / (soft + level)

    knee = searched(throughput)
    assert throughput(GRID[knee.target]) >= 0.9 * throughput(512)


def test_one_measurement_that_contradicts_is_doubted_and_two_are_a_change() -> None:
    knee = searched(lambda level: min(level, 32) * 1.0)
    held = knee.target
    knee.record(held, 16.0, 400)
    assert (knee.suspect, knee.changes) == (held, 0)
    knee.record(held, 32.0, 400)
    assert (knee.suspect, knee.changes) == (None, 0)
    knee.record(held, 16.0, 400)
    knee.record(held, 16.0, 400)
    assert (knee.suspect, knee.changes) == (None, 1)
    assert list(knee.levels) == [held]
    assert knee.unknown(top=TOP) == knee.nearest(2 * GRID[held])


def test_noise_is_no_change() -> None:
    knee = Knee(GRID)
    for number in range(40):
        knee.record(5, 10.0 * (1.15 if number % 2 else 0.87), 40)
    assert knee.changes == 0
    assert knee.throughput(5) == pytest.approx(10, rel=0.05)


def test_a_level_that_seemed_good_once_is_measured_again_before_its_neighbours() -> None:
    knee = Knee(GRID)
    eight, sixteen = knee.nearest(8), knee.nearest(16)
    knee.record(eight, 15.0, 12)  # by luck: it has 8
    knee.record(sixteen, 14.0, 16)
    assert knee.unknown(top=TOP) in (eight, sixteen)


def test_nothing_above_the_top_is_asked_for() -> None:
    knee = Knee(GRID)
    top = knee.nearest(20)
    knee.record(knee.nearest(16), 16.0, 400)
    assert knee.unknown(top=top) == top
    knee.record(top, 20.0, 400)
    following = knee.unknown(top=top)
    assert following is None or following <= top


def test_two_levels_on_both_sides_of_a_peak_are_not_measured_for_ever() -> None:
    """8 and 16 have the same throughput, measured a few answers at a time: what lies beside them is asked for soon."""
    knee = Knee(GRID)
    sides = knee.nearest(8), knee.nearest(16)
    index: int | None = sides[0]
    for _ in range(20):
        if index not in sides:
            break
        knee.record(index, 8.0, 16)
        index = knee.unknown(top=TOP)
    assert index is not None
    assert index not in sides
