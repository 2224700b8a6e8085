"""Where in a document something wrong was written, found again by its words: a name in a template, a template itself.

What is checked is a resolved job, which no longer knows its text. A problem that has no file gets the file, line and
key of the text that it is about: in the document, or in the library prompt that the document names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt, ParsedRequests, ParsedStep, every_step
from llm_jobs.documents.steps import Message
from llm_jobs.documents.text import KeyPath, Source, dotted
from llm_jobs.errors import NotFound, Problem, SetupError
from llm_jobs.operations.services import Services
from llm_jobs.prompts.broken import BrokenTemplate
from llm_jobs.prompts.rendering import undefined_names

_NO_TEXTS = frozenset({"name", "id", "purpose", "description", "rows", "input"})  # what names columns stands elsewhere
_MARKS = ("{{", "{%")

Text = tuple[KeyPath, str]


def not_found(document: ParsedDocument, parsed: ParsedStep, error: NotFound) -> Problem:
    """A name that nothing has, where it is written: in the step, or else for the whole document."""
    at = _at(parsed)
    for below in (at, ()):
        for path, text in (*_texts(document.source, below), *_keys(document.source, below)):
            if text == error.name:
                return document.problem(path, error.what, rule=error.rule, remedy=error.remedy)
    return document.problem(at, error.what, rule=error.rule, remedy=error.remedy)


def broken_template(services: Services, document: ParsedDocument, parsed: ParsedStep, error: BrokenTemplate) -> Problem:
    """A text that is no template, on the line at which it breaks."""
    for source, at in _sources(services, document, parsed):
        for path, text in _texts(source, at):
            try:
                undefined_names([Message(role="user", content=text)])
            except BrokenTemplate as found:
                return source.problem(path, found.what, rule=found.rule, remedy=found.remedy, text_line=found.line)
    [problem] = error.problems
    return document.problem(_at(parsed), problem.what, rule=problem.rule, remedy=problem.remedy)


def placed(services: Services, document: ParsedDocument, step: str, name: str, problem: Problem) -> Problem:
    """A problem about `name`, which the step `step` writes, where it writes it; as it is where no step is called so."""
    parsed = next((each for each in every_step(document.steps) if each.name == step), None)
    if parsed is None and step.rpartition(".")[0]:
        return placed(services, document, step.rpartition(".")[0], name, problem)
    at = () if parsed is None else _at(parsed)
    where: tuple[Source, KeyPath, int | None] = (document.source, at, None)
    if parsed is not None:
        where = next(_mentions(_sources(services, document, parsed), name), where)
    source, path, text_line = where
    found = source.problem(path, problem.what, rule=problem.rule, remedy=problem.remedy, text_line=text_line)
    return replace(found, value=problem.value)


def placed_column(services: Services, document: ParsedDocument, problem: Problem) -> Problem:
    """A problem about the column in its `key`, where a step names it: as its own name, or in its schema."""
    for parsed in every_step(document.steps):
        for source, at in _sources(services, document, parsed):
            keys = [path for path, key in _keys(source, at) if key == problem.key]
            path = _at(parsed) if parsed.name == problem.key else max(keys, key=len, default=None)  # not a section
            if path is not None:
                return source.problem(path, problem.what, rule=problem.rule, remedy=problem.remedy)
    return document.problem((), problem.what, rule=problem.rule, remedy=problem.remedy)


def key_place(
    services: Services, document: ParsedDocument, parsed: ParsedPrompt, key: str
) -> tuple[Source, KeyPath] | None:
    """Where a key of a prompt is written: in its step, in the library prompt, or else for the whole document."""
    for source, at in (*_sources(services, document, parsed), (document.source, ())):
        if (path := next((path for path, name in _keys(source, at) if name == key), None)) is not None:
            return source, path
    return None


def key_of(document: ParsedDocument, key: str, *, value: str) -> KeyPath:
    """The first key of the document that is called so and has this value; none, where there is no such key."""
    return next((path for path, text in _texts(document.source, ()) if path and path[-1] == key and text == value), ())


def is_written(document: ParsedDocument, text: str) -> bool:
    """Does the document say so itself, and not an option beside it?"""
    return any(found == text for _, found in (*_texts(document.source, ()), *_keys(document.source, ())))


def setup_error(document: ParsedDocument, at: KeyPath, error: SetupError) -> SetupError:
    """What the environment lacks for a key of the document, with the place of that key."""
    place = document.source.place_of(at)
    where = ":".join(str(part) for part in (place.file, place.line) if part is not None)
    return SetupError(f"{where}: {error} (key {dotted(place.path)})")


def _at(parsed: ParsedStep) -> KeyPath:
    return () if isinstance(parsed, ParsedRequests) else parsed.at


def _sources(services: Services, document: ParsedDocument, parsed: ParsedStep) -> list[tuple[Source, KeyPath]]:
    """The document at the step, and the library prompt that the step names."""
    sources = [(document.source, _at(parsed))]
    if isinstance(parsed, ParsedPrompt) and parsed.library is not None:
        found = services.library.get(parsed.library.name, parsed.library.version)
        sources += [(found.source, ())] if found.source is not None else []
    return sources


def _mentions(sources: Sequence[tuple[Source, KeyPath]], name: str) -> Iterator[tuple[Source, KeyPath, int]]:
    """The texts that name it with the line in each: templates first, then what is no template, then keys."""
    word = rf"(?<![\w.]){re.escape(name)}(?!\w)"
    in_template = re.compile(rf"\{{[{{%](?:(?!\}}\}}|%\}}).)*?{word}", re.DOTALL)
    found = [(source, path, text) for source, at in sources for path, text in _texts(source, at)]
    for pattern, is_template in ((in_template, True), (re.compile(word), False)):
        for source, path, text in found:
            if _is_template(text) == is_template and (match := pattern.search(text)):
                yield source, path, text.count("\n", 0, match.end()) + 1
    for source, at in sources:
        yield from ((source, path, 1) for path, key in _keys(source, at) if key == name)


def _is_template(text: str) -> bool:
    return any(mark in text for mark in _MARKS)


def _texts(source: Source, at: KeyPath) -> Iterator[Text]:
    return ((path, text) for path, text, is_key in _walk(_value_at(source.value, at), at) if not is_key)


def _keys(source: Source, at: KeyPath) -> Iterator[Text]:
    return ((path, text) for path, text, is_key in _walk(_value_at(source.value, at), at) if is_key)


def _walk(value: JsonValue, at: KeyPath) -> Iterator[tuple[KeyPath, str, bool]]:
    """Every text and key below a value, and whether it is a key."""
    if isinstance(value, str):
        yield at, value, False
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*at, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in _NO_TEXTS:
                yield (*at, key), key, True
                yield from _walk(item, (*at, key))


def _value_at(value: JsonValue, path: KeyPath) -> JsonValue:
    for part in path:
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value
