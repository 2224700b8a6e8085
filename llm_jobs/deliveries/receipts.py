"""Receipts in a database that results are delivered to: one row per batch, in the transaction that writes its rows.

A receipt is taken first and commits with the rows: of two processes that deliver one batch at once, the second waits
for the first and then finds it taken.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from llm_jobs.deliveries.subject import Subject
from llm_jobs.deliveries.values import Batch
from llm_jobs.documents.destinations import DatabaseOutput

RECEIPTS = "llm_jobs_deliveries"
BEGUN = -1  # the receipt that fixes how many rows a batch has


def receipts_table(output: DatabaseOutput) -> sa.Table:
    """The receipts' table, beside the table that the output names."""
    schema, _, _ = output.table.rpartition(".")
    return sa.Table(
        RECEIPTS,
        sa.MetaData(schema=schema or None),
        sa.Column("table_name", sa.Text(), primary_key=True),
        sa.Column("llm_job", sa.Text(), primary_key=True),
        sa.Column("llm_epoch", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("batch", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("first_row", sa.BigInteger(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at", sa.DateTime(), nullable=False, server_default=sa.func.now()),
    )


class Receipts:
    """The receipts of one result in one table."""

    def __init__(self, connection: sa.Connection, output: DatabaseOutput, subject: Subject) -> None:
        self._connection = connection
        self._table = receipts_table(output)
        self._of = {"table_name": output.table, "llm_job": subject.job_hash, "llm_epoch": subject.epoch_ns}

    def batch_rows(self, wanted: int) -> int:
        """How many rows a batch of this result has: as many as the first attempt wanted."""
        with self._connection.begin():
            self._insert(BEGUN, 0, wanted)
            stated = self._mine(self._table.c.row_count).where(self._table.c.batch == BEGUN)
            return int(self._connection.execute(stated).scalar_one())

    def done(self) -> set[int]:
        """The numbers of the batches that are delivered."""
        with self._connection.begin():
            numbers = self._mine(self._table.c.batch).where(self._table.c.batch != BEGUN)
            return {int(number) for number in self._connection.execute(numbers).scalars()}

    def take(self, batch: Batch) -> bool:
        """Write the receipt of a batch, in the transaction that is open; False where there is one."""
        return self._insert(batch.number, batch.first_row, batch.table.num_rows)

    def _insert(self, number: int, first_row: int, row_count: int) -> bool:
        is_sqlite = self._connection.dialect.name == "sqlite"
        insert = sqlite.insert(self._table) if is_sqlite else postgresql.insert(self._table)
        values = {**self._of, "batch": number, "first_row": first_row, "row_count": row_count}
        taken = insert.values(values).on_conflict_do_nothing().returning(self._table.c.batch)
        return self._connection.execute(taken).first() is not None

    def _mine(self, column: sa.Column[Any]) -> sa.Select[Any]:
        return sa.select(column).where(*(self._table.c[name] == value for name, value in self._of.items()))
