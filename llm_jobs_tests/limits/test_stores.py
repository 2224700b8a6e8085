"""One contract for the four stores, on real servers: each decides as the algorithm says, whoever asks and how many."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from llm_jobs.errors import SetupError
from llm_jobs.limits.algorithm import decide
from llm_jobs.limits.base import NOTHING, Ask, Limits, LimitStore
from llm_jobs.limits.limiter import Limiter
from llm_jobs.limits.lines import Line
from llm_jobs.limits.memory import MemoryLimitStore
from llm_jobs.limits.opening import open_limit_store
from llm_jobs.limits.postgres import PostgresLimitStore
from llm_jobs.limits.redis import RedisLimitStore
from llm_jobs.limits.sqlite import SqliteLimitStore
from llm_jobs.limits.state import SLOT_MS, State
from llm_jobs.settings import Settings
from llm_jobs_tests.limits.child import greedy
from llm_jobs_tests.servers.postgres import PostgresServer
from llm_jobs_tests.servers.redis import RedisServer

KINDS = ["memory", "sqlite", "postgresql", "redis"]
NOON_MS = 1_790_000_000_000
_keys = itertools.count()


class Clock:
    """Milliseconds that stand where they are put."""

    now_ms = NOON_MS

    def __call__(self) -> int:
        return self.now_ms


def hot(count: int, *, owner: str = "a", tokens: int = 1, limits: Limits) -> Ask:
    return Ask(owner=owner, limits=limits, hot=((count, tokens, 0),), hot_waiting=count)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def key() -> str:
    return f"model-{next(_keys)}"


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[LimitStore]:
    opened: LimitStore
    if request.param == "memory":
        opened = MemoryLimitStore(now_ms=clock)
    elif request.param == "sqlite":
        opened = SqliteLimitStore(tmp_path / "limits.db", now_ms=clock)
    elif request.param == "postgresql":
        opened = PostgresLimitStore(make_url(request.getfixturevalue("postgres_url")), now_ms=clock)
    else:
        server: RedisServer = request.getfixturevalue("redis")
        opened = RedisLimitStore(server.url, now_ms=clock)
    opened.migrate()
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture(params=KINDS[1:])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that several processes can open."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'limits.db'}"
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    server: RedisServer = request.getfixturevalue("redis")
    return server.url


class TestContract:
    """What a limiter relies on, of each store."""

    def test_requests_of_all_owners_together_are_within_the_quota(
        self, store: LimitStore, clock: Clock, key: str
    ) -> None:
        limits = Limits(requests_per_minute=10, burst_s=60)
        granted = 0
        for owner in "abcabcabc":
            granted += store.exchange(key, hot(4, owner=owner, limits=limits)).hot
            clock.now_ms += 3_000
        assert granted == 10
        clock.now_ms = NOON_MS + 61_400
        assert store.exchange(key, hot(4, owner="d", limits=limits)).hot > 0

    def test_two_quotas_know_nothing_of_each_other(self, store: LimitStore, key: str) -> None:
        limits = Limits(requests_per_minute=1)
        assert store.exchange(key, hot(1, limits=limits)).hot == 1
        assert store.exchange(f"{key}-other", hot(1, limits=limits)).hot == 1

    def test_a_correction_reaches_the_slot_that_it_names(self, store: LimitStore, clock: Clock, key: str) -> None:
        limits = Limits(tokens_per_minute=100, burst_s=60)
        slot = store.exchange(key, hot(1, tokens=100, limits=limits)).slot
        clock.now_ms += 1_000
        store.exchange(key, Ask(owner="a", limits=limits, corrections=((slot, 0, -60, 0),)))
        assert store.exchange(key, hot(1, owner="b", tokens=61, limits=limits)).hot == 0
        assert store.exchange(key, hot(1, owner="b", tokens=60, limits=limits)).hot == 1

    def test_a_change_of_the_limits_holds_from_the_next_exchange_on(self, store: LimitStore, key: str) -> None:
        assert store.exchange(key, hot(9, limits=Limits(requests_per_minute=2, burst_s=60))).hot == 2
        assert store.exchange(key, hot(9, limits=Limits(requests_per_minute=5, burst_s=60))).hot == 3
        assert store.exchange(key, hot(9, limits=Limits(requests_per_minute=4, burst_s=60))).hot == 0

    def test_a_pause_holds_for_all(self, store: LimitStore, clock: Clock, key: str) -> None:
        limits = Limits(requests_per_minute=100)
        store.exchange(key, Ask(owner="a", limits=limits, pause_ms=2_000))
        paused = store.exchange(key, hot(1, owner="b", limits=limits))
        assert (paused.hot, paused.paused_ms) == (0, 2_000)
        clock.now_ms += 2_000
        assert store.exchange(key, hot(1, owner="b", limits=limits)).hot == 1

    def test_a_clock_put_back_neither_opens_nor_blocks_the_quota(
        self, store: LimitStore, clock: Clock, key: str
    ) -> None:
        limits = Limits(requests_per_minute=1)
        store.exchange(key, hot(1, limits=limits))
        clock.now_ms -= 3_600_000
        assert store.exchange(key, hot(1, limits=limits)).hot == 0
        clock.now_ms += 61_200
        assert store.exchange(key, hot(1, limits=limits)).hot == 1

    def test_threads_get_no_more_than_there_is(self, store: LimitStore, key: str) -> None:
        limits = Limits(requests_per_minute=100, burst_s=60)
        asks = [hot(3, owner=f"{owner}", limits=limits) for owner in range(60)]
        with ThreadPoolExecutor(8) as threads:
            granted = sum(grant.hot for grant in threads.map(lambda ask: store.exchange(key, ask), asks))
        assert granted == 100


def test_processes_together_get_no_more_than_there_is(url: str, key: str) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as processes:
        granted = processes.starmap(greedy, [(url, key, owner, 1.5) for owner in "abc"])
    assert sum(granted) == 300
    assert len(list(filter(None, granted))) > 1


def test_limiters_of_two_stores_with_one_url_share_a_quota(url: str, key: str) -> None:
    async def run() -> tuple[int, int]:
        stores = [open_limit_store(url), open_limit_store(url)]
        limits = Limits(requests_per_minute=100, burst_s=60)
        with ThreadPoolExecutor(1) as executor:
            limiters = [Limiter(store, key, limits=lambda: limits, executor=executor) for store in stores]
            tasks = [asyncio.create_task(limiters[n % 2].acquire(NOTHING, Line())) for n in range(160)]
            done, _ = await asyncio.wait(tasks, timeout=1.5)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for limiter in limiters:
                await limiter.aclose()
        for store in stores:
            store.close()
        return len(done), len([task for task in tasks[::2] if task in done])

    granted, of_the_first = asyncio.run(run())
    assert granted == 100
    assert 30 <= of_the_first <= 70


# --- what Redis decides is what the algorithm decides ---

LIMIT = st.none() | st.integers(1, 40) | st.just(60_000)
TOKENS = st.none() | st.none() | st.integers(50, 2_000) | st.just(10**8)
COUNT = st.integers(1, 4) | st.just(120)
RUNS = st.lists(st.tuples(COUNT, st.integers(0, 80), st.integers(0, 80)), max_size=3).map(tuple)
LIMITS = st.builds(
    Limits,
    requests_per_minute=LIMIT,
    tokens_per_minute=TOKENS,
    input_tokens_per_minute=TOKENS,
    output_tokens_per_minute=TOKENS,
    requests_per_day=st.none() | st.integers(1, 200) | st.just(10**6),
    concurrency=st.none() | st.integers(1, 12) | st.just(5_000),
    burst_s=st.sampled_from([1.0, 6.0, 60.0, 90.0]),
)
TOLD = st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, 50), st.integers(1, 9_000))
EXCHANGE = st.fixed_dictionaries(
    {
        "owner": st.sampled_from("abc"),
        "hot": RUNS,
        "cold": RUNS,
        "unlisted": st.sampled_from([0, 0, 5]),
        "ahead": st.sampled_from([(0, 0, 0), (5, 10, 10)]),
        "in_use": st.integers(0, 5),
        "correction": st.none() | st.tuples(st.integers(-2, 0), st.integers(-50, 50), st.integers(-50, 50)),
        "pause_ms": st.sampled_from([0] * 9 + [400]),
        "told": st.lists(TOLD, max_size=1).map(tuple),
        "leaving": st.sampled_from([False] * 9 + [True]),
        "limits": LIMITS,
        "same_limits": st.sampled_from([True, True, True, False]),
        "wait_ms": st.sampled_from([0, 0, 1, 50, 200, 250, 1_000, 7_000, 61_000, -300, -70_000]),
    }
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(exchanges=st.lists(EXCHANGE, min_size=1, max_size=30))
def test_redis_decides_as_the_algorithm_does(redis: RedisServer, exchanges: list[dict[str, Any]]) -> None:
    clock, state, key = Clock(), State(), f"equal-{next(_keys)}"
    store = RedisLimitStore(redis.url, now_ms=clock)
    limits = exchanges[0]["limits"]
    for one in exchanges:
        clock.now_ms += one["wait_ms"]
        limits = limits if one["same_limits"] else one["limits"]
        slot = state.slots[-1][0] if state.slots else 0
        hot_waiting, cold_waiting = (sum(run[0] for run in one[kind]) for kind in ("hot", "cold"))
        ask = Ask(
            owner=one["owner"],
            limits=limits,
            hot=one["hot"],
            cold=one["cold"],
            hot_waiting=hot_waiting and hot_waiting + one["unlisted"],
            cold_waiting=cold_waiting,
            ahead=one["ahead"],
            in_use=one["in_use"],
            corrections=() if one["correction"] is None else ((slot, *one["correction"]),),
            pause_ms=one["pause_ms"],
            told=one["told"],
            leaving=one["leaving"],
        )
        assert store.exchange(key, ask) == decide(state, ask, clock.now_ms)
    store.close()


@pytest.mark.parametrize("seed", range(3))
def test_redis_decides_the_same_while_hot_and_cold_of_several_owners_press(redis: RedisServer, seed: int) -> None:
    clock, state, key, chance = Clock(), State(), f"pressed-{next(_keys)}", random.Random(seed)
    store = RedisLimitStore(redis.url, now_ms=clock)
    limits = Limits(requests_per_minute=60_000, concurrency=chance.choice([None, 900]), burst_s=1)
    for _ in range(80):
        clock.now_ms += chance.choice([10, 40, 80])
        hot, cold = chance.choice([0, 60, 300]), chance.choice([0, 0, 40])
        ask = Ask(
            owner=chance.choice("abc"),
            limits=limits,
            hot=((hot, 1, chance.randint(0, 9)),) if hot else (),
            cold=((cold, 1, 1),) if cold else (),
            hot_waiting=2 * hot,
            cold_waiting=cold,
            in_use=chance.randint(0, 300),
        )
        assert store.exchange(key, ask) == decide(state, ask, clock.now_ms)
    store.close()


def test_the_servers_tell_the_time_when_nobody_else_does(postgres_url: str, redis: RedisServer, key: str) -> None:
    limits = Limits(requests_per_minute=1)
    for url in (postgres_url, redis.url):
        store = open_limit_store(url)
        slot = store.exchange(key, hot(1, limits=limits)).slot
        assert abs(slot * SLOT_MS - time.time() * 1000) < 60_000
        store.close()


def test_a_server_that_was_away_is_used_again_without_opening_the_store_again(
    postgres: PostgresServer, postgres_url: str
) -> None:
    store = open_limit_store(postgres_url)
    limits = Limits(requests_per_minute=2, burst_s=60)  # both at once, for the first may outlive the crash or not
    assert store.exchange("model", hot(1, limits=limits)).hot == 1
    postgres.stop()
    with pytest.raises(SetupError, match="check that the server runs"):
        store.exchange("model", hot(1, limits=limits))
    postgres.start()
    assert store.exchange("model", hot(1, owner="b", limits=limits)).hot == 1
    store.close()


# --- what a URL may say ---


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root@127.0.0.1/x",
        "limits.db",
        "",
        "sqlite://",
        "sqlite:///",
        "redis://user:secret-word@127.0.0.1:1/0",
        "postgresql://user:secret-word@127.0.0.1:1/x",
        "postgresql://user:secret-word@[::1/x",
        "redis://user:secret-word@[::1/0",
        "redis://user:secret-word@127.0.0.1:port/0",
    ],
)
def test_a_url_that_cannot_be_used_is_a_setup_error_that_names_no_password(url: str) -> None:
    with pytest.raises(SetupError) as refused:
        open_limit_store(url)
    assert "secret-word" not in str(refused.value)


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "sqlite:////home/me/data/limits.db"),
        ({"LLM_JOBS_DATABASE_URL": "sqlite:////elsewhere/ledger.db"}, "sqlite:////home/me/data/limits.db"),
        ({"LLM_JOBS_DATABASE_URL": "postgresql://db/x"}, "postgresql://db/x"),
        ({"LLM_JOBS_DATABASE_URL": "postgresql://db/x", "LLM_JOBS_LIMITS_URL": "redis://r/0"}, "redis://r/0"),
    ],
)
def test_quotas_are_kept_where_the_ledger_is_shared_or_where_the_environment_says(
    environment: dict[str, str], url: str
) -> None:
    stated = {"LLM_JOBS_HOME": "/home/me/data", **environment}
    assert Settings.from_environment(stated, working_directory=Path("/")).limits_url == url


def test_a_path_may_have_any_character(tmp_path: Path) -> None:
    path = tmp_path / "a#b?c d%20" / "limits.db"
    open_limit_store(f"sqlite:///{path}").close()
    assert path.exists()


def test_a_file_that_is_no_database_is_a_setup_error(tmp_path: Path) -> None:
    path = tmp_path / "limits.db"
    path.write_bytes(b"not a database, but long enough to be read as one" * 50)
    with pytest.raises(SetupError, match="cannot be used"):
        open_limit_store(f"sqlite:///{path}")


def test_the_file_is_made_with_its_folder_and_what_is_in_it_outlives_the_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'limits.db'}"
    for granted in (1, 0):
        store = open_limit_store(url)
        assert store.exchange("model", hot(1, limits=Limits(requests_per_minute=1))).hot == granted
        store.close()
