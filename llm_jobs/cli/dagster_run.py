"""Runs jobs through Dagster in this process. The one place of the command line that imports Dagster."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dagster import DagsterExecutionInterruptedError, DagsterInstance

from llm_jobs.cli.entry import Entry
from llm_jobs.events import Listener, broadcast
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.services import Services
from llm_jobs.orchestration.bound import BoundUseCases
from llm_jobs.orchestration.foreground import deliver_in_foreground, run_in_foreground
from llm_jobs.orchestration.instances import open_instance


def run_through_dagster(
    entry: Entry,
    services: Services,
    job_hashes: Sequence[str],
    *,
    listener: Listener,
    hear: Callable[[JobReport], None],
) -> list[str]:
    """Run the jobs; `hear` is told each as it ends. Returns the paths of the runs below the address of Dagster's page.

    Raises KeyboardInterrupt when the user stops it.
    """
    with _instance(entry) as instance:
        return run_in_foreground(
            BoundUseCases(services=services), job_hashes, instance=instance, listener=listener, hear=hear
        ).links


def deliver_through_dagster(
    entry: Entry, services: Services, job_hashes: Sequence[str], *, listeners: Sequence[Listener], again: bool
) -> None:
    """Deliver the newest results of the jobs; the listeners are told what became of each."""
    with _instance(entry) as instance:
        deliver_in_foreground(
            BoundUseCases(services=services),
            job_hashes,
            instance=instance,
            listener=broadcast(*listeners),
            again=again,
        )


@contextmanager
def _instance(entry: Entry) -> Iterator[DagsterInstance]:
    """Dagster's instance, quiet. Raises KeyboardInterrupt where the user stops what goes on in it."""
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="dagster")
    instance = open_instance(entry.dagster_home, capture_output=False)
    try:
        yield instance
    except DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None
    finally:
        instance.dispose()
