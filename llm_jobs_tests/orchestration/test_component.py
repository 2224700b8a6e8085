"""A document as a component of somebody's project: its steps are assets, with lineage, and each call is paid once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing.utils import DefsFolderSandbox

from llm_jobs import LlmJob
from llm_jobs.orchestration.step_specs import EVERY_ROW_ANSWERED
from llm_jobs_tests.servers.replay import ReplayServer

# Dagster reads its YAML with a function that pydantic has deprecated, and warns of classes of its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]

MODEL = "openai/gpt-4.1-mini"
SEQUENCE = {
    "job": {
        "name": "reviews",
        "model": MODEL,
        "input": {"rows": [{"review": "Good."}, {"review": "Bad."}, {"review": "Fine."}]},
        "prompts": [
            {"name": "mood", "purpose": "How the writer feels.", "text": "Mood of: {{ review }}"},
            {"name": "reply", "text": "Answer to {{ mood }}: {{ review }}"},
        ],
    }
}
GRAPH = {
    "job": {
        "name": "towns",
        "model": MODEL,
        "input": {"rows": [{"town": "Ulm"}, {"town": "Bonn"}]},
        "steps": [
            {"name": "history", "text": "History of {{ town }}"},
            {"name": "food", "text": "Food of {{ town }}", "needs": []},
            {"name": "guide", "text": "{{ history }} and {{ food }}", "needs": ["history", "food"]},
            {"name": "all", "reduce": {"aggregate": {"towns": "count"}}},
            {"name": "title", "text": "A title for {{ towns }} towns"},
        ],
    }
}


def loaded(sandbox: DefsFolderSandbox, attributes: Mapping[str, Any]) -> dg.Definitions:
    """What the component of a `defs.yaml` with these attributes comes to."""
    written = {"type": "llm_jobs.LlmJob", "attributes": dict(attributes)}
    path = sandbox.scaffold_component(component_cls=LlmJob, defs_yaml_contents=written)
    with sandbox.load_component_and_build_defs(path) as (_, definitions):
        return definitions


def materialized(
    definitions: dg.Definitions, instance: dg.DagsterInstance, *selection: str, **more: Any
) -> dg.ExecuteInProcessResult:
    """One run of the assets `selection`, or of all."""
    keys = [dg.AssetKey.from_user_string(key) for key in selection]
    assets = [each for each in definitions.resolve_asset_graph().assets_defs if each.is_executable]
    return dg.materialize(assets, instance=instance, selection=keys or None, raise_on_error=False, **more)


def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def sources(definitions: dg.Definitions) -> dict[str, set[str]]:
    return {key: {dep.asset_key.to_user_string() for dep in spec.deps} for key, spec in specs(definitions).items()}


def told(result: dg.ExecuteInProcessResult) -> dict[str, Mapping[str, Any]]:
    """The metadata of each materialisation of a run, by asset (and partition)."""
    made = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    return {
        "|".join(filter(None, [each.asset_key.to_user_string(), each.partition])): {
            name: value.value for name, value in each.metadata.items()
        }
        for each in made
    }


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def test_each_prompt_of_a_document_is_an_asset_after_the_one_before_it(
    sandbox: DefsFolderSandbox, server: ReplayServer
) -> None:
    definitions = loaded(sandbox, {"document": SEQUENCE, "group_name": "voice", "owners": ["team:care"]})
    assert sources(definitions) == {"reviews/mood": set(), "reviews/reply": {"reviews/mood"}}
    mood, reply = (specs(definitions)[f"reviews/{step}"] for step in ("mood", "reply"))
    assert (mood.kinds, mood.group_name, mood.owners) == ({"llm", "openai"}, "voice", ["team:care"])
    assert (mood.description, reply.description) == ("How the writer feels.", "Answer to {{ mood }}: {{ review }}")
    [assets] = definitions.resolve_asset_graph().assets_defs
    assert assets.op.pool == "openai"


def test_the_steps_of_a_graph_have_its_lineage_and_a_table_comes_of_all_that_ends_the_one_before(
    sandbox: DefsFolderSandbox, server: ReplayServer
) -> None:
    definitions = loaded(sandbox, {"document": GRAPH, "asset_prefix": "geo/towns", "deps": ["town_list"]})
    lineage = {key: found for key, found in sources(definitions).items() if key != "town_list"}
    assert lineage == {
        "geo/towns/history": {"town_list"},
        "geo/towns/food": {"town_list"},
        "geo/towns/guide": {"geo/towns/history", "geo/towns/food"},
        "geo/towns/all": {"geo/towns/guide"},
        "geo/towns/title": {"geo/towns/all"},
    }
    assert specs(definitions)["geo/towns/all"].kinds == {"table"}


def test_jobs_that_share_a_prefix_stand_side_by_side(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    other = json.loads(json.dumps(SEQUENCE).replace('"reviews"', '"letters"').replace("mood", "tone"))
    other["job"]["prompts"][1]["name"] = "answer"
    both = [loaded(sandbox, {"document": each, "asset_prefix": "shop"}) for each in (SEQUENCE, other)]
    definitions = dg.Definitions.merge(*both)
    assert set(specs(definitions)) == {"shop/mood", "shop/reply", "shop/tone", "shop/answer"}
    assert materialized(definitions, instance).success


def test_loading_reads_no_ledger_and_asks_nobody(
    sandbox: DefsFolderSandbox, server: ReplayServer, tmp_path: Path
) -> None:
    loaded(sandbox, {"document": json.loads(json.dumps(SEQUENCE).replace(MODEL, "ollama/llama3.2"))})
    assert not (tmp_path / "home").exists()
    assert server.stats()["total"] == 0


def test_a_code_version_follows_what_is_asked_and_nothing_else(
    sandbox: DefsFolderSandbox, server: ReplayServer
) -> None:
    def versions(document: Mapping[str, Any]) -> list[str | None]:
        found = specs(loaded(sandbox, {"document": document}))
        return [found[f"reviews/{step}"].code_version for step in ("mood", "reply")]

    before = versions(SEQUENCE)
    text = json.dumps(SEQUENCE)
    assert versions(json.loads(text.replace("How the writer feels.", "Another purpose."))) == before
    assert versions(json.loads(text.replace("Good.", "Other rows."))) == before
    changed = versions(json.loads(text.replace("Answer to", "Reply to")))
    assert (changed[0] == before[0], changed[1] == before[1]) == (True, False)


def test_a_run_answers_every_step_and_a_second_one_asks_nothing(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    definitions = loaded(sandbox, {"document": SEQUENCE})
    first = materialized(definitions, instance)
    assert first.success
    assert server.stats()["total"] == 6
    shown = told(first)["reviews/reply"]
    assert (shown["dagster/row_count"], shown["rows failed"], shown["job calls sent in this run"]) == (3, 0, 6)
    columns = [column.name for column in shown["dagster/column_schema"].columns]
    assert columns[:3] == ["review", "mood", "reply"]
    assert Path(shown["path"]).is_file()
    assert Path(shown["report"]).is_file()
    assert materialized(definitions, instance).success
    assert server.stats()["total"] == 6


def test_one_step_asks_what_it_needs_and_the_rest_asks_the_rest(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    definitions = loaded(sandbox, {"document": GRAPH})
    part = materialized(definitions, instance, "towns/food")
    assert set(told(part)) == {"towns/food"}
    assert server.stats()["total"] == 2
    whole = told(materialized(definitions, instance))
    assert server.stats()["total"] == 7  # 2 towns by 3 steps, and a title
    rows = {key: shown["dagster/row_count"] for key, shown in whole.items()}
    assert rows == {"towns/history": 2, "towns/food": 2, "towns/guide": 2, "towns/all": 1, "towns/title": 1}


def test_a_row_that_fails_is_shown_by_the_check_of_its_step(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    document = json.loads(json.dumps(SEQUENCE).replace("Bad.", "poison"))
    document["job"]["prompts"][1]["needs"] = []
    document["job"]["steps"] = document["job"].pop("prompts")
    document["job"]["steps"][1]["text"] = "Answer, whatever it says."
    result = materialized(loaded(sandbox, {"document": document}), instance)
    assert result.success
    checks = {each.asset_key.to_user_string(): each for each in result.get_asset_check_evaluations()}
    assert {key: each.passed for key, each in checks.items()} == {"reviews/mood": False, "reviews/reply": True}
    assert checks["reviews/mood"].check_name == EVERY_ROW_ANSWERED
    assert checks["reviews/mood"].metadata["failed rows"].value == 1


def test_a_check_that_is_executed_alone_counts_and_materializes_nothing(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    definitions = loaded(sandbox, {"document": SEQUENCE})
    assert materialized(definitions, instance).success
    sent = server.stats()["total"]
    [assets] = definitions.resolve_asset_graph().assets_defs
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(["reviews", "mood"]), EVERY_ROW_ANSWERED))
    result = dg.materialize([assets], instance=instance, selection=selection)
    assert [(each.check_name, each.passed) for each in result.get_asset_check_evaluations()] == [
        (EVERY_ROW_ANSWERED, True)
    ]
    assert told(result) == {}
    assert server.stats()["total"] == sent


def test_a_job_without_an_answer_fails_the_run_with_its_reason(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    document = json.loads(json.dumps(SEQUENCE).replace("Mood of", "poison"))
    result = materialized(loaded(sandbox, {"document": document}), instance)
    assert not result.success
    error = result.get_step_failure_events()[0].step_failure_data.error
    assert error is not None
    assert "reviews: " in error.message
    assert told(result) == {}


def test_a_step_that_fails_leaves_those_before_it_and_only_it_is_asked_again(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    text = json.dumps(SEQUENCE)
    failed = materialized(loaded(sandbox, {"document": json.loads(text.replace("Answer to", "poison"))}), instance)
    assert not failed.success
    events = [entry.dagster_event for entry in instance.all_logs(failed.run_id) if entry.dagster_event]
    made = [event.asset_key for event in events if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION]
    assert made == [dg.AssetKey(["reviews", "mood"])]
    checks = [
        event.asset_check_evaluation_data
        for event in events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    assert [(each.asset_key.path[-1], each.passed, each.metadata["failed rows"].value) for each in checks] == [
        ("mood", True, 0),
        ("reply", False, 3),
    ]
    before = server.stats()["total"]
    mended = loaded(sandbox, {"document": SEQUENCE})
    rerun = materialized(mended, instance, "reviews/reply")
    assert rerun.success
    assert set(told(rerun)) == {"reviews/reply"}
    assert materialized(mended, instance).success  # as Dagster executes again what failed: the whole operation
    assert server.stats()["total"] - before == 3


def test_what_is_said_of_one_step_stands_in_place_of_the_documents(
    sandbox: DefsFolderSandbox, server: ReplayServer
) -> None:
    own = {"reply": {"key": "care/answers", "description": "What we say.", "tags": {"tier": "gold"}, "deps": ["tone"]}}
    definitions = loaded(sandbox, {"document": SEQUENCE, "assets": own})
    assert sources(definitions)["care/answers"] == {"reviews/mood", "tone"}
    spec = specs(definitions)["care/answers"]
    assert (spec.description, spec.tags["tier"]) == ("What we say.", "gold")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({}, "exactly one of them"),
        ({"path": "job.yaml", "document": SEQUENCE}, "exactly one of them"),
        ({"document": SEQUENCE, "assets": {"answer": {}}}, "no step 'answer'; name one of its steps: mood, reply"),
        ({"document": {"job": {**SEQUENCE["job"], "promts": []}}}, "promts"),
        ({"path": "absent.yaml"}, "absent.yaml"),
    ],
)
def test_what_cannot_be_loaded_says_why(
    sandbox: DefsFolderSandbox, server: ReplayServer, attributes: Mapping[str, Any], reason: str
) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011  Dagster wraps what a component raises in a class of its own
        loaded(sandbox, attributes)
    assert reason in str(raised.value.__cause__)


def test_every_attribute_tells_editors_what_it_is() -> None:
    model = LlmJob.get_model_cls()
    assert model is not None
    properties = model.model_json_schema()["properties"]
    assert [name for name, told in properties.items() if not told.get("description")] == []


def test_what_is_scaffolded_loads_and_runs_without_a_key(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    path = sandbox.scaffold_component(component_cls=LlmJob, defs_path="feedback")
    with sandbox.load_component_and_build_defs(path) as (_, definitions):
        assert sources(definitions) == {"feedback/sentiment": set(), "feedback/reply": {"feedback/sentiment"}}
        assert materialized(definitions, instance).success
    assert server.stats()["total"] == 0


def test_a_run_of_the_assets_asks_anew_what_the_cache_leaves_out(
    server: ReplayServer, sandbox: DefsFolderSandbox, instance: dg.DagsterInstance
) -> None:
    document = json.loads(json.dumps(SEQUENCE))
    document["job"]["prompts"][0]["cache"] = {"last_runs": 0}
    definitions = loaded(sandbox, {"document": document})
    for total in (6, 9, 12):
        assert materialized(definitions, instance).success
        assert server.stats()["total"] == total
    assert materialized(definitions, instance, "reviews/mood").success
    assert server.stats()["total"] == 15
