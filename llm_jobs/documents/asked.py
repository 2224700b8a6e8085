"""Where a YAML job asks a model, told from its text before it is validated: what a profile and `--param` change.

Reads whatever shape it finds; what is no job is validation's to refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llm_jobs.documents.parts import Part
from llm_jobs.documents.text import KeyPath

LISTS = ("prompts", "steps", "phases")
_INNER = ("steps", "first_of")
_OTHER_KINDS = ("task", "filter", "split", "for_each", "first_of", "steps")
ASKING = ("text", "messages", "prompt", "version")  # a step that says one of these asks a model
# Parameters that have a key of their own beside `parameters`.
OWN = ("temperature", "max_tokens")


def every_step(job: Part) -> Iterator[tuple[KeyPath, Part]]:
    """Each step of a job and its key path, those within others too."""
    for key in LISTS:
        listed = job.get(key)
        if listed is not None:
            yield from _steps(listed, (key,))


def asking(job: Part) -> Iterator[tuple[KeyPath, Part]]:
    """The steps that ask a model."""
    for at, step in every_step(job):
        keys = step.value if isinstance(step.value, dict) else {}
        is_other = at[0] == "steps" and any(key in keys for key in _OTHER_KINDS)
        only_computes = "reduce" in keys and not any(key in keys for key in ASKING)
        if not is_other and not only_computes and (at[0] != "phases" or "prompt" in keys):
            yield at, step


def may_need(step: Mapping[str, object]) -> bool:
    """Whether a step of these keys may say what it needs. One that makes rows comes after all that is before it."""
    only_computes = "reduce" in step and not any(key in step for key in ASKING)
    return not only_computes and "split" not in step and "for_each" not in step


def with_parameter(job: Part, at: KeyPath, name: str, part: Part) -> Part:
    """The job with a parameter set in the step at `at`, once, wherever the step said it before; null takes it away."""
    step = job.at(at)
    assert step is not None
    given = step.get("parameters")
    if given is not None and (name in OWN or part.value is None):
        step = step.put(("parameters",), given.without(name))
    if part.value is None:
        return job.put(at, step.without(name) if name in OWN else step)
    return job.put(at, step.put((name,) if name in OWN else ("parameters", name), part))


def declared(step: Part) -> list[str]:
    """The parameters that a step states."""
    given = step.get("parameters")
    own = [name for name in OWN if step.get(name) is not None]
    return own + (list(given.value) if given is not None and isinstance(given.value, dict) else [])


def _steps(listed: Part, at: KeyPath) -> Iterator[tuple[KeyPath, Part]]:
    for index, step in listed.members():
        if isinstance(index, int) and isinstance(step.value, dict):
            yield (*at, index), step
            for key in _INNER:
                inner = step.get(key)
                if inner is not None and at[0] == "steps":
                    yield from _steps(inner, (*at, index, key))
