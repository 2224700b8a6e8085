"""What was sent for a row before its last call: the calls of the earlier steps, and those that others followed.

The result names the last call alone. The others are made again from the row, as a run would make them, and shown where
the ledger has their answers, so that a call that was not asked is never shown as one that was. Nothing is sent, and no
key is needed. A graph may make its rows of other rows: of such jobs the last call is all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.errors import LlmJobsError
from llm_jobs.operations.services import Services
from llm_jobs.operations.sheets import Sheet
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs.operations.walking import walk
from llm_jobs.results import columns


class EarlierCalls:
    """The earlier calls of a job's rows, its steps prepared once."""

    def __init__(self, services: Services, sheet: Sheet) -> None:
        self._ledger = services.ledger
        self._job = job_from_json(sheet.submission.job)
        self._inputs = sheet.inputs
        self._steps = self._prepared(services)

    def of(self, row: Mapping[str, Any]) -> list[tuple[str, bytes]]:
        """The step and the request body of each, in order."""
        if not self._steps or row[columns.CALL_HASH] is None:
            return []
        table_row = {name: row[name] for name in self._inputs}
        walked = list(walk(self._ledger, self._steps, [(0, table_row)], samples=self._job.sample))
        return [
            (self._job.steps[visit.step].name, orjson.dumps(visit.call.request.body))
            for visit in walked[row.get(columns.SAMPLE) or 0].visits
            if visit.answer is not None and visit.call.call_hash != row[columns.CALL_HASH]
        ]

    def _prepared(self, services: Services) -> list[PreparedStep]:
        """Nothing where a row has one call, is made by a graph, or the provider cannot be opened any more."""
        follows = any(self._job.policy.on_status.values())
        if self._job.graph or (len(self._job.steps) == 1 and not follows):
            return []
        try:
            return prepared_steps(services, self._job)
        except LlmJobsError:
            return []
