"""How many look-ups the loop makes by itself, by how long those before took."""

from __future__ import annotations

from llm_jobs.engine.nearness import FEWEST, FIRST_PAUSE_S, LONG_S, LONGEST_PAUSE_S, MOST, Nearness

QUICK_S = LONG_S / 10


def quick(near: Nearness, now_s: float) -> list[int]:
    """How many are made at once, as long as they are quick, until that stays as it is."""
    told = [near.at_once(now_s)]
    while len(told) < 2 or told[-1] != told[-2]:
        near.took(QUICK_S, now_s)
        told.append(near.at_once(now_s))
    return told


def pause_after_long(near: Nearness, now_s: float) -> float:
    """How long nothing is looked up here after one that took long, to an eighth of a second."""
    near.took(2 * LONG_S, now_s)
    eighths = 0
    while not near.at_once(now_s + eighths / 8):
        eighths += 1
    return eighths / 8


def test_it_begins_with_few_and_doubles_them_while_they_are_quick() -> None:
    told = quick(Nearness(is_local=True), 0.0)
    assert told == [8, 16, 32, 64, 128, 128]
    assert (told[0], told[-1]) == (FEWEST, MOST)


def test_what_is_far_is_never_looked_up_here() -> None:
    near = Nearness(is_local=False)
    assert [near.at_once(now_s) for now_s in (0.0, 1.0, 1e9)] == [0, 0, 0]


def test_after_a_long_one_it_pauses_and_begins_with_few_again() -> None:
    near = Nearness(is_local=True)
    quick(near, 0.0)
    assert pause_after_long(near, 10.0) == FIRST_PAUSE_S
    assert near.at_once(10.0 + FIRST_PAUSE_S) == FEWEST


def test_a_disk_that_stays_slow_is_tried_more_and_more_seldom() -> None:
    near = Nearness(is_local=True)
    pauses = [pause_after_long(near, 100.0 * number) for number in range(8)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_once_all_is_quick_again_a_long_one_counts_as_the_first() -> None:
    near = Nearness(is_local=True)
    for number in range(4):
        pause_after_long(near, 100.0 * number)
    quick(near, 1_000.0)
    assert pause_after_long(near, 2_000.0) == FIRST_PAUSE_S
