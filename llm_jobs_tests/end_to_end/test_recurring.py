"""A recurring document from its file to its result, through a tick of its Dagster schedule."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from llm_jobs.operations.recurring import recurring_documents
from llm_jobs.operations.run import finished_reports
from llm_jobs.operations.services import Services, open_services
from llm_jobs.orchestration.audience import Audience
from llm_jobs.orchestration.bound import BoundUseCases
from llm_jobs.orchestration.build import build_definitions, in_process
from llm_jobs.orchestration.foreground import QUIET
from llm_jobs.orchestration.instances import open_instance
from llm_jobs.orchestration.owners import PROCESS_TAG, process_tag
from llm_jobs.orchestration.schedules import NOTHING_CHANGED, recurring_schedules
from llm_jobs.settings import Settings

ROWS, NEW = 10_000, 37
FIRST_TICK = datetime(2026, 11, 20, 9, tzinfo=UTC)
DOCUMENT = """\
job:
  name: daily
  model: simulated
  schedule: {cron: "0 9 * * *", timezone: Europe/Paris}
  input: {path: reviews.csv, types: {id: integer}}
  prompts: [{name: mood, text: "Is this kind? {{ review }}"}]
"""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A home folder with one recurring document, its definitions, and an instance of Dagster."""

    services: Services
    instance: dg.DagsterInstance

    @property
    def table(self) -> Path:
        return self.services.settings.recurring / "reviews.csv"

    def definitions(self) -> dg.Definitions:
        use_cases = BoundUseCases(services=self.services)
        documents = recurring_documents(self.services.settings, {})
        resources = in_process(use_cases, Audience(listener=lambda event: None, hear=lambda report: None))
        return build_definitions(resources=resources, schedules=recurring_schedules(documents))

    def tick(self, moment: datetime) -> tuple[Sequence[str], str | None]:
        """A tick and the runs that it asks for; returns the jobs' hashes, or why there are none."""
        definitions = self.definitions()
        schedule = definitions.get_repository_def().get_schedule_def("daily")
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=moment,
            resources={"use_cases": BoundUseCases(services=self.services)},
        ) as context:
            came_to = schedule.evaluate_tick(context)
        for request in came_to.run_requests or []:
            definitions.resolve_job_def("run_jobs").execute_in_process(
                run_config={**QUIET, **request.run_config},
                instance=self.instance,
                tags={**request.tags, PROCESS_TAG: process_tag()},
            )
        submissions = self.services.ledger.submissions(name="daily", bodies=False)
        return [submission.job_hash for submission in submissions], came_to.skip_message


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Standing]:
    environment = {"LLM_JOBS_HOME": str(tmp_path / "home")}
    settings = Settings.from_environment(environment, working_directory=tmp_path)
    settings.recurring.mkdir(parents=True)
    (settings.recurring / "daily.yaml").write_text(DOCUMENT)
    with (
        open_services(settings, environment=environment, working_directory=tmp_path) as services,
        open_instance(tmp_path / "dagster", capture_output=False) as instance,
    ):
        yield Standing(services=services, instance=instance)


def write(path: Path, reviews: Sequence[str]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "review"))
        writer.writerows(enumerate(reviews))


def test_of_a_table_of_ten_thousand_rows_only_those_that_are_new_since_the_last_tick_are_asked(
    standing: Standing,
) -> None:
    reviews = [f"review number {number}" for number in range(ROWS)]
    write(standing.table, reviews)
    standing.tick(FIRST_TICK)
    assert standing.services.ledger.audit().answers == ROWS

    changed = [
        f"another review {number}" if number % 270 == 0 and number < 270 * NEW else text
        for number, text in enumerate(reviews)
    ]
    assert sum(old != new for old, new in zip(reviews, changed, strict=True)) == NEW
    write(standing.table, changed)
    hashes, _ = standing.tick(FIRST_TICK + timedelta(days=1))
    audit = standing.services.ledger.audit()
    assert (audit.intents, audit.answers, audit.paid_twice) == (ROWS + NEW, ROWS + NEW, 0)
    (report,) = finished_reports(standing.services, hashes[:1]).values()
    assert (report.status, report.rows) == ("done", ROWS)

    _, skipped = standing.tick(FIRST_TICK + timedelta(days=2))
    assert skipped == NOTHING_CHANGED
    assert standing.services.ledger.audit().intents == ROWS + NEW


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        # Clocks go forward on 29 March 2026 and back on 25 October: nine o'clock stays nine o'clock.
        ("0 9 * * *", datetime(2026, 3, 28, tzinfo=UTC), ["2026-03-28T09:00:00+01:00", "2026-03-29T09:00:00+02:00"]),
        ("0 9 * * *", datetime(2026, 10, 24, tzinfo=UTC), ["2026-10-24T09:00:00+02:00", "2026-10-25T09:00:00+01:00"]),
        # A time that clocks skip ticks when they have skipped it; one that they show twice ticks once.
        (
            "30 2 * * *",
            datetime(2026, 3, 28, 12, tzinfo=UTC),
            ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
        ),
        (
            "30 2 * * *",
            datetime(2026, 10, 24, 12, tzinfo=UTC),
            ["2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"],
        ),
    ],
)
def test_a_schedule_ticks_as_clocks_in_its_zone_show_it(
    standing: Standing, cron: str, after: datetime, expected: list[str]
) -> None:
    (standing.services.settings.recurring / "daily.yaml").write_text(DOCUMENT.replace("0 9 * * *", cron))
    (schedule,) = recurring_schedules(recurring_documents(standing.services.settings, {}))
    assert isinstance(schedule.cron_schedule, str)
    ticks = schedule_execution_time_iterator(after.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
    found = [moment.astimezone(ZoneInfo("Europe/Paris")).isoformat() for moment in islice(ticks, len(expected))]
    assert found == expected
