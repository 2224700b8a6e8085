"""What a job under way has answered up to now, from its table and the ledger: nothing is asked, nothing is written.

Every call is prepared again and looked up, some hundreds at a time; a row whose last step is answered is a row of the
result to be. Rows that failed are not among them: they may still be asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job, Step
from llm_jobs.engine.caller import Call, ModelGate, Settled
from llm_jobs.engine.steps import Means, PreparedStep, Row
from llm_jobs.engine.stream import OpenRow
from llm_jobs.errors import RowError
from llm_jobs.ledger.base import Answer, Submission
from llm_jobs.operations.batch_document import with_document
from llm_jobs.operations.completed import completed_row
from llm_jobs.operations.services import Services
from llm_jobs.providers.base import Provider
from llm_jobs.results.columns import result_schema
from llm_jobs.results.outputs import Outputs
from llm_jobs.results.reading import Batches, batches_of
from llm_jobs.sources.freeze import freeze
from llm_jobs.sources.rows import batched
from llm_jobs.sources.tables import Table, open_table

LOOKED_UP_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstRequest:
    """The first call of a job, rendered: what `validate` shows. `body` is None where the row cannot be asked."""

    rows: int  # of the table
    body: Mapping[str, object] | None
    url: str
    problem: str | None = None


def answered_so_far(services: Services, submission: Submission) -> Batches:
    """The answered rows of a job in input order, as a stream of batches under the schema of its result."""
    walk = _Walk(services, submission)
    epoch_ns = services.clock.now_ns()
    model = walk.job.steps[-1].model.name
    rows = (
        [completed_row(row, model_asked=model, epoch_ns=epoch_ns) for row in batch if row.status == "succeeded"]
        for batch in walk.rows()
    )
    return batches_of(rows, walk.schema)


def is_answered(services: Services, submission: Submission) -> bool:
    """Is every row of the job answered in the ledger? Stops at the first that is not."""
    return all(row.status == "succeeded" for batch in _Walk(services, submission).rows() for row in batch)


def first_request(services: Services, job: Job, document_name: str, document: bytes) -> FirstRequest:
    """How many rows the job has and what its first call is. Reads the table; writes nothing but its frozen copy."""
    raise NotImplementedError


class _Walk:
    """The rows of a job with what the ledger has for them."""

    def __init__(self, services: Services, submission: Submission) -> None:
        self.job = job_from_json(submission.job)
        self._services = services
        self._table = _table(services, submission, self.job)
        self._providers: dict[str, Provider] = {}
        self._steps = [self._prepared(step) for step in self.job.steps]
        outputs = [field for step in self._steps for field in step.outputs.fields]
        self.schema = result_schema(self._table.schema, outputs, sample=self.job.sample > 1)
