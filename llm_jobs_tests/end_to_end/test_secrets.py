"""No key is left anywhere by runs that failed, on servers that repeat it in every way; the search can find one.

Two runs of `llm-jobs`, each over all providers and formats: with awkward keys on SQLite, and with ordinary ones on a
PostgreSQL whose URL holds a password.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow.parquet as pq
import pytest

from llm_jobs_tests.end_to_end.secret_documents import (
    command_documents,
    http_documents,
    simulated_documents,
    write_home,
)
from llm_jobs_tests.end_to_end.secret_runs import PASSWORD, environment, keys_of, llm_jobs, with_password
from llm_jobs_tests.end_to_end.secret_search import Search, Texts, below, in_postgres
from llm_jobs_tests.end_to_end.secret_server import secret_server
from llm_jobs_tests.servers.postgres import postgres_server
from llm_jobs_tests.servers.wire import Received

DOCUMENTS = 14
REMOVED = "[removed secret]"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a run left: its home folder, its output, what the server saw."""

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


@pytest.fixture(scope="module", params=["awkward", "ordinary"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    home, keys = tmp_path_factory.mktemp(request.param) / "home", keys_of(request.param)
    if request.param == "awkward":
        yield run(home, keys, "--json")
    else:
        with postgres_server() as postgres:
            yield run(home, keys, database_url=postgres.create_database("secrets"))


def run(home: Path, keys: Mapping[str, str], *options: str, database_url: str | None = None) -> Ran:
    """All documents in one process, then the commands that show what it left."""
    more = {"LLM_JOBS_DATABASE_URL": with_password(database_url)} if database_url else {}
    with secret_server() as server:
        write_home(home, server.url)
        folder = home.with_name("documents")
        documents = [*http_documents(folder), *simulated_documents(folder), *command_documents(folder, server.url)]
        told = environment(home, server.url, keys, **more)
        done = llm_jobs("run", *documents, *options, environment=told)
        assert done.returncode == 1, done.stderr
        later = [llm_jobs(command, environment=told) for command in ("status", "verify")]
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
    paths = list((ran.home / "results").glob("*/*.parquet"))
    assert len(paths) == DOCUMENTS
    for path in paths:
        columns = pq.read_table(path, columns=["answer", "llm_status", "llm_error", "llm_model"]).to_pydict()
        if columns["llm_model"][0] == "simulated":
            continue
        assert REMOVED in json.dumps(columns)
