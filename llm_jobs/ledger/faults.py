"""What the database said, in the project's own errors. The first line only: details of a row may hold its content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llm_jobs.errors import ImmutableError, LlmJobsError, SetupError
from llm_jobs.ledger.append_only import MESSAGE

URL_REMEDY = "LLM_JOBS_DATABASE_URL is sqlite:///path/to/ledger.db or postgresql://user@host/database"

_TAKEN_STATES = {"23001", "23505"}  # restrict_violation (our triggers), unique_violation
_MISSING_STATES = {"23502", "23503"}  # not_null_violation (the hash of no intent), foreign_key_violation
_SETUP_REMEDIES = (
    (("disk is full", "No space left", "53100"), "the disk is full: free some space and run again"),
    (("database is locked", "55P03"), "another program holds its lock: end that program and run again"),
    (("readonly", "read-only", "25006"), "it may not be written: check who owns the file and its folder"),
    (("Permission denied", "not permitted"), "it may not be used: check who owns its files and their folder"),
    (("not a database", "malformed"), "it is not an intact ledger: restore it from a backup"),
    (("unable to open",), "it cannot be opened: check that its folder exists and may be written"),
    (("no such table", "42P01"), "it has no schema: open it with open_ledger, which migrates it"),
    (("28P01", "28000"), "it refused the user or the password in LLM_JOBS_DATABASE_URL"),
)


@contextmanager
def classified(url: str, *errors: type[Exception]) -> Iterator[None]:
    """Raise what the driver or SQLAlchemy raises, `errors`, as ImmutableError, SetupError or LlmJobsError."""
    try:
        yield
    except errors as error:
        raise translate(getattr(error, "orig", None) or error, url) from error


def translate(error: BaseException, url: str) -> LlmJobsError:
    """The project's error for one of a driver's. Nothing of the transaction that failed was written."""
    text = str(error).strip().partition("\n")[0]
    state = getattr(error, "sqlstate", None)
    if MESSAGE in text or state in _TAKEN_STATES or "UNIQUE constraint failed" in text:
        refused = text if MESSAGE in text else f"ledger: {text}, and what is there {MESSAGE}"
        return ImmutableError(f"{refused} ({url})")
    if state in _MISSING_STATES or "FOREIGN KEY constraint failed" in text or "NOT NULL constraint failed" in text:
        return LlmJobsError(f"ledger {url}: a row refers to one that does not exist ({text})")
    for signs, remedy in _SETUP_REMEDIES:
        if state in signs or any(sign in text for sign in signs):
            return SetupError(f"ledger {url}: {remedy} ({text})")
    if type(error).__name__ in {"OperationalError", "InterfaceError", "AdminShutdown"}:
        return SetupError(f"ledger {url}: the database cannot be used; check that it runs and run again ({text})")
    return LlmJobsError(f"ledger {url}: {text}")
