"""Deferred documents whose needs are done become jobs. One that turns out to be wrong is refused, and says why.

Several processes may do this at once, and a kill in between makes a document a job twice: that is one submission too
many of the same job, and no call.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import DocumentError, NotFound, SetupError
from llm_jobs.ledger.base import DeadLetter
from llm_jobs.operations.accept import Accepted, ReadDocument, read_document, record
from llm_jobs.operations.budgets import check_caps
from llm_jobs.operations.deferred import Deferred, kept_text, record_deferred
from llm_jobs.operations.dependencies import Standing
from llm_jobs.operations.services import Services

BUDGET_S = 20.0
UNHELD = ("cli", "schedule")  # who runs a document by hand, or by the clock, has seen what it costs


@dataclass(frozen=True, kw_only=True, slots=True)
class Released:
    """What became of deferred documents in one look. `postponed`: what surrounds them is wrong, not they."""

    accepted: Sequence[Accepted] = ()
    refused: Sequence[Deferred] = ()
    postponed: dict[str, str] = field(default_factory=dict)  # name -> reason


def release(services: Services, only: Collection[str] | None = None, *, budget_s: float = BUDGET_S) -> Released:
    """Freeze the documents whose needs are done (of the ids `only`, or of all), for `budget_s` seconds at most.

    A document whose job is done already frees those that wait for it in the same look.
    """
    deadline_ns = services.clock.now_ns() + int(budget_s * 1e9)
    accepted: list[Accepted] = []
    refused: list[Deferred] = []
    postponed: dict[str, str] = {}
    while due := [each for each in _due(services, only) if each.name not in postponed]:
        for each in due:
            if (accepted or refused) and services.clock.now_ns() > deadline_ns:
                return Released(accepted=accepted, refused=refused, postponed=postponed)
            try:
                accepted += _frozen(services, each)
            except (DocumentError, NotFound) as error:
                refused.append(_refuse(services, each, error))
            except (SetupError, OSError) as error:
                postponed[each.name] = str(error)
    return Released(accepted=accepted, refused=refused, postponed=postponed)


def _due(services: Services, only: Collection[str] | None) -> list[Deferred]:
    standing = Standing(services)
    return [
        each
        for each in standing.open
        if each.state == "waiting" and (only is None or each.id in only) and standing.wait(each) is None
    ]


def _frozen(services: Services, each: Deferred) -> list[Accepted]:
    document, path = _read(services, each)
    for job in document.jobs:
        check_caps(services, job)
    if each.origin not in UNHELD:
        # Estimates take a fiftieth of the start of `llm-jobs run`, which makes none here.
        from llm_jobs.operations.holding import hold_if_dear

        hold_if_dear(services, document, path)
    details: dict[str, JsonValue] = {**each.details, "deferred": each.id}
    if each.tie is not None:
        details["pipeline"] = {"id": each.tie.id, "name": each.tie.name, "member": each.tie.member}
    accepted = record(services, document, origin=each.origin, as_of_ns=each.as_of_ns, details=details)
    hashes = tuple(one.job.hash for one in accepted)
    record_deferred(services, replace(each, state="frozen", job_hashes=hashes))
    return accepted


def _read(services: Services, each: Deferred) -> tuple[ReadDocument, Path]:
    """The document as it was when it was deferred; where it still lies there so, with what lies beside it."""
    path, text = Path(each.path), kept_text(services, each)
    is_there = path.is_file() and path.read_bytes() == text
    stated = None if is_there else text
    kept = services.settings.home / each.kept
    document = read_document(services, path, each.overrides, as_of_ns=each.as_of_ns, text=stated, locked_beside=kept)
    return document, path


def _refuse(services: Services, each: Deferred, error: Exception) -> Deferred:
    refused = replace(each, state="refused", error=str(error))
    services.ledger.record_dead_letter(DeadLetter(kind="document", reference=each.name, reason=str(error)))
    record_deferred(services, refused)
    return refused
