"""SIGKILL while a job asks about the rows of a query: the same command goes on with the rows that were read."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from llm_jobs_tests.end_to_end.processes import child_environment, run_child, start_child
from llm_jobs_tests.servers.replay import replay_server

ROWS = 60
DOCUMENT = {
    "job": {
        "name": "nightly",
        "model": "openai/replayed",
        "input": {"connection": "shop.db", "query": "SELECT id, question FROM asked ORDER BY id"},
        "prompts": [{"name": "answer", "text": "{{ question }}"}],
    }
}


def add(path: Path, first: int, rows: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS asked (id INTEGER, question TEXT)")
        numbers = range(first, first + rows)
        connection.executemany("INSERT INTO asked VALUES (?, ?)", [(n, f"question number {n}") for n in numbers])


@pytest.mark.parametrize("point", ["JobStarted:1", "CallRecorded:20", "ResultWritten:1"])
def test_two_runs_of_a_query_after_a_kill_are_one_job_and_the_next_reads_again(tmp_path: Path, point: str) -> None:
    document = tmp_path / "nightly.yaml"
    document.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    add(tmp_path / "shop.db", 0, ROWS)
    home = tmp_path / "home"
    with replay_server() as server:
        environment = child_environment(server.openai_url)
        killed = start_child(home, [document], environment=environment, options=["--kill", point])
        _, told = killed.communicate(timeout=120)
        assert killed.returncode == -signal.SIGKILL, told
        add(tmp_path / "shop.db", ROWS, 7)
        [first] = run_child(home, [document], environment=environment)
        [second] = run_child(home, [document], environment=environment)
    assert (first["rows"], first["status"]) == (ROWS, "done")
    assert (second["rows"], second["calls_sent"]) == (ROWS + 7, 7)
    assert len({path.name for path in (home / "jobs").iterdir()}) == 2
