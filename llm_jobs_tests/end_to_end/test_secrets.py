"""No key is left anywhere by runs that failed, on servers that repeat it in every way; the search can find one.

Two runs of `llm-jobs`, each over all providers and formats: with awkward keys on SQLite, and with ordinary ones on a
PostgreSQL whose URL holds a password.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import pyarrow.parquet as pq
import pytest

from llm_jobs_tests.end_to_end.secret_documents import (
    command_documents,
    http_documents,
    simulated_documents,
    write_home,
)
from llm_jobs_tests.end_to_end.secret_search import Search, Texts, below, in_postgres
from llm_jobs_tests.end_to_end.secret_server import SecretServer, secret_server
from llm_jobs_tests.servers.postgres import PostgresServer, postgres_server
from llm_jobs_tests.servers.wire import Received

KEY_VARIABLES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_API_KEY", "COMMAND_KEY")
PASSWORD = "pa55-Wq/8x+t%Z@k:3"
REMOVED = "[removed secret]"


def awkward(name: str) -> str:
    return f'sk-{name}/Zq7+x%K9=w"J\\v&<T3>u8Rf'


def ordinary(name: str) -> str:
    return f"sk-proj-{name}-hG5tYw2mQz8LxR4vNc7BkD1sFj9PaE6u_U3o"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a run left: its home folder, its output, what the server saw, and its reports in the order of documents."""

    home: Path
    keys: Mapping[str, str]
    output: str
    seen: Sequence[Received]
    database_url: str | None = None

    @property
    def search(self) -> Search:
        return Search({**self.keys, "the password": PASSWORD})

    def left(self) -> Texts:
        yield "the output", self.output.encode()
        yield from below(self.home)
        if self.database_url is not None:
            yield from in_postgres(self.database_url)


def environment(home: Path, server_url: str, keys: Mapping[str, str], **more: str) -> dict[str, str]:
    """Nothing of the surrounding process but what a program needs to start."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "TMPDIR", "HOME") if name in os.environ}
    servers = {"OPENAI_BASE_URL": f"{server_url}/v1", "ANTHROPIC_BASE_URL": server_url, "OLLAMA_HOST": server_url}
    return {**kept, **servers, **keys, "LLM_JOBS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), **more}


def llm_jobs(*arguments: object, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("llm-jobs")), *map(str, arguments)]
    return subprocess.run(
        command, env=dict(environment), cwd=environment["LLM_JOBS_HOME"], capture_output=True, text=True, timeout=120
    )


def keys_of(make: str) -> dict[str, str]:
    maker = {"awkward": awkward, "ordinary": ordinary}[make]
    return {variable: maker(variable[:2].lower()) for variable in KEY_VARIABLES}


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def with_password(url: str) -> str:
    return url.replace("@", f":{quote(PASSWORD, safe='')}@")


@pytest.fixture(scope="module", params=["awkward", "ordinary"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Ran:
    home = tmp_path_factory.mktemp(request.param) / "home"
    keys, database_url, options, more = keys_of(request.param), None, ["--json"], {}
    if request.param == "ordinary":
        database_url, options = postgres.create_database("secrets"), []
        more = {"LLM_JOBS_DATABASE_URL": with_password(database_url)}
    with secret_server() as server:
        write_home(home, server.url)
        folder = home.with_name("documents")
        documents = [*http_documents(folder), *simulated_documents(folder), *command_documents(folder, server.url)]
        told = environment(home, server.url, keys, **more)
        done = llm_jobs("run", *documents, *options, environment=told)
        assert done.returncode == 1, done.stderr
        later = [llm_jobs(*command, environment=told) for command in (("status",), ("verify",))]
    output = "".join(each.stdout + each.stderr for each in (done, *later))
    return Ran(home=home, keys=keys, output=output, seen=tuple(server.seen), database_url=database_url)


def test_no_key_is_left_anywhere(ran: Ran) -> None:
    assert ran.search.leaks(ran.left()) == []


def test_the_server_had_every_key_and_repeated_it(ran: Ran) -> None:
    """Without this the test above would hold for a run that did nothing."""
    received = [f"{request.target} {json.dumps(dict(request.headers))}" for request in ran.seen]
    for key in ran.keys.values():
        assert any(json.dumps(key)[1:-1] in text for text in received)
    assert any(ran.keys["COMMAND_KEY"] in unquote(request.target) for request in ran.seen)
    for path in (ran.home / "results").glob("*/*.parquet"):
        columns = pq.read_table(path, columns=["answer", "llm_status", "llm_error", "llm_model"]).to_pydict()
        if columns["llm_model"][0] == "simulated":
            continue
        assert REMOVED in json.dumps(columns)
