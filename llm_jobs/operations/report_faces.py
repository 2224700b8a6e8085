"""The head of a report: a job's figures and details, from the ledger and the facts of its result."""

from __future__ import annotations

from collections.abc import Iterator

from llm_jobs.observability.report_model import ReportedJob
from llm_jobs.observability.texts import count, dollars, number, short_time
from llm_jobs.operations.records import status_of_record
from llm_jobs.operations.report_sides import utc
from llm_jobs.operations.services import Services
from llm_jobs.operations.sheets import Sheet, cost_usd
from llm_jobs.results import columns
from llm_jobs.results.survey import Survey


def face(services: Services, sheet: Sheet, survey: Survey) -> ReportedJob:
    """What a report says of a job before its rows."""
    record = sheet.record
    return ReportedJob(
        name=sheet.submission.name,
        job_hash=sheet.submission.job_hash,
        epoch_ns=record.epoch_ns,
        status=status_of_record(record),
        figures=list(_figures(services, sheet, survey)),
        details=[(name, text) for name, text in _details(services, sheet, survey) if text],
    )


def _figures(services: Services, sheet: Sheet, survey: Survey) -> Iterator[tuple[str, str]]:
    record = sheet.record
    yield "rows", f"{record.rows:,}"
    yield "answered", f"{record.succeeded:,}"
    yield "failed", f"{record.failed:,}"
    yield "cost of this result", dollars(cost_usd(services, sheet, survey))
    for name, column in (("prompt tokens", columns.PROMPT_TOKENS), ("completion tokens", columns.COMPLETION_TOKENS)):
        yield name, count(survey.total(column)) or "?"
    if (median := survey.quantiles(columns.LATENCY_S, [0.5])) is not None:
        yield "median latency", short_time(median[0])


def _details(services: Services, sheet: Sheet, survey: Survey) -> Iterator[tuple[str, str]]:
    submission, record = sheet.submission, sheet.record
    yield "models", ", ".join(f"{name} ({number(rows, 'row')})" for name, rows in survey.models().items())
    yield "submitted", f"{utc(submission.submitted_ns)} by {submission.submitter}, as {submission.document_name}"
    yield "labels", ", ".join(f"{name}: {value}" for name, value in submission.labels.items())
    yield "begun", utc(record.epoch_ns)
    yield "ended", utc(record.recorded_ns)
    seconds, sent, reused = (record.facts.get(name) for name in ("seconds", "calls_sent", "calls_reused"))
    yield "took", short_time(seconds) if isinstance(seconds, float) else ""
    yield "calls", f"{sent:,} sent, {reused:,} reused" if isinstance(sent, int) and isinstance(reused, int) else ""
    yield "latency", _latency(survey)
    unknown = survey.unknown(columns.COST_USD)
    yield "not priced", f"{number(unknown, 'row')}, which the cost leaves out" if unknown else ""
    yield "result", services.store.locate(record.path)
    yield "SHA-256", record.sha256


def _latency(survey: Survey) -> str:
    found = survey.quantiles(columns.LATENCY_S, [0.5, 0.9, 0.99])
    names = ("median", "90 %", "99 %")
    return (
        ""
        if found is None
        else ", ".join(f"{name} {short_time(value)}" for name, value in zip(names, found, strict=True))
    )
