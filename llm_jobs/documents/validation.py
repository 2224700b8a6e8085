"""From pydantic's errors to Problems: what a person can act on, with line, key path, nearest key and remedy."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.text import KeyPath, Source
from llm_jobs.documents.wording import worded
from llm_jobs.errors import DocumentError, Problem

ModelT = TypeVar("ModelT", bound=BaseModel)

_CRON_RULE = "a schedule ticks at five fields, each within its range"
_CRON_REMEDY = "write five fields: minute, hour, day of the month, month, day of the week, as in '0 9 * * 1-5'"


def validate(model: type[ModelT], source: Source, value: JsonValue) -> tuple[ModelT | None, list[Problem]]:
    """`value` as a `model`, or None with the problems that stand against it."""
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [_problem(model, source, value, detail) for detail in details]


def raise_if_any(problems: Iterable[Problem]) -> None:
    """Raise DocumentError with `problems` in the order of their lines, if there are any."""
    ordered = sorted(problems, key=lambda problem: problem.line or 0)
    if ordered:
        raise DocumentError(ordered)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The member of `known` that `word` was probably meant to be."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return near[0]
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str) -> str:
    """A remedy that names the nearest of `known`, or `otherwise`."""
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else otherwise


def _problem(model: type[BaseModel], source: Source, value: JsonValue, detail: ErrorDetails) -> Problem:
    path = _written_path(value, detail["loc"], keep_last=detail["type"] == "missing")
    kind, context, seen = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        return _unknown_key(model, source, path)
    if kind == "missing":
        present = seen if isinstance(seen, dict) else {}
        return _missing_key(source, path, present)
    if kind == "literal_error":
        return _not_among(source, path, seen, str(context["expected"]))
    if kind == "timezone":
        near = f"did you mean {context['near']!r}?" if context["near"] else "write a name such as Europe/Berlin"
        return source.problem(path, detail["msg"], rule="time zones are those of the IANA database", remedy=near)
    if kind == "cron":
        return source.problem(path, detail["msg"], value=seen, rule=_CRON_RULE, remedy=_CRON_REMEDY)
    what, rule, remedy = worded(kind, detail["msg"], seen, context)
    return source.problem(path, f"{_subject(path)} {what}", value=seen, rule=rule, remedy=remedy)


def _subject(path: KeyPath) -> str:
    return str(path[-1]) if path and isinstance(path[-1], str) else "the value"


def _unknown_key(model: type[BaseModel], source: Source, path: KeyPath) -> Problem:
    key = str(path[-1])
    known = known_keys(model, path[:-1])
    return source.problem(
        path,
        f"unknown key {key!r}",
        rule=f"known here: {', '.join(known)}",
        remedy=did_you_mean(key, known, otherwise="remove it or use one of these"),
    )


def _missing_key(source: Source, path: KeyPath, present: Mapping[str, JsonValue]) -> Problem:
    key = str(path[-1])
    near = nearest(key, present)
    return source.problem(
        path,
        f"the key {key!r} is missing",
        rule="it has no default",
        remedy=f"rename {near!r} to {key!r}" if near else f"add {key!r}",
    )


def _not_among(source: Source, path: KeyPath, seen: JsonValue, expected: str) -> Problem:
    words = expected.replace(" or ", ", ").replace("'", "").split(", ")
    return source.problem(
        path,
        f"{_subject(path)} is not one of the values it may have",
        value=seen,
        rule=f"one of: {', '.join(words)}",
        remedy=did_you_mean(str(seen), words, otherwise="choose one of these"),
    )


def _written_path(value: JsonValue, location: tuple[str | int, ...], *, keep_last: bool) -> KeyPath:
    """The part of pydantic's location that stands in the document."""
    path: list[str | int] = []
    here: Any = value
    for part in location:
        if isinstance(part, int) and not isinstance(here, list):
            continue  # a lone item that stands for a list of one
        is_index = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if not is_index and not (isinstance(here, dict) and part in here):
            break
        here = here[part]
        path.append(part)
    return (*path, location[-1]) if keep_last else tuple(path)


def known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that may stand at `path` of a document of this model, in the order of the model."""
    here: Any = model
    for part in path:
        here = _inside(here, part)
    while not isinstance(here, type):  # a lone item stands for a list of one
        here = _model_of(get_args(here)[-1])
    model = here
    return [field.alias or name for name, field in model.model_fields.items()]


def _inside(annotation: Any, part: str | int) -> Any:
    """The model behind `part` of what `annotation` describes."""
    if get_origin(annotation) is list and isinstance(part, str):
        annotation = _model_of(get_args(annotation)[-1])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        annotation.model_rebuild()  # a model that was not built yet has names in the place of others
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        return _model_of(fields[str(part)].annotation)
    return _model_of(get_args(annotation)[-1])


def _model_of(annotation: Any) -> Any:
    """`annotation` without Annotated and Optional."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _model_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return _model_of(next(arg for arg in get_args(annotation) if arg is not type(None)))
    return annotation
