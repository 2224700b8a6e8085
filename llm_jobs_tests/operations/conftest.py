"""One server for batches, as new for each test, and a house at each of its vendors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_jobs_tests.operations.batch_house import BatchHouse
from llm_jobs_tests.servers.batches import BatchServer, batch_server


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
