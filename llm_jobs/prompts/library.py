"""The prompt library: `<folder>/<name>/<version>.yaml`, one file per prompt and version, read when asked for.

A file holds `text` or `messages`, and may hold `model`, `parameters`, `schema` and `description`. The
resolved text is what counts in a job's identity: which version it came from does not. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.message_models import MessageModel
from llm_jobs.documents.steps import Message
from llm_jobs.documents.strict import Model
from llm_jobs.documents.text import Source
from llm_jobs.documents.validation import raise_if_any, validate
from llm_jobs.documents.variables import Variables
from llm_jobs.prompts.shelves import Shelf, Shelved, content_digest


@dataclass(frozen=True, kw_only=True, slots=True)
class LibraryPrompt:
    """One version of a prompt. `model` and `parameters` stand below what a document says."""

    name: str
    version: str
    messages: tuple[Message, ...]
    model: str | None = None
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    schema: Mapping[str, JsonValue] | None = None
    description: str | None = None
    file: str = field(default="", compare=False)
    digest: str = field(default="", compare=False)  # of what the file says
    source: Source | None = field(default=None, compare=False, repr=False)  # the file, with its lines


class _PromptFile(Model):
    text: str | None = Field(default=None, min_length=1)
    messages: list[MessageModel] | None = Field(default=None, min_length=1)
    model: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    answer_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    description: str | None = None


class PromptLibrary:
    """The prompts below one folder. A folder that is not there is an empty library."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shelf = Shelf(folder, what="prompt")

    def names(self) -> list[str]:
        """The prompts that have at least one version, sorted."""
        return self._shelf.names()

    def versions(self, name: str) -> list[str]:
        """The versions of a prompt, lowest first. Raises NotFound, naming the nearest prompt."""
        return self._shelf.versions(name)

    def get(self, name: str, version: str | None = None) -> LibraryPrompt:
        """The highest version that `version` allows: exact, `^…`, `~…`, or the latest where it is None.

        Raises NotFound if there is none (the message lists what there is), DocumentError if the file is no prompt.
        """
        return _read(self._shelf.find(name, version))


def _read(found: Shelved) -> LibraryPrompt:
    source = found.read()
    variables = Variables({}, {})
    model, problems = validate(_PromptFile, source, variables.fill(source))
    if model is None or variables.problems:
        raise_if_any([*problems, *variables.problems])
    assert model is not None
    return LibraryPrompt(
        name=found.name,
        version=found.version,
        messages=_messages(model, source),
        model=model.model,
        parameters=model.parameters,
        schema=model.answer_schema,
        description=model.description,
        file=str(found.path),
        digest=content_digest(source),
        source=source,
    )


def _messages(model: _PromptFile, source: Source) -> tuple[Message, ...]:
    checks = Checks(source)
    checks.parameters(model.parameters, ("parameters",))
    if (model.text is None) == (model.messages is None):
        checks.refuse(
            ("messages",) if model.text else (),
            "the prompt is written twice" if model.text else "the file holds no prompt",
            rule="a prompt is text or messages",
            remedy="write one of the two",
        )
    raise_if_any(checks.problems)
    if model.text is not None:
        return (Message(role="user", content=model.text),)
    return tuple(message.message() for message in model.messages or ())
