"""A server that fails in every way: each row finishes, the poison row fails alone, and the books agree."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llm_jobs_tests.end_to_end.documents import FORMATS, Format, write_document
from llm_jobs_tests.end_to_end.processes import child_environment, run_child
from llm_jobs_tests.servers.faults import FaultPlan
from llm_jobs_tests.servers.replay import replay_server

ROWS = 300
POISON = 137
PLAN = FaultPlan(
    seed=11,
    rate_limited=0.10,
    retry_after_s=0.05,
    failing=0.05,
    torn=0.03,
    closed=0.03,
    slow=0.02,
    slow_s=6.0,
    poison="poison",
)


@pytest.mark.parametrize("form", FORMATS)
def test_every_row_finishes_and_the_poison_row_fails_alone(tmp_path: Path, form: Format) -> None:
    questions = [f"question {number}" if number != POISON else "poison" for number in range(ROWS)]
    with replay_server(plan=PLAN) as server:
        path = write_document(
            tmp_path / "documents",
            form,
            name="faults",
            model="openai/failing",
            questions=questions,
            execution={"timeout": 3.0},
        )
        (facts,) = run_child(tmp_path / "home", [path], environment=child_environment(server.openai_url))
        stats = server.stats()
    assert (facts["status"], facts["rows"], facts["succeeded"], facts["failed"]) == ("partial", ROWS, ROWS - 1, 1)
    rows = pq.read_table(facts["result"], columns=["answer", "llm_status", "llm_error", "llm_attempts"]).to_pylist()
    failed = rows.pop(POISON)
    assert failed["llm_status"] == "failed"
    assert "poison" in failed["llm_error"]
    assert {row["llm_status"] for row in rows} == {"succeeded"}
    assert [row["answer"] for row in rows] == [f"echo: {text}" for text in questions if text != "poison"]
    assert stats["statuses"]["400"] == 1, "a poison row is asked once"
    assert stats["statuses"]["429"] > 10
    assert stats["statuses"]["200"] == ROWS - 1
    assert facts["calls_sent"] == stats["total"]
