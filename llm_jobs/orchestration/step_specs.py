"""The steps of a document as asset specs: key, lineage, kinds, code version, what people are told.

A pure function of an outline and of what the user says over it. No annotations from the future: Dagster reads them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

import dagster as dg

from llm_jobs.documents.content import shown_content
from llm_jobs.documents.identity import hash_of
from llm_jobs.documents.steps import GraphStep, PromptStep, TaskStep, asking_steps
from llm_jobs.operations.outlines import Outline, sources_of

EVERY_ROW_ANSWERED = "every_row_answered"
MOST_CHARACTERS = 400  # of a prompt that stands as its asset's description


@dataclass(frozen=True, kw_only=True)
class StepAsset(dg.Resolvable):
    """What is said of one step's asset in place of what its document says."""

    key: str | None = None
    description: str | None = None
    group_name: str | None = None
    owners: list[str] | None = None
    tags: dict[str, str] | None = None
    deps: list[str] | None = None  # beside the steps that it reads from


@dataclass(frozen=True, kw_only=True)
class Saying:
    """What is said of all assets of a job."""

    prefix: Sequence[str] | None = None
    group_name: str | None = None
    owners: Sequence[str] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    deps: Sequence[str] = ()  # of the steps that read the job's table
    assets: Mapping[str, StepAsset] = field(default_factory=dict)


def step_specs(outline: Outline, saying: Saying) -> dict[str, dg.AssetSpec]:
    """By step of the outermost level, each after those that it reads from, its asset. Raises ValueError for an override
    of a step that is not there."""
    sources = sources_of(outline.steps)
    if unknown := sorted(set(saying.assets) - set(sources)):
        raise ValueError(
            f"assets: the job {outline.name} has no step {unknown[0]!r}; name one of its steps: {', '.join(sources)}"
        )
    keys = {name: _key(outline, name, saying) for name in sources}
    steps = {step.name: step for step in outline.steps}
    ordered = TopologicalSorter(sources).static_order()  # as Dagster has to be told of them
    return {name: _spec(outline, steps[name], sources[name], keys, saying) for name in ordered}


def providers_of_steps(steps: Sequence[GraphStep]) -> list[str]:
    """The providers that the steps call, sorted."""
    return sorted({model.provider for step in asking_steps(steps) for model in step.models})


def kinds_of(steps: Sequence[GraphStep]) -> set[str]:
    """What the assets of the steps are marked as: asked of a model and its provider, computed, or a table."""
    providers = providers_of_steps(steps)
    if providers:
        return {"llm", *providers[:2]}  # Dagster takes three
    return {"python"} if any(isinstance(step, TaskStep) for step in steps) else {"table"}


def every_row_answered(spec: dg.AssetSpec) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(EVERY_ROW_ANSWERED, asset=spec.key, description="No row failed in this step.")


def name_of(outline: Outline, saying: Saying) -> str:
    """What the operation of a job's steps, its schedule and its sensor are named after: several jobs may share a
    prefix, and one document may have several."""
    return dagster_name("__".join([*(saying.prefix or ()), outline.name]))


def dagster_name(text: str) -> str:
    """`text` as Dagster takes names: letters, digits and underscores."""
    return re.sub(r"\W", "_", text, flags=re.ASCII)


def _key(outline: Outline, name: str, saying: Saying) -> dg.AssetKey:
    own = saying.assets.get(name)
    if own is not None and own.key is not None:
        return dg.AssetKey.from_user_string(own.key)
    prefix = [dagster_name(outline.name)] if saying.prefix is None else saying.prefix
    return dg.AssetKey([*prefix, dagster_name(name)])


def _spec(
    outline: Outline, step: GraphStep, sources: Sequence[str], keys: Mapping[str, dg.AssetKey], saying: Saying
) -> dg.AssetSpec:
    own = saying.assets.get(step.name) or StepAsset()
    outside = [*(saying.deps if not sources else ()), *(own.deps or ())]
    return dg.AssetSpec(
        keys[step.name],
        deps=[*(keys[name] for name in sources), *(dg.AssetKey.from_user_string(each) for each in outside)],
        description=own.description or outline.purposes.get(step.name) or _told(step),
        group_name=own.group_name or saying.group_name or dagster_name(outline.name),
        owners=own.owners if own.owners is not None else saying.owners,
        tags={**saying.tags, **(own.tags or {})},
        kinds=kinds_of([step]),
        code_version=hash_of(step.identity()),
        skippable=True,  # a run whose job waits for a vendor's batch makes nothing, and is no failure
    )


def _told(step: GraphStep) -> str:
    if isinstance(step, PromptStep):
        text = shown_content(step.messages[-1].content) if step.messages else ""
        return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
    return f"The task `{step.task}`." if isinstance(step, TaskStep) else f"The step `{step.name}`."
