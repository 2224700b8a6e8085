"""Dagster's two settings files, the embedded one at the root and the one in deploy/, opened by Dagster itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_jobs_tests.servers.postgres import postgres_server

ROOT = Path(__file__).parent.parent
EMBEDDED = ROOT / "dagster.yaml"
MANY_MACHINES = ROOT / "deploy" / "dagster.yaml"

# Prints the classes that hold runs and launch them, after every part of the instance was opened.
OPEN = """
from dagster import DagsterInstance
with DagsterInstance.get() as instance:
    assert instance.get_runs_count() == 0
    assert instance.get_dynamic_partitions("jobs") == []
    queue = instance.run_coordinator
    print(type(instance.run_storage).__name__, type(instance.run_launcher).__name__, type(queue).__name__)
"""


def opened(home: Path, settings: str, environment: Mapping[str, str]) -> list[str]:
    home.mkdir()
    (home / "dagster.yaml").write_text(settings)
    done = subprocess.run(
        [sys.executable, "-c", OPEN],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "DAGSTER_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout.split()


def test_the_embedded_default_needs_nothing_but_a_folder(tmp_path: Path) -> None:
    classes = opened(tmp_path / "dagster", EMBEDDED.read_text(), {})
    assert classes == ["SqliteRunStorage", "DefaultRunLauncher", "QueuedRunCoordinator"]


def test_many_machines_keep_runs_in_postgresql_and_launch_containers(tmp_path: Path) -> None:
    settings = MANY_MACHINES.read_text().replace("/srv/home", str(tmp_path / "home"))
    with postgres_server() as server:
        url = server.url.replace("postgresql://", "postgresql+psycopg2://")
        classes = opened(tmp_path / "dagster", settings, {"DAGSTER_POSTGRES_URL": url})
    assert classes == ["PostgresRunStorage", "DockerRunLauncher", "QueuedRunCoordinator"]


@pytest.mark.parametrize("path", [EMBEDDED, MANY_MACHINES], ids=["embedded", "many machines"])
def test_a_killed_run_gives_its_slot_back_and_nothing_is_reported_to_anyone(path: Path) -> None:
    settings: dict[str, Any] = yaml.safe_load(path.read_text())
    monitoring = settings["run_monitoring"]
    assert monitoring["enabled"]
    assert 0 < monitoring["free_slots_after_run_end_seconds"] <= 60
    assert monitoring["max_runtime_seconds"] > 0
    assert settings["telemetry"] == {"enabled": False}
    assert settings["nux"] == {"enabled": False}
    assert settings["concurrency"]["pools"]["default_limit"] > settings["concurrency"]["runs"]["max_concurrent_runs"]


def test_a_run_in_a_container_gets_every_variable_that_the_compose_file_sets() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "docker-compose.yaml").read_text())
    launcher = yaml.safe_load(MANY_MACHINES.read_text())["run_launcher"]["config"]
    assert set(launcher["env_vars"]) == set(compose["services"]["daemon"]["environment"])
    assert launcher["networks"] == [compose["networks"]["llm-jobs"]["name"]]
    assert launcher["container_kwargs"]["volumes"] == compose["services"]["code"]["volumes"]
