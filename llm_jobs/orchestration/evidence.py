"""What Dagster is told of a job: the events and the metadata that people look for. Values in, events out.

A job with `preview: off` arrives here without preview and sample, so nothing of its rows reaches Dagster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import dagster as dg

from llm_jobs.operations.records import (
    DeliveryReport,
    GatedJob,
    Inventory,
    JobAudit,
    JobLine,
    JobReport,
    SubmittedJob,
)
from llm_jobs.operations.usage import UsageLine, UsageSheet

JOB_DOCUMENTS = dg.AssetKey("job_documents")
INPUTS = dg.AssetKey("inputs")
RESULTS = dg.AssetKey("results")
DELIVERIES = dg.AssetKey("deliveries")
JOB_TABLE = dg.AssetKey("jobs")
USAGE = dg.AssetKey("usage")
PROMPT_LIBRARY = dg.AssetKey("prompt_library")
MODEL_CATALOGUE = dg.AssetKey("model_catalogue")
LATEST_JOBS = 200

EVERY_ROW_ANSWERED = "every_row_answered"
DIGEST_INTACT = "digest_intact"
NOTHING_PAID_TWICE = "nothing_paid_twice"

JobEvent = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What is made for people beside a result: how it went as a `plot` in Markdown, and the path of a `page`."""

    plot: str | None = None
    page: str | None = None


NOTHING_SHOWN = Shown()


def submission_events(job: SubmittedJob, selected: Set[dg.AssetKey]) -> Iterator[JobEvent]:
    """The job's document and input are there before it runs."""
    if JOB_DOCUMENTS in selected:
        yield _made(JOB_DOCUMENTS, job.job_hash, _document_metadata(job))
    if INPUTS in selected:
        yield _made(INPUTS, job.job_hash, _input_metadata(job))


def result_event(report: JobReport, shown: Shown = NOTHING_SHOWN) -> JobEvent:
    """A result was made, with what is `shown` of it; or, where there is none, an observation that says why."""
    if report.status == "waiting":
        metadata = {"job": report.name, "waits for": report.error or "what it has asked for"}
        return dg.AssetObservation(RESULTS, partition=report.job_hash, metadata=metadata)
    if report.status == "failed":
        metadata = {"job": report.name, "error": report.error or "no row was answered"}
        return dg.AssetObservation(RESULTS, partition=report.job_hash, metadata=metadata)
    made = result_metadata(report)
    if shown.page is not None:
        made["report"] = dg.MetadataValue.path(shown.page)
    if shown.plot is not None:
        made["latency and cost over time"] = dg.MetadataValue.md(shown.plot)
    return _made(RESULTS, report.job_hash, made)


def gated_event(job: GatedJob) -> dg.AssetObservation:
    """A job may not start yet, and why."""
    return dg.AssetObservation(RESULTS, partition=job.job_hash, metadata={"job": job.name, "gated": job.reason})


def check_events(report: JobReport, audit: JobAudit) -> Iterator[JobEvent]:
    """Every row answered, digest intact, nothing paid twice: of one partition."""
    unanswered = {"failed rows": report.failed, "rows": report.rows}
    yield _checked(report, EVERY_ROW_ANSWERED, audit.rows_answered, unanswered, dg.AssetCheckSeverity.WARN)
    yield _checked(report, DIGEST_INTACT, audit.digest_intact, {"sha256": report.sha256 or ""})
    yield _checked(report, NOTHING_PAID_TWICE, audit.paid_twice == 0, {"calls paid twice": audit.paid_twice})


def result_metadata(report: JobReport) -> dict[str, Any]:
    """Metadata of a materialised result. One that was there before tells what the run that made it used."""
    used = report.made_with or report.facts()
    latency = report.latency_percentiles or used.get("latency_percentiles")
    return {
        "job": report.name,
        "status": report.status,
        "dagster/row_count": report.rows,
        "rows answered": report.succeeded,
        "rows failed": report.failed,
        "calls sent in this run": report.calls_sent,
        "calls reused in this run": report.calls_reused,
        "prompt tokens": _number(used, "prompt_tokens"),
        "completion tokens": _number(used, "completion_tokens"),
        "cost (USD)": _dollars(used, "spent_usd" if "spent_usd" in used else "cost_usd"),
        "cost in this run (USD)": _dollars(used, "cost_usd"),
        "seconds": round(_number(used, "seconds"), 3),
        "submitter": report.submitter,
        **{f"latency {name} (s)": round(value, 3) for name, value in _percentiles(latency).items()},
        **{f"calls at once that {model} bears": most for model, most in _at_once(report, used).items()},
        **_texts(report),
    }


def _at_once(report: JobReport, used: Mapping[str, object]) -> Mapping[str, int]:
    found = report.calls_at_once or used.get("calls_at_once")
    return found if isinstance(found, Mapping) else {}


def _number(facts: Mapping[str, object], name: str) -> int | float:
    value = facts.get(name)
    return value if isinstance(value, int | float) else 0


def _dollars(facts: Mapping[str, object], name: str) -> float | str:
    value = facts.get(name)
    return value if isinstance(value, int | float) else "not known"


def _percentiles(latency: object) -> dict[str, float]:
    return {str(name): float(value) for name, value in latency.items()} if isinstance(latency, Mapping) else {}


def line_event(line: JobLine) -> JobEvent:
    """A result that was made outside Dagster, as far as its line tells."""
    metadata = {
        "job": line.name,
        "status": line.status,
        "dagster/row_count": line.rows,
        "rows failed": line.failed,
        "cost (USD)": line.cost_usd if line.cost_usd is not None else "not known",
        "path": dg.MetadataValue.path(str(line.result)),
    }
    return _made(RESULTS, line.job_hash, metadata)


def delivery_event(reports: Sequence[DeliveryReport]) -> JobEvent:
    """Copies of a result were handed over; or, where one was not, an observation that says so."""
    metadata: dict[str, Any] = {
        "destination": ", ".join(report.destination for report in reports),
        "dagster/row_count": max(report.rows for report in reports),
        "receipts": table([_receipt(report) for report in reports]),
    }
    if sizes := [report.size_bytes for report in reports if report.size_bytes is not None]:
        metadata["size (bytes)"] = sum(sizes)
    job_hash = reports[0].job_hash
    if any(report.status == "failed" for report in reports):
        return dg.AssetObservation(DELIVERIES, partition=job_hash, metadata=metadata)
    return _made(DELIVERIES, job_hash, metadata)


def _receipt(report: DeliveryReport) -> dict[str, object]:
    facts = report.facts()
    del facts["job_hash"]
    return {name: "" if value is None else value for name, value in facts.items()}


def job_table(lines: Sequence[JobLine]) -> dict[str, Any]:
    """The latest jobs as a table: hexadecimal keys need a face."""
    return {"jobs": table([_line(line) for line in lines]), "shown": len(lines)}


def usage_metadata(sheet: UsageSheet) -> dict[str, Any]:
    """What was spent, as a table and a plot."""
    told: dict[str, Any] = {
        "cost (USD)": "not known" if sheet.cost_usd is None else sheet.cost_usd,
        "saved by reuse (USD)": "not known" if sheet.saved_usd is None else sheet.saved_usd,
        "usage": table([_usage_line(line) for line in sheet.lines]),
    }
    return told if sheet.plot is None else told | {"cost and tokens by day": dg.MetadataValue.md(sheet.plot)}


def inventory_metadata(inventory: Inventory) -> dict[str, Any]:
    return {"entries": table(inventory.rows)}


def table(rows: Sequence[Mapping[str, object]]) -> dg.MetadataValue:
    """A metadata table; cells that are no plain values are shown as text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    records = [dg.TableRecord({name: _cell(row.get(name)) for name in names}) for row in rows]
    schema = dg.TableSchema(columns=[dg.TableColumn(name, _kind(name, records)) for name in names])
    return dg.MetadataValue.table(records=records, schema=schema)


def _texts(report: JobReport) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    if report.result is not None:
        texts["path"] = dg.MetadataValue.path(report.result)
    if report.sha256 is not None:
        texts["sha256"] = report.sha256
    if report.error is not None:
        texts["error"] = report.error
    if report.preview:
        texts["preview"] = table(list(report.preview))
    if report.sample_request is not None:
        texts["sample request"] = dg.MetadataValue.md(f"```\n{report.sample_request}\n```")
    return texts


def _document_metadata(job: SubmittedJob) -> dict[str, Any]:
    metadata: dict[str, Any] = {"job": job.name, "submitter": job.submitter, "providers": ", ".join(job.providers)}
    if job.document_path is not None:
        metadata["path"] = dg.MetadataValue.path(job.document_path)
    return metadata


def _input_metadata(job: SubmittedJob) -> dict[str, Any]:
    """Every job has an input: Dagster would show a partition without one as failed when its run fails."""
    if job.input_path is None:
        return {"job": job.name, "rows": "in the document"}
    return {"job": job.name, "path": dg.MetadataValue.path(job.input_path)}


def _made(asset: dg.AssetKey, job_hash: str, metadata: Mapping[str, Any]) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(asset, partition=job_hash, metadata=metadata)


def _checked(
    report: JobReport,
    name: str,
    passed: bool,
    metadata: Mapping[str, Any],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=RESULTS,
        check_name=name,
        passed=passed,
        metadata={"job": report.name, **metadata},
        severity=severity,
        partition=report.job_hash,
    )


def _line(line: JobLine) -> dict[str, Any]:
    return {
        "name": line.name,
        "status": line.status,
        "waits for": line.waits_for,
        "rows": line.rows,
        "failed": line.failed,
        "cost (USD)": line.cost_usd,
        "submitted": line.submitted_at,
        "key": line.job_hash,
        "result": line.result,
    }


def _usage_line(line: UsageLine) -> dict[str, Any]:
    """What is looked for stands first: a page shows seven columns without scrolling."""
    return {
        **line.group,
        "cost (USD)": line.cost_usd,
        "calls": line.calls,
        "tokens in": line.prompt_tokens,
        "tokens out": line.completion_tokens,
        "cached": line.cached_tokens,
        "reasoning": line.reasoning_tokens,
        "attempts": line.attempts,
        "unpriced": line.unpriced,
        "mean latency (s)": None if line.latency_s is None else round(line.latency_s, 3),
    }


def _cell(value: object) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _kind(name: str, records: Sequence[dg.TableRecord]) -> str:
    values = [record.data[name] for record in records if record.data[name] is not None]
    if values and all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return "int"
    return "float" if values and all(isinstance(value, int | float) for value in values) else "string"
