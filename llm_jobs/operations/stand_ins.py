"""The value that stands in for answers that failed (`on_prompt_failure: {strategy: fallback}`), as each step's columns.

Invariant: it is checked as an answer would be, before anything is asked; a row that holds it is never a success.
"""

from __future__ import annotations

from collections.abc import Mapping

from llm_jobs.documents.job import Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.documents.text import KeyPath
from llm_jobs.errors import DocumentError
from llm_jobs.results.outputs import Outputs

_AT: KeyPath = ("job", "error_handling", "on_prompt_failure", "value")


def stand_ins(job: Job) -> dict[str, Mapping[str, JsonValue]]:
    """By step that asks a model, the columns of the value; empty where the strategy is another. Raises ValueError where
    the value cannot be a step's answer."""
    failures = job.policy.failures
    if failures.strategy != "fallback":
        return {}
    return {step.name: Outputs(step, operation=step.operation).stand_in(failures.value) for step in job.steps}


def check_stand_ins(document: ParsedDocument, job: Job) -> None:
    """Raises DocumentError where the value cannot stand in for a step's answer."""
    try:
        stand_ins(job)
    except ValueError as error:
        problem = document.problem(
            _AT,
            f"the fallback value could not be an answer: {error}",
            value=job.policy.failures.value,
            rule="it is what an answer of each step may be: text, what its schema declares, or null",
            remedy="write such a value, or another strategy",
        )
        raise DocumentError([problem]) from None
