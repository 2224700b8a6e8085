"""A table of somebody's own, asked row by row: kept once, made a job, and given back with the answers.

The table lies in the home folder as Parquet under the SHA-256 of its bytes: the same rows are the same job.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from llm_jobs.errors import ImmutableError
from llm_jobs.events import Listener
from llm_jobs.files import Draft
from llm_jobs.operations.accept import read_document, record
from llm_jobs.operations.preflight import check_environment
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.services import Services
from llm_jobs.orchestration.hosted import hosted
from llm_jobs.orchestration.pools import Pools
from llm_jobs.results.single import read_result

FACTS = ("llm_status", "llm_error")
FACT = "llm_"
FOLDER = "tables"
ORIGIN = "dagster"


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is asked of each row. `step`, `job`: members of a document's prompt and of its job."""

    name: str
    step: Mapping[str, Any]
    job: Mapping[str, Any]
    facts: tuple[str, ...]
    home: Path | None

    def path(self, services: Services) -> Path:
        """Where the document would lie; what it names is found from there."""
        return services.settings.home / f"{self.name}.yaml"

    def document(self, table: Path) -> bytes:
        """The document that asks it of the Parquet file `table`."""
        members = {**self.job, "name": self.name, "input": {"path": str(table)}, "steps": [dict(self.step)]}
        return yaml.safe_dump({"job": members}, sort_keys=False, allow_unicode=True).encode()

    def asked(self, table: Any, context: dg.AssetExecutionContext) -> tuple[Any, JobReport]:
        """`table` with the answers, as what it is, and what became of the job. Raises Failure if no row has one."""
        arrow = as_arrow(table)
        with hosted(self.home) as (services, listener):
            path = kept(services.settings.inputs / FOLDER, arrow)
            report = self._run(services, listener, path, context)
            if report.result is None or report.status in ("failed", "waiting"):
                reason = report.error or "no row was answered"
                raise dg.Failure(f"{self.name}: {reason}", allow_retries=False)
            answered = read_result(services.store, services.store.relative(report.result)).read_all()
        names = [name for name in answered.column_names if not name.startswith(FACT) or name in self.facts]
        return like(table, answered.select(names)), report

    def _run(self, services: Services, listener: Listener, table: Path, context: dg.AssetExecutionContext) -> JobReport:
        document = read_document(services, self.path(services), text=self.document(table))
        record(services, replace(document, jobs=document.jobs[:1]), origin=ORIGIN)
        [job] = document.jobs
        check_environment(services, [job])
        providers = {model.provider for model in job.models}
        claimed = providers if len(providers) > 1 else ()  # of one, Dagster claims it
        run_id = context.run.run_id
        with Pools(sleep=time.sleep).held(context.instance, run_id, names=claimed):
            [report] = run_jobs(services, [job.hash], listener=listener, run_id=run_id)
        return report


def kept(folder: Path, table: pa.Table) -> Path:
    """The Parquet file of `table` in `folder`, written once."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data = sink.getvalue()
    target = folder / f"{hashlib.sha256(data).hexdigest()}.parquet"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    draft = Draft(target)
    try:
        draft.path.write_bytes(data)
        draft.sync()
        with suppress(ImmutableError):  # another run was first, with the same bytes
            draft.publish()
    finally:
        draft.discard()
    return target


def as_arrow(table: Any) -> pa.Table:
    """A pandas DataFrame without its index, a pyarrow Table, or what tells Arrow of itself. Raises Failure."""
    if isinstance(table, pa.Table):
        return table.replace_schema_metadata(None)
    if _is_pandas(table):
        return pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    if hasattr(table, "__arrow_c_stream__"):
        return pa.table(table).replace_schema_metadata(None)
    raise dg.Failure(
        f"an @llm_asset function returned {type(table).__name__}; it returns a table: a pandas or polars DataFrame, "
        "or a pyarrow Table",
        allow_retries=False,
    )


def like(table: Any, answered: pa.Table) -> Any:
    """`answered` as a table of the kind of `table`; a DataFrame keeps its index, and the types of its columns."""
    if isinstance(table, pa.Table):
        return answered
    if not _is_pandas(table):
        return type(table)(answered)
    frame = answered.to_pandas()
    if len(frame) == len(table):
        frame.index = table.index
        for name in table.columns:
            frame[name] = table[name]
    return frame


def _is_pandas(table: Any) -> bool:
    return type(table).__module__.partition(".")[0] == "pandas"
