"""The file that an output names, and whether results may go there. Nothing is written here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_jobs.deliveries.subject import Subject
from llm_jobs.documents.destinations import FileOutput
from llm_jobs.errors import DocumentError, Problem


def destination(output: FileOutput, subject: Subject, *, base: Path, roots: Sequence[Path]) -> Path:
    """Where a result goes: placeholders filled in, relative to `base`, links followed.

    Raises DocumentError for an unknown placeholder and for a place that is under none of `roots`.
    """
    try:
        place = (base / subject.filled(output.path)).resolve()
    except KeyError as unknown:
        known = ", ".join(subject.words())
        problem = problem_of(output, f"unknown placeholder {{{unknown.args[0]}}}", f"known are {known}", "correct it")
        raise DocumentError([problem]) from None
    if not any(place.is_relative_to(root.resolve()) for root in roots):
        allowed = ", ".join(str(root) for root in roots) or "none"
        problem = problem_of(
            output,
            f"{place} is outside the allowed folders",
            f"deliveries go under {allowed}",
            "choose a path there, or add its folder to LLM_JOBS_ALLOWED_ROOTS",
        )
        raise DocumentError([problem])
    return place


def problem_of(output: FileOutput, what: str, rule: str, remedy: str) -> Problem:
    """What is wrong with the path of an output."""
    return Problem(what=what, key="output.path", value=output.path, rule=rule, remedy=remedy)
