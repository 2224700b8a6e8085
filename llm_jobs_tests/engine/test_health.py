"""A model that fails in a row is left in peace for a growing time, and one probe brings it back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_jobs.engine.health import ModelHealth


def unwell() -> ModelHealth:
    health = ModelHealth(failures=3, first_s=10.0, longest_s=35.0, probe_s=60.0)
    for _ in range(3):
        assert health.admits(0.0)
        health.failed(0.0, probe=False)
    return health


def test_failures_that_are_not_in_a_row_change_nothing() -> None:
    health = ModelHealth(failures=3)
    for _ in range(20):
        health.failed(0.0, probe=False)
        health.failed(0.0, probe=False)
        health.answered()
    assert health.admits(0.0)


def test_after_a_cooling_one_probe_is_admitted_and_the_others_wait_for_it() -> None:
    health = unwell()
    assert health.is_cooling(9.9)
    assert not health.admits(9.9)
    assert [health.admits(10.0), health.admits(10.0), health.admits(69.9)] == [True, False, False]
    assert health.admits(70.0)  # nothing was heard of the first


def test_a_probe_that_is_answered_closes_it() -> None:
    health = unwell()
    assert health.admits(10.0)
    health.answered()
    assert [health.admits(10.0), health.is_cooling(10.0), health.coolings] == [True, False, 0]


def test_each_failed_probe_doubles_the_time_up_to_a_bound() -> None:
    health, now_s, waits = unwell(), 0.0, []
    for _ in range(4):
        began_s = now_s
        while not health.admits(now_s):
            now_s += 0.5
        waits.append(now_s - began_s)
        health.failed(now_s, probe=True)
    assert waits == [10.0, 20.0, 35.0, 35.0]


def test_calls_that_were_under_way_do_not_prolong_the_cooling() -> None:
    health = unwell()
    for _ in range(50):
        health.failed(5.0, probe=False)
    assert health.admits(10.0)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=60))
def test_it_always_comes_back_and_never_admits_two_within_a_cooling(steps: list[tuple[float, bool]]) -> None:
    health, now_s = ModelHealth(failures=2, first_s=10.0, longest_s=600.0, probe_s=60.0), 0.0
    for passed_s, answers in steps:
        now_s += passed_s
        was_cooling = health.coolings > 0
        if health.admits(now_s):
            if was_cooling:
                assert not health.admits(now_s)
            if answers:
                health.answered()
            else:
                health.failed(now_s, probe=was_cooling)
    assert health.admits(now_s + 600.0)
