"""The password in LLM_JOBS_DATABASE_URL, and the Python API: what goes wrong repeats neither password nor key."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llm_jobs_tests.end_to_end.documents import write_document
from llm_jobs_tests.end_to_end.secret_documents import write_home
from llm_jobs_tests.end_to_end.secret_runs import PASSWORD, environment, keys_of, llm_jobs, with_password
from llm_jobs_tests.end_to_end.secret_search import Search, below, in_postgres
from llm_jobs_tests.end_to_end.secret_server import secret_server
from llm_jobs_tests.servers.postgres import postgres_server

KEYS = keys_of("awkward")
SEARCH = Search({**KEYS, "the password": PASSWORD})

URLS = [
    with_password("postgresql://user@127.0.0.1:1/x"),
    with_password("mysql://user@127.0.0.1:1/x"),
    with_password("postgresql://user@127.0.0.1:port/x"),
    f"postgresql://user:{PASSWORD}@127.0.0.1:1/x",
    f"postgresql://user@127.0.0.1:1/x?password={PASSWORD.replace('%', '%25').replace('+', '%2B')}",
]

_PYTHON = """
import sys, traceback
from llm_jobs import JobExecutor

def told(error):
    print("told", repr(error), vars(error))
    traceback.print_exception(error)

for path in sys.argv[1:]:
    executor = JobExecutor(path, home=None).on("error", told).on("complete", print).on("progress", print)
    print(repr(executor), vars(executor))
    try:
        print(executor.run().to_pandas().to_string())
    except Exception as error:
        told(error)
"""


def python(*documents: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PYTHON, *map(str, documents)],
        env=environment,
        cwd=environment["LLM_JOBS_HOME"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("url", URLS)
def test_a_database_that_cannot_be_used_shows_no_password(tmp_path: Path, url: str) -> None:
    told = environment(tmp_path, "http://127.0.0.1:1", KEYS, LLM_JOBS_DATABASE_URL=url)
    path = write_document(tmp_path / "documents", "pair", name="x", model="simulated", questions=["x"])
    done = llm_jobs("run", path, environment=told)
    assert done.returncode == 3, done.stderr
    said = done.stdout + done.stderr
    if url == URLS[0]:
        said += python(path, environment=told)
        assert "told SetupError" in said
    assert SEARCH.leaks([("what was said", said.encode()), *below(tmp_path)]) == []


def test_a_database_that_dies_while_a_job_runs_leaves_no_password_and_no_key(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with postgres_server() as postgres, secret_server() as server:
        write_home(home, server.url)
        server.hooks["stop the database"] = postgres.stop
        url = postgres.create_database("dies")
        told = environment(home, server.url, KEYS, LLM_JOBS_DATABASE_URL=with_password(url))
        questions = ["ask fails-once plain", "stop the database: refuses plain"]
        path = write_document(home, "job", name="dies", model="openai/m", questions=questions)
        done = llm_jobs("run", path, environment=told)
        assert done.returncode not in (0, 1), done.stdout
        assert "database" in done.stderr
        server.hooks.clear()
        postgres.start()
        leaks = SEARCH.leaks([("output", (done.stdout + done.stderr).encode()), *below(home), *in_postgres(url)])
    assert leaks == []
    assert any(b"STEP_FAILURE" in raw for _, raw in below(home / "dagster"))


def test_what_python_is_told_of_failures_holds_no_key(tmp_path: Path) -> None:
    """A job with failed rows, one that fails whole, a document with a key in it, one that is not there."""
    home = tmp_path / "home"
    with secret_server() as server:
        write_home(home, server.url)
        questions = ["python fails-once json", "python refuses html", "python answers base64"]
        paths = [
            write_document(home, "job", name="partial", model="openai/m", questions=questions),
            write_document(home, "pair", name="failed", model="anthropic/m", questions=["python forbids url-twice"]),
        ]
        literal = home / "literal.json"
        literal.write_text(json.dumps({"configuration": {"LLM_name": "openai/m", "api_key": PASSWORD}, "prompt": "x"}))
        told = environment(home, server.url, KEYS)
        said = python(*paths, literal, home / "missing.json", environment=told)
        literal.unlink()
    assert said.count("[removed secret]") > 2
    assert "a credential stands in the document" in said
    assert SEARCH.leaks([("what was said", said.encode()), *below(home)]) == []
