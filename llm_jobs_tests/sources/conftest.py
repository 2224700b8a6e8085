"""Servers of the tests of the room, one of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llm_jobs_tests.servers.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server
