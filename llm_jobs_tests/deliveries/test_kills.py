"""A delivery that is killed, at any moment or just before a commit, leaves each row once when it is repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from signal import SIGKILL

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from llm_jobs.deliveries.databases import deliver
from llm_jobs.documents.destinations import DatabaseOutput
from llm_jobs_tests.deliveries.results import SUBJECT, numbered

ROWS = 6_000
BATCH_ROWS = 25
OUTPUT = DatabaseOutput(table="answers", connection="shop", database="shop", batch_size=BATCH_ROWS)
PROGRAM = """
import itertools, os, signal, sys
import sqlalchemy as sa
from llm_jobs_tests.deliveries.test_kills import OUTPUT, SUBJECT, deliver

commits = itertools.count(1)

@sa.event.listens_for(sa.Engine, "commit")
def die(connection):
    if next(commits) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

with open(sys.argv[1], "rb") as result:
    deliver(result, OUTPUT, SUBJECT, url=sys.argv[2])
"""
NEVER = 0


def stored_at(folder: Path, rows: int) -> Path:
    pq.write_table(numbered(rows), folder / "result.parquet")
    return folder / "result.parquet"


def program(result: Path, url: str, *, dies_at_commit: int) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(result), url, str(dies_at_commit)]


def complete(result: Path, url: str) -> int:
    """Deliver what is left; how many batches that were."""
    with result.open("rb") as stream:
        return int(str(deliver(stream, OUTPUT, SUBJECT, url=url).details["batches written now"]))


@pytest.mark.parametrize("commit", [1, 3, 5, 7, 8, 9])
def test_a_delivery_that_dies_before_a_commit_is_completed_by_the_next(url: str, tmp_path: Path, commit: int) -> None:
    result = stored_at(tmp_path, 8 * BATCH_ROWS)
    died = subprocess.run(program(result, url, dies_at_commit=commit), check=False)
    assert died.returncode == -SIGKILL
    complete(result, url)
    assert counts(url) == (8 * BATCH_ROWS, 8 * BATCH_ROWS, 8 * BATCH_ROWS - 1)


@pytest.mark.parametrize("batches", [1, 60])
def test_a_delivery_that_is_killed_is_completed_by_the_next(url: str, tmp_path: Path, batches: int) -> None:
    result = stored_at(tmp_path, ROWS)
    engine = sa.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        process = subprocess.Popen(program(result, url, dies_at_commit=NEVER))
        while not sa.inspect(connection).has_table("llm_jobs_deliveries") or delivered(connection) < batches:
            assert process.poll() is None
        process.send_signal(SIGKILL)
        process.wait()
        left = delivered(connection)
    engine.dispose()
    assert left < ROWS / BATCH_ROWS
    assert complete(result, url) == ROWS // BATCH_ROWS - left
    assert counts(url) == (ROWS, ROWS, ROWS - 1)


def counts(url: str) -> tuple[int, ...]:
    """How many rows the table has, how many different ones, and the last."""
    engine = sa.create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        counted = sa.text("SELECT count(*), count(DISTINCT llm_row), max(llm_row) FROM answers")
        found = tuple(connection.execute(counted).one())
    engine.dispose()
    return found


def delivered(connection: sa.Connection) -> int:
    """How many batches have a receipt."""
    counted = sa.text("SELECT count(*) FROM llm_jobs_deliveries WHERE batch >= 0")
    return int(connection.execute(counted).scalar_one())
