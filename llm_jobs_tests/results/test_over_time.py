"""Latency and cost of a result over time."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from llm_jobs.events import ignore
from llm_jobs.results import columns
from llm_jobs.results.base import ResultStore
from llm_jobs.results.columns import FACTS
from llm_jobs.results.layout import result_path
from llm_jobs.results.opening import open_store
from llm_jobs.results.over_time import over_time
from llm_jobs.results.writing import ResultWriter

START_US = 1_800_000_000_000_000


def row(
    second: float, *, latency_s: float | None = 0.5, cost_usd: float | None = 0.01, reused: bool = False
) -> dict[str, object]:
    return {
        columns.STATUS: "succeeded",
        columns.LATENCY_S: latency_s,
        columns.COST_USD: cost_usd,
        columns.REUSED: reused,
        columns.ANSWERED_AT: START_US + int(second * 1e6),
    }


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return open_store(str(tmp_path), emit=ignore)


def written(store: ResultStore, rows: list[dict[str, object]]) -> str:
    path = result_path("a" * 32, 1)
    with ResultWriter(store, path, pa.schema(FACTS)) as writer:
        writer.write(rows)
        writer.close()
    return path


def test_rows_are_told_by_the_time_of_their_answers(store: ResultStore) -> None:
    rows = [row(second / 10, latency_s=1.0 + second // 50) for second in range(100)]
    first, second = over_time(store, written(store, rows[::-1]), most_slices=2)
    assert (first.rows, second.rows) == (50, 50)
    assert (first.p50_s, second.p50_s) == (1.0, 2.0)
    assert first.cost_usd == pytest.approx(0.5)
    assert first.start_s == START_US / 1e6
    assert second.start_s - first.start_s == pytest.approx(4.95, abs=0.01)


def test_what_was_reused_or_never_answered_is_left_out(store: ResultStore) -> None:
    rows = [row(-1e6, reused=True), row(0.0), {columns.STATUS: "invalid_input", columns.REUSED: True}]
    [only] = over_time(store, written(store, rows))
    assert (only.rows, only.start_s) == (1, START_US / 1e6)


def test_what_is_not_known_is_not_nought(store: ResultStore) -> None:
    [only] = over_time(store, written(store, [row(0.0, latency_s=None, cost_usd=None)]))
    assert (only.p50_s, only.p95_s, only.cost_usd) == (None, None, None)


def test_a_result_that_bought_nothing_has_no_slices(store: ResultStore) -> None:
    assert over_time(store, written(store, [row(0.0, reused=True)])) == []


def test_time_in_which_nothing_was_answered_is_a_slice_as_well(store: ResultStore) -> None:
    slices = over_time(store, written(store, [row(0.0), row(10.0)]), most_slices=5)
    assert [each.rows for each in slices] == [1, 0, 0, 0, 1]
    assert (slices[2].p50_s, slices[2].cost_usd) == (None, None)


def test_there_are_no_more_slices_than_asked_for(store: ResultStore) -> None:
    slices = over_time(store, written(store, [row(float(second)) for second in range(1000)]))
    assert len(slices) == 60
    assert sum(each.rows for each in slices) == 1000
