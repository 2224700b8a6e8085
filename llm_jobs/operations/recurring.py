"""Recurring documents: those of the `recurring/` folder under the home folder, and of `examples/` beside it, that
state a schedule. Each tick submits the document again, as of the tick: rows that are new or changed are asked, answers
that are known cost nothing. A document that wants answers anew says so with `epoch` or `cache`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError, NotFound
from llm_jobs.operations.accept import Accepted, accept
from llm_jobs.operations.deferring import prepare, put_off
from llm_jobs.operations.dependencies import Standing
from llm_jobs.operations.records import RecurringDocument
from llm_jobs.operations.services import Services
from llm_jobs.prompts.stacks import StackLibrary
from llm_jobs.settings import Settings

ORIGIN = "schedule"


def recurring_documents(settings: Settings, environment: Mapping[str, str]) -> list[RecurringDocument]:
    """The documents with a schedule, by path. A document that cannot be read has no schedule; `validate` tells why."""
    found = []
    for folder in (settings.recurring, settings.home.parent / "examples"):
        for path in sorted(folder.glob("*.y*ml")) if folder.is_dir() else []:
            found += _described(path, environment, StackLibrary(settings.stacks))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """What a tick came to: jobs, or the reason why there are none."""

    accepted: Sequence[Accepted] = ()
    waits: str | None = None  # for what its document becomes a job later
    skipped: str | None = None


def submit_recurring(services: Services, path: Path, *, tick_ns: int) -> Tick:
    """Submit a recurring document as of its tick (nanoseconds since 1970). Raises DocumentError."""
    if not path.is_file():
        return Tick(skipped=f"{path.name} is there no longer; reload the code location, and its schedule goes too")
    prepared = prepare(services, path, origin=ORIGIN, as_of_ns=tick_ns)
    standing = Standing(services) if prepared else None
    waits = [wait.reason for each, _ in prepared if standing and (wait := standing.wait(each))]
    if waits:
        put_off(services, prepared)
        return Tick(waits="; ".join(waits))
    return Tick(accepted=accept(services, path, origin=ORIGIN, as_of_ns=tick_ns))


def _described(path: Path, environment: Mapping[str, str], stacks: StackLibrary) -> list[RecurringDocument]:
    try:
        parsed = parse_document(path.name, path.read_bytes(), environment=environment, stacks=stacks.get)
    except (DocumentError, NotFound):
        return []
    return [
        RecurringDocument(
            path=str(path),
            name=document.name,
            cron=schedule.cron,
            timezone=schedule.timezone,
            enabled=schedule.enabled,
        )
        for document in parsed
        if (schedule := document.policy.schedule) is not None
    ]
