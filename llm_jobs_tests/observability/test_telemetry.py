"""What is switched on, and that a wrong switch is told of before anything runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_jobs.errors import SetupError
from llm_jobs.events import ignore
from llm_jobs.observability.listeners import listening
from llm_jobs.observability.telemetry import Telemetry

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "telemetry.md"
SOURCE = ROOT / "llm_jobs" / "observability" / "telemetry.py"


def test_nothing_is_on_unless_it_is_asked_for() -> None:
    assert Telemetry.from_environment({}) == Telemetry()
    with listening(Telemetry.from_environment({"HOME": "/root"}), scrub=str) as tell:
        assert tell is ignore


def test_each_switch_has_its_meaning() -> None:
    environment = {
        "LLM_JOBS_METRICS_PORT": "9464-9466",
        "LLM_JOBS_METRICS_ADDRESS": "0.0.0.0",
        "LLM_JOBS_METRICS_PUSH_URL": "http://gateway:9091",
        "LLM_JOBS_METRICS_PUSH_EVERY_S": "2.5",
        "LLM_JOBS_LOG": "json",
        "LLM_JOBS_LOG_LEVEL": "debug",
        "LLM_JOBS_TRACE_SHARE": "0.01",
        "LLM_JOBS_TRACE_CONTENT": "on",
    }
    assert Telemetry.from_environment(environment) == Telemetry(
        metrics_ports=range(9464, 9467),
        metrics_address="0.0.0.0",
        push_url="http://gateway:9091",
        push_every_s=2.5,
        log="json",
        log_level="debug",
        trace_share=0.01,
        trace_content=True,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLM_JOBS_METRICS_PORT", "many"),
        ("LLM_JOBS_METRICS_PORT", "9470-9464"),
        ("LLM_JOBS_METRICS_PORT", "65536"),
        ("LLM_JOBS_METRICS_PORT", "-1"),
        ("LLM_JOBS_METRICS_PUSH_EVERY_S", "often"),
        ("LLM_JOBS_METRICS_PUSH_EVERY_S", "nan"),
        ("LLM_JOBS_LOG", "xml"),
        ("LLM_JOBS_LOG_LEVEL", "loud"),
        ("LLM_JOBS_TRACE_SHARE", "1.5"),
    ],
)
def test_a_wrong_switch_is_an_error_that_names_it(name: str, value: str) -> None:
    with pytest.raises(SetupError, match=name):
        Telemetry.from_environment({name: value})


def test_the_page_lists_every_switch_and_no_other() -> None:
    listed = re.findall(r"^\| `(LLM_JOBS_\w+)`", PAGE.read_text(), re.MULTILINE)
    assert set(listed) == set(re.findall(r'"(LLM_JOBS_\w+)"', SOURCE.read_text()))


def test_what_is_off_is_not_imported() -> None:
    code = (
        "import sys\nfrom llm_jobs.operations.telemetry import telemetry_of\nwith telemetry_of({}): print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"prometheus_client", "opentelemetry", "logging", "http.server", "yarl"}
    assert heavy.intersection(loaded) == set()
