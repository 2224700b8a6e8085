"""An engine on an in-memory ledger and a scripted provider, for tests on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from llm_jobs.clock import SetClock
from llm_jobs.documents.steps import Message, Operation, PromptStep
from llm_jobs.engine.calls import Lane
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.retry import RetryPolicy
from llm_jobs.engine.session import Session, open_session
from llm_jobs.engine.steps import Means, PreparedStep, Row
from llm_jobs.engine.stream import OpenRow, RowStream
from llm_jobs.events import Event
from llm_jobs.ledger.base import Ledger, Submission
from llm_jobs.ledger.opening import open_ledger
from llm_jobs.ledger.owners import this_process
from llm_jobs.limits.base import Limits, LimitStore
from llm_jobs.limits.limiter import Limiter
from llm_jobs.limits.memory import MemoryLimitStore
from llm_jobs.providers.base import Provider
from llm_jobs.results.outputs import Outputs
from llm_jobs_tests.engine.scripted import MODEL

JOB = "a" * 32


@dataclass(kw_only=True)
class Bench:
    """What a test sees: the provider, the ledger and the events in order."""

    provider: Provider
    ledger: Ledger
    session: Session
    events: list[Event] = field(default_factory=list)

    def lane(self, *, concurrency: int = 4, max_retries: int = 2, group: int = 1) -> Lane:
        return Lane(
            job_hash=JOB,
            submission_id=1,
            concurrency=concurrency,
            retry=RetryPolicy(max_retries=max_retries, base_s=1.0),
            timeout_s=60.0,
            group=group,
        )

    def step(
        self,
        text: str = "{{ x }}",
        *,
        name: str = "answer",
        gate: ModelGate | None = None,
        operation: Operation = "chat",
    ) -> PreparedStep:
        message = Message(role="user", content=text)
        step = PromptStep(name=name, model=MODEL, messages=(message,), operation=operation)
        means = Means(provider=self.provider, gate=gate or ModelGate(), price=lambda usage: 0.5)
        return PreparedStep(step, means, outputs=Outputs(step), epoch=None)

    async def complete(
        self, rows: Sequence[Row], *, lane: Lane | None = None, steps: Sequence[PreparedStep] = (), samples: int = 1
    ) -> list[OpenRow]:
        """All rows through the steps, in order."""
        stream = RowStream(
            steps=steps or [self.step()],
            samples=samples,
            caller=self.session.caller,
            lane=lane or self.lane(),
            emit=self.events.append,
        )
        completed: list[OpenRow] = []
        async for batch in stream.complete(iter(rows), self.session.recorder.broken):
            completed += batch
        return completed


def memory_ledger() -> Ledger:
    """A ledger in memory that knows the job of the tests."""
    ledger = open_ledger("sqlite://", clock=SetClock(1_000_000_000))
    submission = Submission(
        job_hash=JOB, name="job", document_name="job.yaml", document=b"", job=b"", submitter="test", origin="python"
    )
    ledger.submit([submission])
    return ledger


@asynccontextmanager
async def bench(provider: Provider, ledger: Ledger | None = None) -> AsyncIterator[Bench]:
    """An open engine around `provider`."""
    used = ledger or memory_ledger()
    events: list[Event] = []
    async with open_session(
        ledger=used,
        owner=this_process(),
        open_provider=lambda kind: provider,
        open_gate=lambda model, executor: ModelGate(),
        clock=SetClock(2_000_000_000),
        random=Random(7),
        emit=events.append,
    ) as session:
        yield Bench(provider=provider, ledger=used, session=session, events=events)


def virtual_limiter(limits: Limits, store: LimitStore | None = None) -> Limiter:
    """A limiter on the running loop's time."""
    store = store or MemoryLimitStore(now_ms=loop_ms)
    return Limiter(store, "scripted", limits=lambda: limits)


def loop_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)
