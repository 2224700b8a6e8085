"""The prompt library: `<folder>/<name>/<version>.yaml`, one file per prompt and version, read when asked for.

A file holds `text` or `messages`, and may hold `model`, `parameters`, `schema` and `description`. The
resolved text is what counts in a job's identity: which version it came from does not. Nothing here writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.job import JsonValue, Message
from llm_jobs.documents.json_text import read_json
from llm_jobs.documents.models import MessageModel, Model
from llm_jobs.documents.text import Source, decode
from llm_jobs.documents.validation import did_you_mean, raise_if_any, validate
from llm_jobs.documents.variables import Variables
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import DocumentError, NotFound, Problem
from llm_jobs.prompts.versions import Version, choose

MAX_PROMPT_BYTES = 16 * 1024 * 1024
SUFFIXES = (".yaml", ".yml", ".json")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


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

    def names(self) -> list[str]:
        """The prompts that have at least one version, sorted."""
        if not self.folder.is_dir():
            return []
        entries = [entry.name for entry in self.folder.iterdir() if entry.is_dir() and _NAME.fullmatch(entry.name)]
        return sorted(name for name in entries if self._files(name))

    def versions(self, name: str) -> list[str]:
        """The versions of a prompt, lowest first. Raises NotFound, naming the nearest prompt."""
        return [str(version) for version in sorted(self._existing(name))]

    def get(self, name: str, version: str | None = None) -> LibraryPrompt:
        """The highest version that `version` allows: exact, `^…`, `~…`, or the latest where it is None.

        Raises NotFound if there is none (the message lists what there is), DocumentError if the file is no prompt.
        """
        files = self._existing(name)
        try:
            chosen = choose(version, files)
        except ValueError as error:
            raise NotFound(f"prompt {name!r}: {error}; there are {_listed(map(str, sorted(files)))}") from None
        if chosen is None:
            raise NotFound(
                f"prompt {name!r} has no version {version or 'latest'}; there are {_listed(map(str, sorted(files)))}; "
                "ask for one of these, or add the file"
            )
        return self._read(name, chosen, files[chosen])

    def _existing(self, name: str) -> dict[Version, Path]:
        files = self._files(name)
        if files:
            return files
        known = self.names()
        hint = did_you_mean(name, known, otherwise="add it as <name>/<version>.yaml to the library")
        raise NotFound(f"no prompt {name!r} in {self.folder}; there are {_listed(known)}; {hint}")

    def _files(self, name: str) -> dict[Version, Path]:
        """The files of a prompt by version. A name that could leave the folder has none."""
        folder = self.folder / name
        if not _NAME.fullmatch(name) or not folder.is_dir():
            return {}
        found: dict[Version, Path] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix in SUFFIXES and path.is_file():
                try:
                    version = Version.parse(path.stem)
                except ValueError:
                    continue
                self._check_single(found, version, path)
                found[version] = path
        return found

    def _check_single(self, found: Mapping[Version, Path], version: Version, path: Path) -> None:
        if version in found:
            problem = Problem(
                what=f"{found[version].name} and {path.name} hold the same version",
                file=str(path),
                rule="one file per prompt and version",
                remedy="remove one of the two",
            )
            raise DocumentError([problem])

    def _read(self, name: str, version: Version, path: Path) -> LibraryPrompt:
        text = decode(str(path), path.read_bytes(), max_bytes=MAX_PROMPT_BYTES)
        source = read_json(str(path), text) if path.suffix == ".json" else read_yaml(str(path), text)
        variables = Variables({}, {})
        model, problems = validate(_PromptFile, source, variables.fill(source))
        if model is None or variables.problems:
            raise_if_any([*problems, *variables.problems])
        assert model is not None
        return LibraryPrompt(
            name=name,
            version=str(version),
            messages=_messages(model, source),
            model=model.model,
            parameters=model.parameters,
            schema=model.answer_schema,
            description=model.description,
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
    return tuple(Message(role=message.role, content=message.content) for message in model.messages or ())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
