"""What a group, a split or a sweep makes of rows: rows in, other rows out, with the schema of what they show.

A row that failed before is not lost: split and sweep pass it on as it is, to be a failed row of the result, and a
group says how many of its rows are missing. Both travel in the row under names that no column can have.

Split and sweep stream. A group needs all rows: they are held as one Arrow table, the columns without the facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import GroupStep, SplitStep, SweepStep, TableStep
from llm_jobs.engine.failing import FALLBACK, NOT_ASKED
from llm_jobs.engine.levels import ROWS as ROWS
from llm_jobs.engine.stream import CARRIED, INCOMPLETE, MISSING, STOOD_IN
from llm_jobs.errors import DocumentError, Problem
from llm_jobs.pipelines.aggregates import GROUP, aggregated_field, aggregates_of, known_column, of_no_rows
from llm_jobs.results.columns import ERROR, PREFIX, STATUS

Row = dict[str, JsonValue]
MODELS = ".models"  # ends the name of a sweep over models, whose column says who answers the step that follows
_CHUNK = 16_384
_READ_ROWS = 1024
_GOES_ON = frozenset({None, "succeeded", FALLBACK})  # statuses of rows that the next table is made of


def shown_columns(fields: Iterable[pa.Field]) -> list[pa.Field]:
    """The columns of a table that are no facts."""
    return [field for field in fields if not field.name.startswith(PREFIX)]


def reshaped_schema(step: TableStep, before: Sequence[pa.Field]) -> list[pa.Field]:
    """The columns of the rows that `step` makes of rows with the columns `before` (facts left out). Raises
    DocumentError for a column that is not there."""
    by_name = {field.name: field for field in before}
    if isinstance(step, SweepStep):
        if not step.name.endswith(MODELS):
            _check_free(step.name, step.column, by_name)
        return [*(field for field in before if field.name != step.column), pa.field(step.column, _kind_of(step))]
    if isinstance(step, SplitStep):
        listed = known_column(step.name, step.column, by_name)
        others = [field for field in before if field.name != step.column]
        _check_free(step.name, step.name, {field.name: field for field in others})
        kind = listed.type.value_type if pa.types.is_list(listed.type) else pa.string()
        return [*others, pa.field(step.name, kind)]
    keys = [known_column(step.name, name, by_name) for name in step.by]
    return [*keys, *(aggregated_field(step, name, text, by_name) for name, text in step.aggregate.items())]


def _check_free(step: str, column: str, by_name: Mapping[str, pa.Field]) -> None:
    if column in by_name:
        problem = Problem(
            what=f"step {step} makes the column {column!r}, which its table has already",
            value=column,
            rule="each column has one name",
            remedy="choose another name",
        )
        raise DocumentError([problem])


def _kind_of(step: SweepStep) -> pa.DataType:
    try:
        kind = pa.array(list(step.values)).type
        if pa.types.is_floating(kind) and any(isinstance(value, bool) for value in step.values):
            raise pa.ArrowTypeError("true and false are no numbers")
        return kind
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        problem = Problem(
            what=f"the values of step {step.name} are not of one type: {error}",
            value=str(list(step.values))[:80],
            rule="a column has one type",
            remedy="write them as text, or give each kind a step of its own",
        )
        raise DocumentError([problem]) from None


def reshaped(step: TableStep, before: Sequence[pa.Field], rows: Iterable[Row], *, whole: bool = True) -> Iterator[Row]:
    """The rows that `step` makes of completed rows. `whole` False: nobody reads the rows of a group."""
    if isinstance(step, SweepStep):
        return _swept(step, rows)
    if isinstance(step, SplitStep):
        return _split(step, rows)
    return _grouped(step, before, rows, whole=whole)


def _carried(row: Row) -> Row | None:
    """A row that failed before, as it goes on; None for one that did not."""
    status = row.get(STATUS)
    if CARRIED in row or status in _GOES_ON:
        return row if CARRIED in row else None
    return {**_shown(row), CARRIED: [status, row.get(ERROR)]}


def _shown(row: Row) -> Row:
    """The columns that are no facts; what stands in for an answer goes with them."""
    shown = {name: value for name, value in row.items() if not name.startswith(PREFIX)}
    if row.get(STATUS) == FALLBACK:
        shown[STOOD_IN] = row.get(ERROR)
    return shown


def without_failures(rows: Iterable[Row], left_out: Callable[[Row], None]) -> Iterator[Row]:
    """The rows of a stored table less those that were asked and failed, each of which is told."""
    for row in rows:
        status = row.get(STATUS)
        if status in _GOES_ON or status in NOT_ASKED or status == INCOMPLETE:
            yield row
        else:
            left_out(row)


def _swept(step: SweepStep, rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        if (carried := _carried(row)) is not None:
            yield carried
            continue
        shown = _shown(row)
        for value in step.values:
            yield {**shown, step.column: value}


def _split(step: SplitStep, rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        if (carried := _carried(row)) is not None:
            yield carried
            continue
        shown = _shown(row)
        items = shown.pop(step.column, None)
        for item in items if isinstance(items, list) else []:
            yield {**shown, step.name: item}


def _grouped(step: GroupStep, before: Sequence[pa.Field], rows: Iterable[Row], *, whole: bool) -> Iterator[Row]:
    """Groups in the order in which their first rows came."""
    schema = pa.schema(before)
    numbers: dict[str, int] = {}
    missing: dict[int, int] = {}
    stood_in: dict[int, int] = {}
    keys: list[Row] = []
    chunks: list[pa.Table] = []
    taken = iter(rows)
    while chunk := list(islice(taken, _CHUNK)):
        kept, groups = [], []
        for row in chunk:
            key = {name: row.get(name) for name in step.by}
            text = repr(list(key.values()))
            number = numbers.setdefault(text, len(numbers))
            if number == len(keys):
                keys.append(key)
            if row.get(STATUS) in _GOES_ON and CARRIED not in row:
                kept.append(row)
                groups.append(number)
                if row.get(STATUS) == FALLBACK or STOOD_IN in row:
                    stood_in[number] = stood_in.get(number, 0) + 1
            else:
                missing[number] = missing.get(number, 0) + 1
        table = pa.Table.from_pylist(kept, schema=schema)
        chunks.append(table.append_column(GROUP, pa.array(groups, pa.int64())))
    if not step.by and not keys:
        keys.append({})
    if chunks or keys:
        for number, made in enumerate(_groups(step, keys, chunks, schema, whole=whole)):
            if number in missing:
                made[MISSING] = missing[number]
            if number in stood_in:
                made[STOOD_IN] = f"a fallback value stands in for an answer in {stood_in[number]} rows of the group"
            yield made


def _groups(
    step: GroupStep,
    keys: Sequence[Row],
    chunks: Sequence[pa.Table],
    schema: pa.Schema,
    *,
    whole: bool,
) -> Iterator[Row]:
    empty = schema.append(pa.field(GROUP, pa.int64())).empty_table()
    table = pa.concat_tables([*chunks, empty]).sort_by(GROUP) if whole else pa.concat_tables([*chunks, empty])
    sizes = dict.fromkeys(range(len(keys)), 0)
    for counted in table.group_by(GROUP, use_threads=False).aggregate([([], "count_all")]).to_pylist():
        sizes[counted[GROUP]] = counted["count_all"]
    aggregates = aggregates_of(step, table)
    place = 0
    for number, key in enumerate(keys):
        made: Row = {**key, **aggregates.get(number, of_no_rows(step))}
        if whole:
            made[ROWS] = table.slice(place, sizes[number]).drop_columns([GROUP]).to_pylist()
            place += sizes[number]
        yield made


def stored_rows(stream: BinaryIO) -> Iterator[Row]:
    """The rows of a stored table, facts included. Streams."""
    for batch in pq.ParquetFile(stream).iter_batches(batch_size=_READ_ROWS):
        yield from batch.to_pylist()
