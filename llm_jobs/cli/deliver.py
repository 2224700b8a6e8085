"""`llm-jobs deliver`: results to the destinations that their jobs state. No model is asked."""

from __future__ import annotations

from dataclasses import dataclass, field

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.exits import DONE, ROWS_FAILED
from llm_jobs.cli.texts import compact_json, number, visible
from llm_jobs.events import DeliveryEnded, Event
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.telemetry import telemetry_of


@dataclass
class Deliveries:
    """A listener that keeps what became of each delivery."""

    ended: list[DeliveryEnded] = field(default_factory=list)
    wants: frozenset[type] = frozenset({DeliveryEnded})

    def __call__(self, event: Event) -> None:
        if isinstance(event, DeliveryEnded):
            self.ended.append(event)

    @property
    def failed(self) -> bool:
        """Whether one failed, and its document does not say to go on without it."""
        return any(each.status == "failed" for each in self.ended)


@click.command(
    "deliver",
    short_help="Hand the newest results of jobs to their destinations again; asks no model.",
    epilog="""\b
Examples:
  llm-jobs deliver reviews
  llm-jobs deliver 3f2a9c1d --again --json""",
)
@click.argument("jobs", nargs=-1, required=True, metavar="HASH|NAME...")
@click.option("--again", is_flag=True, help="Also where a receipt says that the result has arrived.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per destination and nothing else.")
@click.pass_obj
def command(entry: Entry, jobs: tuple[str, ...], again: bool, as_json: bool) -> int:
    """Hand the newest results of jobs to the destinations that they have not reached; asks no model.

    With --again destinations that have a receipt are asked too: a file that was lost is written anew, a table and an
    endpoint get no row twice. Exits with 1 where a delivery failed.
    """
    # Dagster takes two seconds to import; a job that is not there should not wait for it.
    heard = Deliveries()
    with telemetry_of(entry.environment) as telemetry, entry.open_services() as services:
        hashes = list(dict.fromkeys(find_job(services, job).job_hash for job in jobs))
        from llm_jobs.cli.dagster_run import deliver_through_dagster

        deliver_through_dagster(entry, services, hashes, listeners=(heard, telemetry), again=again)
    for each in heard.ended:
        click.echo(compact_json(facts_of(each)) if as_json else line_of(each), err=False)
    if not heard.ended and not as_json:
        click.echo("Nothing waits for its delivery. --again asks destinations that have a receipt.")
    return ROWS_FAILED if heard.failed else DONE


def facts_of(event: DeliveryEnded) -> dict[str, object]:
    """The members of a line of `llm-jobs deliver --json`, in their order."""
    return {
        "job_hash": event.job_hash,
        "name": event.name,
        "destination": event.destination,
        "status": event.status,
        "rows": event.rows,
        "error": event.error,
    }


def line_of(event: DeliveryEnded) -> str:
    """What became of a delivery, for a person."""
    place, name = visible(event.destination), visible(event.name)
    if event.status == "delivered":
        return f"{name}: {number(event.rows, 'row')} in {place}"
    if event.status == "fallback":
        return f"{name}: {number(event.rows, 'row')} in {place} instead, for {visible(event.error or '')}"
    word = "not delivered to" if event.status == "failed" else "given up, as the document says:"
    return f"{name}: {word} {place}: {visible(event.error or '')}"
