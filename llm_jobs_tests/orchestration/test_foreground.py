"""Jobs in front of the person who asked, on fresh and used homes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest

from llm_jobs.errors import SetupError
from llm_jobs.events import Listener
from llm_jobs.operations.records import JobReport
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.foreground import run_in_foreground
from llm_jobs.orchestration.instances import DEFAULT_SETTINGS, open_instance
from llm_jobs.orchestration.owners import PROCESS_TAG
from llm_jobs.orchestration.partitions import register
from llm_jobs.orchestration.use_cases import JobReports
from llm_jobs_tests.orchestration.fake import FakeUseCases, job, key, report_of
from llm_jobs_tests.orchestration.reading import shown
from llm_jobs_tests.orchestration.test_owners import dead_process_tag

ROOT = Path(__file__).parents[2]
OPEN_AND_RUN = """
import sys
from pathlib import Path
from llm_jobs.orchestration.foreground import run_in_foreground
from llm_jobs.orchestration.instances import open_instance
from llm_jobs_tests.orchestration.fake import FakeUseCases, job, key

use_cases = FakeUseCases()
use_cases.submit(job(int(sys.argv[2])))
with open_instance(Path(sys.argv[1])) as instance:
    done = run_in_foreground(use_cases, [key(int(sys.argv[2]))], instance=instance)
    print([report.status for report in done.reports])
"""


def test_the_reports_come_as_the_jobs_end_and_the_run_is_like_any_other(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1), job(2), job(3))
    use_cases.fates[key(2)] = "failed"
    heard: list[JobReport] = []
    done = run_in_foreground(use_cases, [key(1), key(2), key(3)], instance=instance, hear=heard.append)
    assert [report.status for report in done.reports] == ["done", "failed", "done"]
    assert heard == done.reports
    assert shown(instance, evidence.RESULTS).failed == {key(2)}
    (run_id,) = done.run_ids
    dagster_run = instance.get_run_by_id(run_id)
    assert dagster_run is not None
    assert dagster_run.status is dg.DagsterRunStatus.FAILURE
    assert done.links == [f"/runs/{run_id}"]


def test_jobs_with_gaps_between_them_are_one_run_over_exactly_these(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(*(job(number) for number in range(9)))
    register(instance, [key(number) for number in range(9)])
    done = run_in_foreground(use_cases, [key(7), key(1), key(4)], instance=instance)
    assert len(done.run_ids) == 1
    assert use_cases.ran == [(key(1), key(4), key(7))]
    assert shown(instance, evidence.RESULTS).materialized == {key(1), key(4), key(7)}


def test_what_is_finished_and_shown_is_reported_without_a_run_and_elsewhere_with_one(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1))
    use_cases.submit(job(2), status="partial")
    use_cases.finished[key(1)] = report_of(job(1), "done")
    first = run_in_foreground(use_cases, [key(1), key(2)], instance=instance)
    again = run_in_foreground(use_cases, [key(1), key(2)], instance=instance)
    assert use_cases.ran == [(key(1), key(2)), (key(2),)], "the first time this instance does not show the result"
    assert [report.job_hash for report in again.reports] == [key(1), key(2)]
    assert len(first.run_ids) == len(again.run_ids) == 1


def test_what_has_an_output_is_delivered_too(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.submit(job(1), job(2))
    use_cases.outputs.add(key(2))
    done = run_in_foreground(use_cases, [key(1), key(2)], instance=instance)
    assert use_cases.delivered == [key(2)]
    assert len(done.run_ids) == 2
    assert shown(instance, evidence.DELIVERIES).materialized == {key(2)}


def test_it_says_nothing_unless_asked(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, capfd: pytest.CaptureFixture[str]
) -> None:
    use_cases.submit(job(1))
    use_cases.fates[key(1)] = "failed"
    run_in_foreground(use_cases, [key(1)], instance=instance)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    run_in_foreground(use_cases, [key(1)], instance=instance, quiet=False)
    assert "RUN_FAILURE" in capfd.readouterr().err


def test_what_breaks_the_run_itself_is_raised_and_the_run_is_shown_as_failed(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    class Broken(FakeUseCases):
        def run_jobs(self, job_hashes: Sequence[str], *, listener: Listener, run_id: str) -> JobReports:
            raise SetupError("the ledger is on a network file system")
            yield

    broken = Broken()
    broken.submit(job(1))
    with pytest.raises(SetupError, match="network file system"):
        run_in_foreground(broken, [key(1)], instance=instance)
    assert shown(instance, evidence.RESULTS).failed == {key(1)}


def test_the_run_of_a_killed_predecessor_is_reported_as_failed(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1))
    stuck = instance.run_storage.add_run(
        dg.DagsterRun(job_name="run_jobs", status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: dead_process_tag()})
    )
    run_in_foreground(use_cases, [key(1)], instance=instance)
    buried = instance.get_run_by_id(stuck.run_id)
    assert buried is not None
    assert buried.status is dg.DagsterRunStatus.FAILURE


def test_two_processes_on_one_fresh_home_both_run(tmp_path: Path) -> None:
    home = tmp_path / "fresh" / "dagster"
    commands = [[sys.executable, "-c", OPEN_AND_RUN, str(home), str(number)] for number in (1, 2)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for command in commands]
    assert [process.communicate()[0].strip() for process in processes] == ["['done']", "['done']"]


def test_a_fresh_home_gets_the_embedded_default_and_a_used_one_keeps_its_own(tmp_path: Path) -> None:
    fresh, used = tmp_path / "fresh", tmp_path / "used"
    used.mkdir()
    (used / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    for home in (fresh, used):
        open_instance(home).dispose()
    assert (fresh / "dagster.yaml").read_text() == DEFAULT_SETTINGS.read_text()
    assert (used / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_the_dagster_yaml_at_the_root_is_the_embedded_default() -> None:
    assert (ROOT / "dagster.yaml").read_text() == DEFAULT_SETTINGS.read_text()
