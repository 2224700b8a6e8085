"""A job of a stack, run: branches beside each other, a condition, parameters; another job is asked the same once."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_jobs import JobExecutor
from llm_jobs.errors import DocumentError
from llm_jobs_tests.cli.house import House

STACK = """\
parameters:
  - {name: language, default: English}
model: simulated
steps:
  - {name: left, text: "In ${language}, left: {{ text }}", needs: []}
  - {name: right, text: "In ${language}, right: {{ text }}", needs: []}
  - {name: long_only, text: "Shorten {{ text }}", needs: [left], when: "text | length > 4"}
  - {name: merged, text: "Merge {{ left }} and {{ right }}", needs: [left, right]}
"""
JOB = """\
job:
  name: branches
  stack: branching
  stack_version: ^1
  input: {rows: [{text: good}, {text: rather bad}]}
"""


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    for version, text in (("1.0.0", "steps: [{name: old, text: x, model: simulated}]"), ("1.4.0", STACK)):
        path = made.home / f"stacks/branching/{version}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    made.write("branches.yaml", JOB)
    return made


def test_branches_and_conditions_of_a_stack_run(house: House) -> None:
    result = JobExecutor(house.folder / "branches.yaml", home=house.home).run()
    assert result.status == "done"
    frame = result.to_pandas()
    assert list(frame["left"].notna()) == list(frame["right"].notna()) == list(frame["merged"].notna()) == [True, True]
    assert list(frame["long_only"].notna()) == [False, True]


def test_a_job_of_a_stack_is_the_job_with_its_steps_written_out(house: House) -> None:
    stacked = JobExecutor(house.folder / "branches.yaml", home=house.home).run()
    steps = STACK[STACK.index("model:") :].replace("${language}", "English").replace("\n", "\n  ")
    written = house.write(
        "written.yaml", f"job:\n  name: other\n  input: {{rows: [{{text: good}}, {{text: rather bad}}]}}\n  {steps}"
    )
    again = JobExecutor(written, home=house.home).run()
    assert again.job_hash == stacked.job_hash
    assert again.calls_sent == 0


def test_another_parameter_asks_only_what_it_changes(house: House) -> None:
    first = JobExecutor(house.folder / "branches.yaml", home=house.home).run()
    second = JobExecutor(house.folder / "branches.yaml", home=house.home, parameters={"language": "German"}).run()
    assert second.job_hash != first.job_hash
    assert (first.calls_sent, second.calls_sent) == (7, 6)  # what shortens a text is the same question


def test_a_mistake_in_the_stack_s_file_is_told_with_its_line(house: House) -> None:
    (house.home / "stacks/branching/1.4.0.yaml").write_text(STACK.replace("needs: [left]", "needs: [lefft]"))
    with pytest.raises(DocumentError) as caught:
        JobExecutor(house.folder / "branches.yaml", home=house.home).run()
    [problem] = caught.value.problems
    assert str(problem.file).endswith("stacks/branching/1.4.0.yaml")
    assert (problem.line, problem.key) == (7, "steps[2].needs[0]")
