"""The half of the page about telemetry that is about job files: its document runs, its lists are complete."""

from __future__ import annotations

import json
import re
from pathlib import Path

from llm_jobs.documents.watched import METRICS
from llm_jobs.documents.watching import AlertModel, LoggingModel
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, blocks
from llm_jobs_tests.servers.hooks import hook
from llm_jobs_tests.servers.mail import mail_server

TEXT = (ROOT / "docs/telemetry.md").read_text(encoding="utf-8")
HALF = TEXT.partition("## In a job file")[2]


def test_the_document_of_the_page_runs_and_writes_its_log(tmp_path: Path) -> None:
    [block] = [block for block in blocks(HALF) if block.language == "yaml"]
    with mail_server() as server, hook() as slack:
        house = House(
            tmp_path,
            {
                "LLM_JOBS_SMTP_URL": f"smtp://{server.url}",
                "LLM_JOBS_MAIL_FROM": "llm-jobs@example.com",
                "LLM_JOBS_SLACK_WEBHOOK_URL": slack.url,
                "ONCALL_URL": slack.url,
            },
        )
        [report] = house.answer(house.write("nightly.yaml", block.text))
    assert (report.status, server.mails, slack.taken) == ("done", [], [])
    lines = (house.home / "logs" / "nightly_reviews.log").read_text().splitlines()
    assert json.loads(lines[-1])["event"] == "job_finished"


def test_the_page_lists_every_metric_with_its_meaning() -> None:
    section = HALF.partition("### Metrics")[2].partition("### ")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE)) == METRICS


def test_the_page_lists_every_key_of_a_log_and_every_action() -> None:
    log = HALF.partition("### The job's log")[2].partition("### ")[0]
    assert re.findall(r"^\| `(\w+)` \|", log, re.MULTILINE) == list(LoggingModel.model_fields)
    alerts = HALF.partition("### Alerts")[2]
    annotation = AlertModel.model_fields["action"].annotation
    assert re.findall(r"^\| `(\w+)` \|", alerts, re.MULTILINE) == list(annotation.__args__)  # type: ignore[union-attr]
