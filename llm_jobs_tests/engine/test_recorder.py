"""What the recorder tells, and when: what neither a kill nor a power cut undoes any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from llm_jobs.engine.hands import Hand
from llm_jobs.engine.recorder import Recorder
from llm_jobs.ledger.base import Exchange, Facts, Ledger, Outcome, Want


class NotingLedger:
    """Grants everything, and notes what it did in its order; a sync waits until it may end."""

    def __init__(self, *, synced: bool = False) -> None:
        self.done: list[str] = []
        self.may_sync = threading.Event()
        self.may_sync.set()
        self._synced = synced

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        hashes = [one.call_hash for one in outcomes] + [one.call_hash for one in wants]
        self.done.append(f"commit of {''.join(hashes)}")
        return Exchange(granted={want.call_hash: 1 for want in wants}, synced=self._synced)

    def sync(self) -> None:
        self.may_sync.wait(60)
        self.done.append("sync")

    def close_owner(self, owner_id: int) -> None:
        self.done.append("close")


@asynccontextmanager
async def recording(ledger: NotingLedger) -> AsyncIterator[Recorder]:
    with Hand("writer") as writer, Hand("syncer") as syncer, Hand("reader") as reader:
        recorder = Recorder(cast("Ledger", ledger), 1, writer=writer, syncer=syncer, reader=reader)
        yield recorder
        await recorder.aclose()


def outcome(name: str) -> Outcome:
    facts = Facts(status="succeeded")
    return Outcome(intent_id=1, call_hash=name, facts=facts, final=True, request=b"{}", answer=b"{}")


def want(name: str) -> Want:
    return Want(call_hash=name, job_hash="j", submission_id=1, provider="p", model="m", attempt=1)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("awaited", [True, False])
@pytest.mark.parametrize("what", ["an outcome", "a call"])
def test_nothing_is_told_before_a_sync_that_began_after_its_commit(what: str, awaited: bool) -> None:
    ledger = NotingLedger()

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            if what == "a call":
                recorder.want(want("a"), lambda exchange: ledger.done.append("told"), awaited=awaited)
            else:
                recorder.record(outcome("a"), lambda: ledger.done.append("told"), awaited=awaited)
            await until(lambda: "told" in ledger.done)

    asyncio.run(scenario())
    assert ledger.done == ["commit of a", "sync", "told", "close"]


def test_what_is_committed_is_at_no_risk_of_a_kill_before_it_is_synced() -> None:
    ledger = NotingLedger()

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            ledger.may_sync.clear()
            recorder.safe = lambda: ledger.done.append(f"{recorder.at_risk} at risk")
            recorder.record(outcome("a"), lambda: ledger.done.append("told"))
            assert recorder.at_risk == 1
            await until(lambda: "0 at risk" in ledger.done)
            assert ledger.done == ["commit of a", "0 at risk"]
            ledger.may_sync.set()

    asyncio.run(scenario())


def test_commits_go_on_while_a_sync_is_under_way_and_are_told_after_the_next_one() -> None:
    ledger = NotingLedger()

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            ledger.may_sync.clear()
            recorder.record(outcome("a"), lambda: ledger.done.append("told of a"))
            await until(lambda: "commit of a" in ledger.done)
            await asyncio.sleep(0)
            recorder.record(outcome("b"), lambda: ledger.done.append("told of b"))
            await until(lambda: "commit of b" in ledger.done)
            ledger.may_sync.set()
            await until(lambda: "told of b" in ledger.done)

    asyncio.run(scenario())
    assert ledger.done == ["commit of a", "commit of b", "sync", "told of a", "sync", "told of b", "close"]


def test_where_each_commit_is_synced_nothing_waits_for_another_sync() -> None:
    ledger = NotingLedger(synced=True)

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            recorder.record(outcome("a"), lambda: ledger.done.append("told"), awaited=False)
            await until(lambda: "told" in ledger.done)

    asyncio.run(scenario())
    assert ledger.done == ["commit of a", "told", "close"]


def test_closing_syncs_and_tells_what_is_committed_before_the_claims_are_given_back() -> None:
    ledger = NotingLedger()

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            recorder.record(outcome("a"), lambda: ledger.done.append("told"), awaited=False)

    asyncio.run(scenario())
    assert ledger.done == ["commit of a", "sync", "told", "close"]


def test_a_sync_that_fails_ends_everything_and_tells_nobody() -> None:
    class Failing(NotingLedger):
        def sync(self) -> None:
            raise OSError("the disk is gone")

    ledger = Failing()

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            recorder.record(outcome("a"), lambda: ledger.done.append("told"))
            with pytest.raises(OSError, match="the disk is gone"):
                await asyncio.wait_for(recorder.broken, 60)

    asyncio.run(scenario())
    assert ledger.done == ["commit of a"]
