"""What the recorder keeps, commits and tells, in which order, and when it waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from llm_jobs.engine.hands import Hand
from llm_jobs.engine.recorder import COMMIT_WINDOW_S, FEW, KEPT_AT_ONCE, OUTCOMES_AT_ONCE, SHORT_WINDOW_S, Recorder
from llm_jobs.errors import SetupError
from llm_jobs.ledger.base import Answer, Exchange, Facts, Journal, Ledger, Outcome, Want


class NotingLedger:
    """Grants everything, and notes what it and its journal did in their order; a commit waits until it may end."""

    def __init__(self, *, has_journal: bool = True, is_local: bool = False) -> None:
        self.is_local = is_local
        self.done: list[str] = []
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.keep_error: Exception | None = None
        self.commit_error: Exception | None = None
        self._has_journal = has_journal

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        self.may_commit.wait(60)
        if self.commit_error is not None:
            raise self.commit_error
        hashes = [one.call_hash for one in outcomes] + [one.call_hash for one in wants]
        self.done.append(f"commit of {''.join(hashes)}")
        return Exchange(granted={want.call_hash: 1 for want in wants})

    def look_up(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        raise OSError("the disk is gone")

    def truncated(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        return {}

    def close_owner(self, owner_id: int) -> None:
        self.done.append("close")

    def journal(self, owner_id: int) -> Journal | None:
        return self if self._has_journal else None

    def keep(self, outcomes: Sequence[Outcome]) -> None:
        if self.keep_error is not None:
            raise self.keep_error
        self.done.append(f"keep {''.join(one.call_hash for one in outcomes)}")

    def begin_commit(self) -> None:
        self.done.append("begin")

    def end_commit(self) -> None:
        self.done.append("end")

    def remove(self) -> None:
        self.done.append("remove")

    def leave(self) -> None:
        self.done.append("leave")


@asynccontextmanager
async def recording(ledger: NotingLedger) -> AsyncIterator[Recorder]:
    with Hand("writer") as writer, Hand("reader") as reader:
        recorder = Recorder(cast("Ledger", ledger), 1, writer=writer, reader=reader)
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


async def _committed_once(recorder: Recorder, ledger: NotingLedger) -> None:
    """From here on windows count."""
    told = asyncio.Event()
    recorder.want(want("first"), lambda exchange: told.set())
    await told.wait()
    ledger.done.clear()


@pytest.mark.parametrize("has_journal", [True, False])
@pytest.mark.parametrize("awaited", [True, False])
@pytest.mark.parametrize("what", ["an outcome", "a call"])
def test_nothing_is_told_before_its_commit(what: str, awaited: bool, has_journal: bool) -> None:
    ledger = NotingLedger(has_journal=has_journal)

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            if what == "a call":
                recorder.want(want("a"), lambda exchange: ledger.done.append("told"), awaited=awaited)
            else:
                recorder.record(outcome("a"), lambda: ledger.done.append("told"), awaited=awaited)
            await until(lambda: "told" in ledger.done)

    asyncio.run(scenario())
    assert [did for did in ledger.done if did in ("commit of a", "told", "close")] == ["commit of a", "told", "close"]


def test_an_outcome_is_in_the_journal_at_the_end_of_the_loops_turn_that_it_came_in() -> None:
    ledger = NotingLedger()

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            await _committed_once(recorder, ledger)
            recorder.record(outcome("a"), lambda: None, awaited=False)
            recorder.record(outcome("b"), lambda: None, awaited=False)
            assert recorder.at_risk == 2
            await asyncio.sleep(0)
            assert recorder.at_risk == 0
            assert ledger.done == ["keep ab"]
            await until(lambda: "end" in ledger.done)

    asyncio.run(scenario())
    assert ledger.done == ["keep ab", "begin", "commit of ab", "end", "close", "remove"]


def test_what_comes_just_before_a_commit_is_in_the_journal_before_it_begins() -> None:
    ledger = NotingLedger()

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            recorder.record(outcome("a"), lambda: None, awaited=False)

    asyncio.run(scenario())
    assert ledger.done == ["keep a", "begin", "commit of a", "end", "close", "remove"]


def test_no_more_outcomes_are_at_risk_than_a_kill_may_lose_however_many_come_at_once() -> None:
    ledger, most = NotingLedger(), 0

    async def scenario() -> None:
        nonlocal most
        async with recording(ledger) as recorder:
            await _committed_once(recorder, ledger)
            for _ in range(100):
                recorder.record(outcome("a"), lambda: None, awaited=False)
                most = max(most, recorder.at_risk)

    asyncio.run(scenario())
    assert most == KEPT_AT_ONCE - 1


def test_what_comes_during_a_commit_is_kept_for_the_next_one() -> None:
    ledger = NotingLedger()

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            await _committed_once(recorder, ledger)
            ledger.may_commit.clear()
            recorder.record(outcome("a"), lambda: ledger.done.append("told of a"))
            await until(lambda: "begin" in ledger.done)
            recorder.record(outcome("b"), lambda: ledger.done.append("told of b"))
            await until(lambda: "keep b" in ledger.done)
            ledger.may_commit.set()
            await until(lambda: "told of b" in ledger.done)

    asyncio.run(scenario())
    first = ["keep a", "begin", "keep b", "commit of a", "end", "told of a"]
    assert ledger.done == [*first, "begin", "commit of b", "end", "told of b", "close", "remove"]


def test_without_a_journal_an_outcome_is_at_risk_until_its_commit_which_waits_for_few() -> None:
    ledger = NotingLedger(has_journal=False)

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            await _committed_once(recorder, ledger)
            ledger.may_commit.clear()
            for _ in range(OUTCOMES_AT_ONCE):
                recorder.record(outcome("a"), lambda: None, awaited=False)
            assert recorder.at_risk == OUTCOMES_AT_ONCE
            recorder.record(outcome("b"), lambda: None, awaited=False)
            ledger.may_commit.set()
            await until(lambda: recorder.at_risk == 0)

    asyncio.run(scenario())
    assert ledger.done == [f"commit of {'a' * OUTCOMES_AT_ONCE}", "commit of b", "close"]


@pytest.mark.parametrize(
    ("has_journal", "awaited", "waiting", "windows_s"),
    [
        (True, False, 1, [COMMIT_WINDOW_S]),
        (True, True, FEW, [SHORT_WINDOW_S]),
        (True, True, FEW + 1, [SHORT_WINDOW_S, COMMIT_WINDOW_S]),
        (False, False, FEW + 1, [SHORT_WINDOW_S]),
    ],
)
def test_a_commit_waits_for_more_unless_few_are_waited_for_or_a_kill_would_lose_them(
    has_journal: bool, awaited: bool, waiting: int, windows_s: list[float]
) -> None:
    ledger, waited_s = NotingLedger(has_journal=has_journal), []

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            await _committed_once(recorder, ledger)
            recorder._last_commit_s = asyncio.get_running_loop().time() + 3600  # so that no window ends meanwhile
            for _ in range(waiting):
                recorder.want(want("a"), lambda exchange: None, awaited=awaited)
            for _ in windows_s:
                assert recorder._scheduled is not None
                waited_s.append(recorder._scheduled.when() - recorder._last_commit_s)
                recorder._due()

    asyncio.run(scenario())
    assert waited_s == pytest.approx(windows_s)


def test_a_journal_that_cannot_be_written_ends_everything_and_what_came_is_committed() -> None:
    ledger = NotingLedger()
    ledger.keep_error = SetupError("the disk is full")

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            recorder.record(outcome("a"), lambda: ledger.done.append("told"), awaited=False)
            recorder.want(want("b"), lambda exchange: ledger.done.append("granted"), awaited=False)
            with pytest.raises(SetupError, match="the disk is full"):
                await asyncio.wait_for(recorder.broken, 60)

    asyncio.run(scenario())
    assert ledger.done == ["begin", "commit of a", "end", "told", "close", "remove"]


def test_a_commit_that_fails_ends_everything_and_leaves_the_journal() -> None:
    ledger = NotingLedger()
    ledger.commit_error = OSError("the disk is gone")

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            recorder.record(outcome("a"), lambda: ledger.done.append("told"))
            with pytest.raises(OSError, match="the disk is gone"):
                await asyncio.wait_for(recorder.broken, 60)
            recorder.record(outcome("b"), lambda: None)

    asyncio.run(scenario())
    assert ledger.done == ["keep a", "begin", "keep b", "leave"]


@pytest.mark.parametrize("is_local", [True, False])
def test_a_journal_is_left_to_others_only_after_the_commit_that_is_under_way(is_local: bool) -> None:
    ledger = NotingLedger(is_local=is_local)

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            ledger.may_commit.clear()
            recorder.record(outcome("a"), lambda: ledger.done.append("told"))
            await until(lambda: "begin" in ledger.done)
            recorder.look_up("b", lambda answer: None)
            with pytest.raises(OSError, match="the disk is gone"):
                await asyncio.wait_for(recorder.broken, 60)
            threading.Timer(0.01, ledger.may_commit.set).start()

    asyncio.run(scenario())
    assert ledger.done == ["keep a", "begin", "commit of a", "end", "told", "leave"]


def test_no_call_is_claimed_once_the_journal_cannot_be_written() -> None:
    ledger = NotingLedger()

    async def scenario() -> None:
        async with recording(ledger) as recorder:
            await _committed_once(recorder, ledger)
            ledger.keep_error = SetupError("the disk is full")
            recorder.want(want("b"), lambda exchange: None)
            recorder.record(outcome("a"), lambda: None)
            recorder._commit()
            assert recorder.broken.exception() is ledger.keep_error

    asyncio.run(scenario())
    assert ledger.done == ["begin", "commit of a", "end", "close", "remove"]
