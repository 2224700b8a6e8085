"""What both databases share: connections, errors, owners, and everything that is not `exchange`.

Every method is one transaction of its own on a pooled connection, so any thread may call any method while another
thread is inside `exchange`, which keeps a connection to itself. The queries are in the modules by subject; the hot
path is in `sqlite.py` and `postgres.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from llm_jobs.clock import Clock
from llm_jobs.documents.job import NO_SUCCESS
from llm_jobs.errors import SetupError
from llm_jobs.ledger import audits, changes, erasing, finished, histories, notices, spending, submitted
from llm_jobs.ledger.append_only import Dialect
from llm_jobs.ledger.base import (
    Answer,
    BudgetState,
    DeadLetter,
    Exchange,
    Facts,
    JobChange,
    Journal,
    LedgerAudit,
    ModelVersion,
    Notice,
    Outcome,
    OwnerIdentity,
    PaidCall,
    Receipt,
    ResultRecord,
    Spend,
    Submission,
    Trace,
    Unrecorded,
    UsageRow,
    Want,
)
from llm_jobs.ledger.batching import Batching, owner_row
from llm_jobs.ledger.migrations import LATEST, VERSIONS_TABLE, Migration, migrations
from llm_jobs.ledger.owners import is_alive
from llm_jobs.ledger.plain import Plain
from llm_jobs.ledger.records import OWNER_COLUMNS, OwnerRow, owner_of
from llm_jobs.ledger.truncations import select_unsuccessful

_LIVE_RUNS = f"SELECT {', '.join(OWNER_COLUMNS)} FROM owners WHERE run_id IS NOT NULL AND closed_ns IS NULL ORDER BY id"
_ONE_MIGRATES = "SELECT pg_advisory_xact_lock(1819045226)"  # any number, the same in every version
_HAS_SCHEMA = {
    "sqlite": "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_versions'",
    "postgresql": "SELECT count(to_regclass('schema_versions'))",
}


class SqlLedger(Batching, ABC):
    """A ledger in a database of either kind."""

    dialect: Dialect

    def __init__(self, *, url: str, driver_error: type[Exception], clock: Clock, owner_timeout_s: float) -> None:
        self.url = url
        self._driver_error = driver_error
        self._clock = clock
        self._owner_timeout_s = owner_timeout_s

    @abstractmethod
    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange: ...

    def journal(self, owner_id: int) -> Journal | None:
        return None

    def recover(self) -> None:
        """Commit what others left in their journals."""

    @abstractmethod
    def look_up(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Plain]:
        """A transaction that reads."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Plain]:
        """A transaction that is committed, unless something is raised."""

    def _shared_now_ns(self) -> int:
        """The time by which owners on all machines are compared."""
        return self._clock.now_ns()

    def migrate(self) -> None:
        """Bring the schema to this program's version, in one transaction, which one process at a time is in."""
        if self._version() == LATEST:
            return
        with self._writing() as plain:
            if self.dialect == "postgresql":  # on SQLite whoever writes is alone
                plain.run(_ONE_MIGRATES)
            version = self._version_in(plain)
            plain.run(VERSIONS_TABLE)
            for migration in migrations(self.dialect):
                if migration.version > version:
                    self._apply(plain, migration)

    def _version(self) -> int:
        with self._reading() as plain:
            return self._version_in(plain)

    def _version_in(self, plain: Plain) -> int:
        """The schema's version, 0 where there is none. Raises SetupError for one that this program does not know."""
        if not plain.scalar(_HAS_SCHEMA[self.dialect]):
            return 0
        found = int(plain.scalar("SELECT max(version) FROM schema_versions") or 0)
        if found > LATEST:
            raise SetupError(
                f"ledger {self.url}: its schema is version {found}, this program knows {LATEST}; upgrade llm-jobs"
            )
        return found

    def _apply(self, plain: Plain, migration: Migration) -> None:
        for statement in migration.statements:
            plain.run(statement)
        applied = {"version": migration.version, "name": migration.name, "applied_ns": self._clock.now_ns()}
        plain.insert("schema_versions", applied)

    # Owners

    def open_owner(self, identity: OwnerIdentity) -> int:
        return self._open_owner(identity, kind=None)

    def open_batch_owner(self, identity: OwnerIdentity) -> int:
        return self._open_owner(replace(identity, run_id=None), kind="batch")  # the run ends, the batch does not

    def _open_owner(self, identity: OwnerIdentity, *, kind: str | None) -> int:
        now_ns = self._shared_now_ns()
        values = {
            "host": identity.host,
            "boot_id": identity.boot_id,
            "pid": identity.pid,
            "started": identity.started,
            "run_id": identity.run_id,
            "opened_ns": now_ns,
            "heartbeat_ns": now_ns,
            "kind": kind,
        }
        with self._writing() as plain:
            return plain.insert_numbered("owners", values)

    def heartbeat(self, owner_id: int) -> None:
        now_ns = self._shared_now_ns()
        with self._writing() as plain:
            plain.run("UPDATE owners SET heartbeat_ns = ? WHERE id = ?", (now_ns, owner_id))

    def close_owner(self, owner_id: int) -> None:
        now_ns = self._shared_now_ns()
        with self._writing() as plain:
            plain.run("DELETE FROM claims WHERE owner_id = ?", (owner_id,))
            plain.run("UPDATE owners SET closed_ns = ? WHERE id = ?", (now_ns, owner_id))

    def live_runs(self, host: str) -> Sequence[str]:
        """Run ids of the owners that are alive, oldest first. Owners on other hosts than `host` count as alive
        within the timeout of their last heartbeat."""
        with self._reading() as plain:
            rows = [OwnerRow(*row) for row in plain.rows(_LIVE_RUNS)]
        return list(dict.fromkeys(row.run_id for row in rows if row.run_id and self._is_alive(row)))

    def _is_alive(self, row: OwnerRow | None) -> bool:
        """Whether the owner still runs; None is an owner that never was."""
        if row is None or row.closed_ns is not None:
            return False
        if row.kind == "batch":
            return True
        return is_alive(
            owner_of(row),
            last_heartbeat_ns=row.heartbeat_ns,
            now_ns=self._shared_now_ns(),
            timeout_s=self._owner_timeout_s,
        )

    # Submissions, results, and what lies beside them

    def submit(self, submissions: Sequence[Submission]) -> Sequence[int]:
        with self._writing() as plain:
            return submitted.insert_submissions(plain, submissions, now_ns=self._clock.now_ns())

    def submissions(
        self,
        *,
        job_hash: str | None = None,
        name: str | None = None,
        document_name: str | None = None,
        bodies: bool = True,
    ) -> Sequence[Submission]:
        with self._reading() as plain:
            return submitted.select_submissions(
                plain, job_hash=job_hash, name=name, document_name=document_name, bodies=bodies
            )

    def latest_jobs(self, limit: int) -> Sequence[Submission]:
        with self._reading() as plain:
            return submitted.select_latest_jobs(plain, limit)

    def unfinished(self) -> Sequence[str]:
        with self._reading() as plain:
            return submitted.select_unfinished(plain)

    def record_change(self, change: JobChange) -> int:
        with self._writing() as plain:
            return changes.insert_change(plain, change, now_ns=self._clock.now_ns())

    def changes(self, job_hash: str) -> Sequence[JobChange]:
        with self._reading() as plain:
            return changes.select_changes(plain, job_hash=job_hash)

    def changes_since(self, change_id: int) -> Sequence[JobChange]:
        with self._reading() as plain:
            return changes.select_changes(plain, after_id=change_id)

    def record_result(self, record: ResultRecord) -> None:
        with self._writing() as plain:
            finished.insert_result(plain, record, now_ns=self._clock.now_ns())

    def results(self, job_hashes: Sequence[str]) -> Mapping[str, Sequence[ResultRecord]]:
        with self._reading() as plain:
            return finished.select_results(plain, job_hashes)

    def record_receipt(self, receipt: Receipt) -> None:
        with self._writing() as plain:
            finished.insert_receipt(plain, receipt, now_ns=self._clock.now_ns())

    def receipts(self, job_hash: str) -> Sequence[Receipt]:
        with self._reading() as plain:
            return finished.select_receipts(plain, [job_hash]).get(job_hash, [])

    def receipts_of(self, job_hashes: Sequence[str]) -> Mapping[str, Sequence[Receipt]]:
        with self._reading() as plain:
            return finished.select_receipts(plain, job_hashes)

    def record_model_version(self, version: ModelVersion) -> None:
        with self._writing() as plain:
            finished.insert_model_version(plain, version, now_ns=self._clock.now_ns())

    def model_versions(self) -> Sequence[ModelVersion]:
        with self._reading() as plain:
            return finished.select_model_versions(plain)

    def newest_model_version(self) -> int:
        with self._reading() as plain:
            return finished.count_model_versions(plain)

    def told(self, job_hash: str) -> Mapping[str, int]:
        with self._reading() as plain:
            return notices.select_told(plain, job_hash)

    def tell(self, notice: Notice) -> bool:
        with self._writing() as plain:
            return notices.tell(plain, notice, is_alive=self._is_alive, now_ns=self._clock.now_ns())

    def record_dead_letter(self, letter: DeadLetter) -> None:
        with self._writing() as plain:
            finished.insert_dead_letter(plain, letter, now_ns=self._clock.now_ns())

    def dead_letters(self) -> Sequence[DeadLetter]:
        with self._reading() as plain:
            return finished.select_dead_letters(plain)

    def erase(self, *, call_hashes: Sequence[str] = (), job_hashes: Sequence[str] = (), who: str, why: str) -> int:
        self.recover()  # a body that is in a killed process's journal would come back
        now_ns = self._clock.now_ns()
        with self._writing() as plain:
            deleted = erasing.erase_bodies(plain, "call", call_hashes, who=who, why=why, now_ns=now_ns)
            deleted += erasing.erase_bodies(plain, "job", job_hashes, who=who, why=why, now_ns=now_ns)
        self._scrub()
        return deleted

    @abstractmethod
    def _scrub(self) -> None:
        """Make sure that deleted bodies do not linger in the database's files."""

    # The record as a whole

    def attempts(self, call_hash: str) -> Sequence[tuple[int, Facts, bytes, bytes | None]]:
        with self._reading() as plain:
            return audits.select_attempts(plain, call_hash)

    def traces(self, call_hash: str, *, job_hash: str | None = None) -> Sequence[Trace]:
        with self._reading() as plain:
            return histories.select_traces(plain, call_hash, job_hash=job_hash, is_alive=self._is_alive)

    def truncated(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        with self._reading() as plain:
            return select_unsuccessful(plain, call_hashes, ("truncated",))

    def unsuccessful(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        with self._reading() as plain:
            return select_unsuccessful(plain, call_hashes, NO_SUCCESS)

    def unrecorded(self, job_hash: str | None = None) -> Iterator[Unrecorded]:
        """Pages of one short transaction each, so that a slow reader holds nobody up."""
        alive: dict[int, bool] = {}
        after_id = 0
        while True:
            with self._reading() as plain:
                page = audits.select_unrecorded(plain, job_hash=job_hash, after_id=after_id)
                unknown = {row.owner_id for row in page} - alive.keys()
                rows = {owner_id: owner_row(plain, owner_id) for owner_id in unknown}
            alive |= {owner_id: self._is_alive(row) for owner_id, row in rows.items()}
            for row in page:
                yield Unrecorded(
                    intent_id=row.id,
                    call_hash=row.call_hash,
                    job_hash=row.job_hash,
                    model=row.model,
                    intended_ns=row.intended_ns,
                    owner_alive=alive[row.owner_id],
                )
            if len(page) < audits.PAGE_ROWS:
                return
            after_id = page[-1].id

    def audit(self) -> LedgerAudit:
        with self._reading() as plain:
            return audits.audit(plain)

    def budget_state(self, keys: Sequence[str]) -> Mapping[str, BudgetState]:
        with self._reading() as plain:
            return spending.select_budgets(plain, keys)

    def usage(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Sequence[UsageRow]:
        with self._reading() as plain:
            return spending.select_usage(plain, since_ns=since_ns, until_ns=until_ns)

    def paid(self, job_hash: str) -> Iterator[PaidCall]:
        after_id = 0
        while True:
            with self._reading() as plain:
                page = spending.select_paid(plain, job_hash, after_id=after_id)
            yield from page.values()
            if len(page) < spending.PAGE_ROWS:
                return
            after_id = max(page)

    def late(self, job_hash: str) -> int:
        with self._reading() as plain:
            return audits.count_late(plain, job_hash)

    def spend(self, job_hashes: Sequence[str]) -> Mapping[str, Spend]:
        with self._reading() as plain:
            return dict(audits.select_spend(plain, job_hashes))
