"""Rows through one question with rules and several models, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from llm_jobs.documents.identity import rows_digest
from llm_jobs.documents.job import AnswerStatus, FollowUp, Input, Job, Policy
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Candidate, ModelChoice, ModelRef
from llm_jobs.documents.steps import Message, PromptStep
from llm_jobs.engine.calls import Lane
from llm_jobs.engine.following import MeansOf, prepare
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.health import Health
from llm_jobs.engine.steps import Means, PreparedStep, Row
from llm_jobs.engine.stream import OpenRow, RowStream
from llm_jobs.ledger.base import Ledger
from llm_jobs.providers.base import Provider
from llm_jobs_tests.engine.bench import Bench, bench
from llm_jobs_tests.engine.speaking import model
from llm_jobs_tests.virtual_time import run_virtual

Prepare = Callable[[MeansOf, Health], PreparedStep]
Rules = Mapping[AnswerStatus, Sequence[FollowUp]]


def choice(kind: str, *names: str, weights: Sequence[float | None] = ()) -> ModelChoice:
    """Several models of the speaking provider."""
    shares: Sequence[float | None] = weights or ([1.0] * len(names) if kind == "weighted" else [None] * len(names))
    candidates = tuple(Candidate(model=model(name), weight=weight) for name, weight in zip(names, shares, strict=True))
    return ModelChoice(kind="weighted" if kind == "weighted" else "fallback", candidates=candidates)


def question(
    *,
    rules: Rules | None = None,
    models: ModelChoice | None = None,
    parameters: Mapping[str, JsonValue] | None = None,
    schema: Mapping[str, JsonValue] | None = None,
    samples: int = 1,
    text: str = "{{ x }}",
) -> Prepare:
    """A prompt `answer` about the column `x`, not prepared yet."""
    if models is not None and parameters is not None:
        asked = tuple(replace(candidate, parameters=parameters) for candidate in models.candidates)
        models = replace(models, candidates=asked)
    step = PromptStep(
        name="answer",
        model=models.candidates[0].model if models else model("m"),
        messages=(Message(role="user", content=text),),
        parameters=parameters or {},
        schema=schema,
        choice=models,
    )
    policy = Policy(on_status={"answer": {status: tuple(listed) for status, listed in (rules or {}).items()}})
    rows: tuple[Mapping[str, JsonValue], ...] = ({},)
    table = Input(kind="inline", rows=rows, digest=rows_digest(rows))
    job = Job(name="job", steps=(step,), input=table, policy=policy, sample=samples)

    def prepared(means: MeansOf, health: Health) -> PreparedStep:
        return prepare(step, job, means, health=health, now=asyncio.get_running_loop().time)

    return prepared


def completed(
    provider: Provider,
    rows: Sequence[Row],
    *questions: Prepare,
    ledger: Ledger | None = None,
    samples: int = 1,
    weights: Mapping[str, float] | None = None,
    max_retries: int = 2,
    concurrency: int = 4,
) -> list[OpenRow]:
    """All rows through the questions, in order."""

    async def scenario() -> list[OpenRow]:
        async with bench(provider, ledger) as b:
            lane = b.lane(concurrency=concurrency, max_retries=max_retries)
            return await through(b, rows, *questions, samples=samples, lane=lane, weights=weights)

    return run_virtual(scenario())


async def through(
    b: Bench,
    rows: Sequence[Row],
    *questions: Prepare,
    samples: int = 1,
    lane: Lane | None = None,
    weights: Mapping[str, float] | None = None,
    gates: Mapping[str, ModelGate] | None = None,
) -> list[OpenRow]:
    """The same in an engine that is open. `weights`: the catalogue's, by model; 1 where nothing is said. `gates`: by
    model; one without limits where nothing is said."""
    gate, stated = ModelGate(), weights or {}

    def means(asked: ModelRef) -> Means:
        share = partial(_share, stated, asked.upstream)
        own = (gates or {}).get(asked.upstream, gate)
        return Means(provider=b.provider, gate=own, price=lambda usage: 0.5, weight=share)

    stream = RowStream(
        steps=[prepare(means, b.session.health) for prepare in questions],
        samples=samples,
        caller=b.session.caller,
        lane=lane or b.lane(),
        emit=b.events.append,
        look_up=b.session.recorder.look_back,
    )
    done: list[OpenRow] = []
    async for batch in stream.complete(iter(rows), b.session.recorder.broken):
        done += batch
    return done


def _share(weights: Mapping[str, float], name: str) -> float:
    return weights.get(name, 1.0)
