"""Two processes that run one job: each of its messages leaves once, whichever sends it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from llm_jobs_tests.end_to_end.processes import child_environment, finish, start_child
from llm_jobs_tests.servers.hooks import hook
from llm_jobs_tests.servers.postgres import postgres_server
from llm_jobs_tests.servers.replay import replay_server

ROWS = 60
LATENCY_S = 0.1
OPTIONS = ["--concurrency", "2"]  # some seconds, so that both processes are at it


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_two_processes_that_run_one_job_send_each_message_once(tmp_path: Path, database: str) -> None:
    with postgres_server() as postgres, replay_server(latency_s=LATENCY_S) as server, hook() as slack:
        extra = {"LLM_JOBS_SLACK_WEBHOOK_URL": slack.url}
        if database == "postgresql":
            extra["LLM_JOBS_DATABASE_URL"] = postgres.url
        environment = child_environment(server.openai_url, extra)
        path = tmp_path / "reviews.json"
        path.write_text(json.dumps(_document()), encoding="utf-8")
        processes = [start_child(tmp_path / "home", [path], environment=environment, options=OPTIONS) for _ in range(2)]
        reports = [report for process in processes for report in finish(process)]
        sent = server.stats()["total"]
    assert [report["succeeded"] for report in reports] == [ROWS, ROWS]
    assert all(report["calls_sent"] for report in reports)  # both were at it
    assert sent == ROWS
    lines = Counter(taken["text"].splitlines()[3] for taken in slack.taken)
    assert lines == {
        "rows &gt;= 5": 1,
        "rows &gt;= 20 and failed == 0": 1,
        f"done, {ROWS} of {ROWS} rows succeeded": 1,
    }


def _document() -> dict[str, object]:
    slack = {"action": "slack"}
    return {
        "job": {
            "name": "reviews",
            "model": "openai/replayed",
            "input": {"rows": [{"review": f"Review {number}."} for number in range(ROWS)]},
            "prompts": [{"name": "mood", "text": "Mood of: {{ review }}"}],
            "output": {"path": "home/out/{name}.csv", "on_complete": "notify"},
            "alerts": [
                {"condition": "rows >= 5", **slack},
                {"condition": "rows >= 20 and failed == 0", **slack},
            ],
        }
    }
