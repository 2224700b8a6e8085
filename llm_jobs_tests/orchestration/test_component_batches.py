"""A component's job in a vendor's batches: its run ends, a sensor polls, and asks for the run that makes the assets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster.components.testing.utils import DefsFolderSandbox

from llm_jobs import llm_asset
from llm_jobs.orchestration.step_batches import WAITING_TAG
from llm_jobs_tests.orchestration.test_component import SEQUENCE, loaded, materialized, told
from llm_jobs_tests.servers.batches import BatchServer, batch_server

# As in test_component.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
MODEL = "openai/gpt-4.1-mini"
DOCUMENT = {"job": {**SEQUENCE["job"], "mode": "batch", "prompts": SEQUENCE["job"]["prompts"][:1]}}  # type: ignore[index]
DAILY = {"type": "daily", "start_date": "2026-10-01", "end_date": "2026-10-31"}
DAYS = ("2026-10-01", "2026-10-02", "2026-10-03")
MOOD = dg.AssetKey(["reviews", "mood"])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[BatchServer]:
    with batch_server() as started:
        monkeypatch.setenv("OPENAI_BASE_URL", started.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("LLM_JOBS_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("LLM_JOBS_ALLOWED_ROOTS", str(tmp_path))
        yield started


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance) -> SensorExecutionData:
    """What comes of a tick of the component's sensor."""
    sensor = definitions.resolve_sensor_def("reviews_batches")
    with dg.build_sensor_context(instance=instance, definitions=definitions) as context:
        return sensor.evaluate_tick(context)


def asked(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dg.RunRequest:
    [request] = tick(definitions, instance).run_requests or []
    return request


def materialize_as_asked(
    definitions: dg.Definitions, instance: dg.DagsterInstance, request: dg.RunRequest
) -> dg.ExecuteInProcessResult:
    keys = [key.to_user_string() for key in request.asset_selection or ()]
    return materialized(definitions, instance, *keys, tags=request.tags, partition_key=request.partition_key)


def test_no_run_waits_for_a_batch_and_the_next_is_asked_for_when_it_ended(
    sandbox: DefsFolderSandbox, server: BatchServer, instance: dg.DagsterInstance
) -> None:
    definitions = loaded(sandbox, {"document": DOCUMENT})
    assert tick(definitions, instance).skip_message == "No run waits for a batch."
    first = materialized(definitions, instance)
    assert first.success
    assert instance.get_latest_materialization_event(MOOD) is None
    [observed] = instance.fetch_observations(MOOD, limit=5).records
    assert "waits for" in (observed.asset_observation.metadata if observed.asset_observation else {})
    assert "1 jobs wait: " in str(tick(definitions, instance).skip_message)

    server.finish()
    request = asked(definitions, instance)
    assert (request.run_key, request.asset_selection) == (first.run_id, [MOOD])
    second = materialize_as_asked(definitions, instance, request)
    assert second.success
    shown = told(second)["reviews/mood"]
    assert (shown["dagster/row_count"], shown["rows failed"]) == (3, 0)
    assert (server.online, set(server.paid.values())) == (0, {1})
    assert tick(definitions, instance).skip_message == "No run waits for a batch."
    assert instance.get_run_by_id(first.run_id).tags[WAITING_TAG] == "over"  # type: ignore[union-attr]


def test_days_of_one_run_are_asked_in_batches_and_made_together(
    sandbox: DefsFolderSandbox, server: BatchServer, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    definitions = loaded(sandbox, by_day(tmp_path))
    tags = {"dagster/asset_partition_range_start": DAYS[0], "dagster/asset_partition_range_end": DAYS[-1]}
    assert materialized(definitions, instance, tags=tags).success
    assert instance.get_materialized_partitions(MOOD) == set()
    server.finish()
    request = asked(definitions, instance)
    assert materialize_as_asked(definitions, instance, request).success
    assert instance.get_materialized_partitions(MOOD) == set(DAYS)
    assert (len(server.paid), set(server.paid.values())) == (len(DAYS), {1})


def test_a_job_without_batches_has_no_sensor(sandbox: DefsFolderSandbox, server: BatchServer) -> None:
    assert not loaded(sandbox, {"document": SEQUENCE}).sensors


def test_an_asset_of_a_table_that_waits_says_so_and_is_made_when_the_batch_ended(
    server: BatchServer, instance: dg.DagsterInstance
) -> None:
    @llm_asset(text="Mood of: {{ review }}", model=MODEL, job={"mode": "batch"})
    def mood() -> pa.Table:
        return pa.table({"review": ["Good.", "Bad."]})

    first = dg.materialize([mood], instance=instance, raise_on_error=False)
    error = first.get_step_failure_events()[0].step_failure_data.error
    assert error is not None
    assert "2 calls were submitted in 1 batch" in error.message
    server.finish()
    table = dg.materialize([mood], instance=instance).output_for_node("mood")
    assert table.column("llm_status").to_pylist() == ["succeeded"] * 2
    assert (server.online, set(server.paid.values())) == (0, {1})


def by_day(folder: Path) -> Mapping[str, Any]:
    """The attributes of a component that asks each day about the file of that day."""
    for day in DAYS:
        (folder / f"{day}.jsonl").write_text(json.dumps({"review": f"On {day}."}) + "\n", encoding="utf-8")
    document = {"job": {**DOCUMENT["job"], "input": {"path": str(folder / "none.jsonl")}}}
    table = str(folder / "{partition_key}.jsonl")
    return {"document": document, "input": table, "partitions_def": DAILY, "backfill_policy": {"type": "single_run"}}
