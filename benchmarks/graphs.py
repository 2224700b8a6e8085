"""What a graph costs beside the calls: `python -m benchmarks.graphs`, half a minute; prints and keeps nothing.

Rows: 100,000 through three steps, a chain and a diamond, on the simulated provider's requests. The caller is one that
answers at once, so that what is left is this project's own work per row and step: the graph, rendering, the request,
its identity, the columns of the answer. CPU of the one thread, without start-up.

Planning: a graph of 1,000 steps from the document's text to the plan of its rows.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import orjson

from benchmarks.clients.questions import questions
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.steps import Message, PromptStep, RequestStep, RowStep
from llm_jobs.engine.calls import Call, Done, Lane, Settled
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.graph import GraphStream, Work
from llm_jobs.engine.interpreter import tuned
from llm_jobs.engine.retry import RetryPolicy
from llm_jobs.engine.steps import Means, PreparedStep
from llm_jobs.events import ignore
from llm_jobs.ledger.base import Facts
from llm_jobs.operations.accept import read_jobs
from llm_jobs.operations.overrides import NO_OVERRIDES
from llm_jobs.operations.services import open_services
from llm_jobs.pipelines.stages import plan_of, stages_of
from llm_jobs.providers.base import Reply
from llm_jobs.providers.simulated import SimulatedProvider
from llm_jobs.results.outputs import Outputs
from llm_jobs.results.row_columns import row_fields
from llm_jobs.settings import Settings

MODEL = ModelRef(name="simulated", provider="simulated", upstream="simulated", base_url="")
FACTS = Facts(
    status="succeeded", model_answered="simulated", finish_reason="stop", prompt_tokens=24, completion_tokens=12
)
ANSWER = "An answer of some thirty words, as a model may give it. " * 4
CHAIN: Sequence[tuple[str, str, tuple[str, ...] | None]] = (
    ("first", "Answer shortly: {{ question }}", None),
    ("second", "Is this right? {{ first }}", None),
    ("third", "Sum up {{ first }} and {{ second }}", None),
)
DIAMOND: Sequence[tuple[str, str, tuple[str, ...] | None]] = (
    ("first", "Answer shortly: {{ question }}", ()),
    ("second", "Answer at length: {{ question }}", ()),
    ("third", "Sum up {{ first }} and {{ second }}", ("first", "second")),
)


class AtOnce:
    """A caller that answers in the next turn of the loop, and costs next to nothing itself."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reply = Reply(status="succeeded", output=ANSWER, usage=None, finish_reason="stop", model="simulated")  # type: ignore[arg-type]

    def ask(self, call: Call, lane: Lane, done: Done) -> None:
        settled = Settled(
            call_hash=call.call_hash, facts=FACTS, reply=self._reply, reused=False, attempts=1, answered_ns=1
        )
        self._loop.call_soon(done, settled)

    def close_lane(self, lane: Lane) -> None:
        return None


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    for name, graph in (("chain", CHAIN), ("diamond", DIAMOND)):
        cpu_s = asyncio.run(_rows_through(graph, options.rows))
        cost_us = cpu_s / options.rows / len(graph) * 1e6
        sys.stdout.write(
            f"{name} of {len(graph)} steps, {options.rows:,} rows: {cost_us:.1f} µs CPU per row and step\n"
        )
    for name, needs in (("chain", _before), ("random needs", _anywhere)):
        cpu_s = _planned(options.steps, needs)
        sys.stdout.write(f"{name} of {options.steps:,} steps: planned in {cpu_s:.2f} s of CPU, from the text on\n")


async def _rows_through(graph: Sequence[tuple[str, str, tuple[str, ...] | None]], rows: int) -> float:
    means = Means(provider=SimulatedProvider(), gate=ModelGate(), price=lambda usage: None)
    steps = [
        PromptStep(name=name, model=MODEL, messages=(Message(role="user", content=text),), needs=needs)
        for name, text, needs in graph
    ]

    def prepare(step: RowStep) -> Work:
        assert isinstance(step, PromptStep | RequestStep)
        return PreparedStep(step, means, outputs=Outputs(step), epoch=None)

    plan = plan_of(steps, prepare=prepare, columns=lambda step: tuple(field.name for field in row_fields([step])))
    lane = Lane(job_hash="a" * 32, submission_id=1, concurrency=100, retry=RetryPolicy(max_retries=8), timeout_s=60.0)
    stream = GraphStream(plan=plan, samples=1, caller=AtOnce(), lane=lane, emit=ignore)
    table = [{"question": question} for question in questions(rows)]
    broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done = 0
    with tuned():
        started = time.process_time()
        async for batch in stream.complete(iter(table), broken):
            done += len(batch)
        used = time.process_time() - started
    if done != rows:
        raise RuntimeError(f"{done} of {rows} rows came out")
    return used


def _before(number: int) -> list[str] | None:
    return None


def _anywhere(number: int) -> list[str] | None:
    random = Random(number)
    return [f"s{random.randrange(number)}" for _ in range(min(number, 3))]


def _planned(steps: int, needs: Callable[[int], list[str] | None]) -> float:
    written = [_step(number, needs(number)) for number in range(steps)]
    document = {"job": {"name": "large", "model": "simulated", "input": {"rows": [{"x": "a"}]}, "steps": written}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.json"
        path.write_bytes(orjson.dumps(document))
        settings = Settings.from_environment({"LLM_JOBS_HOME": folder}, working_directory=Path(folder))
        with open_services(settings, environment={}, working_directory=Path(folder)) as services:
            services.catalogue.resolve("simulated")
            started = time.process_time()
            [job] = read_jobs(services, path, NO_OVERRIDES)
            [stage] = stages_of(job.graph or job.steps)
            plan_of(stage.steps, prepare=_unprepared, columns=lambda step: (step.name,))
            return time.process_time() - started


def _step(number: int, needs: list[str] | None) -> dict[str, object]:
    used = (needs or [f"s{number - 1}"]) if number else []
    text = " ".join(f"{{{{ {name} }}}}" for name in used) or "{{ x }}"
    return {"name": f"s{number}", "text": text, **({} if needs is None else {"needs": sorted(set(needs))})}


def _unprepared(step: RowStep) -> Work:
    return None  # type: ignore[return-value]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graphs", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=1_000)
    return parser


if __name__ == "__main__":
    main()
