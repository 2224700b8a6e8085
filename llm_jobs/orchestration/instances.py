"""Opens the Dagster instance of a `DAGSTER_HOME`, fresh or used.

Two processes that open a fresh SQLite home at once break it (each creates the tables), so a home is made by one of
them, under a lock, and marked when it is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from filelock import FileLock

DEFAULT_SETTINGS = Path(__file__).with_name("dagster.yaml")
SETTINGS_NAME = "dagster.yaml"
LOCK_NAME = ".llm_jobs.lock"
MARK_NAME = ".llm_jobs.ready"
NO_CAPTURE: Mapping[str, object] = {
    "compute_logs": {
        "module": "dagster.core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
        "config": {},
    }
}


def open_instance(dagster_home: Path, *, capture_output: bool = True) -> dg.DagsterInstance:
    """The instance of `dagster_home`, made first where there is none. Keep the reference: its storage dies with it.

    A home without `dagster.yaml` gets the embedded default. `capture_output` False: what this process prints while a
    step runs is left alone (capturing it takes two processes per step, and the terminal away from a progress bar).
    The caller disposes of the instance.
    """
    if (dagster_home / MARK_NAME).exists():
        return _opened(dagster_home, capture_output)
    dagster_home.mkdir(parents=True, exist_ok=True)
    with FileLock(dagster_home / LOCK_NAME):
        if not (dagster_home / SETTINGS_NAME).exists():
            shutil.copyfile(DEFAULT_SETTINGS, dagster_home / SETTINGS_NAME)
        instance = dg.DagsterInstance.from_config(str(dagster_home))
        instance.all_asset_keys()  # the event log's index is made when it is first read
        (dagster_home / MARK_NAME).touch()
    if capture_output:
        return instance
    instance.dispose()
    return _opened(dagster_home, capture_output)


def _opened(dagster_home: Path, capture_output: bool) -> dg.DagsterInstance:
    overrides = None if capture_output else NO_CAPTURE
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(dagster_home), overrides=overrides))
