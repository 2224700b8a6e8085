"""Opens the telemetry that the environment switches on: for the command line, for Dagster's runs, for Python."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from llm_jobs.events import Listener
from llm_jobs.observability.listeners import listening
from llm_jobs.observability.telemetry import Telemetry
from llm_jobs.operations.scrubbing import without_secrets


def telemetry_of(environment: Mapping[str, str]) -> AbstractContextManager[Listener]:
    """A listener for what `environment` switches on, closed on leaving. Raises SetupError where a switch is wrong."""
    telemetry = Telemetry.from_environment(environment)
    return listening(telemetry, scrub=lambda text: without_secrets(text, environment))
