"""The decision itself, in virtual time: windows against a brute-force count, who comes first, what is given back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_jobs.limits.algorithm import DEMAND_MS, decide, fair_share
from llm_jobs.limits.base import LEASE_MS, MARGIN_MS, VALID_MS, Ask, Correction, Grant, Limits
from llm_jobs.limits.state import SLOT_MS, State

DELIVERY_MS = MARGIN_MS - VALID_MS  # what a request may take longer than another on its way to the server
START_MS = 1_000_000


@dataclass
class Quota:
    """A quota whose clock is moved by hand; remembers what arrived when."""

    limits: Limits
    now_ms: int = START_MS
    state: State = field(default_factory=State)
    arrivals: list[tuple[int, int]] = field(default_factory=list)  # when, how many tokens

    def ask(self, owner: str = "a", **what: object) -> Grant:
        return decide(self.state, Ask(owner=owner, limits=self.limits, **what), self.now_ms)  # type: ignore[arg-type]

    def hot(self, count: int, *, owner: str = "a", tokens: int = 1, **what: object) -> Grant:
        return self.ask(owner, hot=((count, tokens, 0),), hot_waiting=count, **what)

    def cold(self, count: int, *, owner: str = "a", tokens: int = 1, **what: object) -> Grant:
        return self.ask(owner, cold=((count, tokens, 0),), cold_waiting=count, **what)


def fullest_window(arrivals: list[tuple[int, int]]) -> tuple[int, int]:
    """The most requests and the most tokens in any window of 60 s, counted the slow way."""
    windows = [[(at, n) for at, n in arrivals if start <= at < start + 60_000] for start, _ in arrivals]
    most_requests = max((len(window) for window in windows), default=0)
    return most_requests, max((sum(n for _, n in window) for window in windows), default=0)


# Waits that matter are those about a slot, a burst or a window long; deliveries that matter are the latest and none.
WAITS = st.sampled_from([0, 1, 150, 200, 1_100, 6_000, 20_000]) | st.integers(59_000, 61_400)
STEP = st.tuples(
    WAITS,
    st.sampled_from(["a", "b"]),
    st.integers(0, 20),  # hot calls
    st.integers(0, 20),  # cold calls
    st.integers(1, 60),  # tokens reserved for each
    st.sampled_from([0.0, 0.5, 1.0]),  # the share of them that is used
    st.sampled_from([0, VALID_MS + DELIVERY_MS]),  # how late the calls arrive
    st.just(0) | st.integers(-100_000, 0),  # how far the store's clock is put back
    st.sampled_from([None, None, 2, 9]),  # a change of the requests per minute
)
Step = tuple[int, str, int, int, int, float, int, int, int | None]


@settings(max_examples=300)
@given(
    requests=st.integers(1, 12),
    tokens=st.integers(60, 300),
    burst_s=st.sampled_from([6.0, 60.0]),
    steps=st.lists(STEP, min_size=4, max_size=40),
)
def test_no_window_holds_more_than_the_quota_whatever_is_settled_changed_or_put_back(
    requests: int, tokens: int, burst_s: float, steps: list[Step]
) -> None:
    quota = Quota(Limits(requests_per_minute=requests, tokens_per_minute=tokens, burst_s=burst_s))
    most, true_ms, moved_ms = requests, 0, 0
    corrections: list[Correction] = []
    for wait_ms, owner, hot, cold, each, used, late_ms, back_ms, change in steps:
        true_ms += wait_ms
        moved_ms += back_ms
        if change is not None:
            quota.limits = Limits(requests_per_minute=change, tokens_per_minute=tokens, burst_s=burst_s)
            most = max(most, change)
        quota.now_ms = START_MS + true_ms + moved_ms
        known = tuple(corrections) if owner == "a" else ()  # b's exchanges come between a grant and what it used
        grant = quota.ask(
            owner,
            hot=((hot, each, 0),) if hot else (),
            cold=((cold, each, 0),) if cold else (),
            hot_waiting=hot,
            cold_waiting=cold,
            corrections=known,
        )
        granted, actual = grant.hot + grant.cold, int(each * used)
        quota.arrivals += [(true_ms + late_ms, actual)] * granted
        corrections = [*corrections[len(known) :], (grant.slot, 0, (actual - each) * granted, 0)]
    most_requests, most_tokens = fullest_window(quota.arrivals)
    assert most_requests <= most
    assert most_tokens <= tokens


def first_grant_ms(quota: Quota, *, since_ms: int) -> int:
    """How long after `since_ms` a call is granted when it is asked for in every millisecond from there."""
    quota.now_ms = since_ms
    while quota.hot(1).hot == 0:
        quota.now_ms += 1
    return quota.now_ms - since_ms


@pytest.mark.parametrize("offset_ms", [0, 1, 100, 199])
def test_a_request_makes_room_for_another_a_window_and_a_margin_later_and_at_most_a_slot_after_that(
    offset_ms: int,
) -> None:
    quota = Quota(Limits(requests_per_minute=1), now_ms=START_MS + offset_ms)
    assert quota.hot(1).hot == 1
    waited_ms = 59_000 + first_grant_ms(quota, since_ms=START_MS + offset_ms + 59_000)
    assert 60_000 + MARGIN_MS <= waited_ms <= 60_000 + MARGIN_MS + SLOT_MS


def test_a_clock_put_back_by_an_hour_holds_nobody_up_for_longer_than_a_window() -> None:
    quota = Quota(Limits(requests_per_minute=1))
    assert quota.hot(1).hot == 1
    quota.now_ms -= 3_600_000
    assert quota.hot(1).hot == 0
    assert first_grant_ms(quota, since_ms=START_MS - 3_600_000 + 60_000) <= MARGIN_MS + SLOT_MS


def test_small_steps_back_of_two_clocks_do_not_make_time_run_faster() -> None:
    quota = Quota(Limits(requests_per_minute=1))
    quota.hot(1)
    for step in range(200):
        quota.now_ms = START_MS + 250 * step - 900 * (step % 2)
        assert quota.hot(1).hot == 0


def test_a_burst_is_spread_and_the_minute_is_used_whole() -> None:
    quota = Quota(Limits(requests_per_minute=600, burst_s=6))
    granted = []
    for _ in range(600):
        granted.append(quota.hot(1_000).hot)
        quota.now_ms += 100
    assert granted[0] == 75  # six seconds' worth, and a quarter more
    assert sum(granted) == 600


def test_a_call_larger_than_the_burst_goes_when_nothing_went_lately() -> None:
    quota = Quota(Limits(tokens_per_minute=1_000, burst_s=6))
    assert quota.hot(2, tokens=900).hot == 1


def test_a_call_that_fails_one_limit_takes_from_none() -> None:
    quota = Quota(
        Limits(requests_per_minute=10, tokens_per_minute=100, requests_per_day=10, concurrency=10, burst_s=60)
    )
    assert quota.hot(1, tokens=95).hot == 1
    assert quota.hot(5, tokens=10).hot == 0
    quota.ask(in_use=1)  # it gives up: nothing waits
    assert quota.hot(9, tokens=0, owner="b").hot == 9


def test_nobody_overtakes_a_call_that_does_not_fit_yet() -> None:
    quota = Quota(Limits(tokens_per_minute=100, burst_s=60))
    grant = quota.ask(hot=((1, 50, 0), (1, 60, 0), (1, 10, 0)), hot_waiting=3)
    assert grant.hot == 1


@pytest.mark.parametrize(
    ("limits", "granted"),
    [
        (Limits(input_tokens_per_minute=100, burst_s=60), 10),
        (Limits(output_tokens_per_minute=100, burst_s=60), 5),
        (Limits(tokens_per_minute=90, burst_s=60), 3),
        (Limits(requests_per_day=7, burst_s=60), 7),
        (Limits(concurrency=4), 4),
        (Limits(requests_per_minute=20, concurrency=6, tokens_per_minute=600, burst_s=60), 6),
    ],
)
def test_every_limit_holds_and_the_tightest_decides(limits: Limits, granted: int) -> None:
    assert Quota(limits).ask(hot=((50, 10, 20),), hot_waiting=50).hot == granted


def test_a_day_is_a_sliding_window_too() -> None:
    quota = Quota(Limits(requests_per_day=3, burst_s=60))
    assert quota.hot(5).hot == 3
    quota.now_ms += 86_400_000
    assert quota.hot(5).hot == 0
    quota.now_ms += MARGIN_MS + 300_000
    assert quota.hot(5).hot == 3


def test_what_was_given_back_can_be_had_by_another_at_once() -> None:
    quota = Quota(Limits(requests_per_minute=5, requests_per_day=5, burst_s=60))
    slot = quota.hot(5).slot
    assert quota.ask(corrections=((slot, -2, -2, 0),)).hot == 0
    assert quota.hot(5, owner="b").hot == 2


def test_a_correction_changes_the_slot_that_it_names_and_no_other() -> None:
    quota = Quota(Limits(tokens_per_minute=100, burst_s=60))
    first = quota.hot(1, tokens=50).slot
    quota.now_ms += SLOT_MS
    quota.hot(1, tokens=50)
    quota.ask(corrections=((first, 0, -30, 10),))
    assert quota.state.slots == [[first, 1, 20, 10], [first + 1, 1, 50, 0]]


def test_tokens_beyond_the_estimate_count_where_they_were_granted() -> None:
    quota = Quota(Limits(tokens_per_minute=100, burst_s=60))
    slot = quota.hot(1, tokens=40).slot
    quota.now_ms += 30_000
    quota.ask(corrections=((slot, 0, 30, 0),))
    assert quota.hot(1, tokens=31).hot == 0
    assert quota.hot(1, tokens=30).hot == 1
    assert first_grant_ms(quota, since_ms=START_MS + 60_000) <= MARGIN_MS + SLOT_MS


# --- a pause, and what the vendor tells ---


def test_a_pause_by_one_owner_stops_all_until_its_end() -> None:
    quota = Quota(Limits(requests_per_minute=100))
    quota.ask("a", pause_ms=5_000)
    grant = quota.hot(1, owner="b")
    assert (grant.hot, grant.paused_ms) == (0, 5_000)
    quota.ask("c", pause_ms=1_000)  # a shorter one does not end it
    quota.now_ms += 4_999
    assert quota.hot(1, owner="b").hot == 0
    quota.now_ms += 1
    assert quota.hot(1, owner="b").hot == 1


def test_a_vendor_that_counts_others_too_corrects_the_quota_downwards_and_its_refill_is_even() -> None:
    quota = Quota(Limits(requests_per_minute=100, burst_s=60))
    quota.ask("a", told=((0, 3, 63, 6_000),))
    assert quota.hot(50, owner="b").hot == 3
    quota.now_ms += 1_000
    assert quota.hot(50, owner="b").hot == 10
    quota.now_ms += 5_000
    assert quota.hot(200, owner="b").hot == 87


def test_a_vendor_that_promises_more_than_the_quota_changes_nothing() -> None:
    quota = Quota(Limits(requests_per_minute=5, burst_s=60))
    quota.ask("a", told=((0, 1_000, 1_000, 6_000),))
    assert quota.hot(50).hot == 5


# --- whose turn it is ---


def test_hot_goes_first_and_one_in_ten_is_colds() -> None:
    quota = Quota(Limits(requests_per_minute=100, burst_s=60))
    grant = quota.ask(hot=((300, 1, 0),), cold=((300, 1, 0),), hot_waiting=300, cold_waiting=300)
    assert (grant.hot, grant.cold) == (90, 10)


def test_cold_gets_all_that_hot_leaves() -> None:
    quota = Quota(Limits(requests_per_minute=100, burst_s=60))
    grant = quota.ask(hot=((30, 1, 0),), cold=((300, 1, 0),), hot_waiting=30, cold_waiting=300)
    assert (grant.hot, grant.cold) == (30, 70)


def served_in_turn(quota: Quota, asks: dict[str, str], *, rounds: int, step_ms: int = 100) -> dict[str, int]:
    """What each owner got when all wait for ever and ask one after the other."""
    got = dict.fromkeys(asks, 0)
    for _ in range(rounds):
        for owner, kind in asks.items():
            grant = quota.hot(1_000, owner=owner) if kind == "hot" else quota.cold(1_000, owner=owner)
            got[owner] += grant.hot + grant.cold
            quota.now_ms += step_ms
    return got


@pytest.mark.parametrize("asks", [{"a": "hot", "b": "cold"}, {"b": "cold", "a": "hot"}])
def test_across_processes_hot_goes_first_and_one_in_ten_is_colds(asks: dict[str, str]) -> None:
    quota = Quota(Limits(requests_per_minute=600, burst_s=1))
    quota.cold(1_000, owner="b")
    got = served_in_turn(quota, asks, rounds=900)
    assert got["b"] <= 0.12 * got["a"]
    assert got["a"] <= 9 * (got["b"] + 1)
    assert got["a"] + got["b"] >= 0.97 * 600 * 3


def test_owners_that_wait_get_equal_shares_whoever_asks_first_and_whatever_they_ask() -> None:
    quota = Quota(Limits(requests_per_minute=600, burst_s=1))
    got = served_in_turn(quota, {"a": "hot", "b": "hot", "c": "hot"}, rounds=600)
    assert max(got.values()) - min(got.values()) <= 0.02 * sum(got.values())
    assert sum(got.values()) >= 0.97 * 600 * 3


def test_an_owner_with_small_calls_does_not_starve_one_with_a_large_one() -> None:
    quota = Quota(Limits(tokens_per_minute=1_000, burst_s=60))
    quota.hot(50, owner="small", tokens=20)
    waited_ms = 0
    while quota.hot(1, owner="large", tokens=900).hot == 0:
        quota.hot(50, owner="small", tokens=20)
        quota.now_ms += 250
        waited_ms += 250
    assert waited_ms <= 62_000


def test_who_comes_later_starts_level_and_is_not_owed_the_past() -> None:
    quota = Quota(Limits(requests_per_minute=600, burst_s=1))
    served_in_turn(quota, {"a": "hot"}, rounds=1_200)
    got = served_in_turn(quota, {"a": "hot", "late": "hot"}, rounds=600)
    assert abs(got["a"] - got["late"]) <= 0.05 * sum(got.values())


def test_an_owner_that_stopped_asking_is_not_waited_for() -> None:
    quota = Quota(Limits(requests_per_minute=60, burst_s=60))
    slot = quota.hot(60, owner="a").slot
    quota.hot(1_000, owner="gone")
    quota.now_ms += DEMAND_MS
    assert quota.hot(60, owner="a", corrections=((slot, -20, 0, 0),)).hot == 0
    quota.now_ms += 1
    assert quota.hot(60, owner="a").hot == 20


@given(
    free=st.integers(0, 10_000),
    everybody=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)), min_size=1, max_size=6),
)
def test_fair_shares_fit_and_nobody_below_the_level_of_another_is_cut(
    free: int, everybody: list[tuple[int, int]]
) -> None:
    shares = [fair_share(free, mine, [*everybody[:at], *everybody[at + 1 :]]) for at, mine in enumerate(everybody)]
    assert sum(shares) <= free
    levels = [served + share for (served, _), share in zip(everybody, shares, strict=True) if share]
    cut = [served + share for (served, wanted), share in zip(everybody, shares, strict=True) if share < wanted]
    assert all(level <= below + 1 for level in levels for below in cut)
    assert sum(shares) == min(free, sum(wanted for _, wanted in everybody)) or free - sum(shares) < len(everybody)


# --- calls at once ---


def test_slots_that_nobody_else_wants_are_kept_and_no_more_than_there_are() -> None:
    quota = Quota(Limits(concurrency=8))
    assert quota.hot(20, owner="a").keep == 8
    grant = quota.hot(20, owner="b")
    assert (grant.hot, grant.keep, grant.contended) == (0, 0, True)


def test_an_owner_goes_down_to_its_share_as_its_calls_end() -> None:
    quota = Quota(Limits(concurrency=8))
    quota.hot(20, owner="a")
    quota.hot(20, owner="b")
    assert quota.hot(12, owner="a", in_use=8).keep == 4
    assert quota.hot(16, owner="a", in_use=6).hot == 0
    assert quota.hot(20, owner="b").hot == 2


def test_calls_at_once_are_hots_first_and_a_tenth_is_colds() -> None:
    quota = Quota(Limits(concurrency=20))
    quota.hot(50, owner="h")
    assert quota.cold(50, owner="c").cold == 0
    assert quota.hot(30, owner="h", in_use=20).keep == 18
    assert quota.hot(30, owner="h", in_use=15).hot == 4  # its eighteen, and one that is nobody's share
    assert quota.cold(50, owner="c").keep == 1


def test_one_slot_goes_round() -> None:
    quota = Quota(Limits(concurrency=1))
    got = {"a": 0, "b": 0}
    in_use = {"a": 0, "b": 0}
    for turn in range(200):
        owner = "ab"[turn % 2]
        grant = quota.hot(9, owner=owner, in_use=0)  # its call, if it had one, has ended
        in_use[owner] = max(grant.hot, grant.keep or 0)
        got[owner] += grant.hot
        assert sum(in_use.values()) <= 1
        quota.now_ms += 50
    assert min(got.values()) >= 40
    assert abs(got["a"] - got["b"]) <= 1


def test_a_dead_owners_slots_are_free_again_within_its_lease() -> None:
    quota = Quota(Limits(concurrency=3))
    assert quota.hot(3, owner="dead").hot == 3
    quota.now_ms += LEASE_MS
    assert quota.hot(3, owner="b").hot == 0
    quota.now_ms += 1
    assert quota.hot(3, owner="b").hot == 3


def test_who_leaves_gives_its_slots_back_at_once() -> None:
    quota = Quota(Limits(concurrency=3))
    quota.hot(3, owner="a")
    quota.ask("a", leaving=True)
    assert quota.hot(3, owner="b").hot == 3


OWNERS = st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 700))


@given(most=st.integers(1, 7), steps=st.lists(OWNERS, max_size=60))
def test_no_more_calls_are_under_way_than_may_be(most: int, steps: list[tuple[str, int, int, int, int]]) -> None:
    quota = Quota(Limits(concurrency=most))
    allowed = dict.fromkeys("abc", 0)
    for owner, ended, hot, cold, wait_ms in steps:
        in_use = max(0, allowed[owner] - ended)
        grant = quota.ask(
            owner,
            hot=((hot, 0, 0),) if hot else (),
            cold=((cold, 0, 0),) if cold else (),
            hot_waiting=hot,
            cold_waiting=cold,
            in_use=in_use,
        )
        allowed[owner] = max(in_use + grant.hot + grant.cold, grant.keep or 0)
        assert sum(allowed.values()) <= most
        quota.now_ms += wait_ms


# --- what is remembered ---


def test_a_state_packs_into_a_few_kilobytes_and_comes_back_the_same() -> None:
    quota = Quota(Limits(requests_per_minute=30_000, tokens_per_minute=9_000_000))
    for turn in range(700):
        quota.hot(100, owner=f"{turn % 16:032x}", tokens=1234)
        quota.now_ms += 100
    packed = quota.state.packed()
    assert State.unpacked(packed).packed() == packed
    assert len(packed) < 12_000
