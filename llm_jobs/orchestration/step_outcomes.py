"""What became of the steps of a run, told to Dagster: per asset, and per partition where the run covers several.

What was answered is shown as such even where the run fails: the partitions beside one that failed, and the steps before
the one in which no row was answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from llm_jobs.documents.job import Job
from llm_jobs.operations.records import DeliveryReport, JobReport
from llm_jobs.operations.services import Services
from llm_jobs.operations.step_rows import StepRows, step_rows
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.slices import Slice
from llm_jobs.orchestration.step_batches import mark_waiting
from llm_jobs.orchestration.step_specs import EVERY_ROW_ANSWERED

MOST_REASONS = 20
_OF_TABLE = {"dagster/row_count", "rows answered", "rows failed", "path", "preview", "sample request"}


StepResult = dg.MaterializeResult[None] | dg.AssetCheckResult


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ended:
    report: JobReport
    rows: Mapping[str, StepRows]
    page: str | None

    @property
    def is_answered(self) -> bool:
        return self.report.status in ("done", "partial")

    def made(self, step: str) -> bool:
        """Whether a row of the step has an answer: in a job that failed, of the steps before the one that failed it."""
        own = self.rows.get(step)
        return self.is_answered or (own is not None and own.unanswered < own.rows)

    def metadata(self, step: str) -> dict[str, Any]:
        """Of one step's asset: its own rows and table, and what the job came to, which all its steps share."""
        told = evidence.result_metadata(self.report)
        told = {name if name in _OF_TABLE else f"job {name}".replace("job job", "job"): told[name] for name in told}
        told["job hash"] = self.report.job_hash
        if self.page is not None:
            told["report"] = dg.MetadataValue.path(self.page)
        own = self.rows.get(step)
        if own is not None:
            told["dagster/row_count"] = own.rows
            told |= {"rows answered": own.rows - own.unanswered, "rows failed": own.unanswered}
            told["path"] = dg.MetadataValue.path(own.path)
            columns = [dg.TableColumn(name, kind) for name, kind in own.columns.items()]
            told["dagster/column_schema"] = dg.TableSchema(columns=columns)
        return told


@dataclass(kw_only=True, slots=True)
class Outcomes:
    """The jobs of one run by partition (None: no partitions), and what became of them."""

    context: dg.AssetExecutionContext
    steps: Mapping[dg.AssetKey, str]
    services: Services
    jobs: Mapping[Slice | None, Job]
    ends: dict[str, _Ended] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def ended(self, report: JobReport, page: str | None) -> None:
        """Keep what became of one job."""
        job = next(job for job in self.jobs.values() if job.hash == report.job_hash)
        rows = step_rows(self.services, job) if report.result else {}
        self.ends[report.job_hash] = _Ended(report=report, rows=rows, page=page)
        self.context.log.info(_in_words(report))
        if report.status == "failed":
            reason = report.error or "no row was answered"
            self.failures += [f"{_name(part, report)}: {reason}" for part in self._parts_of(report.job_hash)]

    def answered(self) -> list[str]:
        """The hashes of the jobs that have rows that were answered."""
        return [job_hash for job_hash, end in self.ends.items() if end.is_answered]

    def delivered(self, reports: Sequence[DeliveryReport]) -> None:
        """Keep the deliveries that failed."""
        self.failures += [f"{each.destination}: {each.error}" for each in reports if each.status == "failed"]

    def told(self) -> Iterator[StepResult]:
        """The results of the run; where jobs wait for a batch, what there is without them. Raises Failure, which
        Dagster does not retry, if a partition has none."""
        waiting = [end.report for end in self.ends.values() if end.report.status == "waiting"]
        if waiting:
            mark_waiting(self.context, [report.job_hash for report in waiting])
            self._tell_waiting(waiting)
        if self.failures:
            self._tell_made()
            listed = "\n".join(self.failures[:MOST_REASONS])
            raise dg.Failure(f"{len(self.failures)} failed:\n{listed}", allow_retries=False)
        if waiting:
            self._tell_made()
            return
        for key, step in self.steps.items():  # Dagster takes what comes first first
            if key in self.context.selected_asset_keys:
                yield self._result(key)
            else:
                yield from self._checks(key, step)  # a check that is executed alone

    def _result(self, key: dg.AssetKey) -> dg.MaterializeResult[None]:
        step = self.steps[key]
        metadata: dict[str, Any] = {}
        if len(self.jobs) == 1:
            [job] = self.jobs.values()
            metadata = self.ends[job.hash].metadata(step)
        else:
            for part, job in self.jobs.items():
                told = self.ends[job.hash].metadata(step)
                self.context.add_asset_metadata(told, asset_key=key, partition_key=part.key if part else None)
        return dg.MaterializeResult(asset_key=key, metadata=metadata, check_results=list(self._checks(key, step)))

    def _checks(self, key: dg.AssetKey, step: str) -> Iterator[dg.AssetCheckResult]:
        if dg.AssetCheckKey(key, EVERY_ROW_ANSWERED) in self.context.selected_asset_check_keys:
            found = [end.rows[step] for end in self.ends.values() if step in end.rows]
            failed, rows = sum(each.unanswered for each in found), sum(each.rows for each in found)
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=EVERY_ROW_ANSWERED,
                passed=failed == 0,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"failed rows": failed, "rows": rows},
            )

    def _tell_waiting(self, waiting: Sequence[JobReport]) -> None:
        for report in waiting:
            told = {"job": report.name, "waits for": report.error or "what it has asked for"}
            for part in self._parts_of(report.job_hash):
                for key in sorted(self.context.selected_asset_keys):
                    name = part.key if part else None
                    self.context.log_event(dg.AssetObservation(key, partition=name, metadata=told))

    def _tell_made(self) -> None:
        """Materialisations of what was answered, in a run that fails, and of each step that has rows its check."""
        for key, step in self.steps.items():
            if key not in self.context.selected_asset_keys:
                continue
            for part, job in self.jobs.items():
                end = self.ends.get(job.hash)
                if end is not None and end.made(step):
                    name, told = part.key if part else None, end.metadata(step)
                    self.context.log_event(dg.AssetMaterialization(key, partition=name, metadata=told))
            if any(step in end.rows for end in self.ends.values()):
                for check in self._checks(key, step):
                    self.context.log_event(_evaluation(key, check))

    def _parts_of(self, job_hash: str) -> list[Slice | None]:
        return [part for part, job in self.jobs.items() if job.hash == job_hash]


def _name(part: Slice | None, report: JobReport) -> str:
    return report.name if part is None else f"{report.name}, partition {part.key}"


def _evaluation(key: dg.AssetKey, check: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=EVERY_ROW_ANSWERED,
        passed=check.passed,
        severity=check.severity,
        metadata=dict(check.metadata),
    )


def _in_words(report: JobReport) -> str:
    rows = f"{report.succeeded} of {report.rows} rows" if report.result else report.error or "no result"
    cost = "" if report.cost_usd is None else f", {report.cost_usd:.6g} USD"
    return f"{report.name}: {report.status}, {rows}; calls sent {report.calls_sent}, reused {report.calls_reused}{cost}"
