"""What is reported without a run."""

from __future__ import annotations

import itertools
import time

import dagster as dg

from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.audience import Audience
from llm_jobs.orchestration.build import build_definitions, in_process
from llm_jobs.orchestration.partitions import register
from llm_jobs.orchestration.recording import USAGE_EVERY_S, USAGE_REST, refresh_job_table, refresh_usage
from llm_jobs_tests.orchestration.fake import FakeUseCases, job, key
from llm_jobs_tests.orchestration.reading import materializations, unsynced


def finish(use_cases: FakeUseCases, number: int) -> None:
    use_cases.submit(job(number))
    list(use_cases.run_jobs([key(number)], listener=print, run_id=""))


def refreshed(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, *, in_s: float = 0.0, takes_s: float = 0.0
) -> bool:
    looks = itertools.count(time.time() + in_s, takes_s)
    return refresh_usage(instance, use_cases, use_cases.latest_jobs(100), now_s=lambda: next(looks))


def test_what_was_spent_is_told_again_when_there_are_new_results_and_not_too_often(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(0))
    assert not refreshed(instance, use_cases)
    finish(use_cases, 1)
    assert refreshed(instance, use_cases)
    assert not refreshed(instance, use_cases, in_s=10 * USAGE_EVERY_S)
    finish(use_cases, 2)
    assert not refreshed(instance, use_cases)
    assert refreshed(instance, use_cases, in_s=USAGE_EVERY_S + 1)
    assert materializations(instance, evidence.USAGE) == {None: 2}


def test_a_sum_that_takes_long_is_made_seldom(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    finish(use_cases, 1)
    assert refreshed(instance, use_cases, takes_s=10.0)
    finish(use_cases, 2)
    assert not refreshed(instance, use_cases, in_s=10.0 * USAGE_REST - 1)
    assert refreshed(instance, use_cases, in_s=10.0 * USAGE_REST + 1)


def test_tables_that_told_a_result_before_dagster_heard_of_it_are_told_once_more(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    definitions = build_definitions(resources=in_process(use_cases, Audience()))
    tables = {evidence.JOB_TABLE, evidence.USAGE}
    finish(use_cases, 1)
    lines = use_cases.latest_jobs(100)
    assert refresh_job_table(instance, lines)
    assert refreshed(instance, use_cases)
    register(instance, [lines[0].job_hash])
    instance.report_runless_asset_event(evidence.line_event(lines[0]))
    assert unsynced(instance, definitions, tables) == tables
    assert refresh_job_table(instance, lines)
    assert refreshed(instance, use_cases, in_s=USAGE_EVERY_S + 1)
    assert not unsynced(instance, definitions, tables)
    assert not refresh_job_table(instance, lines)
    assert not refreshed(instance, use_cases, in_s=3 * USAGE_EVERY_S)
