"""`llm-jobs run`: documents in, answers kept, through Dagster in this process and in the foreground."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from llm_jobs.cli.asked import Asked
from llm_jobs.cli.deliver import Deliveries, line_of
from llm_jobs.cli.documents import document_options
from llm_jobs.cli.entry import Entry
from llm_jobs.cli.exits import DONE, ROWS_FAILED, STOPPED
from llm_jobs.cli.progress import watching
from llm_jobs.cli.summary import print_summary
from llm_jobs.cli.texts import compact_json, number, visible
from llm_jobs.events import Listener, broadcast
from llm_jobs.observability.progress import Progress
from llm_jobs.operations.by_hand import ByHand
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.services import Services
from llm_jobs.operations.telemetry import telemetry_of

DELIVERIES_SHOWN = 10
LOOK_EVERY_S = 2.0  # at what a job waits for before it starts


@click.command(
    "run",
    short_help="Run documents, or jobs submitted before, and wait for their results.",
    epilog="""\b
Examples:
  llm-jobs run examples/reviews.yaml
  llm-jobs run examples/reviews.yaml --model openai/gpt-4.1-mini --model ollama/llama3.2
  llm-jobs run nightly --param temperature=0.5 --epoch 2026-W47 --json""",
)
@click.argument("documents", nargs=-1, required=True, metavar="DOCUMENT...")
@document_options
@click.option("--ignore-conditions", is_flag=True, help="Start at once, whatever conditions and depends_on say.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per job and nothing else.")
@click.pass_obj
def command(
    entry: Entry, documents: tuple[str, ...], overrides: Overrides, ignore_conditions: bool, as_json: bool
) -> int:
    """Run documents, or jobs submitted before, and wait for their results.

    DOCUMENT is a file, or the name or hash of a job that was submitted before. Answers that are in the ledger are
    reused; everything else is asked once, through Dagster, in this process. Ctrl-C stops and keeps what was answered.
    A pipeline's jobs run in their order. A job that may not start yet is waited for, with the reason.
    """
    with telemetry_of(entry.environment) as telemetry, entry.open_services() as services:
        click.echo(f"Ledger: {services.ledger.url}", err=as_json)
        hand = ByHand(services, documents, overrides, origin="cli", ignore_conditions=ignore_conditions)
        reports: list[JobReport] = []
        links: list[str] = []
        deliveries = Deliveries()
        listener = broadcast(telemetry, deliveries)
        try:
            while not hand.is_over:
                if ready := hand.ready():
                    links += _run(entry, services, ready, reports, listener, as_json=as_json)
                else:
                    _wait(hand)
        except KeyboardInterrupt:
            _tell_stopped(services, reports, hand)
            return STOPPED
        _tell_deliveries(deliveries, as_json=as_json)
        if not as_json:
            print_summary(entry, services, [Asked(job, named) for job, named in hand.asked], reports, links)
    if deliveries.failed or hand.is_stuck:
        return ROWS_FAILED
    return DONE if all(report.status in ("done", "waiting") for report in reports) else ROWS_FAILED


def _run(
    entry: Entry,
    services: Services,
    hashes: Sequence[str],
    reports: list[JobReport],
    telemetry: Listener,
    *,
    as_json: bool,
) -> list[str]:
    # Dagster takes two seconds to import; a document that is refused should not wait for it.
    from llm_jobs.cli.dagster_run import run_through_dagster

    progress = Progress()

    def hear(report: JobReport) -> None:
        reports.append(report)
        if as_json:
            click.echo(compact_json(report.facts()))
            if report.error is not None:
                click.echo(f"{visible(report.name)}: {visible(report.error)}", err=True)

    listener = broadcast(progress, telemetry)
    logged = bool(entry.environment.get("LLM_JOBS_LOG"))
    with watching(progress, jobs=len(hashes), quiet=as_json, logged=logged) as told:
        return run_through_dagster(entry, services, hashes, listener=listener, hear=lambda report: told(report, hear))


def _tell_deliveries(deliveries: Deliveries, *, as_json: bool) -> None:
    """Where the results went: each that did not arrive, and the others while they are few."""
    arrived = [each for each in deliveries.ended if each.status == "delivered"]
    for each in deliveries.ended:
        if each.status != "delivered":
            click.echo(line_of(each), err=True)
        elif not as_json and len(arrived) <= DELIVERIES_SHOWN:
            click.echo(line_of(each))
    if not as_json and len(arrived) > DELIVERIES_SHOWN:
        click.echo(f"{number(len(arrived), 'result')} delivered")


def _wait(hand: ByHand) -> None:
    """Tell what the rest waits for, where that changed, and look again a little later."""
    for name, reason in hand.reasons.items():
        if hand.is_news(name, reason):
            click.echo(f"{visible(name)} is not started: {visible(reason)}", err=True)
    if not hand.is_over:
        time.sleep(LOOK_EVERY_S)


def _tell_stopped(services: Services, reports: Sequence[JobReport], hand: ByHand) -> None:
    left = len({job.hash for job, _ in hand.asked}) + hand.deferred - len(reports)
    click.echo(
        f"Stopped. Every answer that came is kept in {services.ledger.url}; {left} of the jobs are unfinished. The "
        "same command goes on where this one stopped and buys no answer twice.",
        err=True,
    )
