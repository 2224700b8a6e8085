"""The limiter in virtual time: order, shares, changes, pauses, cancellation, and how rarely it asks the store."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from llm_jobs.errors import PermanentError, SetupError
from llm_jobs.events import WaitReason
from llm_jobs.limits.base import LEASE_MS, NO_LIMITS, NOTHING, VALID_MS, Ask, Cost, Grant, Limits, Observed, Told
from llm_jobs.limits.limiter import GIVE_UP_S, Limiter, Permit
from llm_jobs.limits.lines import Line
from llm_jobs.limits.memory import MemoryLimitStore
from llm_jobs_tests.virtual_time import VirtualLoop, run_virtual


class CountedStore:
    """A store in memory on the running loop's clock that counts its exchanges, and fails while it is told to."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._store = MemoryLimitStore(now_ms=lambda: int(loop.time() * 1000) + 1_000_000)
        self.exchanges = 0
        self.broken = False
        self.at_exchange: Callable[[], object] = int

    def exchange(self, key: str, ask: Ask) -> Grant:
        self.exchanges += 1
        asyncio.get_running_loop().call_soon(self.at_exchange)
        if self.broken:
            raise SetupError("the store is away")
        return self._store.exchange(key, ask)

    def migrate(self) -> None:
        self._store.migrate()

    def close(self) -> None:
        self._store.close()


@dataclass
class House:
    """Limiters on one store, as if each were a process; what was sent, when and for whom."""

    limits: Limits = NO_LIMITS
    store: CountedStore = field(default_factory=CountedStore)
    sent: list[tuple[float, str]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    def limiter(self) -> Limiter:
        return Limiter(self.store, "model", limits=lambda: self.limits)

    async def call(
        self,
        limiter: Limiter,
        line: Line,
        *,
        name: str = "",
        cost: Cost = NOTHING,
        used: Cost | None = None,
        lasts_s: float = 0.0,
    ) -> None:
        permit = await limiter.acquire(cost, line)
        self.sent.append((asyncio.get_running_loop().time(), name))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(lasts_s)
        self.under_way -= 1
        permit.settle(used)
        permit.release()

    def within_a_minute(self) -> int:
        """The most calls in any 60 s: those from each call on, up to the first that is a minute later."""
        starts = [at for at, _ in self.sent]
        return max(bisect_left(starts, first + 60) - at for at, first in enumerate(starts))


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def many(house: House, count: int, limiter: Limiter, line: Line, **what: object) -> None:
    await asyncio.gather(*(house.call(limiter, line, **what) for _ in range(count)))  # type: ignore[arg-type]


def test_a_model_without_limits_is_free_no_store_is_asked_and_nothing_waits() -> None:
    async def run() -> None:
        house = House()
        limiter = house.limiter()
        permits = [limiter.take(Cost(10**9, 10**9), Line()) for _ in range(1_000)]
        assert all(permit is not None for permit in permits)
        for permit in permits:
            assert permit is not None
            permit.settle(Cost(1, 1))
            permit.release()
        await asyncio.sleep(60)
        await limiter.aclose()
        assert (house.store.exchanges, limiter.held) == (0, 0)

    run_virtual(run())


def test_a_thousand_waiting_calls_ask_the_store_no_more_often_than_ten() -> None:
    async def exchanges(count: int) -> int:
        house = House(Limits(requests_per_minute=60))
        limiter = house.limiter()
        tasks = [asyncio.create_task(house.call(limiter, Line())) for _ in range(count)]
        await asyncio.sleep(30)
        asked = house.store.exchanges
        for task in tasks:
            task.cancel()
        return asked

    few, thousand = run_virtual(exchanges(40)), run_virtual(exchanges(1_000))
    assert thousand <= few + 30
    assert thousand <= 8 * 30


@pytest.mark.parametrize("per_minute", [10, 15, 60, 3_000])
def test_no_minute_has_more_and_the_quota_is_used_while_calls_wait(per_minute: int) -> None:
    async def run() -> House:
        house = House(Limits(requests_per_minute=per_minute))
        limiter = house.limiter()
        tasks = [asyncio.create_task(house.call(limiter, Line())) for _ in range(5 * per_minute)]
        await asyncio.sleep(3 * 61.3)
        for task in tasks:
            task.cancel()
        return house

    house = run_virtual(run())
    assert house.within_a_minute() == per_minute
    assert len(house.sent) >= 0.97 * per_minute * 3 * 61.3 / 60


def test_calls_that_come_one_by_one_find_a_permit_without_waiting() -> None:
    async def run() -> tuple[int, int]:
        house = House(Limits(requests_per_minute=600_000))
        limiter, line, waited = house.limiter(), Line(), 0
        for _ in range(2_000):
            permit = limiter.take(NOTHING, line)
            if permit is None:
                waited += 1
                permit = await limiter.acquire(NOTHING, line)
            permit.release()
            await asyncio.sleep(0.002)
        return waited, house.store.exchanges

    waited, exchanges = run_virtual(run())
    assert waited <= 20
    assert exchanges <= 4 * 20 + 20


def test_what_was_expected_and_did_not_come_is_given_back() -> None:
    async def run() -> int:
        house = House(Limits(requests_per_minute=600_000))
        limiter = house.limiter()
        await many(house, 1_000, limiter, Line())
        await asyncio.sleep(1)
        house.limits = Limits(requests_per_minute=1_100, burst_s=60)
        other = house.limiter()
        await asyncio.wait_for(many(house, 100, other, Line()), 1)
        return other.waiting

    assert run_virtual(run()) == 0


def test_waiting_is_in_order_within_a_line_and_turn_by_turn_between_lines() -> None:
    async def run() -> list[str]:
        house = House(Limits(concurrency=1))
        limiter, first, second = house.limiter(), Line(), Line()
        calls = [house.call(limiter, first, name=f"a{n}", lasts_s=0.1) for n in range(4)]
        calls += [house.call(limiter, second, name=f"b{n}", lasts_s=0.1) for n in range(4)]
        await asyncio.gather(*calls)
        return [name for _, name in house.sent]

    assert run_virtual(run()) == ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3"]


@pytest.mark.parametrize("limits", [Limits(concurrency=2), Limits(requests_per_minute=60)])
def test_hot_goes_first_and_of_ten_one_is_cold_from_the_first_to_the_last(limits: Limits) -> None:
    async def run() -> list[str]:
        house = House(limits)
        limiter = house.limiter()
        cold = [house.call(limiter, Line("cold"), name="cold", lasts_s=0.2) for _ in range(60)]
        hot = [house.call(limiter, Line("hot"), name="hot", lasts_s=0.2) for _ in range(100)]
        await asyncio.gather(*cold, *hot)
        return [name for _, name in house.sent]

    order = run_virtual(run())
    while_both_wait = order[: max(at for at, name in enumerate(order) if name == "hot")]
    for start in range(len(while_both_wait) - 10):
        assert 1 <= while_both_wait[start : start + 10].count("cold") <= 2


def test_a_change_of_priority_moves_what_waits_at_once() -> None:
    async def run() -> list[str]:
        house = House(Limits(requests_per_minute=60, burst_s=1))
        limiter, job, other = house.limiter(), Line("cold"), Line("hot")
        waiting = [asyncio.create_task(house.call(limiter, other, name="other")) for _ in range(30)]
        waiting += [asyncio.create_task(house.call(limiter, job, name="job")) for _ in range(30)]
        await asyncio.sleep(9.5)
        house.sent.clear()
        job.priority, other.priority = "hot", "cold"
        await asyncio.sleep(10)
        for task in waiting:
            task.cancel()
        return [name for _, name in house.sent]

    sent = run_virtual(run())
    assert sent.count("job") >= 8
    assert sent.count("other") <= 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Limits(requests_per_minute=1, burst_s=60), Limits(requests_per_minute=100, burst_s=60)),
        (Limits(tokens_per_minute=10, burst_s=60), Limits(tokens_per_minute=10_000, burst_s=60)),
        (Limits(concurrency=1), Limits(concurrency=50)),
        (Limits(requests_per_minute=1, burst_s=60), NO_LIMITS),
        (Limits(requests_per_day=1, burst_s=60), Limits(requests_per_minute=500, burst_s=60)),
    ],
)
def test_a_change_of_the_limits_reaches_calls_that_wait_within_half_a_second(before: Limits, after: Limits) -> None:
    async def run() -> float:
        house = House(before)
        limiter = house.limiter()
        tasks = [asyncio.create_task(house.call(limiter, Line(), cost=Cost(5, 5), lasts_s=1_000.0)) for _ in range(40)]
        await asyncio.sleep(7)
        assert len(house.sent) == 1
        changed_s, house.limits = now_s(), after
        while len(house.sent) < 40:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        return now_s() - changed_s

    assert run_virtual(run()) <= 0.5


def test_a_lower_limit_holds_for_the_next_call_though_more_was_leased() -> None:
    async def run() -> int:
        house = House(Limits(requests_per_minute=60_000, burst_s=60))
        limiter, line = house.limiter(), Line()
        for _ in range(500):
            await house.call(limiter, line)
            await asyncio.sleep(0.002)
        house.limits = Limits(requests_per_minute=100)
        await asyncio.sleep(0.4)
        sent = len(house.sent)
        task = asyncio.create_task(house.call(limiter, line))
        await asyncio.sleep(30)
        task.cancel()
        return len(house.sent) - sent

    assert run_virtual(run()) == 0


def test_a_pause_is_heard_by_another_process_and_ends_for_both() -> None:
    async def run() -> list[float]:
        house = House(Limits(requests_per_minute=6_000, burst_s=60))
        here, there = house.limiter(), house.limiter()
        await many(house, 50, there, Line())
        here.pause(20)
        await asyncio.sleep(0.5)
        house.sent.clear()
        await asyncio.gather(house.call(here, Line()), house.call(there, Line()))
        return [at for at, _ in house.sent]

    assert all(20 <= at <= 20.8 for at in run_virtual(run()))


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(requests_per_minute=1), "requests"),
        (Limits(requests_per_day=1), "requests"),
        (Limits(input_tokens_per_minute=1), "tokens"),
        (Limits(concurrency=1), "concurrency"),
        (Limits(requests_per_minute=100, tokens_per_minute=1_000, concurrency=1), "concurrency"),
        (Limits(requests_per_minute=1, tokens_per_minute=1_000), "quota"),
        (Limits(requests_per_minute=1, concurrency=9), "quota"),
    ],
)
def test_a_call_that_waits_hears_what_for(limits: Limits, reason: WaitReason) -> None:
    async def run() -> list[WaitReason]:
        told: list[WaitReason] = []
        limiter = House(limits).limiter()
        await limiter.acquire(Cost(1, 0), Line(), tell=told.append)
        told.clear()
        waiting = asyncio.create_task(limiter.acquire(Cost(1, 0), Line(), tell=told.append))
        await asyncio.sleep(5)
        waiting.cancel()
        return told

    assert run_virtual(run()) == [reason]


def test_calls_that_wait_in_any_process_hear_of_a_pause_and_of_its_end() -> None:
    async def run() -> list[list[WaitReason]]:
        house = House(Limits(requests_per_minute=1))
        here, there = house.limiter(), house.limiter()
        await house.call(here, Line())
        told: list[list[WaitReason]] = [[], [], []]
        waiting = [
            asyncio.create_task(limiter.acquire(NOTHING, Line(), tell=heard.append))
            for limiter, heard in zip((here, there), told, strict=False)
        ]
        await asyncio.sleep(1)
        here.pause(20)
        await asyncio.sleep(1)
        waiting.append(asyncio.create_task(there.acquire(NOTHING, Line(), tell=told[2].append)))
        await asyncio.sleep(25)
        for task in waiting:
            task.cancel()
        return told

    assert run_virtual(run()) == [["requests", "paused", "requests"]] * 2 + [["paused", "requests"]]


def test_a_pause_holds_in_its_process_where_there_is_no_limit() -> None:
    async def run() -> float:
        house = House()
        limiter = house.limiter()
        limiter.pause(5)
        assert limiter.take(NOTHING, Line()) is None
        await house.call(limiter, Line())
        return now_s()

    assert run_virtual(run()) == pytest.approx(5)


def test_what_a_vendor_says_is_left_holds_for_other_processes() -> None:
    async def run() -> int:
        house = House(Limits(requests_per_minute=1_000, burst_s=60))
        here, there = house.limiter(), house.limiter()
        await house.call(here, Line())
        here.observe(Observed(requests=Told(remaining=0, limit=1_000, reset_s=60)))
        await asyncio.sleep(0.5)
        house.sent.clear()
        tasks = [asyncio.create_task(house.call(there, Line())) for _ in range(200)]
        await asyncio.sleep(2.5)
        for task in tasks:
            task.cancel()
        return len(house.sent)

    assert 30 <= run_virtual(run()) <= 50  # a thousand return in sixty seconds


def test_retry_after_pauses() -> None:
    async def run() -> float:
        house = House(Limits(requests_per_minute=1_000))
        limiter = house.limiter()
        limiter.observe(Observed(retry_after_s=3))
        await house.call(limiter, Line())
        return now_s()

    assert run_virtual(run()) == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize("processes", [1, 3])
def test_calls_at_once_are_as_many_as_may_be_and_no_more(processes: int) -> None:
    async def run() -> House:
        house = House(Limits(concurrency=7))
        limiters = [house.limiter() for _ in range(processes)]
        await asyncio.gather(*(many(house, 60, limiter, Line(), lasts_s=1.0) for limiter in limiters))
        return house

    house = run_virtual(run())
    assert house.most_under_way == 7
    assert max(at for at, _ in house.sent) <= 60 * processes / 7 * 1.25


def test_two_processes_get_the_same_share_of_the_calls_at_once() -> None:
    async def run() -> tuple[int, int]:
        house = House(Limits(concurrency=6))
        tasks = [
            asyncio.create_task(many(house, 500, house.limiter(), Line(), lasts_s=0.5, name=name)) for name in "ab"
        ]
        await asyncio.sleep(30)
        for task in tasks:
            task.cancel()
        names = [name for _, name in house.sent]
        return names.count("a"), names.count("b")

    a, b = run_virtual(run())
    assert abs(a - b) <= 0.1 * (a + b)


def test_two_processes_get_the_same_share_of_a_quota_whoever_came_first() -> None:
    async def run() -> tuple[int, int]:
        house = House(Limits(requests_per_minute=600, burst_s=1))
        first = asyncio.create_task(many(house, 2_000, house.limiter(), Line(), name="a"))
        await asyncio.sleep(60)
        house.sent.clear()
        second = asyncio.create_task(many(house, 2_000, house.limiter(), Line(), name="b"))
        await asyncio.sleep(60)
        first.cancel()
        second.cancel()
        names = [name for _, name in house.sent]
        return names.count("a"), names.count("b")

    a, b = run_virtual(run())
    assert a + b >= 0.95 * 600
    assert abs(a - b) <= 0.05 * (a + b)


def test_cold_in_one_process_gets_a_tenth_beside_hot_in_another() -> None:
    async def run() -> tuple[int, int]:
        house = House(Limits(requests_per_minute=600, burst_s=1))
        cold = asyncio.create_task(many(house, 2_000, house.limiter(), Line("cold"), name="cold"))
        await asyncio.sleep(1)
        hot = asyncio.create_task(many(house, 2_000, house.limiter(), Line("hot"), name="hot"))
        await asyncio.sleep(2)
        house.sent.clear()
        await asyncio.sleep(120)
        cold.cancel()
        hot.cancel()
        names = [name for _, name in house.sent]
        return names.count("hot"), names.count("cold")

    hot, cold = run_virtual(run())
    assert hot <= 9 * (cold + 1)
    assert cold <= 0.13 * hot
    assert hot + cold >= 0.96 * 1_200


def test_a_dead_processs_places_come_back_within_its_lease() -> None:
    async def run() -> float:
        house = House(Limits(concurrency=3))
        dead, alive = house.limiter(), house.limiter()
        await asyncio.gather(*(dead.acquire(NOTHING, Line()) for _ in range(3)))
        kill(dead)
        died_s = now_s()
        await many(house, 3, alive, Line())
        return now_s() - died_s

    assert run_virtual(run()) <= LEASE_MS / 1000 + 0.5


def kill(limiter: Limiter) -> None:
    """What a killed process leaves behind: it never asks again."""
    timer = limiter._timer
    assert timer is not None
    timer.cancel()


def test_a_live_process_keeps_its_places_however_long_its_calls_last() -> None:
    async def run() -> int:
        house = House(Limits(concurrency=3))
        slow, other = house.limiter(), house.limiter()
        tasks = [asyncio.create_task(house.call(slow, Line(), lasts_s=100)) for _ in range(3)]
        await asyncio.sleep(1)
        tasks.append(asyncio.create_task(house.call(other, Line(), name="other")))
        await asyncio.sleep(60)
        for task in tasks:
            task.cancel()
        return len(house.sent)

    assert run_virtual(run()) == 3


def test_closing_gives_places_and_blocks_back_at_once() -> None:
    async def run() -> float:
        house = House(Limits(concurrency=3, requests_per_minute=1_000, burst_s=60))
        gone, other = house.limiter(), house.limiter()
        await asyncio.gather(*(gone.acquire(NOTHING, Line()) for _ in range(3)))
        await gone.aclose()
        await many(house, 3, other, Line())
        return now_s()

    assert run_virtual(run()) <= 0.3


def test_a_cancelled_call_leaves_the_queue_and_gives_back_what_it_was_granted() -> None:
    async def run() -> tuple[int, int]:
        house = House(Limits(requests_per_minute=10, concurrency=10, burst_s=60))
        for _ in range(15):
            limiter = house.limiter()
            task = asyncio.create_task(limiter.acquire(NOTHING, Line()))
            house.store.at_exchange = task.cancel  # after the grant, before the task goes on
            await asyncio.wait([task])
            assert task.cancelled()
            assert limiter.held == 0
            house.store.at_exchange = int
            waiting = asyncio.create_task(limiter.acquire(NOTHING, Line()))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert limiter.waiting == 0
            await asyncio.sleep(0.3)
        await asyncio.wait_for(many(house, 10, house.limiter(), Line()), 1)
        return limiter.waiting, len(house.sent)

    assert run_virtual(run()) == (0, 10)


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (lambda permit: permit.settle(Cost(10, 0)), 90),
        (lambda permit: permit.settle(None), 0),
        (lambda permit: permit.unsent(), 100),
    ],
)
def test_what_was_not_used_is_there_for_another_process_at_once(end: Callable[[Permit], None], left: int) -> None:
    async def run() -> int:
        house = House(Limits(tokens_per_minute=100, burst_s=60))
        here, there = house.limiter(), house.limiter()
        permit = await here.acquire(Cost(60, 40), Line())
        end(permit)
        permit.release()
        await asyncio.sleep(0.3)
        tasks = [asyncio.create_task(house.call(there, Line(), cost=Cost(5, 5))) for _ in range(12)]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        return 10 * len(house.sent)

    assert run_virtual(run()) == left


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(tokens_per_minute=1_000), "2,002 tokens.*; shorten the prompt, lower max_tokens or raise"),
        (Limits(input_tokens_per_minute=1_000), "1,001 input tokens.*; shorten the prompt or raise"),
        (Limits(output_tokens_per_minute=1_000), "1,001 output tokens.*; lower max_tokens or raise"),
    ],
)
def test_a_call_that_no_minute_has_room_for_is_refused_with_both_numbers_and_what_helps(
    limits: Limits, said: str
) -> None:
    async def run() -> None:
        limiter = Limiter(MemoryLimitStore(), "openai|model|KEY", limits=lambda: limits, model="openai/model")
        with pytest.raises(PermanentError, match=said) as refused:
            await limiter.acquire(Cost(1_001, 1_001), Line())
        assert "the quota of openai/model is 1,000 a minute" in str(refused.value)

    run_virtual(run())


@pytest.mark.parametrize(
    ("limits", "cut"),
    [
        (Limits(tokens_per_minute=1_000), Cost(1_000, 0)),
        (Limits(tokens_per_minute=1_500), Cost(1_001, 499)),
        (Limits(input_tokens_per_minute=1_000), Cost(1_000, 1_001)),
        (Limits(output_tokens_per_minute=1_000), Cost(1_001, 1_000)),
        (Limits(tokens_per_minute=9_999, output_tokens_per_minute=9_999), Cost(1_001, 1_001)),
    ],
)
def test_an_estimate_is_cut_to_what_a_minute_has_room_for(limits: Limits, cut: Cost) -> None:
    async def run() -> None:
        house = House(limits)
        assert Cost(1_001, 1_001).within(limits) == cut
        assert await house.limiter().acquire(cut, Line())

    run_virtual(run())


def test_a_call_that_waits_is_refused_when_its_quota_becomes_too_small() -> None:
    async def run() -> None:
        house = House(Limits(tokens_per_minute=1_000, burst_s=60))
        limiter = house.limiter()
        await limiter.acquire(Cost(800), Line())
        too_large = asyncio.create_task(limiter.acquire(Cost(800), Line()))
        await asyncio.sleep(1)
        house.limits = Limits(tokens_per_minute=500)
        with pytest.raises(PermanentError, match="500 a minute"):
            await asyncio.wait_for(too_large, 1)

    run_virtual(run())


def test_a_store_that_is_away_for_a_moment_costs_a_moment() -> None:
    async def run() -> float:
        house = House(Limits(requests_per_minute=100))
        limiter = house.limiter()
        house.store.broken = True
        waiting = asyncio.create_task(house.call(limiter, Line()))
        await asyncio.sleep(GIVE_UP_S / 2)
        house.store.broken = False
        await waiting
        return now_s()

    assert run_virtual(run()) <= GIVE_UP_S / 2 + 1.5


def test_a_store_that_stays_away_is_told_to_those_who_wait() -> None:
    async def run() -> None:
        house = House(Limits(requests_per_minute=100))
        limiter = house.limiter()
        house.store.broken = True
        with pytest.raises(SetupError, match="away"):
            await asyncio.wait_for(limiter.acquire(NOTHING, Line()), 2 * GIVE_UP_S)

    run_virtual(run())


def test_what_was_given_back_to_a_store_that_did_not_answer_is_not_given_back_twice() -> None:
    async def run() -> int:
        house = House(Limits(requests_per_minute=10, burst_s=60))
        limiter = house.limiter()
        permits = [await limiter.acquire(Cost(5), Line()) for _ in range(10)]
        house.store.broken = True
        permits[0].settle(Cost(90))
        for permit in permits[1:]:
            permit.unsent()
        await asyncio.sleep(1)
        house.store.broken = False
        task = asyncio.create_task(house.call(limiter, Line()))
        await asyncio.sleep(30)
        task.cancel()
        return len(house.sent)

    assert run_virtual(run()) == 0


def stall(seconds: float) -> None:
    """The loop does nothing for so long, as when a process is stopped."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._jumping.now_s += seconds


def test_what_was_leased_is_not_sent_later_than_it_is_good_for() -> None:
    async def run() -> None:
        house = House(Limits(requests_per_minute=600_000))
        limiter, line = house.limiter(), Line()
        for _ in range(300):
            await house.call(limiter, line)
            await asyncio.sleep(0.002)
        assert limiter.take(NOTHING, line) is not None
        stall(VALID_MS / 1000)
        assert limiter.take(NOTHING, line) is None

    run_virtual(run())


def test_no_call_starts_in_a_place_that_may_be_anothers_by_now() -> None:
    async def run() -> None:
        house = House(Limits(concurrency=3))
        limiter, line = house.limiter(), Line()
        for _ in range(100):
            await house.call(limiter, line, lasts_s=0.01)
        assert limiter.take(NOTHING, line) is not None
        stall(LEASE_MS / 1000)
        assert limiter.take(NOTHING, line) is None

    run_virtual(run())


def test_the_store_is_asked_no_more_than_twenty_times_a_second_whatever_happens() -> None:
    async def run() -> int:
        house = House(Limits(concurrency=2, requests_per_minute=10**6))
        tasks = [
            asyncio.create_task(many(house, 500, house.limiter(), Line(), lasts_s=0.001, cost=Cost(9), used=Cost(5)))
            for _ in range(2)
        ]
        await asyncio.sleep(5)
        for task in tasks:
            task.cancel()
        return house.store.exchanges

    assert run_virtual(run()) <= 2 * 20 * 5 + 2
