"""Tasks by name: the shipped ones under every spelling, and those of others."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llm_jobs.errors import NotFound, SetupError
from llm_jobs.results.schemas import compile_check
from llm_jobs.tasks.built_in import BUILT_IN
from llm_jobs.tasks.paragraphs import SplitParagraphs
from llm_jobs.tasks.registry import Tasks
from llm_jobs_tests.cli.house import House, facts

OTHERS = """
from llm_jobs.tasks.base import OWN, Task


class Initials(Task):
    name = "initials"
    category = "names"
    description = "The first letters of a name."
    inputs = {"text": {"type": "string"}}
    outputs = {OWN: {"type": "string"}}
    example = {"text": "Ada Lovelace"}

    def run(self, inputs, surroundings):
        return {OWN: "".join(word[0] for word in inputs["text"].split())}


MANY = [Initials]
NOTHING = 3
CLASHES = type("Clash", (Initials,), {"name": "text_summary"})
"""


@pytest.fixture
def others(tmp_path: Path) -> Iterator[Path]:
    """A package of somebody's, installed: on the path, with an entry point."""
    folder = tmp_path / "installed"
    described = folder / "others_tasks-1.dist-info"
    described.mkdir(parents=True)
    (folder / "others_tasks.py").write_text(OTHERS)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: others-tasks\nVersion: 1\n")
    sys.path.insert(0, str(folder))
    yield described
    sys.path.remove(str(folder))
    sys.modules.pop("others_tasks", None)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("TextSummaryTask", "text_summary"),
        ("text-summary", "text_summary"),
        ("TextRewriter", "text_rewriter"),
        ("GenerateText", "text_generation"),
        ("TextEmedding", "text_embedding"),
        ("TextEmeddingTask", "text_embedding"),
        ("TextQuestionAnswer", "text_question_answer"),
        ("JavaScriptTask", "javascript"),
        ("LambdaTask", "lambda"),
        ("DebugLog", "debug_log"),
        ("DownloadModelTask", "download_model"),
        ("Load document", "load_document"),
        ("Split document into paragraphs", "split_paragraphs"),
    ],
)
def test_a_task_is_found_however_its_name_is_written(written: str, name: str) -> None:
    assert Tasks().get(written).name == name


def test_a_name_that_nobody_has_is_told_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="did you mean text_translation"):
        Tasks().get("TextTranslate")


def test_no_two_tasks_have_one_name() -> None:
    tasks = Tasks()
    assert tasks.get("split_paragraphs") is not None
    with pytest.raises(ValueError, match="split_paragraphs already"):
        tasks.register(SplitParagraphs())
    names = [name for task in BUILT_IN for name in (task.name, *task.aliases)]
    assert len(names) == len(set(names))


def test_importing_the_registry_loads_nobody_elses_code(others: Path) -> None:
    Tasks(named=["others_tasks:Initials"]).get("text_summary")
    assert "others_tasks" not in sys.modules


@pytest.mark.parametrize("attribute", ["Initials", "MANY"])
def test_others_tasks_are_named_by_a_variable(others: Path, attribute: str) -> None:
    assert Tasks(named=[f"others_tasks:{attribute}"]).get("InitialsTask").category == "names"


def test_others_tasks_are_found_by_their_entry_point(others: Path) -> None:
    (others / "entry_points.txt").write_text("[llm_jobs.tasks]\ninitials = others_tasks:Initials\n")
    assert "initials" in Tasks().names()


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("others_tasks", "write module:attribute"),
        ("no_module_at_all:X", "cannot be loaded"),
        ("others_tasks:Missing", "cannot be loaded"),
        ("others_tasks:NOTHING", "is int, and no task"),
        ("others_tasks:CLASHES", "a task text_summary already"),
    ],
)
def test_what_is_no_task_is_told_with_where_it_was_named(others: Path, reference: str, reason: str) -> None:
    with pytest.raises(SetupError, match=reason) as told:
        Tasks(named=[reference]).names()
    assert "LLM_JOBS_TASKS" in str(told.value)


def test_a_task_of_somebodys_runs_in_a_job_and_is_listed(others: Path, tmp_path: Path) -> None:
    house = House(tmp_path, {"LLM_JOBS_TASKS": "others_tasks:Initials"})
    job = {"name": "n", "input": {"rows": [{"text": "Ada Lovelace"}]}, "steps": [{"name": "short", "task": "initials"}]}
    [report] = house.answer(house.write("n.json", {"job": job}))
    assert report.result is not None
    assert pq.read_table(report.result).column("short").to_pylist() == ["AL"]
    [listed] = facts(house.invoke("tasks", "--category", "names", "--json").stdout)
    assert (listed["name"], listed["outputs"]) == ("initials", {"": {"type": "string"}})


def test_tasks_are_listed_with_what_they_take_and_give(tmp_path: Path) -> None:
    house = House(tmp_path, {})
    listed = facts(house.invoke("tasks", "--json").stdout)
    assert [each["name"] for each in listed] == sorted(task.name for task in BUILT_IN)
    assert [each["name"] for each in listed if each["side_effects"]] == ["debug_log", "download_model"]
    for name in ("text_summary", "expression", "inputs:", "side_effects: false"):
        assert name in house.invoke("tasks").stdout + house.invoke("tasks", "TextSummary").stdout


@pytest.mark.parametrize("name", [task.name for task in BUILT_IN])
def test_the_schema_of_a_task_takes_its_example_and_no_other_input(tmp_path: Path, name: str) -> None:
    task = Tasks().get(name)
    check = compile_check(json.loads(House(tmp_path, {}).invoke("tasks", name, "--schema").stdout))
    check(dict(task.example))
    if task.category != "code":  # whose inputs have the names that the code gives them
        with pytest.raises(ValueError, match="no_such"):
            check({**task.example, "no_such": 1})


def test_a_schema_is_asked_of_one_task(tmp_path: Path) -> None:
    house = House(tmp_path, {})
    assert house.invoke("tasks", "--schema").exit_code == 2
    assert "did you mean text_summary?" in house.invoke("tasks", "text_sumary").output
