"""Pipelines and jobs that wait, on the command line."""

from __future__ import annotations

from llm_jobs_tests.cli.house import House, facts
from llm_jobs_tests.operations.launching import document
from llm_jobs_tests.operations.test_dependencies import BROKEN, asked

CHAIN = "pipeline:\n  name: nightly\n  jobs:\n    - first\n    - second\n"


def write_two(house: House, *sections: str) -> None:
    house.write("first.yaml", document("first", *sections, text=asked("French") if sections else "Name a colour."))
    house.write("second.yaml", document("second", text="Name a fruit."))


def test_a_pipeline_beside_its_documents_runs_in_order(house: House) -> None:
    write_two(house)
    house.write("nightly.yaml", CHAIN)
    result = house.invoke("run", "nightly.yaml", "--json")
    assert result.exit_code == 0, result.output
    assert [(fact["name"], fact["status"]) for fact in facts(result.stdout)] == [("first", "done"), ("second", "done")]


def test_where_a_job_of_it_fails_the_rest_is_told_and_the_exit_code_says_so(house: House) -> None:
    write_two(house, BROKEN)
    house.write("nightly.yaml", CHAIN)
    result = house.invoke("run", "nightly.yaml", "--json")
    assert result.exit_code == 1
    assert "second is not started: it waits for first (" in result.stderr
    status = house.invoke("status")
    assert "second is gated: it waits for first" in status.stdout
    assert house.invoke("status", "second").stdout.startswith("name          second")


def test_a_pipeline_is_checked_and_placed_in_the_inbox(house: House) -> None:
    write_two(house)
    house.write("nightly.yaml", CHAIN)
    (placed,) = facts(house.invoke("submit", "nightly.yaml", "--json").stdout)
    assert placed["deferred"] == ["first", "second"]
    house.write("wrong.yaml", CHAIN.replace("second", "secnd"))
    result = house.invoke("submit", "wrong.yaml")
    assert result.exit_code == 2
    assert "there is no document named 'secnd'" in result.stderr


def test_a_pipeline_is_validated_with_its_jobs(house: House) -> None:
    write_two(house)
    house.write("nightly.yaml", CHAIN)
    assert facts(house.invoke("validate", "nightly.yaml", "--json").stdout) == [
        {"pipeline": "nightly.yaml", "jobs": ["first", "second"]}
    ]
    assert house.invoke("validate", "nightly.yaml").stdout == "nightly.yaml: a pipeline of first, second\n"
    house.write("second.yaml", document("second", "modle: x"))
    refused = house.invoke("validate", "nightly.yaml")
    assert (refused.exit_code, "second.yaml:4" in refused.stderr) == (2, True)
    assert "modle" in refused.stderr
