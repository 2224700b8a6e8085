"""Delivers a result to a table of SQLite or PostgreSQL, batch by batch, each row once however often it is repeated.

Invariant: the rows of a batch and its receipt, a row of `llm_jobs_deliveries` beside the table, are one transaction.
A process that is killed at any moment leaves whole batches with their receipts, and whoever repeats the delivery
writes the others; two that deliver at once wait for each other batch by batch. How many rows a batch has is fixed by
the first attempt at a result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, BinaryIO

import psycopg
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import NullPool

from llm_jobs.deliveries.reading import opened
from llm_jobs.deliveries.receipts import Receipts, receipts_table
from llm_jobs.deliveries.subject import Delivered, Subject
from llm_jobs.deliveries.tables import Layout, fitting_table, layout_of, new_table
from llm_jobs.deliveries.values import Batch, batches_of, rows_of, to_json
from llm_jobs.documents.destinations import DatabaseOutput
from llm_jobs.errors import DeliveryError, DeliveryRefused, SetupError

STATUS = "llm_status"
SUCCEEDED = "succeeded"
BUSY_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10
_DIALECTS = ("sqlite", "postgresql")
# States that a repetition may change: connections, resources, interventions, deadlocks and serialisation; of SQLite,
# locks and what the disk says.
_TRANSIENT = re.compile(r"08|53|57|40|55P03|SQLITE_(?:BUSY|LOCKED|FULL|IOERR|CANTOPEN)")
_QUOTED = re.compile(r'"[^"]*"')


def deliver(result: BinaryIO, output: DatabaseOutput, subject: Subject, *, url: str) -> Delivered:
    """Write `result`, a stored Parquet file, to the table. `url` has its credentials.

    Raises DeliveryRefused for a table that does not fit, before anything is written; SetupError for a database that is
    neither SQLite nor PostgreSQL; DeliveryError where it cannot be reached.
    """
    engine = _engine(url, output)
    try:
        return _deliver(result, output, subject, engine)
    except (exc.SQLAlchemyError, psycopg.Error) as error:
        raised = _error_of(output, error)
    finally:
        engine.dispose()
    raise raised  # out here: the cause may hold values of rows


def _deliver(result: BinaryIO, output: DatabaseOutput, subject: Subject, engine: sa.Engine) -> Delivered:
    file = opened(result)
    layout = layout_of(file.schema_arrow, output)
    _check_keys(file, output)
    with engine.connect() as connection:
        table = _table(connection, layout, output)
        receipts = Receipts(connection, output, subject)
        rows = receipts.batch_rows(output.batch_size)
        done = receipts.done()
        for batch in batches_of(file, rows=rows, but=done):
            _write(connection, receipts, table, layout, output, subject, batch)
        written = len(receipts.done()) - len(done)
    return Delivered(
        destination=output.place,
        rows=int(file.metadata.num_rows),
        is_new=bool(written),
        details={"batches": len(done) + written, "batches written now": written},
    )


def _engine(url: str, output: DatabaseOutput) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        dialect = parsed.get_backend_name()
        if dialect not in _DIALECTS:
            raise SetupError(f"{output.place}: results go to SQLite and PostgreSQL, and not to {dialect}")
        timeouts = {"timeout": BUSY_TIMEOUT_S} if dialect == "sqlite" else {"connect_timeout": CONNECT_TIMEOUT_S}
        return sa.create_engine(
            parsed, poolclass=NullPool, hide_parameters=True, json_serializer=to_json, connect_args=timeouts
        )
    except (exc.ArgumentError, exc.NoSuchModuleError, ImportError):
        problem = f"{output.place}: the connection is no URL of SQLite or PostgreSQL; write postgresql://user@host/name"
    raise SetupError(problem)  # out here: the cause may hold the URL


def _check_keys(file: pq.ParquetFile, output: DatabaseOutput) -> None:
    """Raise DeliveryRefused where a row of an upsert has no value in its key: before anything is written."""
    if output.mode != "upsert":
        return
    seen = 0
    for batch in file.iter_batches(columns=list(output.key)):
        for name in output.key:
            if (column := batch.column(name)).null_count:
                row = seen + pc.index(pc.is_null(column), True).as_py()
                raise DeliveryRefused(f"row {row} has no value in {name}, a key of the table {output.table}")
        seen += batch.num_rows


def _table(connection: sa.Connection, layout: Layout, output: DatabaseOutput) -> sa.Table:
    """The table and that of the receipts, made where they are not there."""
    receipts = receipts_table(output)
    _make(connection, receipts)
    schema, _, name = output.table.rpartition(".")
    with connection.begin():
        if sa.inspect(connection).has_table(name, schema=schema or None):
            return fitting_table(layout, output, connection)
    table = new_table(layout, output, connection.dialect.name)
    # Receipts of a table that is gone tell nothing of the one that is made.
    _make(connection, table, before=sa.delete(receipts).where(receipts.c.table_name == output.table))
    with connection.begin():
        return fitting_table(layout, output, connection)


def _make(connection: sa.Connection, table: sa.Table, *, before: sa.Delete | None = None) -> None:
    """Make `table` unless it is there; another process may be faster."""
    try:
        with connection.begin():
            if sa.inspect(connection).has_table(table.name, schema=table.schema):
                return
            if before is not None:
                connection.execute(before)
            table.create(connection, checkfirst=False)
    except (exc.ProgrammingError, exc.OperationalError, exc.IntegrityError):
        with connection.begin():
            if not sa.inspect(connection).has_table(table.name, schema=table.schema):
                raise


def _write(
    connection: sa.Connection,
    receipts: Receipts,
    table: sa.Table,
    layout: Layout,
    output: DatabaseOutput,
    subject: Subject,
    batch: Batch,
) -> None:
    dialect = connection.dialect.name
    rows = rows_of(batch, layout, subject, names=table.c.keys(), dialect=dialect)
    with connection.begin():
        if not receipts.take(batch):
            return  # another process delivered it meanwhile
        if output.mode == "append":
            _insert(connection, table, rows)
            return
        good, failed = _by_key(rows, batch, output.key)
        for some, replaces in ((good, True), (failed, False)):
            if some:
                connection.execute(_upsert(table, output.key, dialect, replaces=replaces), some)


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Rows at the end of the table; to PostgreSQL by COPY, which takes a third of the time of inserts."""
    if connection.dialect.name == "sqlite":
        connection.execute(sa.insert(table), rows)
        return
    where = sql.Identifier(*filter(None, (table.schema, table.name)))
    columns = sql.SQL(", ").join([sql.Identifier(column.name) for column in table.c])
    command = sql.SQL("COPY {} ({}) FROM STDIN").format(where, columns)
    nested = [column.name for column in table.c if isinstance(column.type, sa.JSON)]
    names = table.c.keys()
    with connection.connection.cursor().copy(command) as copy:
        for row in rows:
            for name in nested:
                row[name] = None if row[name] is None else to_json(row[name])
            copy.write_row([row[name] for name in names])


def _by_key(
    rows: Sequence[dict[str, Any]], batch: Batch, key: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows that were answered, of equal keys the last, and the others with a key that none of those has."""
    has_status = STATUS in batch.table.schema.names
    statuses = batch.table.column(STATUS).to_pylist() if has_status else [SUCCEEDED] * len(rows)
    good: dict[tuple[object, ...], dict[str, Any]] = {}
    failed: dict[tuple[object, ...], dict[str, Any]] = {}
    for row, status in zip(rows, statuses, strict=True):
        (good if status == SUCCEEDED else failed)[tuple(row[name] for name in key)] = row
    return list(good.values()), [row for values, row in failed.items() if values not in good]


def _upsert(table: sa.Table, key: Sequence[str], dialect: str, *, replaces: bool) -> sa.Insert:
    """A row that failed replaces none that is there: what is there may be the answer of an earlier day."""
    insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    columns = table.c.keys()
    others = {name: insert.excluded[name] for name in columns if name not in key}
    if replaces and others:
        return insert.on_conflict_do_update(index_elements=[table.c[name] for name in key], set_=others)
    return insert.on_conflict_do_nothing(index_elements=[table.c[name] for name in key])


def _error_of(output: DatabaseOutput, error: exc.SQLAlchemyError | psycopg.Error) -> DeliveryError:
    """What a database said, in words of the project: without parameters, values or credentials."""
    orig = error.orig if isinstance(error, exc.DBAPIError) else error
    state = getattr(orig, "sqlstate", None) or getattr(orig, "sqlite_errorname", None) or ""
    text = str(getattr(getattr(orig, "diag", None), "message_primary", None) or orig)
    said = next(iter(text.splitlines()), type(orig).__name__)
    if state.startswith("22"):  # what is wrong with a value quotes the value
        said = _QUOTED.sub('"…"', said)
    is_cut_off = not state and isinstance(error, exc.OperationalError | psycopg.OperationalError)
    if is_cut_off or _TRANSIENT.match(state):
        return DeliveryError(f"{output.place} cannot be written now: {said}; what it took has a receipt there")
    return DeliveryRefused(f"{output.place} does not take the result: {said}; correct the table, its rights or the job")
