"""The sensors, each tick from what is stored alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from llm_jobs.operations.batches_poll import Polled
from llm_jobs.operations.records import AcceptedDocument, IntakeReport, RejectedDocument
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.coverage import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from llm_jobs.orchestration.launching import MOST_TRIES
from llm_jobs.orchestration.owners import PROCESS_TAG, process_tag
from llm_jobs.orchestration.partitions import register, registered
from llm_jobs.orchestration.sensors import SENSORS
from llm_jobs_tests.orchestration.fake import FakeUseCases, job, key
from llm_jobs_tests.orchestration.reading import materializations, shown
from llm_jobs_tests.orchestration.test_owners import dead_process_tag


def tick(name: str, instance: dg.DagsterInstance, use_cases: FakeUseCases) -> SensorExecutionData:
    (sensor,) = (sensor for sensor in SENSORS if sensor.name == name)
    with dg.build_sensor_context(instance=instance, resources={"use_cases": use_cases}) as context:
        return sensor.evaluate_tick(context)


def launched(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> Sequence[dg.RunRequest]:
    return tick("launch", instance, use_cases).run_requests or []


def ended_run(instance: dg.DagsterInstance, request: dg.RunRequest, *, success: bool = False) -> None:
    status = dg.DagsterRunStatus.SUCCESS if success else dg.DagsterRunStatus.FAILURE
    instance.run_storage.add_run(_run(request, status))


def _run(request: dg.RunRequest, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None) -> dg.DagsterRun:
    return dg.DagsterRun(
        job_name=str(request.job_name),
        run_config=request.run_config,
        tags={**request.tags, **(tags or {})},
        status=status,
    )


def test_every_sensor_runs_by_default() -> None:
    assert {sensor.name: sensor.default_status for sensor in SENSORS} == dict.fromkeys(
        ("intake", "launch", "deliver", "record", "batches", "arrivals"), dg.DefaultSensorStatus.RUNNING
    )


def test_accepted_documents_become_partitions_in_their_order(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    accepted = tuple(
        AcceptedDocument(document_name=f"{number}.yaml", job_hash=key(number), job_name="x") for number in (5, 2, 9)
    )
    use_cases.inbox.append(IntakeReport(accepted=accepted))
    skipped = tick("intake", instance, use_cases).skip_message
    assert skipped == "3 documents accepted, 0 rejected"
    assert registered(instance) == [key(5), key(2), key(9)]


def test_a_rejected_document_shows_in_the_sensors_log_with_its_error(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, capfd: pytest.CaptureFixture[str]
) -> None:
    rejected = RejectedDocument(
        document_name="bad.yaml", error="bad.yaml:3: unknown key 'promt'", moved_to="rejected/1_bad.yaml"
    )
    use_cases.inbox.append(IntakeReport(rejected=(rejected,)))
    tick("intake", instance, use_cases)
    assert "unknown key 'promt'" in capfd.readouterr().err


def test_documents_that_are_too_slow_for_a_tick_get_a_run_of_their_own_and_only_one(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.inbox.extend([IntakeReport(remaining=7), IntakeReport(remaining=7)])
    (request,) = tick("intake", instance, use_cases).run_requests or []
    instance.run_storage.add_run(dg.DagsterRun(job_name="intake", status=dg.DagsterRunStatus.STARTED))
    assert not tick("intake", instance, use_cases).run_requests
    assert request.partition_key is None


def test_a_batch_is_launched_as_one_run_over_its_range(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.submit(*(job(number) for number in range(20)))
    (request,) = launched(instance, use_cases)
    assert request.job_name == "run_jobs"
    assert request.tags[RANGE_START_TAG] == key(0)
    assert request.tags[RANGE_END_TAG] == key(19)
    assert request.tags["llm_jobs/job"] == "job 0, job 1, job 2 and 17 more"


def test_the_same_tick_asks_with_the_same_key(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.submit(job(1))
    (first,), (second,) = launched(instance, use_cases), launched(instance, use_cases)
    assert first.run_key == second.run_key


def test_what_a_run_covers_is_not_asked_for_again(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.submit(*(job(number) for number in range(20)))
    (request,) = launched(instance, use_cases)
    instance.run_storage.add_run(_run(request, dg.DagsterRunStatus.STARTING))
    use_cases.submit(job(20))
    (next_request,) = launched(instance, use_cases)
    assert next_request.tags[PARTITION_TAG] == key(20)


def test_what_a_backfill_from_the_page_covers_is_not_asked_for_either(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1))
    register(instance, [key(1)])
    instance.run_storage.add_run(
        dg.DagsterRun(
            job_name="__ASSET_JOB",
            status=dg.DagsterRunStatus.STARTED,
            asset_selection=frozenset({evidence.RESULTS}),
            tags={PARTITION_TAG: key(1)},
        )
    )
    assert not launched(instance, use_cases)


def test_a_finished_job_is_not_asked_for(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.submit(job(1), job(2))
    list(use_cases.run_jobs([key(1)], listener=print, run_id=""))
    (request,) = launched(instance, use_cases)
    assert request.tags[PARTITION_TAG] == key(2)


def test_hot_jobs_never_share_a_run_with_cold_ones(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.submit(job(1), replace(job(2), priority="hot"), job(3))
    hot, cold = launched(instance, use_cases)
    assert hot.tags[PARTITION_TAG] == key(2)
    assert hot.tags["dagster/priority"] == "10"
    assert cold.run_config["ops"]["answer_jobs"]["config"]["job_hashes"] == [key(1), key(3)]
    assert "dagster/priority" not in cold.tags


def test_tries_are_capped_and_each_has_a_key_of_its_own(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.submit(job(1))
    run_keys = set()
    for _ in range(MOST_TRIES):
        (request,) = launched(instance, use_cases)
        run_keys.add(request.run_key)
        ended_run(instance, request)
    assert not launched(instance, use_cases)
    assert len(run_keys) == MOST_TRIES


def test_a_job_submitted_again_after_its_last_try_is_launched_again(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1))
    for _ in range(MOST_TRIES):
        (request,) = launched(instance, use_cases)
        ended_run(instance, request)
    use_cases.resubmit(key(1), submitted_ns=2**62)
    (again,) = launched(instance, use_cases)
    assert again.run_key != request.run_key


def test_a_job_that_waited_is_launched_again_however_often_it_was_tried_before(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1))
    run_keys = []
    for wait in range(2 * MOST_TRIES):
        (request,) = launched(instance, use_cases)
        run_keys.append(request.run_key)
        ended_run(instance, request, success=True)
        use_cases.jobs[key(1)] = replace(use_cases.jobs[key(1)], waited_ns=2**62 + wait)
    assert len(set(run_keys)) == len(run_keys)


def test_the_batches_are_polled_and_what_went_wrong_is_told(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.batches = [Polled(batch_id=1), Polled(batch_id=2, problem="no key")]
    assert tick("batches", instance, use_cases).skip_message == "2 batches were polled"


def test_the_run_of_a_dead_process_is_reported_as_failed_and_its_jobs_are_launched_again(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1))
    (request,) = launched(instance, use_cases)
    stuck = instance.run_storage.add_run(_run(request, dg.DagsterRunStatus.STARTED, {PROCESS_TAG: dead_process_tag()}))
    (again,) = launched(instance, use_cases)
    buried = instance.get_run_by_id(stuck.run_id)
    assert buried is not None
    assert buried.status is dg.DagsterRunStatus.FAILURE
    assert again.tags[PARTITION_TAG] == key(1)


def test_the_run_of_a_living_process_is_left_alone(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.submit(job(1))
    (request,) = launched(instance, use_cases)
    instance.run_storage.add_run(_run(request, dg.DagsterRunStatus.STARTED, {PROCESS_TAG: process_tag()}))
    assert not launched(instance, use_cases)


def test_a_finished_job_with_an_output_is_delivered(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.submit(job(1), job(2))
    use_cases.outputs.add(key(2))
    list(use_cases.run_jobs([key(1), key(2)], listener=print, run_id=""))
    (request,) = tick("deliver", instance, use_cases).run_requests or []
    assert request.job_name == "deliver"
    assert request.tags[PARTITION_TAG] == key(2)


def test_a_job_finished_outside_dagster_gets_its_partition_and_is_shown_once(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1), job(2))
    list(use_cases.run_jobs([key(1)], listener=print, run_id=""))
    for _ in range(2):
        tick("record", instance, use_cases)
    assert registered(instance) == [key(1)]
    assert shown(instance, evidence.RESULTS).materialized == {key(1)}
    assert materializations(instance, evidence.RESULTS) == {key(1): 1}
    assert materializations(instance, evidence.JOB_DOCUMENTS) == {key(1): 1}


def test_the_table_of_jobs_and_the_libraries_are_reported_when_they_change(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1))
    tick("record", instance, use_cases)
    tick("record", instance, use_cases)
    assert materializations(instance, evidence.JOB_TABLE) == {None: 1}
    assert len(instance.fetch_observations(evidence.MODEL_CATALOGUE, limit=10).records) == 1
    use_cases.submit(job(2))
    tick("record", instance, use_cases)
    assert materializations(instance, evidence.JOB_TABLE) == {None: 2}
