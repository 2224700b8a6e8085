"""Task graphs, from the text of the document to the rows of the result, and each mistake in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.documents.parsing import detect
from llm_jobs.documents.steps import CompoundStep, PromptStep
from llm_jobs.errors import DocumentError
from llm_jobs_tests.operations.graph_house import GraphHouse


@pytest.fixture
def house(tmp_path: Path) -> GraphHouse:
    return GraphHouse(tmp_path)


def flow(source: str, output: str, target: str, name: str) -> dict[str, str]:
    return {
        "sourceTaskId": source,
        "sourceTaskOutputId": output,
        "targetTaskId": target,
        "targetTaskInputId": name,
    }


LOAD = {"id": "load", "type": "LoadDataset", "input": {"dataset_path": "mnist"}}
TUNE = {"id": "tune", "type": "FinetuneTask"}
GRAPH: dict[str, Any] = {"tasks": [LOAD, TUNE], "dataflows": [flow("load", "dataset_id", "tune", "dataset_id")]}
DEPENDENT = [LOAD, {**TUNE, "dependencies": {"dataset_id": {"id": "load", "output": "dataset_id"}}}]


def test_a_graph_and_its_list_of_dependencies_are_one_job(house: GraphHouse) -> None:
    paths = [house.write("graph.json", GRAPH), house.folder / "list.json"]
    paths[1].write_text(json.dumps(DEPENDENT), encoding="utf-8")
    words = house.write("words.json", {"nodes": GRAPH["tasks"], "edges": GRAPH["dataflows"]})
    assert len({house.accepted(path)[0].hash for path in [*paths, words]}) == 1
    [row] = house.rows(paths[0])
    assert row["tune.model_id"] == "base+ds_mnist+none"
    assert {detect(path.name, path.read_bytes()) for path in [*paths, words]} == {"task_graph"}


def test_ids_that_can_be_no_columns_are_written_so_that_they_can(house: GraphHouse) -> None:
    tasks = [{**LOAD, "id": 1}, {**TUNE, "id": "b-2"}]
    [row] = house.rows(
        house.write("ids.json", {"tasks": tasks, "dataflows": [flow("1", "dataset_id", "b-2", "dataset_id")]})
    )
    assert {"step_1.dataset_id", "b_2.model_id"} <= row.keys()


def test_several_dependencies_of_one_input_are_all_of_them(house: GraphHouse) -> None:
    texts = [{"id": name, "type": "TextGeneration", "input": {"prompt": name, "model": "simulated"}} for name in "ab"]
    both = {
        "id": "both",
        "type": "TextSummary",
        "input": {"model": "simulated"},
        "dependencies": {"text": [{"id": "a", "output": "text"}, {"id": "b", "output": "text"}]},
    }
    path = house.folder / "fan.json"
    path.write_text(json.dumps([*texts, both]), encoding="utf-8")
    [job] = house.accepted(path)
    step = job.graph[2]
    assert isinstance(step, PromptStep)
    assert "{{ a }}\n\n{{ b }}" in step.messages[-1].content
    assert step.needs == ("a", "b")
    assert len(house.rows(path)) == 1


def test_a_task_with_several_models_asks_each_and_what_follows_takes_them_one_to_one(house: GraphHouse) -> None:
    models = ["simulated", "simulated/other"]
    tasks = [
        {"id": "write", "type": "TextGenerationCompoundTask", "input": {"prompt": "Say a word.", "model": models}},
        {"id": "sum", "type": "TextSummary", "input": {"model": models}},
        {"id": "all", "type": "TextSummary", "input": {"model": "simulated"}},
    ]
    flows = [flow("write", "text", "sum", "text"), flow("write", "text", "all", "text")]
    [job] = house.accepted(house.write("models.json", {"tasks": tasks, "dataflows": flows}))
    write, summed, whole = job.graph
    assert isinstance(write, CompoundStep)
    assert isinstance(summed, CompoundStep)
    assert isinstance(whole, PromptStep)
    assert [step.name for step in write.steps] == ["write_1", "write_2"]
    assert [model.name for model in job.models] == models
    asked = [step.messages[-1].content for step in summed.steps if isinstance(step, PromptStep)]
    assert ["{{ write_1 }}" in text for text in asked] == [True, False]
    assert ["{{ write_2 }}" in text for text in asked] == [False, True]
    assert "{{ write_1 }}\n\n{{ write_2 }}" in whole.messages[-1].content


def test_prompts_filters_and_loops_of_a_yaml_job_are_tasks_too(house: GraphHouse) -> None:
    value = {
        "name": "mixed",
        "model": "simulated",
        "input": {"rows": [{"text": "one"}, {"text": ""}]},
        "tasks": [
            {"id": "some", "type": "filter", "input": {"filter": "text"}},
            {"id": "said", "type": "prompt", "input": {"text": "Say {{ text }}"}},
            {"id": "more", "type": "loop", "input": {"at_most": 2}, "subtasks": [
                {"id": "again", "type": "prompt", "input": {"text": "Again {{ said }}"}}]},
        ],
        "dataflows": [
            {"sourceTaskId": "some", "targetTaskId": "said"},
            {"sourceTaskId": "said", "targetTaskId": "more"},
        ],
    }  # fmt: skip
    as_yaml = {
        "job": {
            "name": "mixed",
            "model": "simulated",
            "input": value["input"],
            "steps": [
                {"name": "some", "filter": "text", "needs": []},
                {"name": "said", "text": "Say {{ text }}", "needs": ["some"]},
                {"name": "more", "needs": ["said"], "loop": {"at_most": 2}, "steps": [
                    {"name": "again", "text": "Again {{ said }}", "needs": []}]},
            ],
        }
    }  # fmt: skip
    jobs = [house.accepted(house.write(name, each))[0] for name, each in (("g.json", value), ("y.json", as_yaml))]
    assert jobs[0].hash == jobs[1].hash
    assert len(house.rows(house.folder / "g.json")) == 1


SAVED = {"id": "saved", "type": "SaveToFileTask", "input": {"path": "a.csv"}, "dependencies": {"*": {"id": "load"}}}


@pytest.mark.parametrize(
    ("stated", "paths"),
    [
        ({}, ["a.csv"]),
        ({"output": {"path": "b.csv"}}, ["b.csv", "a.csv"]),
        ({"output": [{"path": "b.csv"}, {"path": "c.csv"}]}, ["b.csv", "c.csv", "a.csv"]),
    ],
)
def test_what_a_task_saves_is_saved_beside_the_outputs_that_the_document_states(
    house: GraphHouse, stated: dict[str, Any], paths: list[str]
) -> None:
    [job] = house.accepted(house.write("g.json", {"tasks": [LOAD, SAVED], **stated}))
    assert [output.place for output in job.policy.outputs] == paths


EPOCHS = {"id": "c", "output": "epochs"}
MISTAKES: list[tuple[Any, str, str]] = [
    ({"tasks": [{"id": "a"}]}, "'type' is missing", "type"),
    ({"tasks": [{"id": "a", "type": "loop", "subtasks": [LOAD]}]}, "'at_most' is missing", "at_most"),
    ({"tasks": [{**LOAD, "inputs": {}}]}, "unknown key 'inputs'", "did you mean 'input'?"),
    ({"tasks": [LOAD], "dataflow": []}, "unknown key 'dataflow'", ""),
    ({"tasks": [LOAD, LOAD]}, "a second task has the id 'load'", "rename"),
    ({"tasks": [{**LOAD, "type": "LoadDatset"}]}, "no task 'LoadDatset'", ""),
    ({"tasks": [TUNE]}, "lacks the input 'dataset_id'", "dataset_id"),
    ({**GRAPH, "dataflows": [flow("laod", "x", "tune", "dataset_id")]}, "no task 'laod'", "did you mean 'load'?"),
    (
        {**GRAPH, "dataflows": [flow("load", "dataset", "tune", "dataset_id")]},
        "step load has no output 'dataset'",
        "did you mean 'dataset_id'?",
    ),
    (
        {**GRAPH, "dataflows": [*GRAPH["dataflows"], flow("tune", "model_id", "load", "dataset_path")]},
        "the graph has a cycle: ",
        "remove one of these edges",
    ),
    (
        {"tasks": [LOAD, {"id": "c", "type": "load_config"}, {**TUNE, "dependencies": {"dataset_id": EPOCHS}}]},
        "c.epochs -> tune.dataset_id: number flows where string is taken",
        "connect another",
    ),
    ({"tasks": [{"id": "p", "type": "prompt", "input": {"text": "x", "txt": 1}}]}, "unknown key 'txt'", "'text'"),
    ({"tasks": [{"id": "p", "type": "prompt", "input": {"text": "x"}}]}, "no model is named", "model"),
    (
        {"tasks": [LOAD, {"id": "p", "type": "prompt", "input": {"text": "x", "model": "simulated"}}],
         "dataflows": [flow("load", "dataset_id", "p", "question")]},
        "which has no such input",
        "write {{ load }}",
    ),
    (
        {"tasks": [LOAD, {"id": "s", "type": "SaveToFile", "input": {"path": "x.csv"}}, TUNE],
         "dataflows": [flow("s", "*", "tune", "*"), flow("load", "dataset_id", "tune", "dataset_id")]},
        "s saves the result, and tune takes something from it",
        "connect the step after it",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("value", "what", "remedy"), MISTAKES, ids=[what[:40] for _, what, _ in MISTAKES])
def test_a_mistake_is_refused_with_its_line_before_anything_is_kept(
    house: GraphHouse, value: Mapping[str, Any], what: str, remedy: str
) -> None:
    path = house.folder / "wrong.json"
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        house.accepted(path)
    found = [problem for problem in caught.value.problems if what in problem.what]
    assert found, caught.value.problems
    assert found[0].line is not None
    assert remedy in (found[0].remedy or "")
    assert not list(house.home.glob("jobs/*"))
