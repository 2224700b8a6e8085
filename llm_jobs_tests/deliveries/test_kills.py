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

ROWS = 3_000
OUTPUT = DatabaseOutput(table="answers", connection="shop", database="shop", batch_size=7)
PROGRAM = """
import sys
from llm_jobs_tests.deliveries.test_kills import OUTPUT, SUBJECT, deliver
with open(sys.argv[1], "rb") as result:
    deliver(result, OUTPUT, SUBJECT, url=sys.argv[2])
"""


@pytest.mark.parametrize("batches", [1, 40, 200])
def test_a_delivery_that_is_killed_is_completed_by_the_next(url: str, tmp_path: Path, batches: int) -> None:
    result = tmp_path / "result.parquet"
    pq.write_table(numbered(ROWS), result)
    engine = sa.create_engine(url, poolclass=NullPool)
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(result), url])
    while delivered(engine) < batches:
        assert process.poll() is None
    process.send_signal(SIGKILL)
    process.wait()
    left = delivered(engine)
    assert left < ROWS / 7
    with result.open("rb") as stream:
        done = deliver(stream, OUTPUT, SUBJECT, url=url)
    assert int(str(done.details["batches written now"])) <= -(-ROWS // 7) - batches
    with engine.connect() as connection:
        counts = connection.execute(
            sa.text("SELECT count(*), count(DISTINCT llm_row), max(llm_row) FROM answers")
        ).one()
    engine.dispose()
    assert tuple(counts) == (ROWS, ROWS, ROWS - 1)


def delivered(engine: sa.Engine) -> int:
    """How many batches have a receipt; 0 before there is a table of receipts."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("llm_jobs_deliveries"):
            return 0
        return int(
            connection.execute(sa.text("SELECT count(*) FROM llm_jobs_deliveries WHERE batch >= 0")).scalar_one()
        )
