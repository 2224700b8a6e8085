"""Erase what was said in calls, or the documents of jobs: their bodies in the ledger, and the pages that show them.

Invariant: who asked for it, when and why is recorded before anything goes. Hashes, costs and statuses stay, and an
erased call is not asked again unasked. Results are files of record and are not touched here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_jobs.operations.services import Services

READ_BYTES = 1 << 20
HASH_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """What is gone: how many bodies, and which pages of reports."""

    bodies: int
    pages: tuple[Path, ...]


def erase(
    services: Services, *, call_hashes: Sequence[str] = (), job_hashes: Sequence[str] = (), who: str, why: str
) -> Erased:
    """Erase the bodies of calls, and the documents of jobs, for a reason that is recorded; and remove every page under
    `reports/` that shows one of them, to be made anew without. Doing it again removes what a kill left."""
    bodies = services.ledger.erase(call_hashes=call_hashes, job_hashes=job_hashes, who=who, why=why)
    hashes = [name.encode() for name in (*call_hashes, *job_hashes)]
    pages = tuple(page for page in sorted(services.settings.reports.glob("*/*.html")) if _names_one(page, hashes))
    for page in pages:
        page.unlink(missing_ok=True)
    return Erased(bodies=bodies, pages=pages)


def _names_one(page: Path, hashes: Sequence[bytes]) -> bool:
    return any(name in piece for piece in _pieces(page) for name in hashes)


def _pieces(page: Path) -> Iterator[bytes]:
    """The page, piece by piece; each begins with the end of the one before, so that no hash is cut in two."""
    end = b""
    with page.open("rb") as stream:
        while piece := stream.read(READ_BYTES):
            yield end + piece
            end = piece[-HASH_BYTES:]
