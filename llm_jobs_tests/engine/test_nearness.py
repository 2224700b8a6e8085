"""How many look-ups the loop makes by itself, by how long those before took."""

from __future__ import annotations

from llm_jobs.engine.nearness import FEWEST, FIRST_PAUSE_S, LONG_S, LONGEST_PAUSE_S, MOST, Nearness

QUICK_S = LONG_S / 10


def full_and_quick(near: Nearness, now_s: float) -> list[int]:
    """How many the loop may make, each time after it made as many and quickly, until that stays as it is."""
    told = [near.most(now_s)]
    while len(told) < 2 or told[-1] != told[-2]:
        near.took(told[-1], QUICK_S, now_s)
        told.append(near.most(now_s))
    return told


def pause_after_long(near: Nearness, now_s: float) -> float:
    """How long nothing is looked up here after two that took long, to an eighth of a second."""
    for _ in range(2):
        near.took(near.most(now_s), 2 * LONG_S, now_s)
    eighths = 0
    while not near.most(now_s + eighths / 8):
        eighths += 1
    return eighths / 8


def test_it_begins_with_few_and_doubles_them_while_they_are_quick() -> None:
    told = full_and_quick(Nearness(is_local=True), 0.0)
    assert told == [8, 16, 32, 64, 128, 128]
    assert (told[0], told[-1]) == (FEWEST, MOST)


def test_quick_ones_that_were_fewer_than_might_be_say_nothing_about_more() -> None:
    near = Nearness(is_local=True)
    for _ in range(9):
        near.took(FEWEST - 1, QUICK_S, 0.0)
    assert near.most(0.0) == FEWEST


def test_what_is_far_is_never_looked_up_here() -> None:
    near = Nearness(is_local=False)
    assert [near.most(now_s) for now_s in (0.0, 1.0, 1e9)] == [0, 0, 0]


def test_a_single_long_one_brings_fewer_and_no_pause() -> None:
    near = Nearness(is_local=True)
    full_and_quick(near, 0.0)
    for _ in range(3):
        near.took(MOST, 2 * LONG_S, 0.0)
        assert near.most(0.0) == FEWEST
        full_and_quick(near, 0.0)


def test_a_quick_one_between_two_long_ones_is_no_pause_however_few_it_was() -> None:
    near = Nearness(is_local=True)
    for seconds, count in ((2 * LONG_S, FEWEST), (LONG_S, 1), (2 * LONG_S, FEWEST)):
        near.took(count, seconds, 0.0)
    assert near.most(0.0) == FEWEST


def test_after_two_long_ones_it_pauses_and_begins_with_few_again() -> None:
    near = Nearness(is_local=True)
    full_and_quick(near, 0.0)
    assert pause_after_long(near, 10.0) == FIRST_PAUSE_S
    assert near.most(10.0 + FIRST_PAUSE_S) == FEWEST


def test_a_disk_that_stays_slow_is_tried_more_and_more_seldom() -> None:
    near = Nearness(is_local=True)
    pauses = [pause_after_long(near, 100.0 * number) for number in range(8)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_once_all_is_quick_again_long_ones_count_as_the_first() -> None:
    near = Nearness(is_local=True)
    for number in range(4):
        pause_after_long(near, 100.0 * number)
    full_and_quick(near, 1_000.0)
    assert pause_after_long(near, 2_000.0) == FIRST_PAUSE_S


def test_turns_of_rows_that_are_quick_end_a_slow_spell_though_they_are_fewer_than_might_be() -> None:
    near = Nearness(is_local=True)
    for number in range(4):
        pause_after_long(near, 100.0 * number)
    for count in (8, 16, 32, 32):
        near.took(count, QUICK_S, 1_000.0)
    assert near.most(1_000.0) == 64
    assert pause_after_long(near, 2_000.0) == FIRST_PAUSE_S


def test_a_few_quick_ones_do_not_end_a_slow_spell() -> None:
    near = Nearness(is_local=True)
    for number in range(4):
        pause_after_long(near, 100.0 * number)
    for count in (8, 16, 31):
        near.took(count, QUICK_S, 1_000.0)
    assert pause_after_long(near, 2_000.0) == 16 * FIRST_PAUSE_S
