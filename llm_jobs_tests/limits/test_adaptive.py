"""Adaptive concurrency: the 12 servers, what changes, refusals, clients without work, and its bounds."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.limits.adaptive import AdaptiveConcurrency
from llm_jobs_tests.limits.saturating import (
    CASES,
    Case,
    Queue,
    Refusing,
    Sharing,
    about,
    changing,
    collapse,
    exponential,
    heavy_tailed,
    knee,
    lognormal,
    run,
)


@cache
def best_of(case: Case) -> float:
    """The throughput of the best fixed limit, by a sweep of the same server with a seed of its own."""
    return case.best(seed=1)[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_throughput_is_within_a_tenth_of_the_best_fixed_concurrency(case: Case) -> None:
    for seed in (11, 12, 13):
        found = run(case.open(), AdaptiveConcurrency(at_most=512), seconds=case.seconds, seed=seed)
        assert found.throughput >= 0.9 * best_of(case), seed


@pytest.mark.parametrize(
    ("case", "most"),
    [
        (CASES[1], 3),  # 16 workers
        (CASES[3], 1.6),  # 200 workers
        (CASES[7], 3),  # batches of 32
        (CASES[9], 1.3),  # a peak at 40
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_it_stops_near_the_knee_and_does_not_go_on_to_the_most(case: Case, most: float) -> None:
    found = run(case.open(), AdaptiveConcurrency(at_most=512), seconds=case.seconds, seed=21)
    assert 0.7 * case.knee <= found.mean_limit <= most * case.knee


def test_it_is_not_fooled_by_answers_of_very_different_length() -> None:
    """Without tokens too: latency varies by forty times and says nothing of the server."""
    case = Case("heavy-tailed, no tokens", 50, lambda: Sharing(knee(50, 1.0), heavy_tailed(tokens=None)))
    for seed in (31, 32):
        found = run(case.open(), AdaptiveConcurrency(at_most=512), seconds=case.seconds, seed=seed)
        assert found.throughput >= 0.9 * best_of(case)


def test_it_follows_a_server_that_halves_and_one_that_recovers() -> None:
    """Beyond the knee throughput falls, so that neither the old nor the new limit would do for both halves."""
    small, large = collapse(24, 1.0, steep=0.7), collapse(48, 1.0, steep=0.7)
    for before, after, at_first, at_last in ((large, small, 48, 24), (small, large, 24, 48)):
        for seed in (41, 42, 43):
            server = Sharing(changing(before, after, at_s=500), lognormal(variation=0.5))
            controller = AdaptiveConcurrency(at_most=512)
            quarters = run(server, controller, seconds=1000, seed=seed).answered_in_quarters
            assert quarters[1] >= 0.9 * at_first * 250
            assert quarters[3] >= 0.9 * at_last * 250


def test_a_client_without_enough_work_does_not_grow_the_limit() -> None:
    for work in (1, 6, 30):
        controller = AdaptiveConcurrency(at_most=512, start=8)
        found = run(Queue(1000, exponential()), controller, seconds=300, seed=51, work=work)
        assert found.mean_limit <= max(8, 2 * work)


def test_a_server_without_a_knee_is_given_all_that_is_allowed_soon() -> None:
    """Twice as many after every two round trips: from 8 to 256 in ten."""
    controller = AdaptiveConcurrency(at_most=256, start=8)
    run(Queue(1000, about(noise=0.05)), controller, seconds=14, seed=61)
    assert controller.limit == 256


def test_the_limit_comes_to_stand_below_what_a_server_refuses() -> None:
    controller = AdaptiveConcurrency(at_most=512)
    found = run(Refusing(Queue(1000, lognormal(variation=0.4)), 40), controller, seconds=900, seed=71)
    state = controller.state()
    assert found.refused < 0.01 * found.throughput * 900
    assert state.cuts <= 12
    assert state.ceiling is not None
    assert 36 <= state.ceiling <= 44


@pytest.mark.parametrize("is_latency_known", [True, False])
def test_an_episode_of_refusals_cuts_once(is_latency_known: bool) -> None:
    controller = AdaptiveConcurrency(start=40)
    for _ in range(controller.limit):
        controller.sent(0.0)
    before = controller.limit
    for _ in range(30):
        controller.limited(1.0, 1.0 if is_latency_known else None)
    cut = controller.limit
    assert controller.state().cuts == 1
    assert cut == int(0.75 * before)
    for _ in range(before - 30):
        controller.answered(1.1, 1.1)
    for _ in range(10):
        controller.sent(1.2)
    controller.limited(2.2, 1.0 if is_latency_known else None)
    assert controller.state().cuts == 2
    assert controller.limit < cut


def test_after_a_cut_the_limit_grows_by_addition_up_to_the_ceiling() -> None:
    controller = AdaptiveConcurrency(start=40)
    for _ in range(controller.limit):
        controller.sent(0.0)
    before = controller.limit
    controller.limited(1.0, 1.0)
    limits = [controller.limit]
    in_flight, now_s = before - 1, 1.0
    while controller.state().phase == "recover":
        now_s += 0.01
        controller.answered(now_s, 1.0)
        in_flight -= 1
        while in_flight < controller.limit:
            controller.sent(now_s)
            in_flight += 1
        limits.append(controller.limit)
    assert max(later - earlier for earlier, later in pairwise(limits)) == 1
    assert limits[-1] == before - 1


def test_what_fails_does_not_count_as_throughput() -> None:
    """A server that answers a quarter as often, and lets the rest time out, beyond 20 in flight."""
    controller, in_flight, now_s = AdaptiveConcurrency(at_most=256, start=8), 0, 0.0
    limits = []
    for number in range(40_000):
        while in_flight < controller.limit:
            controller.sent(now_s)
            in_flight += 1
        now_s += 1 / in_flight
        in_flight -= 1
        if in_flight <= 20 or number % 4 == 0:
            controller.answered(now_s, 1.0)
        else:
            controller.failed(now_s)
        limits.append(controller.limit)
    late = limits[20_000:]
    assert sum(late) / len(late) < 26


def test_its_state_says_what_it_does() -> None:
    controller = AdaptiveConcurrency(start=8)
    state = controller.state()
    assert (state.limit, state.in_flight, state.phase, state.cuts, state.ceiling) == (8, 0, "slow start", 0, None)
    run(Queue(16, about(0.5, noise=0.1)), controller, seconds=200, seed=81)
    state = controller.state()
    assert state.best_throughput == pytest.approx(32, rel=0.15)
    assert state.phase in ("search", "hold", "probe")


@pytest.mark.parametrize("bounds", [(0, 5), (6, 5), (-1, -1)])
def test_bounds_that_are_none_are_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at_least"):
        AdaptiveConcurrency(at_least=bounds[0], at_most=bounds[1])


@given(
    bounds=st.tuples(st.integers(1, 40), st.integers(0, 200), st.integers(1, 300)),
    ends=st.lists(
        st.tuples(st.sampled_from(["answered", "limited", "failed"]), st.floats(0, 3), st.integers(0, 500)),
        max_size=400,
    ),
)
def test_whatever_happens_the_limit_stays_within_its_bounds(
    bounds: tuple[int, int, int], ends: list[tuple[str, float, int]]
) -> None:
    at_least, more, start = bounds
    controller = AdaptiveConcurrency(at_least=at_least, at_most=at_least + more, start=start)
    in_flight, now_s = 0, 5.0
    for kind, latency_s, tokens in ends:
        assert at_least <= controller.limit <= at_least + more
        while in_flight < controller.limit:
            controller.sent(now_s)
            in_flight += 1
        now_s += latency_s / 10
        in_flight -= 1
        if kind == "answered":
            controller.answered(now_s, latency_s, tokens if tokens % 3 else None)
        elif kind == "limited":
            controller.limited(now_s, latency_s if tokens % 2 else None)
        else:
            controller.failed(now_s)
        assert controller.state().in_flight == in_flight
