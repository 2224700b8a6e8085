"""A result in figures: counted as they are written, for results of every size."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.events import ignore
from llm_jobs.results import columns
from llm_jobs.results.columns import FACTS
from llm_jobs.results.layout import result_path
from llm_jobs.results.opening import open_store
from llm_jobs.results.survey import Survey, survey
from llm_jobs.results.writing import ResultWriter

STATUSES = st.lists(st.sampled_from(["succeeded", "failed", "refused"]), max_size=60)


def surveyed(folder: Path, rows: list[dict[str, Any]]) -> Survey:
    store, path = open_store(str(folder), emit=ignore), result_path("a" * 32, 1)
    with ResultWriter(store, path, pa.schema(FACTS)) as writer:
        writer.write(rows)
        writer.close()
    return survey(store, path)


@given(STATUSES, st.integers(1, 9), st.integers(1, 12))
def test_every_row_is_counted_once_wherever_it_lies(statuses: list[str], most: int, slices: int) -> None:
    with TemporaryDirectory() as folder:
        found = surveyed(Path(folder), [{columns.STATUS: status} for status in statuses])
        assert found.statuses() == Counter(statuses)
        for status, by_place in found.statuses_by_place(slices).items():
            width = found.slice_rows(slices)
            assert by_place == [
                statuses[start : start + width].count(status) for start in range(0, len(statuses), width)
            ]
            assert found.numbers(status, most) == [n for n, each in enumerate(statuses) if each == status][:most]


def test_what_failed_comes_first_and_the_most_of_it(tmp_path: Path) -> None:
    statuses = ["succeeded"] * 5 + ["refused"] + ["failed"] * 2
    assert list(surveyed(tmp_path, [{columns.STATUS: status} for status in statuses]).statuses()) == [
        "failed",
        "refused",
        "succeeded",
    ]


def test_sums_of_nothing_known_are_not_zero(tmp_path: Path) -> None:
    found = surveyed(tmp_path, [{columns.STATUS: "failed"}])
    assert found.total(columns.COST_USD) is None
    assert found.quantiles(columns.LATENCY_S, [0.5]) is None
    assert found.unknown(columns.COST_USD) == 1
    assert found.models() == {}


def test_values_are_summed_and_counted_by_bucket_and_by_place(tmp_path: Path) -> None:
    rows = [
        {columns.STATUS: "succeeded", columns.LATENCY_S: each, columns.COST_USD: 1.0} for each in (0.0, 0.4, 0.5, 9.0)
    ]
    found = surveyed(tmp_path, [*rows, {columns.STATUS: "failed"}])
    assert found.total(columns.COST_USD) == 4.0
    assert found.histogram(columns.LATENCY_S, width=0.5, buckets=3) == [2, 1, 1]
    assert found.totals_by_place(columns.COST_USD, 2) == [2.0, 2.0, None]
    assert found.quantiles(columns.LATENCY_S, [0.0, 1.0]) == [0.0, 9.0]


@pytest.mark.parametrize("rows", [[], [{columns.STATUS: "succeeded"}]])
def test_the_smallest_results_have_figures_too(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    found = surveyed(tmp_path, rows)
    assert found.rows == len(rows)
    assert found.histogram(columns.LATENCY_S, width=1.0, buckets=2) == [0, 0]
    assert found.totals_by_place(columns.COST_USD, 1) == [None] * len(rows)
