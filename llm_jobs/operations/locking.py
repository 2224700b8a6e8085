"""Locks: `DOCUMENT.lock` beside a document pins what its ranges stood for, and `run` uses exactly that.

Invariant: under a lock no range is chosen anew. What the lock does not hold, and a locked version that says something
else now, is refused before anything is spent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from llm_jobs.documents.job import Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.locks import LATEST, SUFFIX, Lock, Pin, PinnedModel, read_lock, write_lock
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt, ParsedRequests, every_step
from llm_jobs.documents.parsing import parse_document, profiles_of, read_source
from llm_jobs.documents.stacks import StackText
from llm_jobs.errors import DocumentError, NotFound, Problem
from llm_jobs.operations.services import Services
from llm_jobs.prompts.library import LibraryPrompt, PromptLibrary
from llm_jobs.prompts.stacks import StackLibrary

_MOST_LOCK_BYTES = 16 * 1024 * 1024


def lock_path(path: Path) -> Path:
    """Where the lock of a document lies."""
    return path.with_name(path.name + SUFFIX)


def lock_of(path: Path) -> Lock | None:
    """The lock that lies beside a document; None where none does. Raises DocumentError for a file that is no lock."""
    beside = lock_path(path)
    if not beside.is_file():
        return None
    return read_lock(read_source(beside.name, beside.read_bytes(), max_bytes=_MOST_LOCK_BYTES))


def make_lock(services: Services, path: Path, parameters: Mapping[str, JsonValue]) -> Lock:
    """What the document's ranges stand for now, under every profile. Raises DocumentError or NotFound."""
    content = path.read_bytes()
    library, stacks = _Noting(services.settings.prompts), _NotingStacks(services.settings.stacks)
    models: set[PinnedModel] = set()
    for profile in (None, *profiles_of(path.name, content)):
        parsed = parse_document(
            path.name,
            content,
            profile=profile,
            parameters=parameters,
            environment=services.environment,
            stacks=stacks.get,
            max_bytes=services.settings.max_document_bytes,
        )
        for name, bare_provider in _model_names(parsed, library):
            found = services.catalogue.resolve(name, bare_provider=bare_provider).model
            models.add(PinnedModel(name, found.provider, found.upstream))
    return Lock(prompts=frozenset(library.noted), stacks=frozenset(stacks.noted), models=frozenset(models))


def save_lock(path: Path, lock: Lock) -> Path:
    """The file of the lock beside the document at `path`, whole; one that was there is replaced."""
    target = lock_path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_text(write_lock(lock), encoding="utf-8")
    os.replace(draft, target)
    return target


def under_lock(services: Services, lock: Lock | None, path: Path) -> Services:
    """The same services, whose prompts and stacks are those of the lock."""
    if lock is None:
        return services
    return replace(
        services,
        library=_Locked(services.settings.prompts, lock.prompts, path),
        stacks=_LockedStacks(services.settings.stacks, lock.stacks, path),
    )


def check_models(lock: Lock | None, jobs: Sequence[Job], path: Path) -> None:
    """Raise DocumentError where a model's name means something else than when it was locked."""
    pinned = {model.name: model for model in lock.models} if lock else {}
    changed = {
        model.name: f"{model.provider}/{model.upstream}"
        for job in jobs
        for model in job.models
        if model.name in pinned and pinned[model.name] != PinnedModel(model.name, model.provider, model.upstream)
    }
    problems = [
        _problem(
            path,
            f"the model {name} is {now} now, and was locked as {pinned[name].provider}/{pinned[name].upstream}",
            remedy="restore the catalogue's entry",
        )
        for name, now in changed.items()
    ]
    if problems:
        raise DocumentError(problems)


def _model_names(
    parsed: Iterable[ParsedDocument], library: PromptLibrary
) -> Iterator[tuple[str, Literal["openai"] | None]]:
    """The models that a document may ask, and whose model an unknown bare name is."""
    for document in parsed:
        for step in every_step(document.steps):
            if isinstance(step, ParsedRequests):
                yield step.model, "openai"
            elif isinstance(step, ParsedPrompt):
                yield from ((name, None) for name in _asked(step, library))
        for rules in document.policy.on_status.values():
            yield from ((rule.model, None) for listed in rules.values() for rule in listed if rule.model is not None)


def _asked(step: ParsedPrompt, library: PromptLibrary) -> list[str]:
    found = library.get(step.library.name, step.library.version) if step.library else None
    name = step.model or (found.model if found else None)
    return [*([] if name is None else [name]), *(name for name, _ in (step.choice.models if step.choice else ()))]


class _Noting(PromptLibrary):
    """Tells what was asked of it, and what it answered."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.noted: set[Pin] = set()

    def get(self, name: str, version: str | None = None) -> LibraryPrompt:
        found = super().get(name, version)
        self.noted.add(Pin(name, version or LATEST, found.version, found.digest))
        return found


class _NotingStacks(StackLibrary):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.noted: set[Pin] = set()

    def get(self, name: str, version: str | None = None) -> StackText:
        found = super().get(name, version)
        self.noted.add(Pin(name, version or LATEST, found.version, found.digest))
        return found


class _Locked(PromptLibrary):
    """Answers each range with the version that was locked."""

    def __init__(self, folder: Path, pins: Iterable[Pin], document: Path) -> None:
        super().__init__(folder)
        self._pins, self._document = {(pin.name, pin.asked): pin for pin in pins}, document

    def get(self, name: str, version: str | None = None) -> LibraryPrompt:
        pin = _pinned("prompt", self._pins, name, version, self._document)
        try:
            found = super().get(name, pin.version)
        except NotFound as error:
            raise _gone("prompt", pin, error, self._document) from None
        _check("prompt", pin, found.digest, self._document)
        return found


class _LockedStacks(StackLibrary):
    def __init__(self, folder: Path, pins: Iterable[Pin], document: Path) -> None:
        super().__init__(folder)
        self._pins, self._document = {(pin.name, pin.asked): pin for pin in pins}, document

    def get(self, name: str, version: str | None = None) -> StackText:
        pin = _pinned("stack", self._pins, name, version, self._document)
        try:
            found = super().get(name, pin.version)
        except NotFound as error:
            raise _gone("stack", pin, error, self._document) from None
        _check("stack", pin, found.digest, self._document)
        return found


def _pinned(what: str, pins: Mapping[tuple[str, str], Pin], name: str, version: str | None, document: Path) -> Pin:
    pin = pins.get((name, version or LATEST))
    if pin is None:
        asked = f"{what} {name} {version or LATEST}"
        raise DocumentError([_problem(document, f"the {asked} is not in the lock", remedy="lock the document again")])
    return pin


def _gone(what: str, pin: Pin, error: NotFound, document: Path) -> DocumentError:
    told = f"the {what} {pin.name} {pin.version} is locked and cannot be found: {error}"
    return DocumentError([_problem(document, told, remedy="restore its file")])


def _check(what: str, pin: Pin, digest: str, document: Path) -> None:
    if digest != pin.digest:
        told = f"the {what} {pin.name} {pin.version} says something else than when it was locked"
        raise DocumentError(
            [_problem(document, told, remedy="restore its file, or give what it says now a new version")]
        )


def _problem(document: Path, what: str, *, remedy: str) -> Problem:
    return Problem(
        what=what,
        file=lock_path(document).name,
        rule="under a lock a document means what it meant when it was locked",
        remedy=f"{remedy}, or accept what it means now: llm-jobs lock {document.name} --update",
    )
