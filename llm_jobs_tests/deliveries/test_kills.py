"""A delivery that is killed between two batches, or within one, leaves each row once when it is repeated."""

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
import sys
from llm_jobs_tests.deliveries.test_kills import OUTPUT, SUBJECT, deliver
with open(sys.argv[1], "rb") as result:
    deliver(result, OUTPUT, SUBJECT, url=sys.argv[2])
"""


@pytest.mark.parametrize("batches", [1, 20, 60])
def test_a_delivery_that_is_killed_is_completed_by_the_next(url: str, tmp_path: Path, batches: int) -> None:
    result = tmp_path / "result.parquet"
    pq.write_table(numbered(ROWS), result)
    engine = sa.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(result), url])
        while not sa.inspect(connection).has_table("llm_jobs_deliveries") or delivered(connection) < batches:
            assert process.poll() is None
        process.send_signal(SIGKILL)
        process.wait()
        left = delivered(connection)
    assert left < ROWS / BATCH_ROWS
    with result.open("rb") as stream:
        done = deliver(stream, OUTPUT, SUBJECT, url=url)
    assert int(str(done.details["batches written now"])) <= ROWS // BATCH_ROWS - batches
    with engine.connect() as connection:
        counts = connection.execute(
            sa.text("SELECT count(*), count(DISTINCT llm_row), max(llm_row) FROM answers")
        ).one()
    engine.dispose()
    assert tuple(counts) == (ROWS, ROWS, ROWS - 1)


def delivered(connection: sa.Connection) -> int:
    """How many batches have a receipt."""
    counted = sa.text("SELECT count(*) FROM llm_jobs_deliveries WHERE batch >= 0")
    return int(connection.execute(counted).scalar_one())
