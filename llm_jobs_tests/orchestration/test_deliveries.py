"""The asset of deliveries: what it shows, what fails it, the pool that it claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import dagster as dg

from llm_jobs.events import Listener
from llm_jobs.operations.records import DeliveryReport
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.foreground import deliver_in_foreground, run_in_foreground
from llm_jobs_tests.orchestration.fake import FakeUseCases, job, key
from llm_jobs_tests.orchestration.reading import shown


@dataclass(kw_only=True)
class Deliveries(FakeUseCases):
    """Deliveries end as `reports` says; each tells how many slots of the pool `database` were held."""

    instance: dg.DagsterInstance
    reports: dict[str, Sequence[DeliveryReport]] = field(default_factory=dict)
    asked: list[tuple[str, bool, int]] = field(default_factory=list)

    def deliver(self, job_hash: str, *, listener: Listener, again: bool) -> Sequence[DeliveryReport]:
        info = self.instance.event_log_storage.get_concurrency_info("database")
        self.asked.append((job_hash, again, info.active_slot_count))
        self.delivered.append(job_hash)
        return self.reports.get(job_hash, ())


def to(number: int, destination: str, **stated: object) -> DeliveryReport:
    report = DeliveryReport(job_hash=key(number), destination=destination, rows=4)
    return replace(report, **stated)  # type: ignore[arg-type]


def test_what_failed_is_shown_as_an_observation_and_stops_no_other(instance: dg.DagsterInstance) -> None:
    use_cases = Deliveries(instance=instance)
    use_cases.submit(job(1), job(2))
    use_cases.reports[key(1)] = (
        to(1, "a.csv", size_bytes=12, sha256="0" * 64),
        to(1, "http://h/r", rows=0, status="failed", error="the endpoint is down"),
    )
    use_cases.reports[key(2)] = (to(2, "shop, table answers", details={"batches": 3}),)
    [run_id] = deliver_in_foreground(use_cases, [key(1), key(2)], instance=instance)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert shown(instance, evidence.DELIVERIES).materialized == {key(2)}
    [observed] = instance.fetch_observations(evidence.DELIVERIES, limit=5).records
    assert observed.asset_observation is not None
    metadata = observed.asset_observation.metadata
    assert metadata["destination"].value == "a.csv, http://h/r"
    records = [record.data for record in metadata["receipts"].value.records]  # type: ignore[union-attr]
    assert [(record["destination"], record["status"], record["error"]) for record in records] == [
        ("a.csv", "delivered", ""),
        ("http://h/r", "failed", "the endpoint is down"),
    ]


def test_a_delivery_to_a_database_holds_a_slot_of_its_pool_and_gives_it_back(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("database", 1)
    use_cases = Deliveries(instance=instance)
    use_cases.submit(replace(job(1), destinations=("database", "file")), replace(job(2), destinations=("file",)))
    deliver_in_foreground(use_cases, [key(1)], instance=instance)
    deliver_in_foreground(use_cases, [key(2)], instance=instance)
    assert use_cases.asked == [(key(1), False, 1), (key(2), False, 0)]
    assert instance.event_log_storage.get_concurrency_info("database").active_slot_count == 0


def test_a_delivery_may_be_repeated_without_a_run_of_the_job(instance: dg.DagsterInstance) -> None:
    use_cases = Deliveries(instance=instance)
    use_cases.submit(job(1))
    use_cases.reports[key(1)] = (to(1, "a.csv"),)
    run_in_foreground(use_cases, [key(1)], instance=instance)
    deliver_in_foreground(use_cases, [key(1)], instance=instance, again=True)
    assert use_cases.ran == [(key(1),)]
    assert use_cases.asked == [(key(1), True, 0)]
    assert shown(instance, evidence.DELIVERIES).materialized == {key(1)}
