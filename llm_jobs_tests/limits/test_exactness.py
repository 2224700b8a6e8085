"""The promise as a server sees it, in virtual time: four limiters on one store, work always waiting, every window."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.quota_books import WINDOW_S, Books
from llm_jobs.limits.base import MARGIN_MS, VALID_MS, Cost, Limits
from llm_jobs.limits.estimates import LearnedTokens
from llm_jobs.limits.limiter import Limiter
from llm_jobs.limits.lines import Line
from llm_jobs.limits.memory import MemoryLimitStore
from llm_jobs_tests.virtual_time import run_virtual

REQUESTS, TOKENS = 600, 40_000
DELIVERY_S = (MARGIN_MS - VALID_MS) / 1000
Usage = Callable[[random.Random], int]


async def observed(*, written: Usage, most: int, learned: LearnedTokens | None, seconds: float) -> Books:
    """The books of a server that 4 × 40 workers ask for so long; requests take from nothing to 0.6 s to arrive."""
    loop = asyncio.get_running_loop()
    store = MemoryLimitStore(now_ms=lambda: int(loop.time() * 1000) + 1_000_000)
    limits = Limits(requests_per_minute=REQUESTS, tokens_per_minute=TOKENS)
    books = Books(requests_per_minute=REQUESTS, tokens_per_minute=TOKENS)
    chance = random.Random(7)

    async def work(limiter: Limiter, line: Line) -> None:
        while True:
            prompt, answer = chance.randint(10, 40), written(chance)
            cost = Cost(prompt, most) if learned is None else Cost(*learned.estimate(prompt, most))
            permit = await limiter.acquire(cost, line)
            await asyncio.sleep(chance.choice([0.0, DELIVERY_S, chance.uniform(0, DELIVERY_S)]))
            books.arrive(loop.time(), prompt + answer)
            await asyncio.sleep(0.2)
            permit.settle(Cost(prompt, answer))
            permit.release()
            if learned is not None:
                learned.learn(prompt, input_tokens=prompt, output_tokens=answer)

    limiters = [Limiter(store, "model", limits=lambda: limits) for _ in range(4)]
    workers = [asyncio.create_task(work(limiter, Line())) for limiter in limiters for _ in range(40)]
    await asyncio.sleep(seconds)
    for worker in workers:
        worker.cancel()
    return books


@pytest.mark.parametrize(
    ("written", "most", "bound_by"),
    [
        (lambda chance: chance.randint(0, 30), 30, 0),
        (lambda chance: chance.randint(0, 90), 90, 1),
    ],
    ids=["requests bind", "tokens bind"],
)
def test_every_window_is_within_the_quota_and_it_is_used(written: Usage, most: int, bound_by: int) -> None:
    books = run_virtual(observed(written=written, most=most, learned=None, seconds=320))
    fullest = books.fullest(until_s=320)
    assert fullest[0] <= REQUESTS
    assert fullest[1] <= TOKENS
    assert books.refused == 0
    assert books.used(0, 60 + 4 * (60 + 1.2))[bound_by] >= 0.97


def test_learned_estimates_use_more_of_the_quota_than_worst_cases_and_pass_it_by_little() -> None:
    def written(chance: random.Random) -> int:
        return min(1_000, int(chance.lognormvariate(4.0, 0.8)))

    worst = run_virtual(observed(written=written, most=1_000, learned=None, seconds=200))
    learned = run_virtual(observed(written=written, most=1_000, learned=LearnedTokens(), seconds=200))
    assert worst.fullest(until_s=200)[1] <= TOKENS
    assert learned.fullest(until_s=200)[1] <= 1.02 * TOKENS
    assert learned.used(70, 200)[1] >= max(0.95, worst.used(70, 200)[1] + 0.05)


def test_the_books_count_windows_as_one_would_by_hand() -> None:
    books = Books(requests_per_minute=2, tokens_per_minute=100)
    assert [books.arrive(at, tokens) for at, tokens in [(0, 60), (30, 30), (59.9, 5), (60, 5), (90, 96)]] == [
        True, True, False, True, False,
    ]  # fmt: skip
    assert books.fullest(until_s=100) == (3, 106)
    assert books.used(0, WINDOW_S) == (1.5, 0.95)


def test_the_example_of_the_page_runs() -> None:
    page = Path(__file__).parents[2] / "docs/limits.md"
    [_, example] = page.read_text(encoding="utf-8").split("```python\n")
    exec(compile(example.partition("```")[0], str(page), "exec"), {})
