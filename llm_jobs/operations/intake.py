"""The inbox: what lies there is accepted and kept under its job, or rejected with its error beside it.

Nothing in the inbox is deleted: a document leaves it only after its text is kept under `jobs/` or `rejected/`; of a
rejected one, all but the secrets that were written into it (docs/decisions/0005-rejected-secrets.md). Two
intakes at once may record one document twice, which is one submission too many and no call.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from llm_jobs.documents.locks import SUFFIX
from llm_jobs.documents.withheld import without_credentials
from llm_jobs.errors import ImmutableError, LlmJobsError, SetupError
from llm_jobs.files import refuse_existing
from llm_jobs.operations.accept import read_document, record
from llm_jobs.operations.budgets import check_caps
from llm_jobs.operations.deferred import Deferrals
from llm_jobs.operations.deferring import defer, told
from llm_jobs.operations.holding import hold_if_dear, is_slow_to_estimate
from llm_jobs.operations.keep import keep, short_name
from llm_jobs.operations.locking import lock_path
from llm_jobs.operations.records import (
    AcceptedDocument,
    DeferredDocument,
    IntakeReport,
    PostponedDocument,
    RejectedDocument,
)
from llm_jobs.operations.services import Services
from llm_jobs.providers.secrets import KeyRing, Scrubber

LOG = logging.getLogger(__name__)
SECRET_REMOVED = (
    "\nthe copy is kept without the secret that was written into it; replace that secret, for others may have read it"
)
# Tables and locks are no documents: they may lie beside the job that they belong to.
TABLES = frozenset(
    {".csv", ".tsv", ".parquet", ".gz", ".zst", ".bz2", ".xz"}
    | {f"{suffix}{beside}" for suffix in (".db", ".sqlite", ".sqlite3") for beside in ("", "-wal", "-shm", "-journal")}
)
BESIDE = TABLES | {SUFFIX}
QUIET_NS = 1_000_000_000  # a file written to within the last second may not be whole yet


def intake(services: Services, *, budget_s: float, largest_bytes: int | None = None) -> IntakeReport:
    """Resolve what lies in the inbox, for `budget_s` seconds at most (one document at least). Documents of more than
    `largest_bytes` stay there and count as remaining, and so do those whose table is, where an estimate has to be made.
    """
    deadline_ns = services.clock.now_ns() + int(budget_s * 1e9)
    accepted: list[AcceptedDocument] = []
    deferred: list[DeferredDocument] = []
    rejected: list[RejectedDocument] = []
    postponed: list[PostponedDocument] = []
    deferrals = Deferrals(services.ledger)
    found = waiting_documents(services)
    waiting = [path for path in found if largest_bytes is None or _size(path) <= largest_bytes]
    remaining = len(found) - len(waiting)
    for done, path in enumerate(waiting):
        if done and services.clock.now_ns() > deadline_ns:
            remaining += len(waiting) - done
            break
        try:
            if put_off := defer(services, path, origin="inbox", deferrals=deferrals):
                deferred += told(put_off)
                _leave(path)
                continue
            taken = _accept(services, path, largest_bytes)
            accepted += taken
            remaining += not taken
        except FileNotFoundError:
            continue  # another intake was quicker
        except (SetupError, OSError) as error:
            postponed.append(PostponedDocument(document_name=path.name, reason=_scrubber(services).text(str(error))))
        except Exception as error:  # noqa: BLE001 - one document, whatever is wrong with it, stops no other
            with suppress(FileNotFoundError):
                rejected.append(_reject(services, path, error))
    return IntakeReport(
        accepted=tuple(accepted),
        deferred=tuple(deferred),
        rejected=tuple(rejected),
        postponed=tuple(postponed),
        remaining=remaining,
    )


def waiting_documents(services: Services) -> list[Path]:
    """Whole files in the inbox in the order of their names; hidden ones are being written, tables are left alone."""
    settings = services.settings
    if not settings.inbox.is_dir():
        return []
    quiet_before_ns = services.clock.now_ns() - QUIET_NS
    return [
        Path(entry.path)
        for entry in sorted(os.scandir(settings.inbox), key=lambda entry: entry.name)
        if not entry.name.startswith(".")
        and Path(entry.name).suffix not in BESIDE
        and entry.is_file()
        and _is_quiet(entry, quiet_before_ns)
    ]


def _is_quiet(entry: os.DirEntry[str], before_ns: int) -> bool:
    try:
        return entry.stat().st_mtime_ns <= before_ns
    except FileNotFoundError:
        return False


def _size(path: Path) -> int:
    """In bytes; 0 of a document that another intake took, which whoever reads it will find."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _accept(services: Services, path: Path, largest_bytes: int | None) -> list[AcceptedDocument]:
    """The jobs of a document; none where it is left for somebody with more time."""
    document = read_document(services, path)
    if largest_bytes is not None and is_slow_to_estimate(services, document, largest_bytes=largest_bytes):
        return []
    for job in document.jobs:
        check_caps(services, job)
    held = hold_if_dear(services, document, path)
    accepted = record(services, document, origin="inbox")
    _leave(path)
    return [
        AcceptedDocument(
            document_name=path.name, job_hash=each.job.hash, job_name=each.job.name, held=held.get(each.job.hash)
        )
        for each in accepted
    ]


def _scrubber(services: Services) -> Scrubber:
    return KeyRing(services.environment, names=services.catalogue.key_names()).scrubber()


def _reject(services: Services, path: Path, error: Exception) -> RejectedDocument:
    """Keep a document among the rejected, and say why. Raises FileNotFoundError where another intake was quicker."""
    settings = services.settings
    scrubber = _scrubber(services)
    name = f"{services.clock.now_ns()}_{short_name(path.name)}"
    text = path.read_bytes()
    kept = scrubber.raw(without_credentials(text))
    told = scrubber.text(_reason(path, error, scrubber)) + ("" if kept == text else SECRET_REMOVED)
    moved = keep(settings.rejected / name, kept)
    keep(settings.rejected / f"{name}.error.txt", f"{told}\n".encode())
    _leave(path)
    return RejectedDocument(document_name=path.name, error=told, moved_to=str(moved))


def _reason(path: Path, error: Exception, scrubber: Scrubber) -> str:
    """Why a document is rejected. What nobody foresaw is a defect of ours: its traceback is in the log."""
    if isinstance(error, LlmJobsError):
        return str(error)
    LOG.error("document %s met a defect\n%s", path.name, scrubber.text("".join(traceback.format_exception(error))))
    return f"unexpected {type(error).__name__}: {error}; this is a defect of llm-jobs, its traceback is in the log"


def _leave(path: Path) -> None:
    """Take a document, which is kept elsewhere, out of the inbox, and then its lock: never is it there without."""
    path.unlink()
    lock_path(path).unlink(missing_ok=True)


def place_all_in_inbox(services: Services, paths: Sequence[Path]) -> list[Path]:
    """Put copies of documents into the inbox: of all, or of none where one of their names waits there or is another's
    too. Raises ImmutableError."""
    for name, times in Counter(path.name for path in paths).items():
        if times > 1:
            raise ImmutableError(f"{times} documents are named {name}, and none replaces another; rename one of them")
        refuse_existing(services.settings.inbox / name)
    return [place_in_inbox(services, path) for path in paths]


def place_in_inbox(services: Services, path: Path) -> Path:
    """Put a copy of a document into the inbox, whole or not at all, and its lock before it. Raises ImmutableError if
    one of its name waits."""
    placed, lock = services.settings.inbox / path.name, lock_path(path)
    if lock.is_file() and not placed.exists():  # one that waits already keeps its own
        keep(services.settings.inbox / lock.name, lock.read_bytes())
    return keep(placed, path.read_bytes())
