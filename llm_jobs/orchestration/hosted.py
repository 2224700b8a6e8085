"""Services in somebody else's Dagster project: opened for one run, or, with nothing asked and recorded, for loading."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from llm_jobs.events import Listener
from llm_jobs.operations.services import Services, open_services
from llm_jobs.operations.telemetry import telemetry_of
from llm_jobs.settings import Settings

IN_MEMORY = "sqlite://"


@contextmanager
def hosted(home: Path | None) -> Iterator[tuple[Services, Listener]]:
    """Services over `home` (None: as the command line finds it), and who is told of what happens."""
    with telemetry_of(os.environ) as listener, unheard(home) as services:
        yield services, listener


@contextmanager
def unheard(home: Path | None) -> Iterator[Services]:
    """Services over `home` for a look that nobody is told of."""
    environment, settings, folder = _found(home)
    with open_services(settings, environment=environment, working_directory=folder) as services:
        yield services


@contextmanager
def reading(home: Path | None) -> Iterator[Services]:
    """Services that read documents of `home`: the prompts, the models, no ledger, no server; nothing is written."""
    environment, settings, folder = _found(home)
    settings = replace(settings, database_url=IN_MEMORY, limits_url=IN_MEMORY)
    with open_services(settings, environment=environment, working_directory=folder, makes_home=False) as services:
        yield replace(services, asks_servers=False)


def _found(home: Path | None) -> tuple[Mapping[str, str], Settings, Path]:
    environment: Mapping[str, str] = os.environ
    if home is not None:
        environment = {**environment, "LLM_JOBS_HOME": str(home)}
    folder = Path.cwd()
    return environment, Settings.from_environment(environment, working_directory=folder), folder
