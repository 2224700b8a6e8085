"""The servers that quotas are kept in: a real PostgreSQL and a real Redis, a database or a name per test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from llm_jobs_tests.servers.postgres import PostgresServer, postgres_server
from llm_jobs_tests.servers.redis import RedisServer, redis_server

_database_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    return postgres.create_database(f"limits_{next(_database_numbers)}")


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server
