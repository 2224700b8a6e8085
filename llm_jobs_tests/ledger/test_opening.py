"""Opening a ledger: which database, in what state, and what is said when it cannot be used."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from llm_jobs.clock import SetClock
from llm_jobs.errors import SetupError
from llm_jobs.ledger.append_only import Dialect
from llm_jobs.ledger.base import JobChange, Ledger
from llm_jobs.ledger.migrations import LATEST, VERSIONS_TABLE, migrations
from llm_jobs.ledger.opening import NETWORK_FILE_SYSTEMS, file_system, open_ledger
from llm_jobs.ledger.sqlite import SqliteLedger
from llm_jobs_tests.ledger.material import Asker
from llm_jobs_tests.servers.postgres import PostgresServer

MOUNTS = [("/", "ext4"), ("/home", "nfs4"), ("/home/ada/local", "xfs"), ("/mnt/s", "fuse.sshfs"), ("/mnt/s", "tmpfs")]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/data", "ext4"),
        ("/homes", "ext4"),
        ("/home/ada", "nfs4"),
        ("/home/ada/local/data", "xfs"),
        ("/mnt/s/data", "tmpfs"),
    ],
)
def test_the_file_system_is_that_of_the_innermost_and_latest_mount(folder: str, kind: str) -> None:
    assert file_system(Path(folder), MOUNTS) == kind


def test_network_file_systems_are_known() -> None:
    assert {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs"} <= NETWORK_FILE_SYSTEMS
    assert not {"ext4", "xfs", "btrfs", "overlay", "apfs", "tmpfs", "zfs"} & NETWORK_FILE_SYSTEMS


def test_a_ledger_on_a_network_file_system_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"network file system \(nfs4\).*LLM_JOBS_DATABASE_URL"):
        open_ledger(
            f"sqlite:///{tmp_path / 'ledger.db'}", clock=SetClock(1), mounts=lambda: [("/", "ext4"), ("/", "nfs4")]
        )
    assert not (tmp_path / "ledger.db").exists()


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    open_ledger(f"sqlite:///{tmp_path / 'new' / 'home' / 'ledger.db'}", clock=SetClock(1)).close()

    assert (tmp_path / "new" / "home" / "ledger.db").exists()


def test_what_is_recorded_is_there_when_the_ledger_is_opened_again(shared_url: str) -> None:
    first = open_ledger(shared_url, clock=SetClock(1))
    Asker(first).answer("a")
    first.close()

    again = open_ledger(shared_url, clock=SetClock(1))

    assert again.look_up(["a"])["a"].answer == b"hi"
    again.close()


def test_every_commit_of_a_ledger_in_a_file_is_synced(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db", clock=SetClock(1))

    with ledger._borrowed() as other:
        for connection in (ledger._hot, other):
            settings = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
            assert settings == ["wal", 2]
    ledger.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://root@localhost/x", "cannot be kept in 'mysql'"),
        ("not a url", "cannot be read"),
        ("postgresql:/ada:hunter2@host", "cannot be read"),
        ("postgresql://ada:pass@hunter2@host/x", "more than one @"),
        ("postgresql://ada:pass@hunter2/1@host/x", "more than one @"),
        ("postgresql://ada:pass@host:hunter2@host/x", "cannot be read"),
    ],
)
def test_a_url_that_names_no_ledger_is_refused_without_being_repeated(url: str, message: str) -> None:
    with pytest.raises(SetupError, match=message) as caught:
        open_ledger(url, clock=SetClock(1))

    assert "hunter2" not in str(caught.value)


def test_the_url_that_a_ledger_shows_holds_no_credentials(postgres: PostgresServer) -> None:
    url = postgres.create_database("credentials").replace("tester@", "tester:hunter2@")

    ledger = open_ledger(f"{url}?application_name=hunter2", clock=SetClock(1))

    assert ledger.url == f"postgresql://127.0.0.1:{postgres.port}/credentials"
    ledger.close()


def test_a_server_that_is_not_there_is_a_setup_error(postgres: PostgresServer) -> None:
    with pytest.raises(SetupError, match="check that it runs"):
        open_ledger("postgresql://ada@127.0.0.1:1/none", clock=SetClock(1))


def test_a_file_that_is_no_database_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"text, not a database" * 100)

    with pytest.raises(SetupError, match="not an intact ledger"):
        open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=SetClock(1))


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    open_ledger(url, clock=SetClock(1)).close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("INSERT INTO schema_versions VALUES (?, 'later', 1)", (LATEST + 1,))
    connection.close()

    with pytest.raises(SetupError, match="upgrade llm-jobs"):
        open_ledger(url, clock=SetClock(1))


def test_a_full_disk_is_a_setup_error_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db", clock=SetClock(1))
    ledger.migrate()
    asker = Asker(ledger)
    asker.answer("a")
    pages = ledger._hot.execute("PRAGMA page_count").fetchone()[0]
    ledger._hot.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(SetupError, match="disk is full"):
        asker.ask(*(f"call-{number}" for number in range(5000)))

    assert ledger.audit().intents == 1
    ledger._hot.execute("PRAGMA max_page_count = 1000000")
    assert set(asker.ask("b").granted) == {"b"}
    ledger.close()


def test_a_lost_connection_is_a_setup_error_and_the_next_exchange_connects_again(postgres: PostgresServer) -> None:
    ledger = open_ledger(postgres.create_database("lost"), clock=SetClock(1))
    asker = Asker(ledger)
    asker.answer("a")
    end_connections(postgres)

    with pytest.raises(SetupError, match="check that it runs"):
        asker.ask("b")

    assert ledger.look_up(["a"])["a"].answer == b"hi"
    assert set(asker.ask("b").granted) == {"b"}
    ledger.close()


def end_connections(postgres: PostgresServer) -> None:
    """End every connection but this one, as a server does that is restarted."""
    engine = create_engine(postgres.url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    engine.dispose()


def columns(url: str) -> dict[str, list[str]]:
    """The columns of each table of a new ledger."""
    open_ledger(url, clock=SetClock(1)).close()
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    inspector = inspect(engine)
    tables = set(inspector.get_table_names()) - {"sqlite_sequence"}
    found = {table: [str(column["name"]) for column in inspector.get_columns(table)] for table in tables}
    engine.dispose()
    return found


def test_both_databases_have_the_same_tables_and_columns(tmp_path: Path, postgres_url: str) -> None:
    found = columns(f"sqlite:///{tmp_path / 'ledger.db'}")

    assert {"submissions", "intents", "outcomes", "answers", "claims"} <= found.keys()
    assert found == columns(postgres_url)


def test_migrating_again_changes_nothing(ledger: Ledger) -> None:
    Asker(ledger).answer("a")

    ledger.migrate()

    assert set(ledger.look_up(["a"])) == {"a"}


def make_version_1(url: str) -> None:
    """A ledger as the first release made it, with a submission and a call in flight."""
    dialect: Dialect = "sqlite" if url.startswith("sqlite") else "postgresql"
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        for statement in (VERSIONS_TABLE, *migrations(dialect)[0].statements):
            connection.exec_driver_sql(statement)
        for statement in (
            "INSERT INTO schema_versions VALUES (1, 'records and claims', 1)",
            "INSERT INTO submissions (id, job_hash, name, document_name, submitter, origin, labels, submitted_ns)"
            " VALUES (9, 'j', 'reviews', 'reviews.yaml', 'ada', 'cli', '{}', 1)",
            "INSERT INTO owners (id, host, boot_id, pid, started, opened_ns, heartbeat_ns)"
            " VALUES (9, 'elsewhere', 'b', 1, 1.0, 1, 4000000000000000000)",
            "INSERT INTO intents (id, call_hash, job_hash, submission_id, owner_id, provider, model, attempt,"
            " intended_ns) VALUES (9, 'a', 'j', 9, 9, 'openai', 'openai/m', 1, 1)",
            "INSERT INTO claims VALUES ('a', 9, 9)",
        ):
            connection.exec_driver_sql(statement)
        if dialect == "postgresql":
            for sequence in ("intent_ids", "owners_id_seq", "submissions_id_seq"):
                connection.exec_driver_sql(f"SELECT setval('{sequence}', 9)")
    engine.dispose()


def test_a_ledger_of_the_first_version_is_upgraded_with_what_it_holds(shared_url: str) -> None:
    make_version_1(shared_url)

    ledger = open_ledger(shared_url, clock=SetClock(1))

    asker = Asker(ledger)
    assert asker.ask("a").busy == {"a": 9}
    ledger.close_owner(9)
    assert asker.answer("a") > 9
    assert [row.intent_id for row in ledger.unrecorded()] == [9]
    assert [item.name for item in ledger.submissions(job_hash="j")] == ["reviews"]
    assert ledger.record_change(JobChange(job_hash="j", field="priority", value="hot", who="ada")) > 0
    ledger.close()


def test_the_driver_of_postgresql_is_loaded_only_where_it_is_used() -> None:
    code = (
        "import sys; from llm_jobs.clock import WallClock; from llm_jobs.ledger.opening import open_ledger;"
        "open_ledger('sqlite://', clock=WallClock()); assert 'psycopg' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("dialect", "version", "digest"),
    [
        ("sqlite", 1, "19b16cad1dd362a3072e741578d2e681"),
        ("postgresql", 1, "7ce10e26ed377afdcfee367b9bd950f2"),
        ("sqlite", 2, "21d79ba051a4620672e71268abe84f23"),
        ("postgresql", 2, "f7e9655a50f1328373a0042d22e92590"),
    ],
)
def test_a_migration_never_changes_once_released(dialect: Dialect, version: int, digest: str) -> None:
    [statements] = [found.statements for found in migrations(dialect) if found.version == version]

    assert hashlib.sha256("\n".join(statements).encode()).hexdigest()[:32] == digest
