"""`llm-jobs compare`: answers of several jobs side by side, on the terminal and in files."""

from __future__ import annotations

import csv
import json
from typing import Any

import pyarrow.parquet as pq

from llm_jobs_tests.cli.house import ROWS, House, job

MORE = [*ROWS[::-1], {"id": 9, "text": "new"}]


def two_jobs(house: House) -> None:
    """The same three rows; of `small` one is unlike, and `large` has one more and another order."""
    house.answer(house.write("small.json", job("small", ROWS, text="Say: {{ text }}")))
    house.answer(house.write("large.json", job("large", MORE, text="Say: {{ 'BAD' if text == 'bad' else text }}")))


def summary(house: House, *arguments: str) -> dict[str, Any]:
    result = house.invoke("compare", *arguments, "--json")
    assert result.exit_code == 0, result.output
    [line] = result.stdout.splitlines()
    told: dict[str, Any] = json.loads(line)
    return told


def test_rows_are_the_same_differ_or_have_no_partner(house: House) -> None:
    two_jobs(house)
    told = summary(house, "small", "large")
    assert told["rows"] == 4
    assert told["outcomes"] == {"same": 2, "differs": 1, "only in large": 1}
    assert told["jobs"]["large"]["rows"] == 4
    assert told["jobs"]["small"]["cost_usd"] == 0


def test_the_table_has_a_line_for_each_and_the_summary_stands_apart(house: House) -> None:
    two_jobs(house)
    result = house.invoke("compare", "small", "large", "--on", "id")
    assert "said_small" in result.stdout
    assert "outcome" in result.stdout
    assert "2 same, 1 differs, 1 only in large" in result.stderr
    assert "small: 3 rows, $0" in result.stderr


def test_a_file_holds_every_row_with_types(house: House) -> None:
    two_jobs(house)
    result = house.invoke("compare", "small", "large", "--on", "id", "--out", "both.parquet")
    assert "4 rows in" in result.stdout
    table = pq.read_table(house.folder / "both.parquet")
    assert table.column_names == [
        "id",
        *(f"{name}_{label}" for label in ("small", "large") for name in ("said", "llm_status", "llm_cost_usd")),
        "outcome",
        "differs",
    ]
    rows = {row["id"]: row for row in table.to_pylist()}
    assert {key: row["differs"] for key, row in rows.items()} == {1: False, 2: True, 3: False, 9: None}
    assert rows[9]["said_small"] is rows[9]["llm_status_small"] is None
    assert rows[9]["llm_status_large"] == "succeeded"


def test_a_pipe_gets_the_table_and_nothing_else(house: House) -> None:
    two_jobs(house)
    result = house.invoke("compare", "small", "large", "--format", "csv")
    assert [row["text"] for row in csv.DictReader(result.stdout.splitlines())] == ["good", "bad", "so so", "new"]


def test_three_jobs_stand_side_by_side_and_two_of_one_name_are_told_apart(house: House) -> None:
    two_jobs(house)
    [other] = house.answer(house.write("again.json", job("small", ROWS[:1], text="Tell: {{ text }}")))
    [first] = house.accept(house.folder / "small.json")
    told = summary(house, first.hash, "large", other.job_hash)
    assert set(told["jobs"]) == {f"small {first.hash[:8]}", "large", f"small {other.job_hash[:8]}"}
    assert told["outcomes"][f"only in small {first.hash[:8]} and large"] == 2


def test_jobs_without_a_table_match_by_their_place(house: House) -> None:
    for name in ("one", "two"):
        pair = {"configuration": {"model": "simulated", "temperature": 0}, "prompt": f"Say {name}."}
        house.answer(house.write(f"{name}.json", pair))
    told = summary(house, "one.json", "two.json")
    assert (told["rows"], told["outcomes"]["same"]) == (1, 0)


def test_what_cannot_be_compared_is_refused_with_the_remedy(house: House) -> None:
    two_jobs(house)
    house.answer(house.write("other.json", job("other", [{"word": "x"}], text="Say: {{ word }}")))
    house.accept(house.write("unrun.json", job("unrun", ROWS, text="Never: {{ text }}")))
    for arguments, said in (
        (["small"], "name two jobs or more"),
        (["small", "small"], "is named twice"),
        (["small", "other"], "no input column in common"),
        (["small", "large", "--on", "key"], "there are: id, text, said"),
        (["small", "unrun"], "has no result yet; run it"),
        (["small", "nobody"], "no job with hash or name"),
        (["small", "large", "--format", "table", "--out", "x.csv"], "a table is for the terminal"),
    ):
        result = house.invoke("compare", *arguments)
        assert result.exit_code == 2
        assert said in result.stderr
