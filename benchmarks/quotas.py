"""How exact quotas are: processes that always have work waiting, and a server that counts every window of 60 s.

    python -m benchmarks.quotas --store sqlite --seconds 150 [--bound requests|tokens] [--reserve worst|learned]

Prints one JSON object: the fullest window, the share of the quota that was used, what the server refused, how long a
change of the limits took to be seen. `memory` runs the limiters in one process: its store is nobody else's. The last
eight seconds are for the changes (first twice the quota, then one call a minute), and are in no other figure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from benchmarks.quota_books import WINDOW_S, Books
from llm_jobs.limits.base import Cost, Limits, LimitStore
from llm_jobs.limits.estimates import LearnedTokens
from llm_jobs.limits.limiter import Limiter
from llm_jobs.limits.lines import Line
from llm_jobs.limits.opening import open_limit_store

REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE = 3_000, 200_000
PROCESSES, WORKERS = 4, 100
LATENCY_S = (0.1, 0.4)
NORMAL, RAISED, LOWERED = 0, 1, 2
LIMITS = (
    Limits(requests_per_minute=REQUESTS_PER_MINUTE, tokens_per_minute=TOKENS_PER_MINUTE),
    # Evenly, so that calls flow when it is lowered again.
    Limits(requests_per_minute=2 * REQUESTS_PER_MINUTE, tokens_per_minute=2 * TOKENS_PER_MINUTE, burst_s=0.5),
    Limits(requests_per_minute=1),
)
CHANGES_S, LOWERED_S = 8.0, 3.0  # before the end

USUAL = {"requests": 35, "tokens": 60}  # tokens of an answer; a question has 30 on average
SPREAD = 0.8  # of the logarithm of an answer's length

Stage = Synchronized  # of an int: which of LIMITS holds


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    reserve: str
    usual: int


class Server:
    """Counts what arrives and answers after a while with what was used. A request and its answer are a line each."""

    def __init__(self, *, usual: int, seed: int) -> None:
        """`usual`: the tokens that answers have on average, and half of the most where that is what is reserved."""
        self.books = Books(requests_per_minute=REQUESTS_PER_MINUTE, tokens_per_minute=TOKENS_PER_MINUTE)
        self.enforces = True
        self._connections: dict[asyncio.Task[Any] | None, asyncio.StreamWriter] = {}
        self._usual = usual
        self._random = random.Random(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it is closed."""
        self._connections[asyncio.current_task()] = writer
        with suppress(ConnectionError):
            await self._answer(reader, writer)
        writer.close()

    async def aclose(self) -> None:
        for writer in self._connections.values():
            writer.transport.abort()
        await asyncio.gather(*filter(None, self._connections), return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while line := await reader.readline():
            prompt, most = map(int, line.split())
            written = self._written(most)
            fits = self.books.arrive(loop.time(), prompt + written)
            await asyncio.sleep(self._random.uniform(*LATENCY_S))
            writer.write(b"%d %d\n" % (200 if fits or not self.enforces else 429, written))

    def _written(self, most: int) -> int:
        """Any length where little is allowed; else most answers are short and some are long, as answers are."""
        if most <= 2 * self._usual:
            return self._random.randint(0, most)
        return min(most, int(self._random.lognormvariate(math.log(self._usual) - SPREAD**2 / 2, SPREAD)))


async def work(limiter: Limiter, port: int, learned: LearnedTokens | None, usual: int, seed: int) -> None:
    """One worker: a call after another, without end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    chance = random.Random(seed)
    line = Line("cold")
    while True:
        prompt = chance.randint(15, 45)
        most = 2 * usual if learned is None else 1_000
        size = 4 * prompt
        estimate = Cost(prompt, most) if learned is None else Cost(*learned.estimate(size, most))
        permit = await limiter.acquire(estimate, line)
        writer.write(b"%d %d\n" % (prompt, most))
        _, written = map(int, (await reader.readline()).split())
        permit.settle(Cost(prompt, written))
        permit.release()
        if learned is not None:
            learned.learn(size, input_tokens=prompt, output_tokens=written)


async def client(store: LimitStore, limits: Callable[[], Limits], port: int, plan: Plan, seed: int) -> None:
    """What one process does: many workers, one limiter."""
    with ThreadPoolExecutor(1) as executor:
        limiter = Limiter(store, "model", limits=limits, executor=executor)
        learned = LearnedTokens() if plan.reserve == "learned" else None
        workers = [work(limiter, port, learned, plan.usual, seed * WORKERS + number) for number in range(WORKERS)]
        await asyncio.gather(*workers)


def process(url: str, stage: Stage[int], port: int, plan: Plan, seed: int) -> None:
    store = open_limit_store(url)
    asyncio.run(client(store, lambda: LIMITS[stage.value], port, plan, seed))


async def measure(url: str, *, seconds: float, plan: Plan) -> dict[str, Any]:
    """Run the clients for `seconds` and read the server's books."""
    context = multiprocessing.get_context("spawn")
    stage: Stage[int] = context.Value("i", NORMAL)
    server = Server(usual=plan.usual, seed=1)
    loop = asyncio.get_running_loop()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=1024)
    port = listening.sockets[0].getsockname()[1]
    with clients(context, url, stage, port, plan):
        while len(server.books.times_s) < PROCESSES * WORKERS:  # all are at work
            await asyncio.sleep(0.05)
        began_s = loop.time()
        await asyncio.sleep(seconds - CHANGES_S)
        raised_s = loop.time()
        refused, server.enforces, stage.value = server.books.refused, False, RAISED
        await asyncio.sleep(CHANGES_S - LOWERED_S)
        lowered_s, stage.value = loop.time(), LOWERED
        await asyncio.sleep(LOWERED_S)
    listening.close()
    await server.aclose()
    return figures(server.books, began_s, raised_s, lowered_s) | {"refused": refused}


@contextmanager
def clients(context: Any, url: str, stage: Stage[int], port: int, plan: Plan) -> Iterator[None]:
    """The clients, each a process of its own; for the store in memory, all in this one."""
    if url.startswith("memory"):
        store = open_limit_store(url)
        tasks = [
            asyncio.ensure_future(client(store, lambda: LIMITS[stage.value], port, plan, seed))
            for seed in range(PROCESSES)
        ]
        yield
        for task in tasks:
            task.cancel()
        return
    started = [
        context.Process(target=process, args=(url, stage, port, plan, seed), daemon=True) for seed in range(PROCESSES)
    ]
    for one in started:
        one.start()
    yield
    for one in started:
        one.kill()
        one.join()


def figures(books: Books, began_s: float, raised_s: float, lowered_s: float) -> dict[str, Any]:
    requests, tokens = books.fullest(raised_s)
    used_requests, used_tokens = books.used(began_s, raised_s)
    after = [at for at in books.times_s if at > raised_s]
    beyond = [
        at
        for at in after
        if sum(at - WINDOW_S < other <= at for other in books.times_s) > REQUESTS_PER_MINUTE
        or sum(t for other, t in zip(books.times_s, books.tokens, strict=True) if at - WINDOW_S < other <= at)
        > TOKENS_PER_MINUTE
    ]
    return {
        "fullest_window_requests": requests,
        "fullest_window_tokens": tokens,
        "tokens_beyond_quota_percent": round(max(0.0, 100 * (tokens / TOKENS_PER_MINUTE - 1)), 2),
        "used_requests_percent": round(100 * used_requests, 2),
        "used_tokens_percent": round(100 * used_tokens, 2),
        "raise_seen_after_s": round(beyond[0] - raised_s, 3) if beyond else None,
        "last_call_after_lowering_s": round(max([0.0, *(at - lowered_s for at in after)]), 3),
    }


@contextmanager
def store_url(kind: str) -> Iterator[str]:
    """An empty store of its kind, with its server."""
    with ExitStack() as stack:
        if kind == "memory":
            yield "memory://"
        elif kind == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="quotas-"))
            yield f"sqlite:///{Path(folder) / 'limits.db'}"
        elif kind == "postgres":
            from llm_jobs_tests.servers.postgres import postgres_server

            yield stack.enter_context(postgres_server(fsync=True)).create_database("quotas")
        else:
            from llm_jobs_tests.servers.redis import redis_server

            yield stack.enter_context(redis_server()).url


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quotas", description=__doc__)
    parser.add_argument("--store", choices=["memory", "sqlite", "postgres", "redis"], default="sqlite")
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--bound", choices=sorted(USUAL), default="requests", help="which limit is the tighter one")
    parser.add_argument("--reserve", choices=["worst", "learned"], default="worst")
    options = parser.parse_args(arguments)
    if options.seconds < WINDOW_S + CHANGES_S + 1:
        parser.error(f"--seconds is at least {WINDOW_S + CHANGES_S + 1:.0f}: a whole window, and the changes")
    plan = Plan(reserve=options.reserve, usual=USUAL[options.bound])
    with store_url(options.store) as url:
        began_s = time.monotonic()
        found = asyncio.run(measure(url, seconds=options.seconds, plan=plan))
    facts = {
        "store": options.store,
        "bound": options.bound,
        "reserve": options.reserve,
        "ran_s": round(time.monotonic() - began_s),
    }
    sys.stdout.write(json.dumps(facts | found) + "\n")


if __name__ == "__main__":
    main()
