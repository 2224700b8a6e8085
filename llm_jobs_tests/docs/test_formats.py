"""The pages about formats: each example gives what its page prints, and every key of every section has its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_jobs.documents import (
    cache_models,
    failure_models,
    graph_models,
    inputs,
    models,
    outputs,
    parameters,
    stacks,
    step_models,
    templates,
    triggers,
    watching,
)
from llm_jobs.documents.formats import pipeline_of_jobs
from llm_jobs.documents.parsing import detect
from llm_jobs.documents.schema import NAMES
from llm_jobs.documents.strict import Model
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, blocks, links, tables
from llm_jobs_tests.docs.played import play
from llm_jobs_tests.docs.test_steps import alias, default_of, defaults

PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs/formats").glob("*.md"))}
TABLES: list[tuple[str, str, type[Model]]] = [
    ("pair", "| key |", models.PairDocument),
    ("pair", "| key of `configuration` |", models.ConfigurationModel),
    ("pair", "| key of `prompt` |", models.PairPromptModel),
    ("pair", "| key of `data` |", models.DataModel),
    ("pair", "| key of `command` |", models.ScriptModel),
    ("job", "| key |", models.JobModel),
    ("job", "| key of `execution` |", models.ExecutionModel),
    ("job", "| key of `error_handling` |", models.ErrorHandlingModel),
    ("pipeline", "| key |", graph_models.PipelineModel),
    ("pipeline", "| key of a node |", graph_models.NodeModel),
    ("pipeline", "| key of an edge |", graph_models.EdgeModel),
    ("task_graph", "| key |", graph_models.TaskGraphModel),
    ("task_graph", "| key of a task |", graph_models.TaskItemModel),
    ("task_graph", "| key of a flow |", graph_models.DataflowModel),
    ("task_graph", "| key of a dependency |", graph_models.DependencyModel),
    ("task_message", "| key |", graph_models.TaskMessageModel),
]
# The sections of a job, and the page that tells of each.
SECTIONS: dict[str, list[type[Model]]] = {
    "inputs": [inputs.InputModel, inputs.AuthModel, inputs.PagingModel, inputs.LimitsModel, inputs.InputErrorModel],
    "outputs": [outputs.OutputModel, outputs.OutputErrorModel],
    "scheduling": [
        models.ScheduleModel,
        triggers.TriggerModel,
        triggers.ConditionModel,
        pipeline_of_jobs.PipelineModel,
        pipeline_of_jobs.EntryModel,
    ],
    "telemetry": [watching.MonitoringModel, watching.LoggingModel, watching.AlertModel, watching.PrometheusModel],
    "answers": [
        cache_models.CacheModel,
        failure_models.PromptFailureModel,
        step_models.RuleModel,
        step_models.AskAgainModel,
        step_models.RepairModel,
        step_models.WeightedModel,
    ],
    "templates": [templates.TemplateModel, parameters.ParameterModel, stacks.StackModel],
    "money": [models.BudgetModel],
}
OF_STEPS = {
    "PartModel",
    "PromptModel",
    "StepModel",
    "PhaseModel",
    "ReduceModel",
    "LoopModel",
    "CombineModel",
    "MessageModel",
}  # see test_steps
OF_ONE_KEY = {"JobDocument", "TemplateDocument", "PipelineDocument", "ExportModel", "ExceptModel", "NothingModel"}
OF_LOCKS = {"LockModel", "PinModel", "PinnedModelModel"}  # a command writes them


@pytest.mark.parametrize("name", PAGES)
def test_an_example_gives_what_its_page_prints(tmp_path: Path, name: str) -> None:
    played = play(PAGES[name], House(tmp_path))
    assert [report.status for report in played.reports] == ["done"]
    [(shown, told)] = played.printed
    assert shown == told


def test_every_format_has_a_page_and_the_index_leads_there() -> None:
    index = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    assert set(PAGES) == set(NAMES)
    assert {Path(link).stem for link in links(index) if link.startswith("formats/")} == set(PAGES)


@pytest.mark.parametrize(("page", "mark", "model"), TABLES, ids=[f"{page} {mark}" for page, mark, _ in TABLES])
def test_the_keys_of_a_format_are_told_with_their_defaults(page: str, mark: str, model: type[Model]) -> None:
    told = {key: said for key, said in defaults(PAGES[page], mark).items() if said != "below"}
    sections = {"execution", "error_handling"} if model is models.JobModel else set()
    expected = {alias(model, name): default_of(model, name) for name in set(model.model_fields) - sections}
    assert told == expected


def test_the_keys_of_a_batch_file_are_told() -> None:
    assert [row["key"].strip("`") for row in tables(PAGES["batch"], "| key |")] == [
        "custom_id",
        "method",
        "url",
        "body",
    ]


@pytest.mark.parametrize(
    ("page", "model"), [(page, model) for page, listed in SECTIONS.items() for model in listed], ids=str
)
def test_each_key_of_a_section_is_named_on_its_page(page: str, model: type[Model]) -> None:
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    keys = {alias(model, name) for name in model.model_fields}
    assert {key for key in keys if not re.search(rf"`[^`\n]*\b{key}\b[^`\n]*`|^[^#\n]*\b{key}:", text, re.M)} == set()


def test_every_section_of_a_job_is_on_a_page() -> None:
    told = {model for _, _, model in TABLES} | {model for listed in SECTIONS.values() for model in listed}
    elsewhere = {model.__name__ for model in every_model(Model) - told}
    assert elsewhere == {*OF_STEPS, *OF_ONE_KEY, *OF_LOCKS, "SubgraphModel"}


def every_model(model: type[Model]) -> set[type[Model]]:
    """The models of this project: classes below `model`."""
    below = {each for each in model.__subclasses__() if each.__module__.startswith("llm_jobs.documents")}
    return below | {inner for each in below for inner in every_model(each)}


def test_the_two_task_graphs_of_the_page_are_one_job(tmp_path: Path) -> None:
    house = House(tmp_path)
    written = [
        block.text for block in blocks(PAGES["task_graph"]) if block.language == "json" and '"shout"' in block.text
    ]
    assert len(written) == 2
    hashes = {house.accept(house.write(f"{place}.json", text))[0].hash for place, text in enumerate(written)}
    assert len(hashes) == 1


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"batch", "job"}))
def test_each_document_of_a_page_is_of_its_format_and_runs(tmp_path: Path, name: str) -> None:
    house = House(tmp_path)
    for place, block in enumerate(block for block in blocks(PAGES[name]) if block.language == "json"):
        assert detect("page.json", block.text.encode()) == name
        reports = house.answer(house.write(f"{place}.json", block.text))
        assert {report.status for report in reports} == {"done"}
