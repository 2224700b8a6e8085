"""Looking up before claiming: a job whose calls are all new stops, nothing that is recorded is bought again, and the
loop does it by itself only where that is quick."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from llm_jobs.engine import caller, nearness
from llm_jobs.errors import PermanentError, SetupError, TransientError
from llm_jobs.ledger.base import Answer, Ledger, OutcomeStatus
from llm_jobs.ledger.postgres import PostgresLedger
from llm_jobs.operations.dry_ledger import WOULD_BE_ASKED, GrantsNothing
from llm_jobs.providers.base import Reply, Request
from llm_jobs_tests.engine.bench import bench, memory_ledger
from llm_jobs_tests.engine.scripted import ScriptedProvider
from llm_jobs_tests.ledger.material import Asker, outcome
from llm_jobs_tests.virtual_time import run_virtual


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "IN_VAIN", 3)


class Watched:
    """A ledger, and how many calls were looked up in it outside of exchanges."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.looked_up = 0

    def look_up(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        self.looked_up += len(call_hashes)
        found: Mapping[str, Answer] = self._ledger.look_up(call_hashes)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


class Seen(Watched):
    """The same, which notes who looks and for how many at once, and may be far or slow."""

    def __init__(self, ledger: Any, *, is_local: bool | None = None, takes_s: float = 0.0) -> None:
        super().__init__(ledger)
        self.is_local = ledger.is_local if is_local is None else is_local
        self._takes_s = takes_s
        self.by_the_loop: list[bool] = []
        self.at_once: list[int] = []

    def look_up(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        self.by_the_loop.append(threading.current_thread() is threading.main_thread())
        self.at_once.append(len(call_hashes))
        time.sleep(self._takes_s)
        return super().look_up(call_hashes)


class Unreadable:
    """A ledger that cannot be read for answers that were cut off, once it `fails`."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.fails = False

    def truncated(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        if self.fails:
            raise SetupError("the ledger cannot be read")
        return {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


def ask(ledger: Any, provider: ScriptedProvider, *prompts: str) -> list[Any]:
    """Rows one after the other, so that each knows what became of the one before."""

    async def scenario() -> list[Any]:
        async with bench(provider, ledger) as b:
            lane = b.lane()
            return [row for prompt in prompts for row in await b.complete([{"x": prompt}], lane=lane)]

    return run_virtual(scenario())


def answered(*prompts: str, status: str = "succeeded") -> Ledger:
    ledger = memory_ledger()
    ask(ledger, ScriptedProvider(status=lambda prompt: status), *prompts)
    return ledger


def test_calls_are_looked_up_until_that_was_in_vain_and_again_once_something_was_known() -> None:
    ledger = Watched(answered("known"))
    provider = ScriptedProvider()
    ask(ledger, provider, "a", "b", "c", "d", "e")
    assert ledger.looked_up == 3
    completed = ask(ledger, provider, "f", "g", "h", "i", "known", "j", "k", "l", "m")
    assert ledger.looked_up == 3 + 3 + 3
    assert [row.settled[0].reused for row in completed] == [False] * 4 + [True] + [False] * 4
    assert provider.sent == dict.fromkeys("abcdefghijklm", 1)


def test_the_loop_looks_up_by_itself_in_a_ledger_of_sqlite_and_begins_with_few() -> None:
    prompts = [str(number) for number in range(nearness.FEWEST + 1)]
    ledger = Seen(answered(*prompts))

    async def scenario() -> list[Any]:
        async with bench(ScriptedProvider(), ledger) as b:
            return await b.complete([{"x": prompt} for prompt in prompts])

    assert [row.values["answer"] for row in run_virtual(scenario())] == [f"answer to {prompt}" for prompt in prompts]
    assert ledger.by_the_loop == [True, True]
    assert ledger.at_once == [nearness.FEWEST, 1]


def test_a_thread_looks_up_what_is_not_local() -> None:
    assert not PostgresLedger.is_local
    ledger = Seen(answered("a", "b"), is_local=False)
    completed = ask(ledger, ScriptedProvider(), "a", "b")
    assert [row.values["answer"] for row in completed] == ["answer to a", "answer to b"]
    assert ledger.by_the_loop == [False, False]


def test_look_ups_that_take_long_keep_the_loop_twice() -> None:
    ledger = Seen(answered("a", "b", "c", "d"), takes_s=2 * nearness.LONG_S)

    async def scenario() -> None:
        async with bench(ScriptedProvider(), ledger) as b:
            for prompt in ("a", "b", "c", "d"):
                await b.complete([{"x": prompt}])

    asyncio.run(scenario())
    assert ledger.by_the_loop == [True, True, False, False]


def test_a_call_of_two_rows_whose_answer_is_no_success_is_sent_once_however_long_looking_up_takes() -> None:
    provider = ScriptedProvider(status=lambda prompt: "refused", latency_s=0.01)
    ledger = Seen(memory_ledger(), is_local=False, takes_s=0.1)

    async def scenario() -> None:
        async with bench(provider, ledger) as b:
            rows = [{"x": prompt} for prompt in ["a", *map(str, range(40)), "a"]]
            await b.complete(rows, lane=b.lane(concurrency=8))

    asyncio.run(scenario())
    assert provider.sent["a"] == 1


def test_a_job_that_is_closed_while_a_call_is_looked_up_does_not_wait_for_another_that_asks_for_it() -> None:
    async def scenario() -> tuple[str, float]:
        async with bench(ScriptedProvider(latency_s=1_000), memory_ledger()) as b:
            call = b.step().call({"x": "a"}, 0)
            staying, leaving = b.lane(), b.lane()
            told = asyncio.get_running_loop().create_future()
            b.session.caller.ask(call, staying, lambda settled: None)
            b.session.caller.ask(call, leaving, told.set_result)
            b.session.caller.close_lane(leaving)
            return (await told).facts.status, asyncio.get_running_loop().time()

    assert run_virtual(scenario()) == ("cancelled", 0.0)


def test_an_answer_that_was_cut_off_is_found_by_the_claim_and_not_asked_for_again() -> None:
    provider = ScriptedProvider()
    row = ask(answered("cut", status="truncated"), provider, "a", "b", "c", "cut")[3]
    assert (row.status, row.values["answer"], row.settled[0].reused) == ("truncated", "answer to cut", True)
    assert "cut" not in provider.sent


def test_a_whole_answer_that_was_recorded_after_one_that_was_cut_off_is_the_one_that_the_claim_finds() -> None:
    ledger = memory_ledger()
    asker = Asker(ledger)

    async def call_hash() -> str:
        async with bench(ScriptedProvider(), ledger) as b:
            return b.step().call({"x": "both"}, 0).call_hash

    both = run_virtual(call_hash())
    recorded: Mapping[OutcomeStatus, bytes] = {"truncated": b"wh", "succeeded": b"whole"}
    for status, text in recorded.items():
        said = b'{"text": "%s", "status": "%s"}' % (text, status.encode())
        ended = replace(outcome(both, asker.claim(both), status), answer=said)
        ledger.exchange(asker.owner_id, outcomes=[ended], wants=())
    provider = ScriptedProvider()
    row = ask(ledger, provider, "a", "b", "c", "both")[3]
    assert (row.status, row.values["answer"]) == ("succeeded", "whole")
    assert "both" not in provider.sent


def test_an_answer_that_another_process_had_cut_off_while_its_call_waited_is_not_asked_for_again() -> None:
    ledger = memory_ledger()
    other = ScriptedProvider(latency_s=1, status=lambda prompt: "truncated")
    provider = ScriptedProvider(latency_s=5)

    async def scenario() -> None:
        async with bench(other, ledger) as before, bench(provider, ledger) as b:
            rows = [{"x": prompt} for prompt in ("a", "b", "c", "d", "cut")]
            _, completed = await asyncio.gather(
                before.complete([{"x": "cut"}]), b.complete(rows, lane=b.lane(concurrency=1))
            )
            assert (completed[4].status, completed[4].values["answer"]) == ("truncated", "answer to cut")

    run_virtual(scenario())
    assert (other.sent["cut"], provider.sent["cut"]) == (1, 0)


def after_another(ledger: Ledger, other: ScriptedProvider, provider: ScriptedProvider) -> Any:
    """The row of a process that waits for what another one is being told, which takes that one a second."""

    async def scenario() -> Any:
        async with bench(other, ledger) as before, bench(provider, ledger) as b:
            asking = asyncio.ensure_future(before.complete([{"x": "no"}]))
            await asyncio.sleep(0.5)
            (row,) = await b.complete([{"x": "no"}])
            await asking
            return row

    return run_virtual(scenario())


@pytest.mark.parametrize("status", ["refused", "filtered", "truncated"])
def test_what_another_process_was_told_in_place_of_a_success_is_told_with_how_it_ended(status: str) -> None:
    provider = ScriptedProvider()
    row = after_another(memory_ledger(), ScriptedProvider(latency_s=1, status=lambda prompt: status), provider)
    assert (row.status, row.values["answer"], row.settled[0].reused) == (status, "answer to no", True)
    assert not provider.sent


def test_what_another_process_was_told_and_nobody_can_read_here_ends_as_it_did_there() -> None:
    class Unable(ScriptedProvider):
        def read(self, request: Request, raw: bytes) -> Reply:
            raise TransientError("not whole")

    row = after_another(memory_ledger(), ScriptedProvider(latency_s=1, status=lambda prompt: "refused"), Unable())
    assert (row.status, row.settled[0].reply, row.settled[0].reused) == ("refused", None, True)


def test_an_older_refusal_is_not_told_for_the_failure_that_another_process_met() -> None:
    ledger = answered("no", status="refused")
    other = ScriptedProvider(latency_s=1, faults={"no": [PermanentError("no such model")]})
    row = after_another(ledger, other, ScriptedProvider())
    (settled,) = row.settled
    assert (row.status, settled.reply, settled.reused, settled.attempts) == ("failed", None, True, 0)


def test_an_answer_is_kept_although_the_ledger_cannot_be_read_for_those_that_were_cut_off() -> None:
    ledger = Unreadable(memory_ledger())
    provider = ScriptedProvider(latency_s=1)

    async def scenario() -> None:
        async with bench(provider, ledger) as b:
            asking = asyncio.ensure_future(b.complete([{"x": str(n)} for n in range(9)], lane=b.lane(concurrency=1)))
            await asyncio.sleep(0.9)
            ledger.fails = True
            with pytest.raises(SetupError, match="cannot be read"):
                await asking

    run_virtual(scenario())
    assert ledger.audit().answers == 1


def test_a_dry_run_tells_of_a_call_that_was_not_looked_up_what_is_recorded() -> None:
    ledger = GrantsNothing(answered("known"))
    provider = ScriptedProvider()
    completed = ask(ledger, provider, "a", "b", "c", "known", "d")
    told = [row.settled[0].facts.error_class for row in completed]
    assert told == [WOULD_BE_ASKED] * 3 + [None, WOULD_BE_ASKED]
    assert not provider.sent
