"""A process that runs jobs in batches below Dagster, and may kill itself at a chosen step of a batch.

    python -m llm_jobs_tests.end_to_end.batches_child HOME JOB_HASH... [--kill KIND:COUNT]

With `--kill`, SIGKILL comes when a batch is told to have come to KIND for the COUNT-th time: no handler runs, and
nothing is flushed.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

from llm_jobs.events import BatchChanged, Event, Listener, ignore
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.services import open_services
from llm_jobs.settings import Settings


def killer(kind: str, count: int) -> Listener:
    """A listener that ends this process at the `count`-th step of a kind."""
    left = count

    def listen(event: Event) -> None:
        nonlocal left
        if isinstance(event, BatchChanged) and event.kind == kind:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return listen


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("job_hashes", nargs="+")
    parser.add_argument("--kill")
    arguments = parser.parse_args()
    listener: Listener = ignore
    if arguments.kill:
        kind, _, count = arguments.kill.partition(":")
        listener = killer(kind, int(count))
    environment = {**os.environ, "LLM_JOBS_HOME": str(arguments.home)}
    settings = Settings.from_environment(environment, working_directory=Path.cwd())
    with open_services(settings, environment=os.environ, working_directory=Path.cwd()) as services:
        for _ in run_jobs(services, arguments.job_hashes, listener=listener):
            pass


if __name__ == "__main__":
    main()
