"""Opens the Dagster instance of a `DAGSTER_HOME`, fresh or used.

Two processes that open a fresh SQLite home at once break it (each creates the tables), so a home is made by one of
them, under a lock, and marked when it is whole.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
from filelock import FileLock

DEFAULT_SETTINGS = Path(__file__).with_name("dagster.yaml")
SETTINGS_NAME = "dagster.yaml"
LOCK_NAME = ".llm_jobs.lock"
MARK_NAME = ".llm_jobs.ready"


def open_instance(dagster_home: Path) -> dg.DagsterInstance:
    """The instance of `dagster_home`, made first where there is none. Keep the reference: its storage dies with it.

    A home without `dagster.yaml` gets the embedded default. The caller disposes of the instance.
    """
    if (dagster_home / MARK_NAME).exists():
        return dg.DagsterInstance.from_config(str(dagster_home))
    dagster_home.mkdir(parents=True, exist_ok=True)
    with FileLock(dagster_home / LOCK_NAME):
        if not (dagster_home / SETTINGS_NAME).exists():
            shutil.copyfile(DEFAULT_SETTINGS, dagster_home / SETTINGS_NAME)
        instance = dg.DagsterInstance.from_config(str(dagster_home))
        instance.all_asset_keys()  # the event log's index is made when it is first read
        (dagster_home / MARK_NAME).touch()
    return instance
