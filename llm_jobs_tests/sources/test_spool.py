"""The spool: rows that are read once come back exactly as they came, their types those of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from llm_jobs.errors import DocumentError
from llm_jobs.sources.freeze import FrozenInput, described
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.spool import Spool
from llm_jobs.sources.tables import Table
from llm_jobs.sources.types import DeclaredTypes
from llm_jobs_tests.sources.inputs import Row
from llm_jobs_tests.sources.test_freeze import ROWS, exactly


def spooled(rows: list[Row], folder: Path) -> FrozenInput:
    problems = Problems("here")
    with Spool(folder, DeclaredTypes({}, problems), problems) as spool:
        for row in rows:
            spool.add(dict(row))
        spool.write(folder / "1.parquet", {})
    return described(folder / "1.parquet")


def back(frozen: FrozenInput) -> list[Row]:
    table = Table(source=None, rows=frozen.rows, schema=frozen.schema, path=frozen.path)  # type: ignore[arg-type]
    return [row for batch in table.batches(batch_rows=2) for row in batch]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_rows_of_json_values_come_back_exactly(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    found = back(spooled(rows, tmp_path_factory.mktemp("rows")))
    assert [exactly(row) for row in found] == [exactly({name: row.get(name) for name in names}) for row in rows]


def test_integers_of_any_size_are_what_they_were(tmp_path: Path) -> None:
    rows: list[Row] = [{"a": [2**70, 1.5]}, {"a": [-(2**64)]}]
    assert [exactly(row) for row in back(spooled(rows, tmp_path))] == [exactly(row) for row in rows]


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    spooled([{"a": 1}], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["1.parquet"]
    with pytest.raises(DocumentError):
        spooled([{"a": 1}, {"a": "x"}], tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
