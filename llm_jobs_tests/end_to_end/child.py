"""A process that runs documents below Dagster, and may kill itself at a chosen event.

    python -m llm_jobs_tests.end_to_end.child HOME DOCUMENT [--concurrency N] [--kill EVENT:COUNT]

With `--kill`, SIGKILL comes when the event of that name is told for the COUNT-th time: no handler runs, nothing is
flushed. Prints one JSON line per job.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from llm_jobs.events import Event, Listener, ignore
from llm_jobs.operations.accept import accept
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.services import open_services
from llm_jobs.settings import Settings


def killer(event_name: str, count: int) -> Listener:
    """A listener that ends this process at the `count`-th event of a kind, and says on stderr when (ns since 1970)."""
    left = count

    def listen(event: Event) -> None:
        nonlocal left
        if type(event).__name__ == event_name:
            left -= 1
            if left == 0:
                os.write(2, str(time.time_ns()).encode())
                os.kill(os.getpid(), signal.SIGKILL)

    return listen


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("documents", type=Path, nargs="+")
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--kill")
    arguments = parser.parse_args()
    listener: Listener = ignore
    if arguments.kill:
        name, _, count = arguments.kill.partition(":")
        listener = killer(name, int(count))
    environment = {**os.environ, "LLM_JOBS_HOME": str(arguments.home)}
    settings = Settings.from_environment(environment, working_directory=Path.cwd())
    with open_services(settings, environment=os.environ, working_directory=Path.cwd()) as services:
        overrides = Overrides(concurrency=arguments.concurrency)
        accepted = [
            each.job.hash
            for path in arguments.documents
            for each in accept(services, path, origin="python", overrides=overrides)
        ]
        for report in run_jobs(services, accepted, listener=listener):
            sys.stdout.write(json.dumps(report.facts()) + "\n")


if __name__ == "__main__":
    main()
