"""Documents that become jobs later: what they wait for, and what became of them, as the ledger records it.

A document that depends on other jobs is frozen when these are done, for it may read what they wrote. Until then its
text is kept under `jobs/`, and a change of the ledger says what it waits for; another says what became of it. Nothing
else remembers anything: a restart finds all of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from llm_jobs.documents.launch_rules import OnPartial
from llm_jobs.ledger.base import JobChange, Ledger
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.services import Services

FIELD: Literal["deferred"] = "deferred"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tie:
    """Which job of which pipeline a document is. `id` is one submission of the pipeline."""

    id: str
    name: str
    member: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Deferred:
    """A document that waits, or waited. `needs`: ids of its pipeline's jobs, names or hashes of jobs."""

    id: str
    name: str
    document_name: str
    path: str  # where it lay: what it names by a relative path lies beside it
    kept: str  # its text, relative to the home folder
    needs: tuple[str, ...]
    on_partial: OnPartial
    origin: str
    submitter: str
    as_of_ns: int | None = None
    overrides: Overrides = NO_OVERRIDES
    tie: Tie | None = None
    state: Literal["waiting", "frozen", "refused"] = "waiting"
    job_hashes: tuple[str, ...] = ()  # once it is frozen
    error: str | None = None  # where it was refused
    details: Mapping[str, Any] = field(default_factory=dict)  # of the submission that it will be
    since_ns: int = 0  # of its recording

    @property
    def series(self) -> tuple[str, ...]:
        """What is the same of two submissions of one document, or of one pipeline."""
        if self.tie is not None:
            return ("", self.tie.name)
        return (self.document_name, self.name, json.dumps(self.details, sort_keys=True))


def record_deferred(services: Services, deferred: Deferred) -> None:
    value = asdict(deferred)
    del value["since_ns"]
    change = JobChange(job_hash=deferred.id, field=FIELD, value=value, who=deferred.submitter)
    services.ledger.record_change(change)


class Deferrals:
    """Every document that was ever deferred. A look reads what was recorded since the one before, and nothing again."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._found: dict[str, Deferred] = {}
        self._seen = 0

    def look(self) -> list[Deferred]:
        """Each as it stands now, oldest first."""
        for change in self._ledger.changes_since(self._seen):
            self._seen = max(self._seen, change.id or 0)
            if change.field == FIELD:
                told = self._found.get(change.job_hash)
                since_ns = told.since_ns if told else change.recorded_ns or 0
                self._found[change.job_hash] = replace(_read(change.value), since_ns=since_ns)
        return list(self._found.values())


def all_deferred(ledger: Ledger) -> list[Deferred]:
    """Every document that was ever deferred as it stands now, oldest first."""
    return Deferrals(ledger).look()


def _read(value: Any) -> Deferred:
    overrides = value["overrides"]
    return Deferred(
        **{
            **value,
            "needs": tuple(value["needs"]),
            "job_hashes": tuple(value["job_hashes"]),
            "overrides": Overrides(**{**overrides, "models": tuple(overrides["models"])}),
            "tie": Tie(**value["tie"]) if value["tie"] else None,
        }
    )


def newest_waiting(every: Sequence[Deferred]) -> list[Deferred]:
    """Those that still wait, or were refused, and that none of the same series replaced."""
    newest: dict[tuple[str, ...], str] = {}
    for each in every:
        newest[each.series] = each.tie.id if each.tie else each.id
    return [
        each
        for each in every
        if each.state != "frozen" and newest[each.series] == (each.tie.id if each.tie else each.id)
    ]


def in_force(services: Services, every: Sequence[Deferred]) -> list[Deferred]:
    """Of those, the ones that no later submission of the same document replaced either."""
    return [each for each in newest_waiting(every) if not _is_submitted_since(services, each)]


def _is_submitted_since(services: Services, each: Deferred) -> bool:
    """Was the document submitted in its own right since, or this very one by a process that was killed then?"""
    if each.tie is not None:
        return False
    submissions = services.ledger.submissions(name=each.name, document_name=each.document_name, bodies=False)
    since = [submission for submission in submissions if (submission.submitted_ns or 0) > each.since_ns]
    own = not each.details and any(not submission.details for submission in since)
    return own or any(submission.details.get("deferred") == each.id for submission in since)


def kept_text(services: Services, deferred: Deferred) -> bytes:
    return (services.settings.home / deferred.kept).read_bytes()
