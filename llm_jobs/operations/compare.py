"""Several jobs' newest results as one table: a row for each thing they were asked about, their answers side by side.

Rows match by `on`, or by all columns that every result has and no job answered. Memory: some 300 bytes for each
distinct row and a few row groups of each result; the table itself streams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_jobs.errors import DocumentError, Problem
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.services import Services
from llm_jobs.operations.sheets import Sheet, cost_usd, sheet_of
from llm_jobs.results import columns
from llm_jobs.results.beside import BLOCK_ROWS, Beside, beside, columns_compared, differs
from llm_jobs.results.compared import compared_batches
from llm_jobs.results.matching import Matching, match
from llm_jobs.results.survey import survey

Batches = Any  # a pyarrow.RecordBatchReader, which only the rooms of tables may name
SAME, DIFFERS = "same", "differs"
FACTS = (columns.STATUS, columns.COST_USD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Matched results. `labels` tell the jobs apart: their names, or the beginning of their hashes."""

    services: Services = field(repr=False)
    sheets: Sequence[Sheet]
    labels: Sequence[str]
    matching: Matching
    compared: Sequence[Sequence[str]]  # by job, the answers that are compared

    def outcome(self, each: Beside) -> str:
        """`same`, `differs`, or in which of the jobs alone there is such a row."""
        there = [label for label, row in zip(self.labels, each.rows, strict=True) if row is not None]
        if len(there) < len(self.labels):
            return f"only in {' and '.join(there)}"
        return DIFFERS if differs([row for row in each.rows if row is not None], self.compared) else SAME

    def read(
        self,
        *,
        names: Sequence[Sequence[str] | None] | None = None,
        places: Sequence[int] | None = None,
        at_once: int = BLOCK_ROWS,
    ) -> Iterator[Beside]:
        """The rows at `places` side by side, all where it says nothing, with the columns `names` of each job, those
        that are compared where it says nothing. So many are held at once."""
        return beside(
            self.services.store,
            [sheet.record.path for sheet in self.sheets],
            self.matching,
            names=[[*each, *FACTS] for each in self.compared] if names is None else names,
            places=range(self.matching.places) if places is None else places,
            at_once=at_once,
        )


def compare(services: Services, submissions: Sequence[Submission], *, on: Sequence[str] = ()) -> Comparison:
    """Match the newest results of jobs. Raises NotFound where one has none, DocumentError where they do not match."""
    _refuse_twice(submissions)
    sheets = [sheet_of(services, submission) for submission in submissions]
    by = list(dict.fromkeys(on)) or _common(sheets)
    return Comparison(
        services=services,
        sheets=sheets,
        labels=labels(submissions),
        matching=match(services.store, [sheet.record.path for sheet in sheets], by),
        compared=columns_compared([sheet.answers for sheet in sheets]),
    )


def labels(submissions: Sequence[Submission]) -> list[str]:
    """Names that tell the jobs apart: their own, with the beginning of the hash where two have the same."""
    names = Counter(submission.name for submission in submissions)
    return [each.name if names[each.name] == 1 else f"{each.name} {each.job_hash[:8]}" for each in submissions]


def table(comparison: Comparison, counted: Counter[str]) -> Batches:
    """The comparison as record batches: what rows match by, then each job's answers, status and cost with `_` and its
    label, then `outcome` and `differs` (null where a job has no such row). `counted` grows, by outcome, as it is read.
    """
    on = comparison.matching.on
    names = [list(dict.fromkeys((*on, *sheet.answers, *FACTS))) for sheet in comparison.sheets]
    rows = (_row(comparison, each, counted) for each in comparison.read(names=names))
    paths = [sheet.record.path for sheet in comparison.sheets]
    added = [_renamed(sheet, label) for sheet, label in zip(comparison.sheets, comparison.labels, strict=True)]
    return compared_batches(comparison.services.store, paths, rows, on=on, added=added)


def facts(comparison: Comparison, counted: Counter[str]) -> dict[str, object]:
    """What came of a comparison that was read: rows by outcome, and by job what its result cost and used."""
    jobs = {}
    for sheet, label in zip(comparison.sheets, comparison.labels, strict=True):
        found = survey(comparison.services.store, sheet.record.path)
        jobs[label] = {
            "job_hash": sheet.submission.job_hash,
            "rows": found.rows,
            "cost_usd": cost_usd(comparison.services, sheet, found),
            "prompt_tokens": found.total(columns.PROMPT_TOKENS),
            "completion_tokens": found.total(columns.COMPLETION_TOKENS),
        }
    ordered = sorted(counted.items(), key=lambda each: (each[0] != SAME, each[0] != DIFFERS, each[0]))
    return {"rows": counted.total(), "outcomes": {SAME: 0, DIFFERS: 0} | dict(ordered), "jobs": jobs}


def _row(comparison: Comparison, each: Beside, counted: Counter[str]) -> dict[str, Any]:
    outcome = comparison.outcome(each)
    counted[outcome] += 1
    there = next(row for row in each.rows if row is not None)
    values: dict[str, Any] = {name: there[name] for name in comparison.matching.on}
    for sheet, label, row in zip(comparison.sheets, comparison.labels, each.rows, strict=True):
        values |= {new: row and row[old] for old, new in _renamed(sheet, label).items()}
    return values | {"outcome": outcome, "differs": {SAME: False, DIFFERS: True}.get(outcome)}


def _renamed(sheet: Sheet, label: str) -> dict[str, str]:
    """The columns of a job in the table, by their names in its result."""
    return {name: f"{name}_{label.replace(' ', '_')}" for name in (*sheet.answers, *FACTS)}


def _refuse_twice(submissions: Sequence[Submission]) -> None:
    for job_hash, times in Counter(each.job_hash for each in submissions).items():
        if times > 1:
            problem = Problem(
                what=f"job {job_hash} is named twice",
                rule="a comparison is of different jobs",
                remedy="name each once; `llm-jobs status` lists them",
            )
            raise DocumentError([problem])


def _common(sheets: Sequence[Sheet]) -> list[str]:
    found = [name for name in sheets[0].inputs if all(name in sheet.inputs for sheet in sheets)]
    if found or not any(sheet.inputs for sheet in sheets):  # without a table, the n-th answer is about the same
        return found
    told = "; ".join(f"{sheet.submission.name} has {', '.join(sheet.inputs) or 'none'}" for sheet in sheets)
    problem = Problem(
        what="the jobs have no input column in common",
        value=told,
        rule="rows are matched by columns that all of the results have",
        remedy="name one with --on; an answer may serve too",
    )
    raise DocumentError([problem])
