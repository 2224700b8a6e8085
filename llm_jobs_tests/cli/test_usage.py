"""`llm-jobs usage`."""

from __future__ import annotations

import pytest

from llm_jobs_tests.cli.house import ROWS, House, facts, job


@pytest.fixture
def used(house: House) -> House:
    """Three calls for `reviews`, which `fewer` reuses."""
    house.answer(house.write("reviews.yaml", job("reviews", ROWS, labels={"team": "red"})))
    house.answer(house.write("fewer.yaml", job("fewer", ROWS[:2])))
    return house


def test_who_asked_first_pays_and_who_reused_does_not(used: House) -> None:
    result = used.invoke("usage", "--by", "job", "--json")
    assert result.exit_code == 0
    lines = {line["job"]: line for line in facts(result.output)}
    assert (lines["reviews"]["calls"], lines["reviews"]["cost_usd"]) == (3, 0.0)
    assert (lines["fewer"]["calls"], lines["fewer"]["calls_reused"]) == (0, 2)


def test_a_table_has_a_total_and_one_by_label_none(used: House) -> None:
    by_job = used.invoke("usage", "--by", "job").output
    assert "total" in by_job
    by_label = used.invoke("usage", "--by", "label").output
    assert "team=red" in by_label
    assert "(no label)" in by_label
    assert "total" not in by_label


def test_several_groupings_are_columns(used: House) -> None:
    [line] = facts(used.invoke("usage", "--by", "day", "--by", "model", "--json").output)
    assert list(line)[:2] == ["day", "model"]
    assert line["model"] == "simulated"
    assert line["calls_reused"] is None


def test_days_beyond_all_times_bound_nothing(used: House) -> None:
    options = ("--since", "0001-01-01", "--until", "9999-12-31")
    [line] = facts(used.invoke("usage", *options, "--json").output)
    assert line["calls"] == 3
    assert "Nothing was used" in used.invoke("usage", "--until", "0001-01-01").output


def test_days_bound_what_is_summed(used: House) -> None:
    nothing = used.invoke("usage", "--since", "2030-01-01")
    assert nothing.exit_code == 0
    assert nothing.output.startswith("Nothing was used since 2030-01-01")
    assert used.invoke("usage", "--until", "2020-01-01", "--since", "2019-01-01", "--json").output == ""
    assert used.invoke("usage", "--since", "yesterday").exit_code == 2
