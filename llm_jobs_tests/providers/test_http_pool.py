"""A pool gives every place on, and passes over addresses that take no connection."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from llm_jobs.providers.http_addresses import Address, Addresses
from llm_jobs.providers.http_connection import Connection
from llm_jobs.providers.http_pool import NotConnected, Pool
from llm_jobs.providers.http_request import Origin
from llm_jobs_tests.servers.raw import Played, playing, say

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"


class Stated(Addresses):
    """Look-ups that answer what they are told."""

    def __init__(self, *hosts: str) -> None:
        super().__init__()
        self.hosts = hosts
        self.asked = 0

    async def _ask(self, host: str, port: int) -> list[Address]:
        self.asked += 1
        return [Address(socket.AF_INET, (each, port)) for each in self.hosts]


def run(act: Callable[[Pool, Played, Stated], Coroutine[Any, Any, Any]], *hosts: str) -> Any:
    """`act` with a pool of one place, before a server that every one of `hosts` may be."""

    async def whole() -> Any:
        loop = asyncio.get_running_loop()
        buffer = memoryview(bytearray(10_000))
        addresses = Stated(*hosts)
        async with playing(lambda *_: say(OK)) as played:
            pool = Pool(
                Origin("http", "a.example", played.port, f"http://a.example:{played.port}"),
                limit=1,
                keep_alive_s=30,
                addresses=addresses,
                trust=ssl.create_default_context,
                protocol=lambda: Connection(buffer, loop, largest_bytes=1000),
            )
            try:
                return await act(pool, played, addresses)
            finally:
                await pool.aclose()

    return asyncio.run(whole())


def soon() -> float:
    return asyncio.get_running_loop().time() + 10


def test_a_place_that_was_passed_to_one_who_is_just_cancelled_is_passed_on() -> None:
    async def act(pool: Pool, played: Played, addresses: Stated) -> int:
        held = await pool.wait(soon())
        waiting = [asyncio.create_task(pool.wait(soon())) for _ in range(2)]
        await asyncio.sleep(0)
        await held.ask(REQUEST, b"")
        pool.give_back(held)
        waiting[0].cancel()  # it has the place, and does not know it yet
        second = await waiting[1]
        assert waiting[0].cancelled()
        pool.give_back(second)
        return len(played.requests)

    assert run(act, "127.0.0.1") == 1


def test_an_attempt_to_connect_that_fails_gives_its_place_back() -> None:
    async def act(pool: Pool, played: Played, addresses: Stated) -> None:
        for _ in range(3):
            with pytest.raises(NotConnected, match="ConnectionRefusedError"):
                await pool.wait(soon())

    run(act, "127.0.0.2")


def test_an_attempt_to_connect_that_is_cancelled_gives_its_place_back() -> None:
    async def act(pool: Pool, played: Played, addresses: Stated) -> int:
        for _ in range(3):
            connecting = asyncio.create_task(pool.wait(soon()))
            await asyncio.sleep(0)
            connecting.cancel()
            await asyncio.wait([connecting])
        pool.give_back(await pool.wait(soon()))
        return len(played.requests)

    assert run(act, "127.0.0.1") >= 1


def test_the_next_address_is_tried_and_the_one_that_took_no_connection_is_left_out() -> None:
    async def act(pool: Pool, played: Played, addresses: Stated) -> tuple[list[str], int]:
        for _ in range(4):
            pool.give_back(await pool.wait(soon()))
        left = await addresses.of("a.example", played.port)
        return [address.sockaddr[0] for address in left], addresses.asked

    assert run(act, "127.0.0.2", "127.0.0.1", "127.0.0.3") == (["127.0.0.1", "127.0.0.3"], 1)


def test_when_no_address_takes_a_connection_the_name_is_asked_again() -> None:
    async def act(pool: Pool, played: Played, addresses: Stated) -> int:
        for _ in range(2):
            with pytest.raises(NotConnected):
                await pool.wait(soon())
        return addresses.asked

    assert run(act, "127.0.0.2", "127.0.0.3") == 2


def test_time_spent_waiting_for_a_place_counts() -> None:
    async def act(pool: Pool, played: Played, addresses: Stated) -> None:
        held = await pool.wait(soon())
        with pytest.raises(TimeoutError):
            await pool.wait(asyncio.get_running_loop().time() + 0.05)
        pool.give_back(held)
        assert pool.take() is held

    run(act, "127.0.0.1")


def test_a_pool_that_was_closed_keeps_nothing() -> None:
    async def act(pool: Pool, played: Played, addresses: Stated) -> int:
        held = await pool.wait(soon())
        closing = asyncio.create_task(pool.aclose())
        await asyncio.sleep(0)
        pool.give_back(held)
        await closing
        await played.until_open(0)
        return len(played.writers)

    assert run(act, "127.0.0.1") == 0
