"""What `llm-jobs run` says at the end: the jobs as a table, where results lie, what it cost, what to type next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from llm_jobs.cli.asked import Asked
from llm_jobs.cli.entry import Entry
from llm_jobs.cli.tables import print_table
from llm_jobs.cli.texts import count, dollars, number, visible
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.services import Services
from llm_jobs.providers.base import Usage
from llm_jobs.providers.pricing import Pricing

HASH_SHOWN = 8  # as many as a job can be named by
DAGSTER_PAGE = "http://127.0.0.1:3000"
COMPARED_MODEL = "openai/gpt-4.1-mini"
COLUMNS = ("name", "job", "status", "rows", "failed", "sent", "reused", "tokens", "cost", "seconds")


def print_summary(
    entry: Entry, services: Services, asked: Sequence[Asked], reports: Sequence[JobReport], links: Sequence[str]
) -> None:
    """Print everything about the jobs, in the order in which they were asked for. `links`: their Dagster runs."""
    by_hash = {report.job_hash: report for report in reports}
    ordered = [by_hash[job_hash] for job_hash in dict.fromkeys(each.job.hash for each in asked) if job_hash in by_hash]
    print_table(COLUMNS, [_row(report) for report in ordered], right=COLUMNS[3:])
    _print_sent([report for report in ordered if report.status != "waiting"])
    _print_results(entry.working_directory, ordered)
    _print_errors(ordered)
    simulated = [each for each in asked if each.is_simulated]
    _print_simulated(services, simulated, ordered)
    _print_next(entry, simulated, ordered, links)


def _row(report: JobReport) -> tuple[str, ...]:
    return (
        visible(report.name, most=32),
        report.job_hash[:HASH_SHOWN],
        report.status,
        count(report.rows),
        count(report.failed),
        count(report.calls_sent),
        count(report.calls_reused),
        count(report.prompt_tokens + report.completion_tokens),
        dollars(report.cost_usd),
        f"{report.seconds:.1f}",
    )


def _print_sent(reports: Sequence[JobReport]) -> None:
    if not reports:
        return
    sent = sum(report.calls_sent for report in reports)
    reused = sum(report.calls_reused for report in reports)
    if not sent:
        click.echo("No call was sent: every answer was reused." if reused else "No call was sent.")
    elif reused:
        click.echo(f"{number(sent, 'call')} sent, {number(reused, 'answer')} reused.")
    else:
        click.echo(f"{number(sent, 'call')} sent.")


def _print_results(working_directory: Path, reports: Sequence[JobReport]) -> None:
    located = [(report.name, report.result) for report in reports if report.result is not None]
    if not located:
        return
    click.echo("Results:")
    width = min(40, max(len(visible(name)) for name, _ in located))
    for name, result in located:
        click.echo(f"  {visible(name):<{width}}  {_shortest(result, working_directory)}")


def _shortest(location: str, working_directory: Path) -> str:
    """A path below the working directory, relative to it; any other as it is."""
    path = Path(location)
    return str(path.relative_to(working_directory)) if path.is_relative_to(working_directory) else location


def _print_errors(reports: Sequence[JobReport]) -> None:
    for report in reports:
        if report.error and report.status != "done":
            click.echo(f"{visible(report.name)}: {visible(report.error, most=500)}", err=True)


def _print_simulated(services: Services, simulated: Sequence[Asked], reports: Sequence[JobReport]) -> None:
    if not simulated:
        return
    names = ", ".join(dict.fromkeys(visible(each.job.name) for each in simulated))
    click.echo(f"\nSimulated: {names}. These answers are made up from the request; no model was asked.")
    usage = _usage(services, {each.job.hash for each in simulated}, reports)
    cost_usd = Pricing(services.catalogue).estimate_as(COMPARED_MODEL, usage)
    if cost_usd:
        click.echo(f"As many tokens of {COMPARED_MODEL} would have cost {dollars(cost_usd)}.")


def _usage(services: Services, job_hashes: set[str], reports: Sequence[JobReport]) -> Usage:
    """The tokens of this run; of a job that sent nothing now, those of its own calls before."""
    spends = services.ledger.spend(sorted(job_hashes))
    prompt = completion = 0
    for report in reports:
        if report.job_hash not in job_hashes:
            continue
        spend = None if report.calls_sent else spends.get(report.job_hash)
        prompt += (spend.prompt_tokens if spend else report.prompt_tokens) or 0
        completion += (spend.completion_tokens if spend else report.completion_tokens) or 0
    return Usage(prompt_tokens=prompt, completion_tokens=completion)


def _print_next(entry: Entry, simulated: Sequence[Asked], reports: Sequence[JobReport], links: Sequence[str]) -> None:
    lines: dict[str, str] = {}
    if waiting := [report for report in reports if report.status == "waiting"]:
        lines["llm-jobs batches --poll"] = "how far the batches are; a running Dagster asks by itself"
        lines[f"llm-jobs run {waiting[0].job_hash[:HASH_SHOWN]}"] = "goes on where it waits, once they have ended"
    with_result = next((report for report in reports if report.result is not None), None)
    if with_result is not None:
        lines[f"llm-jobs results {with_result.job_hash[:HASH_SHOWN]}"] = "the rows of the first result"
    page = f"Dagster in the browser; this run: {DAGSTER_PAGE}{links[0]}" if links else "Dagster in the browser"
    if (entry.working_directory / "workspace.yaml").is_file():
        lines["make ui"] = page
    else:
        lines[f"DAGSTER_HOME={entry.dagster_home} dagster dev -m llm_jobs.definitions"] = page
    if simulated:
        lines.update(_real_models(simulated[0].document))
    if lines:
        click.echo("\nNext:")
        _print_commands(lines)


def _real_models(document: str) -> Mapping[str, str]:
    run = f"llm-jobs run {visible(document)} --model"
    return {
        f"OPENAI_API_KEY=… {run} {COMPARED_MODEL}": "a real model",
        f"OPENAI_BASE_URL=http://HOST:PORT/v1 {run} openai/NAME": "any compatible server",
        f"{run} ollama/llama3.2": "a local model",
    }


def _print_commands(lines: Mapping[str, str]) -> None:
    width = max(map(len, lines))
    for line, meaning in lines.items():
        click.echo(f"  {line:<{width}}  # {meaning}")
