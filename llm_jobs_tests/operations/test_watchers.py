"""Documents that ask to be watched, run for real: their logs, metrics and messages, and what is refused beforehand."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from llm_jobs.documents.job import Job
from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.events import AlertRaised, Event, JobMeasured, Listener, broadcast, ignore
from llm_jobs.observability.listeners import listening
from llm_jobs.observability.telemetry import Telemetry
from llm_jobs.operations.deliver import deliver
from llm_jobs.operations.intake import intake, place_in_inbox
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.run import run_jobs
from llm_jobs_tests.cli.house import ROWS, House, job
from llm_jobs_tests.servers.hooks import hook
from llm_jobs_tests.servers.mail import PASSWORD, USER, mail_server
from llm_jobs_tests.servers.prometheus import free_port, prometheus, push_gateway

BAD_ROW = {"id": 9, "text": None}  # nothing empty is printed into a prompt
TO_MAIL = {"action": "email", "recipients": ["admin@example.com"]}
TO_SLACK = {"action": "slack", "channel": "#ops"}
TO_LOG = {"action": "log"}


def watched(name: str = "reviews", *, rows: list[dict[str, Any]] | None = None, **members: Any) -> dict[str, Any]:
    return job(name, rows or ROWS, **members)


def answered(house: House, document: Mapping[str, Any], listener: Listener = ignore) -> list[JobReport]:
    """Submit a document and run it, without Dagster."""
    [accepted] = house.accept(house.write("job.yaml", document))
    return rerun(house, accepted, listener)


def rerun(house: House, accepted: Job, listener: Listener = ignore) -> list[JobReport]:
    with house.entry.open_services() as services:
        return list(run_jobs(services, [accepted.hash], listener=listener, run_id="run-1"))


def log_of(house: House, name: str = "reviews.log") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (house.home / "logs" / name).read_text().splitlines()]


class Heard:
    """Keeps what is told of alerts and metrics."""

    wants = frozenset({AlertRaised, JobMeasured})

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)


def test_a_job_has_a_log_of_its_own(tmp_path: Path) -> None:
    house = House(tmp_path)
    first = watched("first", logging={"path": "{name}.log", "level": "DEBUG"})
    second = watched("second", logging={}, epoch="another")
    jobs = [house.accept(house.write(f"{number}.yaml", each))[0] for number, each in enumerate((first, second))]
    with house.entry.open_services() as services:
        list(run_jobs(services, [each.hash for each in jobs], listener=ignore))
    for accepted, name in zip(jobs, ("first", "second"), strict=True):
        lines = log_of(house, f"{name}.log")
        assert {line["job_hash"] for line in lines} == {accepted.hash}
        assert (lines[0]["event"], lines[-1]["event"]) == ("job_started", "job_finished")
    assert "call_sent" in {line["event"] for line in log_of(house, "first.log")}
    assert not re.search("good|so so", (house.home / "logs" / "first.log").read_text())


def test_an_alert_is_mailed_once_and_the_job_goes_on(tmp_path: Path) -> None:
    heard = Heard()
    with mail_server() as server:
        house = House(tmp_path, mailing(server.url))
        alerts = [
            {"condition": "error_rate > 0.05", **TO_MAIL},
            {"condition": "execution_time > 600", **TO_MAIL},
            {"condition": "rows >= 1 and failed >= 1", **TO_LOG},
            {"condition": "error_rate > 0.05", **TO_LOG},
        ]
        document = watched(rows=[*ROWS, BAD_ROW], alerts=alerts, logging={})
        [report] = answered(house, document, heard)
    assert (report.status, report.succeeded) == ("partial", 3)
    [mail] = server.mails
    assert mail["Subject"] == "[llm-jobs] reviews: error_rate > 0.05"
    assert {f"Hash: {report.job_hash}", "Dagster run run-1"} <= set(mail.get_content().splitlines())
    raised = [event.condition for event in heard.events if isinstance(event, AlertRaised)]
    assert sorted(raised) == ["error_rate > 0.05", "rows >= 1 and failed >= 1"]
    assert "alert_raised" in {line["event"] for line in log_of(house)}


def mailing(address: str) -> dict[str, str]:
    return {
        "LLM_JOBS_SMTP_URL": f"smtp://{USER}:{PASSWORD}@{address}",
        "LLM_JOBS_MAIL_FROM": "llm-jobs@example.com",
        "LLM_JOBS_DAGSTER_URL": "",
    }


def test_a_channel_that_is_down_fails_no_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with hook(statuses=[404, 404]) as slack:
        house = House(tmp_path, {"LLM_JOBS_SLACK_WEBHOOK_URL": slack.url})
        alerts = [{"condition": "rows > 0", **TO_SLACK}]
        [report] = answered(house, watched(alerts=alerts))
    assert (report.status, slack.taken) == ("done", [])
    assert "not sent by slack" in caplog.text
    assert "a-secret-path" not in caplog.text


def test_a_job_that_has_no_result_raises_its_alerts_and_says_so_at_its_end(tmp_path: Path) -> None:
    with hook() as slack:
        house = House(tmp_path, {"LLM_JOBS_SLACK_WEBHOOK_URL": slack.url})
        document = watched(
            rows=[*ROWS, BAD_ROW],
            alerts=[{"condition": "error_rate > 0.9", **TO_SLACK}],
            error_handling={"on_input_error": {"strategy": "fail"}},
        )
        [report] = answered(house, document)
    assert report.status == "failed"
    assert ["error_rate &gt; 0.9" in taken["text"] for taken in slack.taken] == [True]


def test_a_run_that_is_repeated_begins_new_episodes(tmp_path: Path) -> None:
    with hook() as slack:
        house = House(tmp_path, {"LLM_JOBS_SLACK_WEBHOOK_URL": slack.url})
        document = watched(rows=[*ROWS, BAD_ROW], alerts=[{"condition": "failed > 0", **TO_SLACK}])
        [accepted] = house.accept(house.write("job.yaml", document))
        for _ in range(2):
            rerun(house, accepted)
    assert len(slack.taken) == 2


def test_a_job_that_is_finished_is_not_watched_again(tmp_path: Path) -> None:
    house = House(tmp_path)
    [accepted] = house.accept(house.write("job.yaml", watched(logging={})))
    rerun(house, accepted)
    before = log_of(house)
    rerun(house, accepted)
    assert log_of(house) == before


def test_the_metrics_of_a_document_are_shown_by_the_endpoint_of_the_process(tmp_path: Path) -> None:
    port = free_port()
    variables = {"LLM_JOBS_METRICS_PORT": str(port)}
    metrics = ["success_rate", "error_rate", "token_usage", "execution_time"]
    document = watched(rows=[*ROWS, BAD_ROW], monitoring={"metrics": metrics, "export_to": "prometheus"})
    with listening(Telemetry.from_environment(variables), scrub=str) as telemetry:
        answered(House(tmp_path, variables), document, telemetry)
        with prometheus([f"127.0.0.1:{port}"]) as server:
            [(labels, rate)] = server.until("llm_jobs_job_success_rate")
            assert (labels["llm_job"], rate) == ("reviews", 0.75)
            assert [value for _, value in server.ask("llm_jobs_job_error_rate")] == [0.25]
            assert server.ask("llm_jobs_job_token_usage")[0][1] > 0
            assert server.ask("llm_jobs_job_cost_usd") == []  # not asked for


def test_a_document_may_push_its_metrics(tmp_path: Path) -> None:
    with push_gateway() as gateway:
        house = House(tmp_path, {"LLM_JOBS_ALLOWED_HOSTS": "127.0.0.1"})
        export = {"prometheus": {"push": f"http://{gateway}"}}
        answered(house, watched(monitoring={"metrics": ["success_rate", "rows"], "export_to": export}))
        with urlopen(f"http://{gateway}/metrics", timeout=10) as response:
            pushed = response.read().decode()
    assert re.search(r'^llm_jobs_job_success_rate\{[^}]*llm_job="reviews"[^}]*\} 1$', pushed, re.MULTILINE)
    assert re.search(r'^llm_jobs_job_rows\{[^}]*llm_job="reviews"[^}]*\} 3$', pushed, re.MULTILINE)


def test_a_document_that_asks_for_prometheus_is_scraped_where_nothing_is_switched_on(tmp_path: Path) -> None:
    seen: list[str] = []

    def look(event: Event) -> None:
        if isinstance(event, JobMeasured):
            for port in range(9464, 9480):
                seen.extend(page(port))

    document = watched("scraped", monitoring={"metrics": ["rows"], "export_to": "prometheus"})
    answered(House(tmp_path), document, broadcast(look))
    assert any('llm_jobs_rows_total{llm_job="scraped"' in text for text in seen)


def page(port: int) -> list[str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as response:
            return [response.read().decode()]
    except OSError:
        return []


def test_what_is_measured_is_told_at_the_end_at_the_latest(tmp_path: Path) -> None:
    heard = Heard()
    answered(House(tmp_path), watched(monitoring={"metrics": ["rows", "succeeded"]}), heard)
    [*_, last] = heard.events
    assert isinstance(last, JobMeasured)
    assert last.metrics == {"rows": 3, "succeeded": 3}


def test_the_budget_counts_what_earlier_runs_spent(tmp_path: Path) -> None:
    heard = Heard()
    house = House(tmp_path)
    budget = {"max_tokens": 100_000}
    document = watched(rows=[*ROWS, BAD_ROW], budget=budget, monitoring={"metrics": ["budget_used", "token_usage"]})
    document["job"]["prompts"][0]["max_tokens"] = 100
    [accepted] = house.accept(house.write("job.yaml", document))
    for _ in range(2):
        rerun(house, accepted, heard)
    measured = [event.metrics for event in heard.events if isinstance(event, JobMeasured)]
    first, again = measured[0], measured[-1]
    assert first["budget_used"] == pytest.approx(first["token_usage"] / 100_000)
    assert again["token_usage"] == 0
    assert again["budget_used"] == pytest.approx(measured[-2]["budget_used"], rel=0.5)
    assert again["budget_used"] > 0


@pytest.mark.parametrize(
    ("alert", "variables", "named"),
    [
        (TO_MAIL, {}, "LLM_JOBS_SMTP_URL"),
        (TO_MAIL, {"LLM_JOBS_SMTP_URL": "smtp://x"}, "LLM_JOBS_MAIL_FROM"),
        (TO_SLACK, {}, "LLM_JOBS_SLACK_WEBHOOK_URL"),
        ({"action": "webhook", "url": "${HOOK}"}, {}, "HOOK"),
        ({"action": "webhook", "url": "http://10.0.0.1/x"}, {}, "LLM_JOBS_ALLOWED_HOSTS"),
    ],
)
def test_an_alert_that_could_not_be_sent_refuses_the_job_when_it_is_submitted(
    tmp_path: Path, alert: dict[str, Any], variables: dict[str, str], named: str
) -> None:
    house = House(tmp_path, variables)
    path = house.write("job.yaml", watched(alerts=[{"condition": "rows > 1", **alert}]))
    with pytest.raises(SetupError, match=named):
        house.accept(path)
    with house.entry.open_services() as services:
        assert services.ledger.latest_jobs(5) == []
    assert house.invoke("validate", str(path)).exit_code == 0


@pytest.mark.parametrize(
    "alert", [{"url": "http://listed/x", "api_key": "${OPENAI_API_KEY}"}, {"url": "${OPENAI_API_KEY}"}]
)
def test_an_alert_that_would_carry_the_key_of_a_model_is_refused(tmp_path: Path, alert: dict[str, Any]) -> None:
    house = House(tmp_path, {"OPENAI_API_KEY": "sk-0123456789abcdef", "LLM_JOBS_ALLOWED_HOSTS": "listed"})
    path = house.write("job.yaml", watched(alerts=[{"condition": "rows > 1", "action": "webhook", **alert}]))
    with pytest.raises(DocumentError, match="OPENAI_API_KEY is the key of a model"):
        house.accept(path)


def test_a_document_in_the_inbox_waits_there_until_its_alerts_can_be_sent(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write("job.yaml", watched(alerts=[{"condition": "rows > 1", **TO_SLACK}]))
    with house.entry.open_services() as services:
        place_in_inbox(services, tmp_path / "job.yaml")
        os.utime(services.settings.inbox / "job.yaml", (0, 0))  # it is whole
        [postponed] = intake(services, budget_s=60).postponed
    assert "LLM_JOBS_SLACK_WEBHOOK_URL" in postponed.reason
    house.variables["LLM_JOBS_SLACK_WEBHOOK_URL"] = "http://127.0.0.1:1/x"
    with house.entry.open_services() as services:
        assert [each.job_name for each in intake(services, budget_s=60).accepted] == ["reviews"]


@pytest.mark.parametrize("path", ["../ledger.db", "/etc/motd", "../../job.log", "a/../../x.log", "."])
def test_a_log_outside_the_allowed_folders_is_refused_with_its_line(tmp_path: Path, path: str) -> None:
    house = House(tmp_path)
    text = f"job:\n  name: a\n  model: simulated\n  prompts: [{{name: b, text: Hi}}]\n  logging:\n    path: '{path}'\n"
    with pytest.raises(DocumentError) as caught:
        house.accept(house.write("a.yaml", text))
    [problem] = caught.value.problems
    assert (problem.line, problem.key) == (6, "job.logging.path")
    assert "LLM_JOBS_ALLOWED_ROOTS" in (problem.remedy or "") + (problem.rule or "")


def test_a_log_may_lie_in_a_folder_that_is_allowed(tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    house = House(tmp_path, {"LLM_JOBS_ALLOWED_ROOTS": str(place)})
    answered(house, watched(logging={"path": str(place / "job.log"), "rotate": "daily"}))
    assert "job_finished" in (place / "job.log").read_text()


def test_a_folder_that_is_allowed_no_more_gets_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "elsewhere"
    house = House(tmp_path, {"LLM_JOBS_ALLOWED_ROOTS": str(place)})
    [accepted] = house.accept(house.write("job.yaml", watched(logging={"path": str(place / "job.log")})))
    house.variables.clear()
    [report] = rerun(house, accepted)
    assert report.status == "done"
    assert "outside the allowed folders" in caplog.text
    assert not place.exists()


def test_a_profile_may_say_who_watches(tmp_path: Path) -> None:
    with hook() as server:
        house = House(tmp_path, {"HOOK": server.url})
        alerts = [{"condition": "rows > 2", "action": "webhook", "url": "${HOOK}"}]
        path = house.write("job.yaml", watched(profiles={"production": {"alerts": alerts}}))
        [plain] = house.accept(path)
        [report] = house.answer(path, Overrides(profile="production"))
    assert (plain.policy.watching, plain.hash) == (None, report.job_hash)
    assert [taken["condition"] for taken in server.taken] == ["rows > 2"]


def test_a_failed_delivery_is_told_over_the_channels_of_the_document(tmp_path: Path) -> None:
    with hook() as slack:
        house = House(tmp_path, {"LLM_JOBS_SLACK_WEBHOOK_URL": slack.url, "LLM_JOBS_DAGSTER_URL": "http://d:3000/"})
        (house.home / "out").mkdir(parents=True)
        (house.home / "out" / "a.json").write_text("somebody's own")
        document = watched(
            alerts=[{"condition": "rows > 99", **TO_SLACK}],
            output={"path": "home/out/a.json", "on_complete": "notify"},
            error_handling={"on_output_error": {"alert": True}},
        )
        [report] = answered(house, document)
        with house.entry.open_services() as services:
            for _ in range(3):  # as the sensor would, until somebody moves the file
                [failed] = deliver(services, report.job_hash)
                assert failed.error is not None
    ended, undelivered = (taken["text"] for taken in slack.taken)
    assert "done, 3 of 3 rows succeeded" in ended
    assert "http://d:3000/runs/run-1" in ended
    assert "not delivered to home/out/a.json" in undelivered
    assert "somebody" not in undelivered


def test_nobody_is_told_of_what_the_document_does_not_ask_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    house = House(tmp_path)
    (house.home / "out").mkdir(parents=True)
    (house.home / "out" / "a.json").write_text("somebody's own")
    with caplog.at_level(logging.WARNING):
        [report] = answered(house, watched(output={"path": "home/out/a.json"}))
        with house.entry.open_services() as services:
            deliver(services, report.job_hash)
    assert caplog.records == []
    assert not (house.home / "logs").exists()
