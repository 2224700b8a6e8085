"""The page about Dagster: its component loads and runs, by days too, and so does its asset."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox
from dagster.components.testing.utils import DefsFolderSandbox

from llm_jobs import LlmJob, llm_asset
from llm_jobs_tests.docs.pages import ROOT, blocks, codes, section

# As in the tests of the component.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
TEXT = (ROOT / "docs/dagster.md").read_text(encoding="utf-8")
YAML = {
    block.text.split("\n", 1)[0].removeprefix("# "): block.text for block in blocks(TEXT) if block.language == "yaml"
}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[DefsFolderSandbox]:
    monkeypatch.setenv("LLM_JOBS_HOME", str(tmp_path / "home"))
    with create_defs_folder_sandbox() as opened:
        yield opened


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def scaffolded(sandbox: DefsFolderSandbox, written: str) -> Path:
    """The folder of a component with a `defs.yaml` and the document of the page."""
    path = sandbox.scaffold_component(component_cls=LlmJob, defs_yaml_contents=yaml.safe_load(YAML[written]))
    (path / "job.yaml").write_text(YAML["job.yaml"], encoding="utf-8")
    return path


def test_the_component_of_the_page_runs(sandbox: DefsFolderSandbox, instance: dg.DagsterInstance) -> None:
    path = scaffolded(sandbox, "defs.yaml")
    with sandbox.load_component_and_build_defs(path) as (_, definitions):
        made = [each for each in definitions.resolve_asset_graph().assets_defs if each.is_executable]
        assert dg.materialize(made, instance=instance).success
        told = {spec.key.path[-1]: spec for each in made for spec in each.specs}
    assert (told["sentiment"].description, told["reply"].description) == (
        "How the writer feels.",
        "What we tell the writer.",
    )


def test_what_the_page_says_of_automation_and_of_the_process_is_so(sandbox: DefsFolderSandbox) -> None:
    path = scaffolded(sandbox, "automated/defs.yaml")
    with sandbox.load_component_and_build_defs(path) as (_, definitions):
        [made] = [each for each in definitions.resolve_asset_graph().assets_defs if each.is_executable]
    assert made.op.tags["dagster-k8s/config"]
    assert {spec.automation_condition for spec in made.specs} == {dg.AutomationCondition.eager()}


def test_a_day_of_the_page_asks_its_file(sandbox: DefsFolderSandbox, instance: dg.DagsterInstance) -> None:
    path = scaffolded(sandbox, "daily/defs.yaml")
    (path / "reviews").mkdir()
    (path / "reviews" / "2026-10-07.jsonl").write_text(json.dumps({"review": "Good."}) + "\n", encoding="utf-8")
    with sandbox.load_component_and_build_defs(path) as (_, definitions):
        made = [each for each in definitions.resolve_asset_graph().assets_defs if each.is_executable]
        assert dg.materialize(made, instance=instance, partition_key="2026-10-07").success


def test_the_asset_of_the_page_answers_a_day(sandbox: DefsFolderSandbox, instance: dg.DagsterInstance) -> None:
    [block] = [block for block in blocks(TEXT) if block.language == "python"]
    names: dict[str, object] = {}
    exec(compile(block.text, "docs/dagster.md", "exec", dont_inherit=True), names)
    assets = [names["reviews"], names["sentiment"]]
    result = dg.materialize(assets, instance=instance, partition_key="2026-10-07")  # type: ignore[arg-type]
    frame = result.output_for_node("sentiment")
    assert list(frame.columns) == ["day", "review", "sentiment", "llm_status", "llm_error"]
    assert len(frame) == 2


def test_the_page_lists_every_attribute_of_the_component_and_no_other() -> None:
    cells = re.findall(r"^\| (`[^|]+) \|", section(TEXT, "A document as a component"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == {each.name for each in fields(LlmJob)}


def test_the_page_names_every_argument_of_the_decorator() -> None:
    told = " ".join([*codes(section(TEXT, "A prompt over a table of yours"))])
    ours = set(inspect.signature(llm_asset).parameters) - {"asset"}
    assert {name for name in ours if not re.search(rf"\b{name}\b", told)} <= {"messages", "parameters", "home"}
