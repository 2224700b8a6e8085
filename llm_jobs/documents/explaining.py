"""A resolved job as a document, every value with its place: what was composed, variables, options and defaults put in.

Invariant: the document that comes out means the same job. Reads nothing: the library's prompts are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llm_jobs.documents.asked import OWN, asking, declared, with_parameter
from llm_jobs.documents.choices import Choices
from llm_jobs.documents.composing import compose
from llm_jobs.documents.filling import escaped
from llm_jobs.documents.job import Policy
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.models import ExecutionModel, JobModel, ScheduleModel
from llm_jobs.documents.origins import Origin, OriginKind, Place
from llm_jobs.documents.parts import Part, part_of, said
from llm_jobs.documents.step_models import PromptModel
from llm_jobs.documents.strict import Model
from llm_jobs.documents.text import NO_CHILDREN, KeyPath, Lines, Source
from llm_jobs.documents.variables import Variables, is_read_by_name, reference_names

_MODELS = ("model", "models", "fallback")
_TEXTS = ("text", "messages")
_POLICY = Policy()


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundPrompt:
    """A version of a library prompt and its file's text."""

    name: str  # NAME@VERSION
    version: str
    source: Source


# What else was said beside the document: key path in the job -> the option's name, and its value.
Options = Mapping[KeyPath, tuple[str, JsonValue]]
FindPrompt = Callable[[str, str | None], FoundPrompt]
ModelDefaults = Callable[[str], Mapping[str, JsonValue]]  # what a model is asked with where nobody says it


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """A job document that leaves nothing open, and where each of its values was written."""

    source: Source
    origins: Mapping[KeyPath, Place]


def explain(
    source: Source, choices: Choices, *, find: FindPrompt, options: Options, model_defaults: ModelDefaults
) -> Explained:
    """The resolved document. `options`: what else was said beside the document: key path in the job -> the option's
    name and its value. Raises DocumentError or NotFound."""
    composed = compose(source, choices)
    whole = part_of(composed.source)
    job = whole.get("job")
    assert job is not None
    job = _with_variables(job, composed.source, choices)
    job = _with_options(job, source.file, options)
    job = _with_library(job, find)
    job = _with_defaults(job, source.file, model_defaults)
    made = whole.put(("job",), job)
    resolved = Source(source.file, made.value, made.lines)
    return Explained(source=resolved, origins={path: _place(resolved, path) for path in _leaves(made.value, ())})


def _with_variables(job: Part, source: Source, choices: Choices) -> Part:
    variables = Variables(choices.variables, choices.environment)
    filled = Part(variables.fill(source), source.lines)
    for path, names in variables.filled.items():
        value = filled.at(path)
        assert value is not None
        origin = _origin("variable", source, path, name=", ".join(dict.fromkeys(names)))
        job = job.put(path[1:], value.holding(escaped(value.value)).from_(origin))
    return job


def _with_options(job: Part, file: str, options: Options) -> Part:
    for path, (name, value) in options.items():
        if path == ("model",):
            for at, step in asking(job):
                job = job.put(at, step.without(*_MODELS))
            job = job.without(*_MODELS)
        job = job.put(path, said(escaped(value), Origin(kind="option", file=file, path=path, name=name)))
    return job


def _with_library(job: Part, find: FindPrompt) -> Part:
    """Prompts of the library as prompts in line. A phase takes no text: its version becomes the exact one."""
    has_model = any(job.get(key) is not None for key in _MODELS)
    for at, step in asking(job):
        if any(step.get(key) is not None for key in _TEXTS):
            continue
        named, version = step.get("prompt") or step.get("name"), step.get("version")
        found = find(str(named.value if named else ""), str(version.value) if version else None)
        if at[0] == "phases":
            origin = Origin(kind="library", file=found.source.file, path=(), name=found.name)
            job = job.put((*at, "version"), Part(found.version, Lines(1, NO_CHILDREN, origin)))
        else:
            job = job.put(at, _in_line(step, found, has_model=has_model))
    return job


def _in_line(step: Part, found: FoundPrompt, *, has_model: bool) -> Part:
    file = part_of(found.source).from_(Origin(kind="library", file=found.source.file, path=(), name=found.name))
    step = step.without("prompt", "version")
    if has_model or any(step.get(key) is not None for key in _MODELS):
        file = file.without("model")
    given = file.get("parameters")
    own = [key for key in OWN if step.get(key) is not None]
    if given is not None:
        stated = step.get("parameters")
        step = step.put(("parameters",), given.without(*own).merged(stated) if stated else given.without(*own))
    added: dict[str | int, Part] = {
        key: part
        for key in (*_TEXTS, "model", "schema")
        if (part := file.get(key)) is not None and step.get(key) is None
    }
    return step.replaced(added)


def _with_defaults(job: Part, file: str, model_defaults: ModelDefaults) -> Part:
    job = _defaults_of(JobModel, job, (), file)
    job = _defaults_of(ExecutionModel, job, ("execution",), file)
    if job.get("schedule") is not None:
        job = _defaults_of(ScheduleModel, job, ("schedule",), file)
    for at, _ in asking(job):
        if at[0] != "phases":
            job = _defaults_of(PromptModel, job, at, file)
    for path, value in _policy_defaults(job):
        job = job.put(path, _default(value, path, file))
    for at, step in asking(job):
        for name, value in _of_model(job, step, model_defaults).items():
            job = with_parameter(job, at, name, _default(value, at, file, name="of the model"))
    return job


def _of_model(job: Part, step: Part, model_defaults: ModelDefaults) -> Mapping[str, JsonValue]:
    """The model's parameters that the step does not say; none where several models may answer."""
    level = next((each for each in (step, job) if any(each.get(key) is not None for key in _MODELS)), job)
    model, operation = level.get("model"), step.get("operation")
    several = any(level.get(key) is not None for key in _MODELS[1:]) or step.get("for_each_model") is not None
    is_chat = operation is None or operation.value != "embeddings"
    if model is None or several or not isinstance(model.value, str) or not is_chat:
        return {}
    stated = declared(step)
    return {name: value for name, value in model_defaults(model.value).items() if name not in stated}


def _defaults_of(model: type[Model], job: Part, at: KeyPath, file: str) -> Part:
    """The model's own defaults where the job says nothing; those that are null or empty say nothing either."""
    for name, field in model.model_fields.items():
        path = (*at, field.alias or name)
        if isinstance(field.default, bool | int | float | str) and job.at(path) is None:
            job = job.put(path, _default(field.default, path, file))
    return job


def _policy_defaults(job: Part) -> Iterator[tuple[KeyPath, JsonValue]]:
    retries: tuple[KeyPath, KeyPath] = (
        ("execution", "retry_on_failure"),
        ("error_handling", "on_prompt_failure", "max_retries"),
    )
    if all(job.at(path) is None for path in retries):
        yield retries[0], _POLICY.max_retries
    if job.at(("execution", "timeout")) is None:
        yield ("execution", "timeout"), _POLICY.timeout_s


def _default(value: JsonValue, path: KeyPath, file: str, *, name: str | None = None) -> Part:
    return said(value, Origin(kind="default", file=file, path=path, name=name))


def _origin(kind: OriginKind, source: Source, path: KeyPath, *, name: str) -> Origin:
    place = source.place_of(path)
    return Origin(kind=kind, file=place.file, path=place.path, name=name)


def _leaves(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    """The key paths of all values that hold no others. A table in line is one."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and value and path[-1:] != ("rows",):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path


def _place(source: Source, path: KeyPath) -> Place:
    """Where a value was written; of a credential, the variable that holds it."""
    place, value = source.place_of(path), part_of(source).at(path)
    if value is None or not isinstance(value.value, str) or not is_read_by_name(path):
        return place
    names = ", ".join(reference_names(value.value))
    return replace(place, kind="variable", name=f"{names} (withheld)") if names else place
