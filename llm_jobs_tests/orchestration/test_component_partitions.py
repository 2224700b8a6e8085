"""A document by partitions: each asks its own slice, several are answered in one run, one that fails fails alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing.utils import DefsFolderSandbox

from llm_jobs_tests.orchestration.test_component import MODEL, SEQUENCE, loaded, materialized, told
from llm_jobs_tests.servers.replay import ReplayServer

# As in test_component.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
DAILY = {"type": "daily", "start_date": "2026-10-01", "end_date": "2026-10-31"}
SINGLE_RUN = {"type": "single_run"}
MOOD = dg.AssetKey(["reviews", "mood"])
DAYS = [f"2026-10-{day:02}" for day in range(1, 31)]


@pytest.fixture
def server(server: ReplayServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ReplayServer:
    monkeypatch.setenv("LLM_JOBS_ALLOWED_ROOTS", str(tmp_path))
    return server


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def by_day(sandbox: DefsFolderSandbox, folder: Path, **more: Any) -> dg.Definitions:
    """A component whose document takes the file of its day."""
    document = {"job": {**SEQUENCE["job"], "input": {"path": str(folder / "none.jsonl")}}}
    attributes = {"document": document, "input": str(folder / "{partition_key}.jsonl"), "partitions_def": DAILY}
    return loaded(sandbox, {**attributes, **more})


def write_days(folder: Path, *, broken: str = "") -> None:
    for day in DAYS:
        text = "poison" if day == broken else f"On {day}."
        (folder / f"{day}.jsonl").write_text(json.dumps({"review": text}) + "\n", encoding="utf-8")


def span(first: str, last: str) -> Mapping[str, str]:
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def test_a_day_asks_its_own_rows(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    write_days(tmp_path)
    result = materialized(by_day(sandbox, tmp_path), instance, partition_key="2026-10-07")
    assert result.success
    shown = told(result)["reviews/mood|2026-10-07"]
    assert shown["dagster/row_count"] == 1
    assert server.stats()["total"] == 2


def test_a_backfill_of_thirty_days_in_one_run_asks_each_row_once(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    write_days(tmp_path)
    definitions = by_day(sandbox, tmp_path, backfill_policy=SINGLE_RUN)
    result = materialized(definitions, instance, tags=span(DAYS[0], DAYS[-1]))
    assert result.success
    assert (server.stats()["total"], server.stats()["distinct"]) == (60, 60)
    assert instance.get_materialized_partitions(MOOD) == set(DAYS)
    hashes = {shown["job hash"] for key, shown in told(result).items() if key.startswith("reviews/mood|")}
    assert len(hashes) == 30
    assert materialized(definitions, instance, partition_key=DAYS[3]).success
    assert server.stats()["total"] == 60


def test_a_day_that_fails_in_one_run_over_many_fails_alone(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    write_days(tmp_path, broken="2026-10-03")
    definitions = by_day(sandbox, tmp_path, backfill_policy=SINGLE_RUN)
    result = materialized(definitions, instance, tags=span("2026-10-01", "2026-10-05"))
    assert not result.success
    assert instance.get_materialized_partitions(MOOD) == {"2026-10-01", "2026-10-02", "2026-10-04", "2026-10-05"}
    error = result.get_step_failure_events()[0].step_failure_data.error
    assert error is not None
    assert "reviews, partition 2026-10-03: " in error.message


@pytest.mark.parametrize(
    "partitions", [{"type": "static", "partition_keys": ["de", "fr"]}, {"type": "dynamic", "name": "languages"}]
)
def test_a_parameter_of_a_template_takes_the_key_of_any_kind_of_partition(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance, partitions: Mapping[str, Any]
) -> None:
    instance.add_dynamic_partitions("languages", ["de", "fr"])
    template = {
        "template": {
            "name": "said",
            "parameters": [{"name": "language"}],
            "job": {
                "name": "said",
                "model": MODEL,
                "input": {"rows": [{"word": "tree"}]},
                "prompts": [{"name": "there", "text": "{{ word }} in ${language}"}],
            },
        }
    }
    parameters = {"language": "{partition_key}"}
    definitions = loaded(sandbox, {"document": template, "parameters": parameters, "partitions_def": partitions})
    for key in ("de", "fr"):
        result = materialized(definitions, instance, partition_key=key)
        assert result.success
        assert told(result)[f"said/there|{key}"]["preview"].records[0].data["there"] == f"echo: tree in {key}"
    assert server.stats()["total"] == 2


def test_a_window_of_time_fills_its_ends(
    sandbox: DefsFolderSandbox, server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    template = {
        "template": {
            "name": "window",
            "parameters": [{"name": "since"}, {"name": "until"}],
            "job": {
                "name": "window",
                "model": MODEL,
                "prompts": [{"name": "news", "text": "News from ${since} to ${until}"}],
            },
        }
    }
    parameters = {"since": "{partition_start}", "until": "{partition_end}"}
    definitions = loaded(sandbox, {"document": template, "parameters": parameters, "partitions_def": DAILY})
    result = materialized(definitions, instance, partition_key="2026-10-07")
    answer = told(result)["window/news|2026-10-07"]["preview"].records[0].data["news"]
    assert answer == "echo: News from 2026-10-07T00:00:00+00:00 to 2026-10-08T00:00:00+00:00"
