"""What was sent for a row beside its last call: the calls of its other steps, and those that others followed.

The result names the last call alone. The others are made again from the row, as a run would make them, and shown where
the ledger has their answers, so that a call that was not asked is never shown as one that was. Nothing is sent, and no
key is needed. Of a graph these are the calls of every table from the last group on: what a group is made of are rows of
their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.documents.steps import GroupStep, SweepStep, asking_steps
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.errors import LlmJobsError
from llm_jobs.operations.dry_run import dry_stage
from llm_jobs.operations.services import Services
from llm_jobs.operations.sheets import Sheet
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs.operations.walking import Visit, walk
from llm_jobs.pipelines.stages import Stage, stages_of
from llm_jobs.results import columns
from llm_jobs.results.row_columns import row_fields

PLACE = "\0place"  # travels in a row beside its columns: which of the result it is
Row = Mapping[str, Any]


class EarlierCall(NamedTuple):
    """A call of a row that is not its last."""

    step: str
    body: bytes
    call_hash: str


class EarlierCalls:
    """The earlier calls of a job's rows, its steps prepared once."""

    def __init__(self, services: Services, sheet: Sheet) -> None:
        self._services = services
        self._job = job_from_json(sheet.submission.job)
        self._inputs = sheet.inputs
        self._steps = self._prepared(services)
        self._known: dict[int, list[EarlierCall]] = {}

    def ahead(self, rows: Mapping[int, Row]) -> None:
        """Find the calls of rows, by number, that are asked for next: of a graph's all at once."""
        if self._job.graph and self._steps:
            self._known = self._of_graph(rows)

    def of(self, number: int, row: Row) -> list[EarlierCall]:
        """The calls of row `number`, in order."""
        if not self._steps:
            return []
        if self._job.graph:
            if number not in self._known:
                self.ahead({number: row})
            return self._known[number]
        if row[columns.CALL_HASH] is None:
            return []
        table_row = {name: row[name] for name in self._inputs}
        walked = list(walk(self._services.ledger, self._steps, [(0, table_row)], samples=self._job.sample))
        return self._shown(walked[_sample(row)].visits, row)

    def _of_graph(self, rows: Mapping[int, Row]) -> dict[int, list[EarlierCall]]:
        """Table by table, the last first, up to one that a group makes."""
        found: dict[int, list[EarlierCall]] = {number: [] for number in rows}
        stages = stages_of(self._job.graph)
        first = next(number for number, stage in enumerate(stages) if stage.steps)
        made: set[str] = set()
        for number in range(len(stages) - 1, -1, -1):
            stage = stages[number]
            made |= {field.name for field in row_fields(stage.steps)}
            if asking_steps(stage.steps):
                for place, calls in self._of_stage(number, rows, made, is_first=number == first):
                    found[place] = calls + found[place]
            if isinstance(stage.made_by, GroupStep):
                break
            made |= _made(stage)
        return found

    def _of_stage(
        self, number: int, rows: Mapping[int, Row], made: set[str], *, is_first: bool
    ) -> Iterable[tuple[int, list[EarlierCall]]]:
        """The calls of one table's steps, by row of the result."""
        given = [{**_without(row, made), PLACE: place} for place, row in rows.items()]
        samples = self._job.sample if is_first else 1
        try:
            dry = dry_stage(self._services, self._job, self._steps, number, given, samples=samples)
        except LlmJobsError:  # a task is there no longer, or is another by now
            return
        for each in dry:
            place = each.row.values[PLACE]
            assert isinstance(place, int)
            if not is_first or each.walked.sample == _sample(rows[place]):
                yield place, self._shown(each.walked.visits, rows[place])

    def _shown(self, visits: Iterable[Visit], row: Row) -> list[EarlierCall]:
        return [
            EarlierCall(self._job.steps[visit.step].name, orjson.dumps(visit.call.request.body), visit.call.call_hash)
            for visit in visits
            if visit.answer is not None and visit.call.call_hash != row[columns.CALL_HASH]
        ]

    def _prepared(self, services: Services) -> Sequence[PreparedStep]:
        """Nothing where a row has one call, or the provider cannot be opened any more."""
        if not _may_have_several(self._job):
            return []
        try:
            return prepared_steps(services, self._job)
        except LlmJobsError:
            return []


def _may_have_several(job: Job) -> bool:
    return bool(job.graph) or len(job.steps) > 1 or any(job.policy.on_status.values())


def _sample(row: Row) -> int:
    return row.get(columns.SAMPLE) or 0


def _without(row: Row, made: set[str]) -> dict[str, Any]:
    """The columns that a row had before the steps that made the others."""
    return {name: value for name, value in row.items() if name not in made and not name.startswith(columns.PREFIX)}


def _made(stage: Stage) -> set[str]:
    """The column that a split or a sweep adds."""
    if isinstance(stage.made_by, SweepStep):
        return {stage.made_by.column}
    return {stage.made_by.name} if stage.made_by else set()
