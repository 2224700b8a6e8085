"""The pages about steps: each example gives what the page prints, each key is told with its default."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from llm_jobs.documents.formats.steps import KINDS
from llm_jobs.documents.message_models import MessageModel, PartModel
from llm_jobs.documents.step_models import LoopModel, PhaseModel, PromptModel, ReduceModel, StepModel
from llm_jobs.documents.strict import Model
from llm_jobs.tasks.code import JavaScriptTask, LambdaTask
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, links, tables
from llm_jobs_tests.docs.played import play

PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs/steps").glob("*.md"))}
INDEX = (ROOT / "docs/steps.md").read_text(encoding="utf-8")
COMMON = ("name", "purpose")
PAGE_OF = {"steps": "compound"}
OF_PROMPTS = {*PromptModel.model_fields, "prompt", "needs", "when", "for_each_model", "reduce"}
SECTIONS = ("## Keys", "## Columns of the result", "## What fails", "what is reused")
CODE_INPUTS = {*LambdaTask.inputs, *JavaScriptTask.inputs}


@pytest.mark.parametrize("name", PAGES)
def test_an_example_gives_what_its_page_prints(tmp_path: Path, name: str) -> None:
    played = play(PAGES[name], House(tmp_path))
    assert [report.status for report in played.reports] == ["done"]
    [(shown, told)] = played.printed
    assert shown == told


# A change of a page's document, and the calls that it costs when the example was answered before.
CHANGES = [
    ("prompt", "", "", 0),
    ("prompt", "The library opens", "The museum opens", 1 + 1),  # the label, and the desk of what it says
    ("prompt", "name: desk", "name: place", 0),
    ("reduce", "review: Quick}", "review: Quick}\n      - {shop: station, stars: 1, review: Slow}", 1 + 1),
    ("reduce", "reviews: count", "reviews: count\n          best: {max: stars}", 0),
    ("split", "The ferry sails.", "The ferry sails.\\n\\nThe train runs.", 1),
    ("filter", "stars < 3", "stars < 9", 1),
    ("loop", "at_most: 4", "at_most: 9", 0),
    ("compound", "in_english", "translated", 0),
    ("branches", "needs: []", "needs: [food]", 0),
    ("for_each", "[5, 20]", "[5, 20, 50]", 2 * 2),
    ("for_each_model", "simulated/large]", "simulated/large, simulated/huge]", 2),
    ("phases", "name: all", "name: town", 0),
    ("recorded", "seed_word: a}\n  steps", "seed_word: c}\n  steps", 1),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "calls"), CHANGES, ids=[f"{name}: {new}" for name, _, new, _ in CHANGES]
)
def test_a_changed_example_asks_only_what_its_page_says(
    tmp_path: Path, name: str, old: str, new: str, calls: int
) -> None:
    house = House(tmp_path)
    play(PAGES[name], house)
    [path] = house.folder.glob("*.yaml")
    text = path.read_text(encoding="utf-8")
    assert old in text
    [report] = house.answer(house.write("changed.yaml", text.replace(old, new)))
    assert (report.status, report.calls_sent) == ("done", calls)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_tells_what_fails_and_what_is_reused(name: str) -> None:
    assert [mark for mark in SECTIONS if mark.lower() not in PAGES[name].lower()] == []


def test_the_index_leads_to_every_page() -> None:
    assert {Path(link).stem for link in links(INDEX) if link.startswith("steps/")} == set(PAGES)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_kind_has_its_keys_with_their_defaults(kind: str) -> None:
    told = defaults(PAGES[PAGE_OF.get(kind, kind)], "| key |")
    assert told == {name: default_of(StepModel, name, needed={kind}) for name in {*KINDS[kind], *COMMON}}


def test_the_page_of_prompts_has_their_keys_with_their_defaults() -> None:
    told = defaults(PAGES["prompt"], "| key |")
    assert told == {alias(StepModel, name): default_of(StepModel, name) for name in OF_PROMPTS}


@pytest.mark.parametrize(
    ("page", "mark", "model"),
    [
        ("prompt", "| key of a message |", MessageModel),
        ("prompt", "| key of a part |", PartModel),
        ("reduce", "| key of `reduce` |", ReduceModel),
        ("loop", "| key of `loop` |", LoopModel),
        ("phases", "| key |", PhaseModel),
    ],
)
def test_the_keys_of_a_section_are_told_with_their_defaults(page: str, mark: str, model: type[Model]) -> None:
    assert defaults(PAGES[page], mark) == {name: default_of(model, name) for name in model.model_fields}


def test_the_inputs_of_code_are_told() -> None:
    assert set(defaults(PAGES["code"], "| key of `inputs` |")) == CODE_INPUTS


def defaults(page: str, mark: str) -> Mapping[str, str]:
    """The defaults of the table that begins with `mark`, by key."""
    return {next(iter(row.values())).strip("`"): row["default"] for row in tables(page, mark)}


def alias(model: type[Model], name: str) -> str:
    return model.model_fields[name].alias or name


def default_of(model: type[Model], name: str, *, needed: Collection[str] = ()) -> str:
    """A default as the pages write it."""
    field: FieldInfo = model.model_fields[name]
    if name in needed or field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value == {} or value == []:
        return "–"
    return str(value).lower()
