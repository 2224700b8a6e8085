"""Format 5: the message of a task queue: one task, or a JSON list or JSONL file of them.

    {"id": "t1", "priority": "hot", "model": "gpt-4.1-mini", "prompt": "Say a word."}
    {"id": "t2", "task_type": "text_summary", "model": "gpt-4.1-mini", "payload": {"text": "..."}}

A message is a job of one row: what it says is data and no template. Messages that ask alike (the same type, models,
parameters and priority, and the same keys) are one job with one row each; any other list is a job for each way of
asking. `id` is a column, so that an answer finds its task. `models` is a set by weights: `{"a": 3, "b": 1}`. What is
answered is the column `answer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import PurePath

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.choices import Choices, not_for, overridden, per_model, unknown_parameters
from llm_jobs.documents.content import content_texts, with_texts
from llm_jobs.documents.formats.asking import models_of
from llm_jobs.documents.graph_models import TaskMessageModel
from llm_jobs.documents.identity import canonical_json
from llm_jobs.documents.job import Policy
from llm_jobs.documents.json_text import read_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import ANSWER_COLUMN, ParsedChoice, ParsedDocument, ParsedInput, ParsedPrompt, ParsedTask
from llm_jobs.documents.step_models import PromptModel
from llm_jobs.documents.steps import Message
from llm_jobs.documents.text import Lines, Source
from llm_jobs.documents.validation import raise_if_any, validate
from llm_jobs.documents.variables import Variables
from llm_jobs.errors import DocumentError

PLAIN = ("prompt", "chat", "completion")  # types that ask what the message holds, and nothing else

_MARKS = ("task_type", "payload")
_ASKED = ("prompt", "messages")
_ID = "id"


def is_message(value: JsonValue) -> bool:
    """Whether a value is a message of this format."""
    if not isinstance(value, dict) or "configuration" in value or "job" in value or "custom_id" in value:
        return False
    asks = any(key in value for key in _ASKED) and any(key in value for key in ("model", "models"))
    return asks or any(key in value for key in _MARKS)


def is_messages(value: JsonValue) -> bool:
    """Whether a document's value is of this format."""
    return is_message(value) or (isinstance(value, list) and bool(value) and is_message(value[0]))


def read_lines(file: str, text: str) -> Source:
    """A JSONL file of messages as one list that knows its lines. Raises DocumentError."""
    values: list[JsonValue] = []
    lines: dict[str | int, Lines] = {}
    for number, line in enumerate(text.split("\n")):
        if line.strip():
            source = _read_line(file, line, number)
            lines[len(values)] = _moved(source.lines, number)
            values.append(source.value)
    return Source(file, values, Lines(1, lines))


def _read_line(file: str, line: str, number: int) -> Source:
    try:
        return read_json(file, line)
    except DocumentError as error:
        raise DocumentError(
            [replace(problem, line=(problem.line or 1) + number) for problem in error.problems]
        ) from None


def _moved(lines: Lines, by: int) -> Lines:
    return Lines(lines.line + by, {key: _moved(below, by) for key, below in lines.children.items()})


def parse(source: Source, choices: Choices) -> list[ParsedDocument]:
    """A job for each way of asking, once per chosen model. Raises DocumentError with every problem found."""
    variables = Variables(choices.variables, choices.environment)
    value = variables.fill(source)
    problems = [*variables.problems, *not_for(source.file, "task message", choices, ["profile", "input"])]
    listed = value if isinstance(value, list) else [value]
    whole = source if isinstance(value, list) else Source(source.file, [source.value], Lines(1, {0: source.lines}))
    messages: list[TaskMessageModel] = []
    for index, each in enumerate(listed):
        part = Source(source.file, whole.value[index], whole.lines.children[index])  # type: ignore[index]
        message, found = validate(TaskMessageModel, part, each)
        problems += found
        messages += [message] if message else []
    raise_if_any(problems)
    reader = _Reader(whole, choices)
    kinds = list(reader.kinds(messages))
    documents = [
        document
        for number, kind in enumerate(kinds, 1)
        for document in per_model(reader.document(kind, number if len(kinds) > 1 else None), choices.models)
    ]
    raise_if_any(reader.checks.problems)
    return documents


@dataclass(frozen=True, slots=True)
class _Kind:
    """Messages that ask alike; `indexes` are their places in the list."""

    messages: Sequence[TaskMessageModel]
    indexes: Sequence[int]


class _Reader:
    def __init__(self, source: Source, choices: Choices) -> None:
        self.checks = Checks(source)
        self._choices = choices

    def kinds(self, messages: Sequence[TaskMessageModel]) -> Iterator[_Kind]:
        groups: dict[bytes, list[int]] = {}
        for index, message in enumerate(messages):
            groups.setdefault(canonical_json(_asking(message)), []).append(index)
        for indexes in groups.values():
            yield _Kind([messages[index] for index in indexes], indexes)

    def document(self, kind: _Kind, number: int | None) -> ParsedDocument:
        first, at = kind.messages[0], (kind.indexes[0],)
        name = PurePath(self.checks.source.file).stem
        for index, message in zip(kind.indexes, kind.messages, strict=True):
            self._check(message, index)
        rows = tuple(_row(message) for message in kind.messages)
        self.checks.columns(ParsedInput(kind="inline", rows=rows, at=at), ())
        parameters = self._parameters(first, at)
        step = self._prompt(first, parameters, at) if _is_plain(first) else self._task(first, parameters, at)
        return ParsedDocument(
            format="task_message",
            name=name if number is None else f"{name}-{number}",
            steps=(step,),
            input=ParsedInput(kind="inline", rows=rows),
            policy=Policy(priority=first.priority, labels=first.labels),
            epoch=self._choices.epoch,
            source=self.checks.source,
        )

    def _check(self, message: TaskMessageModel, index: int) -> None:
        asked = [key for key in _ASKED if getattr(message, key) is not None]
        if _is_plain(message) and len(asked) != 1:
            self.checks.refuse(
                (index, asked[-1]) if asked else (index,),
                "the message asks twice, by prompt and by messages" if asked else "the message asks nothing",
                rule="a message holds a prompt, or messages, or the payload of a registered task",
                remedy="keep one of them" if asked else "write `prompt`, or the task under `task_type`",
            )
        if _is_plain(message) and message.payload:
            self.checks.refuse(
                (index, "payload"),
                "a payload beside a prompt",
                rule="a payload holds the inputs of a registered task",
                remedy="write the task under `task_type`, or remove it",
            )

    def _parameters(self, message: TaskMessageModel, at: tuple[int, ...]) -> dict[str, JsonValue]:
        own = {key: getattr(message, key) for key in ("temperature", "max_tokens")}
        declared = {**message.parameters, **{key: value for key, value in own.items() if value is not None}}
        self.checks.parameters(message.parameters, (*at, "parameters"))
        self.checks.problems += unknown_parameters(self.checks.source.file, declared, self._choices.parameters)
        return overridden(declared, self._choices.parameters)

    def _prompt(self, message: TaskMessageModel, parameters: dict[str, JsonValue], at: tuple[int, ...]) -> ParsedPrompt:
        model, choice = self._models(message, at)
        if model is None and not self._choices.models:
            self._refuse_without_model(at)
        return ParsedPrompt(
            name=ANSWER_COLUMN,
            model=model,
            choice=choice,
            messages=tuple(_templates(message)),
            parameters=parameters,
            at=at,
        )

    def _models(self, message: TaskMessageModel, at: tuple[int, ...]) -> tuple[str | None, ParsedChoice | None]:
        stated = {key: getattr(message, key) for key in ("model", "models", "fallback")}
        return models_of(((PromptModel.model_construct(name=ANSWER_COLUMN, **stated), at),), self.checks)

    def _refuse_without_model(self, at: tuple[int, ...]) -> None:
        self.checks.refuse(
            at,
            "no model is named",
            rule="a message names its model, or several with their weights",
            remedy="write `model`, or give --model",
        )

    def _task(self, message: TaskMessageModel, parameters: dict[str, JsonValue], at: tuple[int, ...]) -> ParsedTask:
        inputs: dict[str, JsonValue] = {name: f"{{{{ {name} }}}}" for name in _row(message) if name != _ID}
        model, choice = self._models(message, at)
        return ParsedTask(
            name=ANSWER_COLUMN,
            task=message.task_type or "",
            inputs={**inputs, **parameters},
            model=model,
            choice=choice,
            at=at,
        )


def _is_plain(message: TaskMessageModel) -> bool:
    return message.task_type is None or message.task_type.lower() in PLAIN


def _asking(message: TaskMessageModel) -> dict[str, JsonValue]:
    """What messages of one job have in common: how they ask, and the shape of what they ask."""
    members: dict[str, JsonValue] = message.model_dump(exclude={"id", "prompt", "messages", "payload"})
    roles: list[JsonValue] = [each.identity() for each in _templates(message)]
    return {**members, "roles": roles, "keys": sorted(_row(message))}  # type: ignore[dict-item]


def _row(message: TaskMessageModel) -> Mapping[str, JsonValue]:
    row: dict[str, JsonValue] = {} if message.id is None else {_ID: message.id}
    if message.prompt is not None:
        row["prompt"] = message.prompt
    if message.messages is not None:
        row["messages"] = [text for each in message.messages for text in content_texts(each.message().content)]
    return {**row, **message.payload}


def _templates(message: TaskMessageModel) -> Iterator[Message]:
    if message.messages is None:
        yield Message(role="user", content="{{ prompt }}")
    places = count()  # of texts, one after the other through all messages
    for each in message.messages or ():
        content = with_texts(each.message().content, lambda _: f"{{{{ messages[{next(places)}] }}}}")
        yield Message(role=each.role, content=content)
