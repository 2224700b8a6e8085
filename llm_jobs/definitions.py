"""The Dagster code location: reads the environment, assembles, defines nothing."""

from __future__ import annotations

import os
from pathlib import Path

from llm_jobs.operations.recurring import recurring_documents
from llm_jobs.orchestration.build import build_definitions
from llm_jobs.orchestration.resources import in_each_process
from llm_jobs.orchestration.schedules import recurring_schedules
from llm_jobs.orchestration.standing import recurring_sensor
from llm_jobs.settings import Settings

_settings = Settings.from_environment(os.environ, working_directory=Path.cwd())
_recurring = recurring_documents(_settings, os.environ)

defs = build_definitions(
    resources=in_each_process(_settings, environment=os.environ, working_directory=Path.cwd()),
    schedules=recurring_schedules(_recurring),
    sensors=[recurring_sensor(_recurring, page_url=os.environ.get("LLM_JOBS_DAGSTER_URL"))],
)
