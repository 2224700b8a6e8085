"""The steps of a document before any row is looked at, and the part of a job that some of its steps need.

What shows a job as a graph (Dagster's assets) needs its steps when it loads: no table, no server, nothing recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_jobs.documents.job import Job, Schedule
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt, every_step
from llm_jobs.documents.steps import GraphStep, RowStep, asking_steps
from llm_jobs.errors import DocumentError, Problem
from llm_jobs.operations.accept import parsed_documents
from llm_jobs.operations.graph_steps import is_graph
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.resolve import resolved_graph
from llm_jobs.operations.services import Services
from llm_jobs.pipelines.stages import stages_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """The steps of a document's one job, and what people are told of them: `purposes` by the step's name.
    `uses_batches`: whether a step is asked in a vendor's batches; `schedule`: as the document states it."""

    name: str
    steps: tuple[GraphStep, ...]
    purposes: Mapping[str, str]
    uses_batches: bool = False
    schedule: Schedule | None = None


def outline_of(services: Services, path: Path, text: bytes, overrides: Overrides = NO_OVERRIDES) -> Outline:
    """The outline of the document `text`, which lies or would lie at `path`. Raises DocumentError, NotFound,
    SetupError, and DocumentError for a document of several jobs."""
    parsed = parsed_documents(services, path, text, overrides)
    if len(parsed) != 1:
        raise DocumentError([_several(path, parsed)])
    [document] = parsed
    purposes = {
        step.name: step.purpose
        for step in every_step(document.steps)
        if isinstance(step, ParsedPrompt) and step.purpose
    }
    steps = resolved_graph(services, document)
    return Outline(
        name=document.name,
        steps=steps,
        purposes=purposes,
        uses_batches=any(document.policy.mode_of(step.name) == "batch" for step in asking_steps(steps)),
        schedule=document.policy.schedule,
    )


def _several(path: Path, parsed: Sequence[ParsedDocument]) -> Problem:
    names = ", ".join(document.name for document in parsed)
    return Problem(
        what=f"{path.name} describes {len(parsed)} jobs",
        value=names,
        rule="one document of one job is asked for here",
        remedy="give each job a document of its own",
    )


def sources_of(graph: Sequence[GraphStep]) -> dict[str, tuple[str, ...]]:
    """By the name of each step of the outermost level, the steps that it reads from: those that it needs, else the one
    before it; the first of a table the step that made the table, and that one the last steps of the table before."""
    sources: dict[str, tuple[str, ...]] = {}
    ends: tuple[str, ...] = ()  # the steps of the table before that nothing of it needs
    for stage in stages_of(graph):
        origin: tuple[str, ...] = ends
        if stage.made_by is not None:
            sources[stage.made_by.name] = ends
            origin = (stage.made_by.name,)
        of_stage = _within(stage.steps, origin)
        needed = {name for names in of_stage.values() for name in names}
        ends = tuple(name for name in of_stage if name not in needed) or origin
        sources |= of_stage
    return sources


def _within(steps: Iterable[RowStep], origin: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    sources: dict[str, tuple[str, ...]] = {}
    before = origin
    for step in steps:
        needs = getattr(step, "needs", None)  # a whole request has none: it comes after the step before it
        sources[step.name] = before if needs is None else needs or origin
        before = (step.name,)
    return sources


def part_of(job: Job, names: Collection[str]) -> Job:
    """The job that makes the steps `names` and what they need, and nothing else: the same calls, so that what was
    answered for the part is not asked again for the whole. The job itself where that is all of it."""
    graph = job.graph or job.steps
    needed = with_sources(graph, names)
    kept = tuple(step for step in graph if step.name in needed)
    if len(kept) == len(graph):
        return job
    return replace(job, steps=asking_steps(kept), graph=kept if is_graph(kept) else (), hash="")


def with_sources(graph: Sequence[GraphStep], names: Collection[str]) -> set[str]:
    """`names` and every step that they need, directly or not."""
    sources = sources_of(graph)
    needed, ahead = set[str](), list(names)
    while ahead:
        name = ahead.pop()
        if name not in needed:
            needed.add(name)
            ahead += sources[name]
    return needed
