"""Metrics as a real Prometheus and a real push gateway take them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client import push_to_gateway

from llm_jobs.events import (
    BatchChanged,
    BudgetReached,
    CallReused,
    CallWaiting,
    ConcurrencyChanged,
    Event,
    JobFinished,
    JobStarted,
    ModelCooled,
    QuotaPaused,
    QuotaWaited,
    RequestSent,
    RowCompleted,
)
from llm_jobs.observability.counts import Counts
from llm_jobs.observability.exposing import pushed, scraped
from llm_jobs.observability.listeners import listening
from llm_jobs.observability.metrics import registry_of
from llm_jobs.observability.telemetry import Telemetry
from llm_jobs_tests.observability.facts import CALL, JOB, MODEL, failed, recorded, sent
from llm_jobs_tests.servers.hooks import babbling
from llm_jobs_tests.servers.prometheus import free_port, patiently, prometheus, push_gateway

PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"
SERIES = {"llm_job": "reviews", "model": MODEL, "provider": "openai"}
EVENTS: list[Event] = [
    JobStarted(JOB, "reviews", 4),
    sent(),
    RequestSent(JOB, MODEL),
    failed(),
    sent(attempt=2),
    RequestSent(JOB, MODEL),
    recorded(reasoning_tokens=3, cached_tokens=2),
    recorded("refused", latency_s=20.0),
    CallReused(CALL, JOB, MODEL, 0.25),
    QuotaWaited(MODEL, JOB, 1.5, "tokens"),
    CallWaiting("c" * 32, JOB, MODEL, "tokens"),
    ConcurrencyChanged(MODEL, 32, "growth"),
]
REST: list[Event] = [
    CallWaiting("c" * 32, "d" * 32, MODEL, "tokens"),
    RowCompleted(JOB, "succeeded", False),
    BudgetReached(JOB, f"job:{JOB}"),
    QuotaPaused(MODEL, 5.0, "Retry-After"),
    ModelCooled(MODEL, 30.0, "five failures"),
    BatchChanged(JOB, MODEL, "batch-1", "submitted", 500),
]


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with push_gateway() as address:
        yield address


def counted() -> Counts:
    counts = Counts()
    for event in EVENTS:
        counts(event)
    return counts


def test_prometheus_scrapes_every_number_with_its_labels() -> None:
    with ExitStack() as stack:
        port = stack.enter_context(scraped(registry_of(counted()), address="127.0.0.1", ports=range(1)))
        server = stack.enter_context(prometheus([f"127.0.0.1:{port}"]))
        [(labels, value)] = server.until('llm_jobs_calls_total{status="refused"}')
        assert value == 1
        assert SERIES.items() <= labels.items()
        assert labels["job"] == "llm-jobs"  # the scrape's own, not ours
        values = {
            "llm_jobs_requests_total": 2,
            'llm_jobs_retries_total{error="RateLimited"}': 1,
            'llm_jobs_tokens_total{kind="input"}': 20,
            'llm_jobs_tokens_total{kind="reasoning"}': 3,
            "llm_jobs_cost_usd_total": 1.0,
            "llm_jobs_saved_usd_total": 0.25,
            'llm_jobs_call_latency_seconds_bucket{le="0.25"}': 1,
            'llm_jobs_call_latency_seconds_bucket{le="+Inf"}': 2,
            "llm_jobs_call_latency_seconds_sum": 20.2,
            'llm_jobs_calls_waiting{reason="tokens"}': 1,
            'llm_jobs_quota_wait_seconds_total{reason="tokens"}': 1.5,
            "llm_jobs_concurrency_limit": 32,
            "llm_jobs_jobs_running": 1,
            "histogram_quantile(0.99, llm_jobs_call_latency_seconds_bucket) > bool 10": 1,
        }
        assert {query: value for query in values for _, value in server.ask(query)} == values


def test_what_was_pushed_last_is_there_for_the_scrape_after_the_process_ended(gateway: str) -> None:
    counts = Counts()
    with pushed(registry_of(counts), url=gateway, every_s=0.02):
        counts(JobStarted(JOB, "pushed", 4))
        patiently(lambda: "jobs_running{instance=" in text_of(gateway), what="the first push")
        counts(recorded())
        counts(JobFinished(JOB, "pushed", "done", 4, 4, 0))
    assert re.search(r'calls_total\{instance="[^"]+:\d+",job="llm_jobs",llm_job="pushed".*\} 1\n', text_of(gateway))
    with prometheus([gateway], honor_labels=True) as server:
        [(labels, value)] = server.until('llm_jobs_jobs_ended_total{status="done"}')
        assert (labels["job"], value) == ("llm_jobs", 1)


def text_of(address: str) -> str:
    with urlopen(f"http://{address}/metrics", timeout=10) as response:
        return str(response.read().decode())


def test_what_ended_processes_of_this_host_pushed_is_removed_in_time(gateway: str) -> None:
    host, ended = socket.gethostname(), subprocess.Popen(["true"])
    ended.wait()
    groups = {
        f"{host}:{ended.pid}": False,
        f"{host}:{os.getppid()}": True,  # it lives
        f"elsewhere:{ended.pid}": True,
        f"{host}:not-a-process": True,
    }
    for instance in groups:
        push_to_gateway(gateway, job="llm_jobs", registry=registry_of(counted()), grouping_key={"instance": instance})
    push_to_gateway(
        gateway, job="backup", registry=registry_of(counted()), grouping_key={"instance": f"{host}:{ended.pid}"}
    )
    with pushed(registry_of(Counts()), url=gateway, every_s=60.0):
        assert f'instance="{host}:{ended.pid}",job="llm_jobs"' in text_of(gateway)
    with pushed(registry_of(Counts()), url=gateway, every_s=60.0, forget_after_s=0.0):
        pass
    text = text_of(gateway)
    assert {each: f'instance="{each}",job="llm_jobs"' in text for each in groups} == groups
    assert f'instance="{host}:{ended.pid}",job="backup"' in text


def test_a_gateway_that_is_not_there_stops_nothing_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    registry = registry_of(Counts())
    with pushed(registry, url=f"http://ada:secret-word@127.0.0.1:{free_port()}", every_s=0.01):
        patiently(lambda: caplog.records, what="the warning")
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "were not pushed" in warnings[0]
    assert "secret-word" not in caplog.text


def test_a_gateway_that_speaks_no_http_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with babbling() as url, pushed(registry_of(Counts()), url=url, every_s=0.01):
        patiently(lambda: caplog.records, what="the warning")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_several_processes_take_the_ports_of_a_range_and_one_too_many_goes_on_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = free_port()
    ports = range(first, first + 1)
    with (
        scraped(registry_of(counted()), address="127.0.0.1", ports=ports) as taken,
        scraped(registry_of(counted()), address="127.0.0.1", ports=ports) as none_left,
    ):
        assert (taken, none_left) == (first, None)
        assert "as many ports as processes" in caplog.text
        assert "llm_jobs_requests_total" in text_of(f"127.0.0.1:{first}")


def test_listening_counts_what_it_hears_and_ends_with_its_block() -> None:
    port = free_port()
    telemetry = Telemetry(metrics_ports=range(port, port + 1))
    with listening(telemetry, scrub=str) as tell:
        for event in EVENTS:
            tell(event)
        assert 'llm_jobs_rows_expected_total{llm_job="reviews"} 4.0' in text_of(f"127.0.0.1:{port}")
    with pytest.raises(OSError, match="refused"):
        text_of(f"127.0.0.1:{port}")


def test_the_page_lists_every_metric_with_its_labels_and_no_other() -> None:
    listed = {
        name: set(re.findall(r"`(\w+)`", labels))
        for name, labels in re.findall(r"^\| `(llm_jobs_\w+)` \| (.*?) ?\|", PAGE.read_text(), re.MULTILINE)
    }
    counts = counted()
    for event in (*REST, JobFinished(JOB, "reviews", "done", 4, 4, 0)):
        counts(event)
    shown: dict[str, set[str]] = {}
    for family in registry_of(counts).collect():
        assert family.samples, f"nothing is shown of {family.name}"
        name = f"{family.name}_total" if family.type == "counter" else family.name
        shown[name] = {label for sample in family.samples for label in sample.labels}
    assert listed == shown
