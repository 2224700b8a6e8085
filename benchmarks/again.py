"""How long a finished job takes when it is run again, beside Dagster's own start. Nothing is asked of the server."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.clients.document import write_document
from benchmarks.clients.through_dagster import command, environment
from benchmarks.processes import Server, run

# What any program needs that runs something in Dagster: its import, its instance on disk, one run of one asset.
_OPENED = "import dagster; dagster.DagsterInstance.get().get_runs_count()"
_RUN = (
    "import dagster\n"
    "@dagster.asset\n"
    "def nothing() -> None: ...\n"
    "assert dagster.materialize([nothing], instance=dagster.DagsterInstance.get()).success"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """Medians in seconds of wall time, from the start of a process to its end."""

    calls: int
    llm_jobs_s: float
    dagster_opened_s: float
    dagster_run_s: float
    times: int


def measure_again(*, server: Server, calls: int, times: int, work: Path, tell: Callable[[str], None]) -> Again:
    """Finish a job of `calls` calls, then run it again `times` times, in turns with Dagster alone."""
    folder = work / "again"
    shutil.rmtree(folder, ignore_errors=True)
    document = write_document(folder / "documents", calls=calls, concurrency=100)
    variables = environment(server.url, folder)
    log = work / "said.txt"
    ours = command(document)
    run(ours, log=log, environment=variables)
    asked_before = server.answered()
    mine, opened, ran = [], [], []
    alone = {**os.environ, "DAGSTER_HOME": variables["DAGSTER_HOME"]}
    for number in range(times):
        mine.append(run(ours, log=log, environment=variables).wall_s)
        opened.append(run([sys.executable, "-c", _OPENED], log=log, environment=alone).wall_s)
        ran.append(run([sys.executable, "-c", _RUN], log=log, environment=alone).wall_s)
        tell(f"again {number + 1} of {times}: {mine[-1]:.2f} s; Dagster opened {opened[-1]:.2f}, run {ran[-1]:.2f} s")
    assert server.answered() == asked_before, "a finished job sent calls"
    shutil.rmtree(folder, ignore_errors=True)
    return Again(
        calls=calls,
        llm_jobs_s=median(mine),
        dagster_opened_s=median(opened),
        dagster_run_s=median(ran),
        times=times,
    )
