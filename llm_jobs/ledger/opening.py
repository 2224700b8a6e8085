"""Opens the ledger that a URL names: SQLite (a file, or memory) or PostgreSQL, brought to this version's schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from llm_jobs.clock import Clock
from llm_jobs.errors import SetupError
from llm_jobs.ledger.base import Ledger
from llm_jobs.ledger.faults import URL_REMEDY
from llm_jobs.ledger.owners import OWNER_TIMEOUT_S
from llm_jobs.ledger.sql import SqlLedger
from llm_jobs.ledger.sqlite import SqliteLedger

# Locks and shared memory do not hold across the machines of these; SQLite's documentation warns of corruption.
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "afpfs", "ceph", "glusterfs", "lustre", "webdav"}
    | {"fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.cephfs", "davfs"}
)


Mounts = Callable[[], Sequence[tuple[str, str]]]


def mounted() -> list[tuple[str, str]]:
    """(mount point, kind of file system) of each, in the order they were mounted."""
    return [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]


def open_ledger(
    url: str, *, clock: Clock, owner_timeout_s: float = OWNER_TIMEOUT_S, mounts: Mounts = mounted
) -> Ledger:
    """The ledger at `url`: `sqlite:///path`, `sqlite://` (in memory) or `postgresql://user@host/database`.

    `owner_timeout_s`: after how long without a heartbeat an owner on another machine counts as dead. Raises
    SetupError if the database cannot be used.
    """
    scheme, separator, rest = url.partition("://")
    ledger: SqlLedger
    if separator and scheme.partition("+")[0] == "sqlite":
        ledger = SqliteLedger(_sqlite_path(rest, mounts), clock=clock, owner_timeout_s=owner_timeout_s)
    else:
        # With SQLAlchemy and the driver it takes 0.2 s to import, which no ledger on SQLite needs.
        from llm_jobs.ledger.postgres import PostgresLedger, parsed

        ledger = PostgresLedger(parsed(url), clock=clock, owner_timeout_s=owner_timeout_s)
    try:
        ledger.migrate()
        ledger.recover()
    except BaseException:
        ledger.close()
        raise
    return ledger


def _sqlite_path(rest: str, mounts: Mounts) -> Path | None:
    """The file of `sqlite://` and `rest`; what follows a question mark is another program's."""
    database = rest.partition("?")[0]
    if database in ("", "/", "/:memory:"):
        return None
    if not database.startswith("/"):
        raise SetupError(f"the ledger's URL cannot be read; {URL_REMEDY}")
    path = Path(database[1:]).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"the ledger's folder {path.parent} cannot be made: {error.strerror}") from error
    kind = file_system(path.parent.resolve(), mounts())
    if kind in NETWORK_FILE_SYSTEMS:
        raise SetupError(
            f"the ledger {path} would lie on a network file system ({kind}), where SQLite loses data; put the home "
            "folder on a local disk, or set LLM_JOBS_DATABASE_URL to a PostgreSQL URL"
        )
    return path


def file_system(folder: Path, mounts: Sequence[tuple[str, str]]) -> str | None:
    """The kind of file system that holds `folder`, given what is `mounted`."""
    holding = [
        (len(Path(point).parts), number, kind)
        for number, (point, kind) in enumerate(mounts)
        if folder.is_relative_to(point)
    ]
    return max(holding)[2] if holding else None
