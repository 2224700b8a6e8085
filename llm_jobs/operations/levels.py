"""Which steps ask about groups in levels, and how long their questions may be."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from llm_jobs.documents.steps import GroupStep, PromptStep, asking_steps
from llm_jobs.engine.levels import ROWS, Levels
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.errors import NotFound
from llm_jobs.operations.services import Services
from llm_jobs.pipelines.stages import Stage
from llm_jobs.prompts.rendering import undefined_names
from llm_jobs.providers.known_models import context_tokens
from llm_jobs.providers.tokens import output_limit

KEPT_FOR_ANSWER = 8  # one in so many tokens of a window, where the request does not limit its answer


def levels_of(services: Services, stage: Stage, prepared: Mapping[str, PreparedStep]) -> dict[str, Levels]:
    """By name, the steps of a table that ask about the rows of its groups. `prepared`: the table's asking steps."""
    made_by = stage.made_by
    if not isinstance(made_by, GroupStep):
        return {}
    return {
        step.name: _levels(services, made_by, step, prepared[step.name])
        for step in asking_steps(stage.steps)
        if isinstance(step, PromptStep) and step.templated and ROWS in undefined_names(step.messages)
    }


def _levels(services: Services, made_by: GroupStep, step: PromptStep, prepared: PreparedStep) -> Levels:
    stated = made_by.max_input_tokens
    return Levels(
        step=prepared,
        combine=prepared.about(made_by.combine) if made_by.combine else prepared,
        most_tokens=functools.cache(lambda: _window(services, step) if stated is None else stated),
        is_stated=stated is not None,
    )


def _window(services: Services, step: PromptStep) -> int | None:
    """What is left of the smallest window of the step's models for the question."""
    windows: list[int] = []
    for model in step.models:
        try:
            known = context_tokens(services.catalogue.resolve(model.name))
        except NotFound:
            known = None
        if known is not None:
            windows.append(known)
    if not windows:
        return None
    smallest = min(windows)
    kept = output_limit(step.parameters)
    return max(1, smallest - (smallest // KEPT_FOR_ANSWER if kept is None else kept))
