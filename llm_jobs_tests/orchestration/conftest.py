"""Real instances: SQLite in a temporary folder, no default limits. A made home is copied: making one takes a second.
For components: a folder of definitions, and a server that answers what they ask.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox
from dagster.components.testing.utils import DefsFolderSandbox

from llm_jobs.orchestration.instances import open_instance
from llm_jobs_tests.orchestration.fake import FakeUseCases
from llm_jobs_tests.servers.faults import FaultPlan
from llm_jobs_tests.servers.replay import ReplayServer, replay_server


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("made") / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    open_instance(home).dispose()
    return home


@pytest.fixture
def dagster_home(made_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_home, tmp_path / "dagster"))


@pytest.fixture
def instance(dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(dagster_home) as opened:
        yield opened


@pytest.fixture
def use_cases() -> FakeUseCases:
    return FakeUseCases()


@pytest.fixture
def sandbox() -> Iterator[DefsFolderSandbox]:
    with create_defs_folder_sandbox() as opened:
        yield opened


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ReplayServer]:
    with replay_server(plan=FaultPlan(poison="poison")) as started:
        monkeypatch.setenv("OPENAI_BASE_URL", started.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("LLM_JOBS_HOME", str(tmp_path / "home"))
        yield started
