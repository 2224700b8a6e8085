"""One run over many jobs: what each leaves in the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
import pytest

from llm_jobs.events import Listener
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.assets import MOST_PAGES, shown_of
from llm_jobs.orchestration.audience import Audience
from llm_jobs.orchestration.build import build_definitions, in_process
from llm_jobs.orchestration.coverage import cover
from llm_jobs.orchestration.jobs import RUN_JOBS
from llm_jobs.orchestration.partitions import register, registered
from llm_jobs.orchestration.use_cases import JobReports
from llm_jobs_tests.orchestration.fake import FakeUseCases, job, key
from llm_jobs_tests.orchestration.reading import check_results, materializations, shown

JOB_ASSETS = (evidence.JOB_DOCUMENTS, evidence.INPUTS, evidence.RESULTS)


def run(
    instance: dg.DagsterInstance,
    use_cases: FakeUseCases,
    keys: Sequence[str],
    *,
    assets: Sequence[dg.AssetKey] = (),
) -> list[dg.ExecuteInProcessResult]:
    definitions = build_definitions(resources=in_process(use_cases, Audience()))
    return [
        definitions.resolve_job_def(RUN_JOBS.job_name).execute_in_process(
            instance=instance,
            tags=part.tags(),
            run_config=part.run_config(RUN_JOBS.op_name),
            raise_on_error=False,
            asset_selection=list(assets) or None,
        )
        for part in cover(keys, registered(instance))
    ]


@pytest.fixture
def sixteen(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> list[str]:
    use_cases.submit(*(job(number) for number in range(16)))
    register(instance, [key(number) for number in range(16)])
    return registered(instance)


def test_a_job_that_waits_is_neither_a_result_nor_a_failure(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    use_cases.fates[sixteen[3]] = "waiting"
    (result,) = run(instance, use_cases, sixteen)
    assert result.success
    assert shown(instance, evidence.RESULTS).materialized == {*sixteen} - {sixteen[3]}
    [told] = instance.fetch_observations(evidence.RESULTS, limit=5).records
    assert told.event_log_entry.asset_observation is not None
    assert told.event_log_entry.asset_observation.metadata["waits for"].value == "waits for batch 1"


def test_a_run_over_a_range_materialises_every_job_once(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    (result,) = run(instance, use_cases, sixteen)
    assert result.success
    for asset_key in JOB_ASSETS:
        assert shown(instance, asset_key).materialized == set(sixteen)
        assert materializations(instance, asset_key) == dict.fromkeys(sixteen, 1)


def test_jobs_that_fail_in_a_range_are_shown_as_failed_and_their_neighbours_are_not(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    use_cases.fates.update({key(3): "failed", key(5): "failed"})
    (result,) = run(instance, use_cases, sixteen)
    assert not result.success
    results = shown(instance, evidence.RESULTS)
    assert results.failed == {key(3), key(5)}
    assert results.materialized == set(sixteen) - {key(3), key(5)}
    assert not shown(instance, evidence.JOB_DOCUMENTS).failed
    assert not shown(instance, evidence.INPUTS).failed


def test_the_reason_of_a_failed_job_is_in_the_runs_error_and_on_its_partition(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    use_cases.fates[key(3)] = "failed"
    (result,) = run(instance, use_cases, sixteen)
    error = result.get_step_failure_events()[0].step_failure_data.error
    assert error is not None
    assert f"{key(3)} job 3: every call was refused" in error.message
    (observed,) = instance.fetch_observations(evidence.RESULTS, limit=10).records
    assert observed.partition_key == key(3)


def test_a_later_run_of_the_failed_job_alone_repairs_it(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    use_cases.fates[key(3)] = "failed"
    run(instance, use_cases, sixteen)
    use_cases.fates[key(3)] = "done"
    (result,) = run(instance, use_cases, [key(3)])
    assert result.success
    assert shown(instance, evidence.RESULTS).materialized == set(sixteen)
    assert not shown(instance, evidence.RESULTS).failed


def test_a_run_over_a_set_with_gaps_shows_success_and_failure_of_exactly_that_set(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    use_cases.fates[key(9)] = "failed"
    (result,) = run(instance, use_cases, [key(3), key(9), key(12)])
    results = shown(instance, evidence.RESULTS)
    assert not result.success
    assert results.materialized == {key(3), key(12)}
    assert results.failed == {key(9)}
    assert use_cases.ran == [(key(3), key(9), key(12))]


def test_a_job_with_some_rows_failed_is_materialised_and_fails_its_check(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    use_cases.fates[key(7)] = "partial"
    (result,) = run(instance, use_cases, [key(6), key(7)])
    assert result.success
    assert shown(instance, evidence.RESULTS).materialized == {key(6), key(7)}
    checks = check_results(instance, result.run_id)
    assert checks[evidence.EVERY_ROW_ANSWERED, key(6)]
    assert not checks[evidence.EVERY_ROW_ANSWERED, key(7)]
    assert checks[evidence.DIGEST_INTACT, key(7)]
    assert checks[evidence.NOTHING_PAID_TWICE, key(7)]


def test_a_partition_that_nobody_submitted_fails_alone(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    register(instance, ["f" * 32])
    run(instance, use_cases, [key(15), "f" * 32])
    assert shown(instance, evidence.RESULTS).materialized == {key(15)}
    assert shown(instance, evidence.RESULTS).failed == {"f" * 32}


def test_a_job_is_shown_as_in_progress_and_then_materialised_while_its_neighbour_still_runs(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    seen = []

    class Watched(FakeUseCases):
        def run_jobs(self, job_hashes: Sequence[str], *, listener: Listener, run_id: str) -> JobReports:
            for report in super().run_jobs(job_hashes, listener=listener, run_id=run_id):
                seen.append(shown(instance, evidence.RESULTS))
                yield report

    watched = Watched(jobs=use_cases.jobs, fates=use_cases.fates)
    run(instance, watched, sixteen[:3])
    assert [len(state.materialized) for state in seen] == [0, 1, 2]
    assert [len(state.in_progress) for state in seen] == [3, 2, 1]


def test_documents_alone_can_be_materialised_without_asking_a_model(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    run(instance, use_cases, sixteen[:2], assets=[evidence.JOB_DOCUMENTS])
    assert shown(instance, evidence.JOB_DOCUMENTS).materialized == set(sixteen[:2])
    assert use_cases.ran == []


def test_a_result_carries_what_people_look_for(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    run(instance, use_cases, [key(0)])
    event = instance.get_latest_materialization_event(evidence.RESULTS)
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["job"].value == "job 0"
    assert metadata["dagster/row_count"].value == 4
    assert metadata["cost (USD)"].value == metadata["cost in this run (USD)"].value == "not known"
    assert metadata["latency p99 (s)"].value == 0.2
    assert metadata["path"].value == f"results/{key(0)}/1.parquet"
    assert metadata["report"].value == f"reports/{key(0)}/1.html"
    plot = metadata["latency and cost over time"]
    assert isinstance(plot, dg.MarkdownMetadataValue)
    assert (plot.md_str or "").startswith("![")
    preview = metadata["preview"]
    assert isinstance(preview, dg.TableMetadataValue)
    assert preview.records[0].data == {"id": 1, "answer": "blue"}


def test_the_run_bears_the_names_of_its_jobs(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    (result,) = run(instance, use_cases, sixteen)
    dagster_run = instance.get_run_by_id(result.run_id)
    assert dagster_run is not None
    assert dagster_run.tags["llm_jobs/job"] == "job 0, job 1, job 2 and 13 more"


def test_the_table_of_jobs_gives_hexadecimal_keys_a_face(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    definitions = build_definitions(resources=in_process(use_cases, Audience()))
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, asset_selection=[evidence.JOB_TABLE]
    )
    (made,) = result.asset_materializations_for_node("jobs")
    table = made.metadata["jobs"]
    assert isinstance(table, dg.TableMetadataValue)
    assert table.records[0].data["name"] == "job 0"
    assert table.records[0].data["key"] == key(0)


def test_what_was_spent_is_a_table_and_a_plot(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    definitions = build_definitions(resources=in_process(use_cases, Audience()))
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, asset_selection=[evidence.USAGE]
    )
    (made,) = result.asset_materializations_for_node("usage")
    table, plot = made.metadata["usage"], made.metadata["cost and tokens by day"]
    assert isinstance(table, dg.TableMetadataValue)
    assert isinstance(plot, dg.MarkdownMetadataValue)
    assert table.records[0].data.items() >= {"day": "2026-11-21", "model": "small", "job": "reviews"}.items()
    assert made.metadata["cost (USD)"].value == 0.5
    assert made.metadata["saved by reuse (USD)"].value == "not known"


def test_runs_of_very_many_jobs_make_no_pages(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, sixteen: list[str]
) -> None:
    assert len(sixteen) < MOST_PAGES
    assert shown_of(use_cases, key(0), pages=True).page == f"reports/{key(0)}/1.html"
    assert shown_of(use_cases, key(0), pages=False).page is None
