"""Two processes that share half of their calls: each is sent once, and neither waits for the whole of the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_jobs_tests.end_to_end.documents import FORMATS, write_document
from llm_jobs_tests.end_to_end.processes import child_environment, finish, run_child, start_child
from llm_jobs_tests.servers.postgres import postgres_server
from llm_jobs_tests.servers.replay import replay_server

ROWS = 400
SHARED = ROWS // 2
LATENCY_S = 0.1
OPTIONS = ["--concurrency", "8"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The ledger's URL; None: the home folder's SQLite."""
    if request.param == "sqlite":
        yield None
        return
    with postgres_server() as server:
        yield server.url


@pytest.mark.parametrize("form", FORMATS)
def test_two_processes_that_share_half_of_their_calls_send_each_once(
    tmp_path: Path, database: str | None, form: str
) -> None:
    questions = [f"{form}: question {number}" for number in range(ROWS + SHARED)]
    with replay_server(latency_s=LATENCY_S) as server:
        environment = child_environment(server.openai_url, {"LLM_JOBS_DATABASE_URL": database} if database else None)
        home = tmp_path / "home"
        run_child(home, [_document(tmp_path, "first", form, ["warm up"])], environment=environment)
        server.reset()
        one = _document(tmp_path, "one", form, questions[:ROWS])
        other = _document(tmp_path, "other", form, questions[: SHARED - 1 : -1] + questions[SHARED : SHARED + 1])
        processes = [start_child(home, [path], environment=environment, options=OPTIONS) for path in (one, other)]
        (first,), (second,) = (finish(process) for process in processes)
        stats = server.stats()
    assert first["succeeded"] == ROWS
    assert second["succeeded"] == second["rows"]
    assert set(stats["by_body"].values()) == {1}
    assert stats["total"] == ROWS + SHARED
    assert first["calls_sent"] + second["calls_sent"] == ROWS + SHARED
    # They come upon the shared half from its two ends: had one waited for the other, it would have sent none of it.
    assert first["calls_sent"] > SHARED
    assert second["calls_sent"] > SHARED


def _document(folder: Path, name: str, form: str, questions: list[str]) -> Path:
    return write_document(folder / "documents", form, name=name, model="openai/replayed", questions=questions)  # type: ignore[arg-type]
