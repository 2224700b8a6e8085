"""Watching while time passes, on a clock that jumps: when conditions are looked at, and in which thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from llm_jobs.documents.watched import Alert, Channel, Monitoring, Watching
from llm_jobs.events import (
    AlertRaised,
    CallAnswered,
    CallRecorded,
    Event,
    JobFinished,
    JobMeasured,
    JobStarted,
    QuotaPaused,
    RowCompleted,
    wants,
)
from llm_jobs.observability.figures import Figures
from llm_jobs.observability.messages import Message, Subject
from llm_jobs.observability.outbox import Outbox
from llm_jobs.observability.watchers import LOOK_AT_ROWS_EVERY_S, LOOK_EVERY_S, Board, JobWatcher
from llm_jobs_tests.observability.facts import CALL, JOB, MODEL, recorded
from llm_jobs_tests.virtual_time import run_virtual

OTHER = "e" * 32
GOOD, BAD = (RowCompleted(JOB, status, False) for status in ("succeeded", "refused"))
LOG = Channel(action="log")


class Heard:
    """Keeps what it hears, and when."""

    def __init__(self, *kinds: type) -> None:
        self.wants = frozenset(kinds)
        self.events: list[Event] = []
        self.at_s: list[float] = []
        self.threads: set[int] = set()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.at_s.append(asyncio.get_running_loop().time())
        self.threads.add(threading.get_ident())


def board(
    heard: Heard,
    *conditions: str,
    listeners: Sequence[Heard] = (),
    monitoring: Monitoring | None = None,
    tells_end: bool = False,
    outbox: Outbox | None = None,
) -> Board:
    loop = asyncio.get_running_loop()
    watching = Watching(
        monitoring=monitoring,
        alerts=tuple(Alert(condition=condition, channel=LOG) for condition in conditions),
        tells_end=tells_end,
    )
    watcher = JobWatcher(
        Subject(name="reviews", job_hash=JOB),
        watching,
        figures=Figures(now_s=loop.time),
        listeners=listeners,
        tell=heard,
        outbox=outbox or Outbox(lambda message, channel: None),
        models=frozenset({MODEL}),
    )
    return Board({JOB: watcher}, loop=loop)


def test_time_alone_raises_an_alert_where_no_row_ends() -> None:
    heard = Heard(AlertRaised)

    async def run() -> None:
        watch = board(heard, "execution_time > 600")
        looking = asyncio.create_task(watch.keep_looking())
        watch(JobStarted(JOB, "reviews", 4))
        await asyncio.sleep(3600)
        looking.cancel()

    run_virtual(run())
    assert len(heard.events) == 1
    assert 600 < heard.at_s[0] <= 600 + LOOK_EVERY_S


def test_rows_are_looked_at_a_few_times_a_second_however_many_end() -> None:
    heard = Heard(JobMeasured)

    async def run() -> None:
        watch = board(heard, monitoring=Monitoring(metrics=("rows",)))
        watch(JobStarted(JOB, "reviews", 4))
        for _ in range(1000):
            watch(GOOD)
            await asyncio.sleep(0.001)

    run_virtual(run())
    assert len(heard.events) == pytest.approx(1.0 / LOOK_AT_ROWS_EVERY_S, abs=1)


def test_a_job_that_has_not_begun_or_has_ended_is_not_looked_at() -> None:
    heard = Heard(JobMeasured, AlertRaised)

    async def run() -> None:
        watch = board(heard, "execution_time >= 0", monitoring=Monitoring(metrics=("rows",)))
        looking = asyncio.create_task(watch.keep_looking())
        await asyncio.sleep(61)
        assert heard.events == []
        watch(JobStarted(JOB, "reviews", 4))
        watch(JobFinished(JOB, "reviews", "done", 4, 4, 0))
        await asyncio.sleep(60)
        looking.cancel()

    run_virtual(run())
    assert [type(event) for event in heard.events] == [AlertRaised, JobMeasured]


def test_the_end_that_a_thread_tells_is_judged_by_the_loop() -> None:
    heard, sent = Heard(AlertRaised), list[Message]()

    async def run() -> int:
        watch = board(heard, "execution_time >= 0", tells_end=True, outbox=outbox)
        await asyncio.to_thread(watch, JobFinished(JOB, "reviews", "done", 4, 4, 0))
        await asyncio.sleep(1)
        return threading.get_ident()

    with Outbox(lambda message, channel: sent.append(message)) as outbox:
        assert heard.threads == {run_virtual(run())}
    assert sorted(message.kind for message in sent) == ["alert", "end"]


def test_what_belongs_to_another_job_is_not_heard_and_what_belongs_to_a_model_is() -> None:
    heard = Heard(QuotaPaused, CallRecorded, RowCompleted, CallAnswered)

    async def run() -> None:
        watch = board(Heard(), listeners=[heard])
        for event in (
            recorded(job_hash=OTHER),
            RowCompleted(OTHER, "succeeded", False),
            QuotaPaused("another", 5.0, "Retry-After"),
            recorded(),
            GOOD,
            QuotaPaused(MODEL, 5.0, "Retry-After"),
            CallAnswered(CALL),
        ):
            assert wants(watch, type(event))
            watch(event)

    run_virtual(run())
    assert [type(event) for event in heard.events] == [CallRecorded, RowCompleted, QuotaPaused, CallAnswered]


def test_nothing_is_asked_of_the_engine_that_nobody_listens_to() -> None:
    async def run() -> bool:
        return wants(board(Heard(), "rows > 1"), CallAnswered)

    assert run_virtual(run()) is False


def test_one_condition_over_two_channels_is_one_fact_and_two_messages() -> None:
    heard, sent = Heard(AlertRaised), list[Message]()

    async def run() -> None:
        watch = board(heard, "failed > 0", "failed > 0", outbox=outbox)
        watch(JobStarted(JOB, "reviews", 4))
        watch(BAD)

    with Outbox(lambda message, channel: sent.append(message)) as outbox:
        run_virtual(run())
    assert len(heard.events) == 1
    assert [message.condition for message in sent] == ["failed > 0"] * 2
