"""A name is asked once for many, its addresses are taken in turn, and those that take no connection are left out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from llm_jobs.providers.http_addresses import KEEP_S, Address, Addresses
from llm_jobs_tests.virtual_time import VirtualLoop, run_virtual


def at(*hosts: str) -> list[Address]:
    return [Address(socket.AF_INET, (host, 80)) for host in hosts]


class Told(Addresses):
    """The look-ups of a system that is told what to answer: a list of addresses, or an error."""

    def __init__(self, *answers: list[Address] | OSError) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked = 0

    async def _ask(self, host: str, port: int) -> list[Address]:
        self.asked += 1
        await asyncio.sleep(1)
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


def test_a_name_that_many_ask_for_at_once_is_looked_up_once() -> None:
    async def ask() -> tuple[int, Sequence[Any]]:
        told = Told(at("1.1.1.1"))
        found = await asyncio.gather(*(told.of("a.example", 80) for _ in range(100)))
        return told.asked, found

    asked, found = run_virtual(ask())
    assert asked == 1
    assert found == [at("1.1.1.1")] * 100


def test_who_is_cancelled_leaves_the_others_their_answer() -> None:
    async def ask() -> list[Address]:
        told = Told(at("1.1.1.1"))
        first = asyncio.create_task(told.of("a.example", 80))
        second = asyncio.create_task(told.of("a.example", 80))
        await asyncio.sleep(0.5)
        first.cancel()
        return await second

    assert run_virtual(ask()) == at("1.1.1.1")


def test_a_failed_look_up_is_told_to_all_and_not_kept() -> None:
    async def ask() -> tuple[list[type[BaseException]], list[Address]]:
        told = Told(socket.gaierror("no such name"), at("1.1.1.1"))
        failed = await asyncio.gather(*(told.of("a.example", 80) for _ in range(3)), return_exceptions=True)
        return [type(error) for error in failed if isinstance(error, BaseException)], await told.of("a.example", 80)

    assert run_virtual(ask()) == ([socket.gaierror] * 3, at("1.1.1.1"))


def test_a_look_up_that_fails_when_nobody_waits_any_more_is_no_noise() -> None:
    async def ask() -> list[dict[str, Any]]:
        noise: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
        told = Told(socket.gaierror("no such name"))
        waiting = asyncio.create_task(told.of("a.example", 80))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.sleep(5)
        return noise

    assert run_virtual(ask()) == []


def test_an_answer_is_kept_for_a_while() -> None:
    async def ask() -> list[int]:
        told = Told(at("1.1.1.1"), at("2.2.2.2"))
        counts = []
        for wait_s in (0, KEEP_S - 10, 20):
            await asyncio.sleep(wait_s)
            await told.of("a.example", 80)
            counts.append(told.asked)
        return counts

    assert run_virtual(ask()) == [1, 1, 2]


def test_each_address_comes_first_in_its_turn_and_all_are_told() -> None:
    async def ask() -> list[list[Address]]:
        told = Told(at("1.1.1.1", "2.2.2.2", "3.3.3.3"))
        return [await told.of("a.example", 80) for _ in range(4)]

    first, second, third, fourth = run_virtual(ask())
    assert first == at("1.1.1.1", "2.2.2.2", "3.3.3.3")
    assert [found[0] for found in (first, second, third, fourth)] == at("1.1.1.1", "2.2.2.2", "3.3.3.3", "1.1.1.1")
    assert sorted(second) == sorted(third) == sorted(first)


def test_an_address_that_took_no_connection_is_left_out_until_the_name_is_asked_again() -> None:
    async def ask() -> tuple[list[Address], int, list[Address]]:
        told = Told(at("1.1.1.1", "2.2.2.2"), at("3.3.3.3"))
        first, second = await told.of("a.example", 80)
        told.drop("a.example", 80, first)
        told.drop("a.example", 80, first)
        left = await told.of("a.example", 80)
        asked = told.asked
        told.drop("a.example", 80, second)
        return left, asked, await told.of("a.example", 80)

    assert run_virtual(ask()) == (at("2.2.2.2"), 1, at("3.3.3.3"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_that_is_written_as_such_is_not_looked_up(host: str) -> None:
    async def ask() -> tuple[int, list[Address]]:
        told = Told()
        return told.asked, await told.of(host, 80)

    asked, (found,) = run_virtual(ask())
    assert asked == 0
    assert found.sockaddr[:2] == (host, 80)


def test_names_are_looked_up_by_the_system_in_a_thread() -> None:
    async def ask() -> list[Address]:
        assert isinstance(asyncio.get_running_loop(), VirtualLoop)
        return await Addresses().of("localhost", 80)

    assert {found.sockaddr[0] for found in run_virtual(ask())} <= {"127.0.0.1", "::1"}
