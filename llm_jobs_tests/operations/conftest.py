"""One server for batches, as new for each test, with a house at each of its vendors, and a house whose model speaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_jobs_tests.cli.house import House
from llm_jobs_tests.operations.batch_house import BatchHouse
from llm_jobs_tests.operations.spoken import echoed
from llm_jobs_tests.servers.batches import BatchServer, batch_server
from llm_jobs_tests.servers.speaking import Speaking, speaking_server


@pytest.fixture(scope="session")
def shared_batch_server() -> Iterator[BatchServer]:
    with batch_server() as server:
        yield server


@pytest.fixture
def server(shared_batch_server: BatchServer) -> BatchServer:
    shared_batch_server.reset()
    return shared_batch_server


@pytest.fixture(params=["openai", "anthropic"])
def batch_house(request: pytest.FixtureRequest, server: BatchServer, tmp_path: Path) -> BatchHouse:
    return BatchHouse.at(tmp_path, server, request.param)


@pytest.fixture
def openai_house(server: BatchServer, tmp_path: Path) -> BatchHouse:
    return BatchHouse.at(tmp_path, server, "openai")


@pytest.fixture
def anthropic_house(server: BatchServer, tmp_path: Path) -> BatchHouse:
    return BatchHouse.at(tmp_path, server, "anthropic")


@pytest.fixture
def speaking(request: pytest.FixtureRequest) -> Iterator[Speaking]:
    """A server that says what the test's module has under `said`, else what it was asked."""
    with speaking_server(getattr(request.module, "said", echoed)) as server:
        yield server


@pytest.fixture
def house(tmp_path: Path, speaking: Speaking) -> House:
    return House(tmp_path, dict(speaking.environment))
