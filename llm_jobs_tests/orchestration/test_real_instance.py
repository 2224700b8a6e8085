"""A real instance: web server, daemon, code server, run processes; all tests of this file on the embedded default, and
once more with Dagster's storage (as `deploy/` says) and the ledger on a real PostgreSQL.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
import yaml

from llm_jobs.engine.recorder import KEPT_AT_ONCE
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.coverage import OP_NAME, RANGE_END_TAG, RANGE_START_TAG, covered
from llm_jobs.orchestration.owners import PROCESS_TAG, UNFINISHED
from llm_jobs.orchestration.partitions import registered
from llm_jobs_tests.orchestration.page import ROOT, Page, running_dagster, until
from llm_jobs_tests.orchestration.reading import materializations, shown
from llm_jobs_tests.servers.faults import FaultPlan
from llm_jobs_tests.servers.postgres import postgres_server
from llm_jobs_tests.servers.replay import ReplayServer, replay_server

MODEL = "openai/gpt-4.1-mini"
LATENCY_S = 0.1
JOB_ASSETS = ("job_documents", "inputs", "results")

PAIR = json.dumps({"configuration": {"LLM_name": MODEL, "temperature": 0}, "prompt": "Name a colour."})
BATCH = "\n".join(
    json.dumps(
        {
            "custom_id": f"ask-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": f"Batch {number}"}]},
        }
    )
    for number in range(3)
)


def yaml_job(name: str, *, rows: Sequence[str], concurrency: int = 8, more: str = "") -> str:
    listed = "".join(f"      - {{text: {json.dumps(row)}}}\n" for row in rows)
    return (
        f"job:\n  name: {name}\n  input:\n    rows:\n{listed}"
        f"  prompts:\n    - {{name: answer, model: {MODEL}, text: '{{{{ text }}}}'}}\n"
        f"  execution: {{concurrency: {concurrency}}}\n{more}"
    )


@pytest.fixture(scope="module")
def server() -> Iterator[ReplayServer]:
    with replay_server(latency_s=LATENCY_S, plan=FaultPlan(poison="poison")) as started:
        yield started


@pytest.fixture(scope="module", params=["embedded", "postgresql"])
def page(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, server: ReplayServer
) -> Iterator[Page]:
    environment = {"OPENAI_BASE_URL": server.openai_url, "OPENAI_API_KEY": "sk-test"}
    server.reset()
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        with running_dagster(folder, environment) as running:
            yield running
        return
    with postgres_server() as database, pytest.MonkeyPatch.context() as patch:
        url = database.create_database("dagster").replace("postgresql://", "postgresql+psycopg2://")
        patch.setenv("DAGSTER_POSTGRES_URL", url)  # Dagster's own settings name it, in this process too
        environment["LLM_JOBS_DATABASE_URL"] = database.create_database("ledger")
        write_settings_for_postgresql(folder / "dagster")
        with running_dagster(folder, environment) as running:
            yield running


def write_settings_for_postgresql(dagster_home: Path) -> None:
    """The embedded settings with the storage of `deploy/`: runs are processes here and not containers."""
    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    settings["storage"] = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text())["storage"]
    dagster_home.mkdir()
    (dagster_home / "dagster.yaml").write_text(yaml.safe_dump(settings))


@pytest.fixture(scope="module")
def four(page: Page) -> list[str]:
    """The keys of four finished jobs, in their order."""
    names = [f"four-{number}" for number in range(4)]
    for name in names:
        page.drop(f"{name}.yaml", yaml_job(name, rows=[f"{name} a", f"{name} b"]))
    lines = page.ended(*names)
    keys = {line.job_hash for line in lines.values()}
    until(lambda: keys <= shown(page.instance, evidence.RESULTS).materialized)
    return [key for key in registered(page.instance) if key in keys]


def new_materializations(page: Page, before: dict[str | None, int]) -> dict[str | None, int]:
    after = materializations(page.instance, evidence.RESULTS)
    return {key: count - before.get(key, 0) for key, count in after.items() if count > before.get(key, 0)}


def test_files_moved_into_the_inbox_are_answered_with_no_other_action(page: Page) -> None:
    page.drop("colour.json", PAIR)
    page.drop("letters.yaml", yaml_job("letters", rows=["a", "b", "c"]))
    page.drop("asks.jsonl", BATCH)
    lines = page.ended("colour", "letters", "asks")
    assert {name: (line.status, line.rows) for name, line in lines.items()} == {
        "colour": ("done", 1),
        "letters": ("done", 3),
        "asks": ("done", 3),
    }
    keys = {line.job_hash for line in lines.values()}
    until(lambda: keys <= shown(page.instance, evidence.RESULTS).materialized)
    assert keys <= shown(page.instance, evidence.JOB_DOCUMENTS).materialized
    assert not list(page.settings.inbox.iterdir())


def test_a_rejected_document_lies_beside_its_error_and_shows_in_the_sensors_log(page: Page) -> None:
    page.drop("mistaken.yaml", "job:\n  name: mistaken\n  promts: []\n")
    (error,) = until(lambda: list(page.settings.rejected.glob("*mistaken.yaml.error.txt")))
    assert "promts" in error.read_text()
    query = """{ sensorOrError(sensorSelector:
        {repositoryName: "__repository__", repositoryLocationName: "llm_jobs", sensorName: "intake"})
        { ... on Sensor { sensorState { ticks(limit: 20) { logEvents { events { message } } } } } } }"""
    until(lambda: "promts" in json.dumps(page.ask(query)) or None)


def test_backfills_of_selected_partitions_and_of_a_range_through_the_pages_own_mutation(
    page: Page, server: ReplayServer, four: list[str]
) -> None:
    before, requests = materializations(page.instance, evidence.RESULTS), server.stats()["total"]
    assets = [{"path": [name]} for name in JOB_ASSETS]
    selected = launch_backfill(page, {"assetSelection": assets, "partitionNames": [four[0], four[2]]})
    a_range = {"ranges": [{"start": four[1], "end": four[3]}]}
    by_asset = [{"assetKey": asset, "partitions": a_range} for asset in assets]
    ranged = launch_backfill(page, {"partitionsByAssets": by_asset})
    runs_of_selected, runs_of_range = backfill_runs(page, selected, jobs=2), backfill_runs(page, ranged, jobs=3)
    assert {run.status for run in (*runs_of_selected, *runs_of_range)} == {dg.DagsterRunStatus.SUCCESS}
    assert len(runs_of_range) == 1
    assert new_materializations(page, before) == {four[0]: 1, four[1]: 1, four[2]: 2, four[3]: 1}
    assert server.stats()["total"] == requests


def launch_backfill(page: Page, parameters: dict[str, object]) -> str:
    launched = page.ask(
        """mutation Launch($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
            __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
        {"params": {**parameters, "tags": []}},
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    return str(launched["backfillId"])


def backfill_runs(page: Page, backfill_id: str, *, jobs: int) -> list[dg.DagsterRun]:
    """The runs of a backfill once they ended and cover so many jobs."""
    keys = registered(page.instance)

    def all_ended() -> list[dg.DagsterRun] | None:
        runs = page.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id}))
        count = sum(len(covered(run, keys, op_name=OP_NAME)) for run in runs)
        return list(runs) if count == jobs and all(run.is_finished for run in runs) else None

    return until(all_ended)


def test_dagster_job_launch_takes_a_range_in_its_tags(page: Page, four: list[str]) -> None:
    before = materializations(page.instance, evidence.RESULTS)
    tags = {RANGE_START_TAG: four[0], RANGE_END_TAG: four[1], "asked-by": "test"}
    arguments = ("-w", "workspace.yaml", "-j", "run_jobs", "--tags", json.dumps(tags))
    page.command("dagster", "job", "launch", *arguments)
    asked = dg.RunsFilter(tags={"asked-by": "test"})
    (run,) = until(lambda: [run for run in page.instance.get_runs(asked) if run.is_finished])
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert new_materializations(page, before) == {four[0]: 1, four[1]: 1}


def test_dg_launch_takes_a_partition_and_a_range(page: Page, four: list[str]) -> None:
    before = materializations(page.instance, evidence.RESULTS)
    page.command("dg", "launch", "--assets", "results", "--partition", four[3])
    page.command("dg", "launch", "--job", "run_jobs", "--partition-range", f"{four[0]}...{four[1]}")
    assert new_materializations(page, before) == {four[0]: 1, four[1]: 1, four[3]: 1}


def test_partial_success_inside_one_run_is_visible_per_partition(page: Page, server: ReplayServer) -> None:
    for name, rows in {"good": ["fine"], "mixed": ["fine too", "poison 1"], "bad": ["poison 2"]}.items():
        page.drop(f"partial-{name}.yaml", yaml_job(f"partial-{name}", rows=rows))
    lines = until(lambda: _all_submitted(page, ["partial-good", "partial-mixed", "partial-bad"]))
    good, mixed, bad = (lines[f"partial-{name}"] for name in ("good", "mixed", "bad"))
    until(lambda: {good, mixed} <= shown(page.instance, evidence.RESULTS).materialized or None)
    until(lambda: bad in shown(page.instance, evidence.RESULTS).failed or None)

    poisoned = server.stats()["statuses"]["400"]
    page.drop("after.yaml", yaml_job("after", rows=["afterwards"]))
    page.ended("after")
    assert server.stats()["statuses"]["400"] == poisoned == 2, "a row that failed was asked again unasked"


def _all_submitted(page: Page, names: Sequence[str]) -> dict[str, str] | None:
    lines = page.lines()
    return {name: lines[name].job_hash for name in names} if set(names) <= lines.keys() else None


def test_a_killed_run_is_finished_by_the_next_without_buying_an_answer_again(page: Page, server: ReplayServer) -> None:
    page.instance.event_log_storage.set_concurrency_slots("openai", 1)
    concurrency, rows = 2, [f"to be killed {number}" for number in range(60)]
    requests = server.stats()["total"]
    page.drop("killed.yaml", yaml_job("killed", rows=rows, concurrency=concurrency))
    until(lambda: server.stats()["total"] >= requests + 40)
    (job_hash,) = (line.job_hash for line in page.lines().values() if line.name == "killed")
    run = _going(page, job_hash)
    os.kill(json.loads(run.tags[PROCESS_TAG])["pid"], signal.SIGKILL)
    line = page.ended("killed")["killed"]
    assert (line.status, line.rows, line.succeeded) == ("done", 60, 60)
    assert server.stats()["total"] - requests - len(rows) <= concurrency + KEPT_AT_ONCE
    until(lambda: not page.instance.event_log_storage.get_concurrency_info("openai").claimed_slots)
    killed = page.instance.get_run_by_id(run.run_id)
    assert killed is not None
    assert killed.status is dg.DagsterRunStatus.FAILURE


def _going(page: Page, job_hash: str) -> dg.DagsterRun:
    keys = registered(page.instance)
    runs = page.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    (run,) = [run for run in runs if job_hash in covered(run, keys, op_name=OP_NAME)]
    return run
