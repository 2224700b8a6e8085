"""Files that arrive: each that a `file_created` trigger of a recurring document fits is submitted once, as its table.

What was submitted already is told by the ledger: a submission bears the path, the size and the time of the file that
brought it about. So a file that is replaced is a new one, and one that is written again with the same bytes is the
same job, which costs nothing. A file that cannot be read is told once and stops no other.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.errors import LlmJobsError, SetupError
from llm_jobs.ledger.base import DeadLetter
from llm_jobs.operations.accept import Accepted, parsed_documents, read_document, record
from llm_jobs.operations.budgets import check_caps
from llm_jobs.operations.deferred import all_deferred
from llm_jobs.operations.deferring import prepare, put_off
from llm_jobs.operations.holding import hold_if_dear
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.services import Services

ORIGIN = "trigger"
LETTER = "arrival"
QUIET_NS = 2_000_000_000  # a file written to within the last two seconds may not be whole yet
MOST_DOCUMENT_BYTES = 1024 * 1024  # of a recurring document; larger ones are tables


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrivals:
    """What became of files in one look. `remaining`: how many the time budget left for the next."""

    accepted: Sequence[Accepted] = ()
    deferred: Sequence[str] = ()  # paths whose job waits for others
    problems: Sequence[str] = ()
    remaining: int = 0


@dataclass(slots=True)
class _Look:
    """One look: what was found so far."""

    accepted: list[Accepted] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remaining: int = 0


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was when it was looked at; what tells whether it was submitted."""

    path: str
    size: int
    modified_ns: int

    @classmethod
    def at(cls, path: Path) -> _File:
        stat = path.stat()
        return cls(str(path), stat.st_size, stat.st_mtime_ns)

    def facts(self) -> dict[str, Any]:
        return {"path": self.path, "size": self.size, "modified_ns": str(self.modified_ns)}

    @classmethod
    def told(cls, facts: dict[str, Any]) -> _File:
        return cls(facts["path"], facts["size"], int(facts["modified_ns"]))


def take_arrivals(services: Services, *, budget_s: float) -> Arrivals:
    """Submit the files that arrived, oldest first, for `budget_s` seconds at most (one file at least)."""
    deadline_ns = services.clock.now_ns() + int(budget_s * 1e9)
    look = _Look()
    for path in _documents(services):
        try:
            document = parsed_documents(services, path, path.read_bytes())[0]
            files = _arrived(services, document, path, look)
        except (LlmJobsError, OSError) as error:
            look.problems.append(f"{path.name}: {error}")
            continue
        for file in files:
            if (look.accepted or look.deferred) and services.clock.now_ns() > deadline_ns:
                look.remaining += 1
                continue
            _take(services, document, path, file, look)
    return Arrivals(accepted=look.accepted, deferred=look.deferred, problems=look.problems, remaining=look.remaining)


def _documents(services: Services) -> list[Path]:
    """The recurring documents that speak of files."""
    folder = services.settings.recurring
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    small = (path for path in paths if path.suffix in (".yaml", ".yml", ".json") and path.is_file())
    return [
        path for path in small if path.stat().st_size <= MOST_DOCUMENT_BYTES and b"file_created" in path.read_bytes()
    ]


def _arrived(services: Services, document: ParsedDocument, path: Path, look: _Look) -> list[_File]:
    """The files that fit and were not submitted, oldest first."""
    known = _known(services, path.name)
    quiet_before_ns = services.clock.now_ns() - QUIET_NS
    found: dict[str, _File] = {}
    for candidate in _candidates(services, document, path, look):
        try:
            file = _File.at(candidate)
        except FileNotFoundError:
            continue
        if file.size and file.modified_ns <= quiet_before_ns and file not in known:
            found[file.path] = file
    return sorted(found.values(), key=lambda file: (file.modified_ns, file.path))


def _candidates(services: Services, document: ParsedDocument, path: Path, look: _Look) -> Iterator[Path]:
    settings = services.settings
    near = (path.parent, settings.home, settings.home.parent)
    roots = [root.resolve() for root in (*near, *settings.allowed_roots)]
    for trigger in document.policy.launch.triggers:
        if trigger.type != "file_created":
            continue
        patterns = [trigger.at] if os.path.isabs(trigger.at) else [str(folder / trigger.at) for folder in near]
        for pattern in patterns:
            for name in glob.iglob(pattern, recursive=True):
                found = Path(name).resolve()
                if not any(found.is_relative_to(root) for root in roots):
                    look.problems.append(
                        f"{path.name}: {found} lies outside the allowed folders; name its folder in "
                        "LLM_JOBS_ALLOWED_ROOTS, or move it"
                    )
                    break  # one for the pattern is enough
                if found.is_file() and found != path.resolve():
                    yield found


def _known(services: Services, document_name: str) -> set[_File]:
    """The files that the document was submitted with, or that could not be."""
    told = [each.details for each in services.ledger.submissions(document_name=document_name, bodies=False)]
    told += [each.details for each in all_deferred(services.ledger) if each.document_name == document_name]
    letters = [letter.body for letter in services.ledger.dead_letters() if _is_of(letter, document_name)]
    told += [{"file": json.loads(body)} for body in letters if body]
    return {_File.told(details["file"]) for details in told if "file" in details}


def _is_of(letter: DeadLetter, document_name: str) -> bool:
    return letter.kind == LETTER and letter.reference.startswith(f"{document_name}: ")


def _take(services: Services, document: ParsedDocument, path: Path, file: _File, look: _Look) -> None:
    try:
        _submit(services, document, path, file, look)
    except SetupError as error:
        look.problems.append(f"{file.path} waits: {error}")
    except FileNotFoundError:
        return
    except (LlmJobsError, OSError) as error:
        reason = f"{file.path}: {error}"
        look.problems.append(reason)
        body = json.dumps(file.facts()).encode()
        services.ledger.record_dead_letter(
            DeadLetter(kind=LETTER, reference=f"{path.name}: {file.path}", reason=str(error), body=body)
        )


def _submit(services: Services, document: ParsedDocument, path: Path, file: _File, look: _Look) -> None:
    """Submit one file, unless it is being written at this moment."""
    overrides = Overrides(input=file.path) if _has_no_table(document) else NO_OVERRIDES
    details = {"file": file.facts()}
    if prepared := prepare(services, path, origin=ORIGIN, overrides=overrides, details=details):
        look.deferred += [file.path for _ in put_off(services, prepared)]
        return
    read = read_document(services, path, overrides)
    if _File.at(Path(file.path)) != file:
        return
    for job in read.jobs:
        check_caps(services, job)
    hold_if_dear(services, read, path)
    look.accepted += record(services, read, origin=ORIGIN, details=details)


def _has_no_table(document: ParsedDocument) -> bool:
    return document.input.kind == "inline" and document.input.rows in ((), ({},))
