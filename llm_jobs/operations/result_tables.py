"""The result of one job as the table of another (`input: {result_of: NAME}`): the newest that there is, kept once."""

from __future__ import annotations

from llm_jobs.documents.job import Input
from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.errors import DocumentError, NotFound
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.services import Services
from llm_jobs.results.derived import write_as_table
from llm_jobs.sources.many_files import described_files

FOLDER = "results"
KEY = "result_of"


def result_table(services: Services, document: ParsedDocument) -> Input:
    """The rows that succeeded of the newest result of the job that the document names, without the facts.

    Its identity is that of its rows: a result that says the same is the same table. Raises DocumentError where there is
    no result yet.
    """
    name = document.input.result_of or ""
    try:
        submission = find_job(services, name, answered=True)
    except NotFound:
        raise _nothing(document, f"no job named {name!r} was submitted") from None
    records = services.ledger.results([submission.job_hash]).get(submission.job_hash, ())
    if not records:
        raise _nothing(document, f"the job {name!r} has no result yet")
    target = services.settings.inputs / FOLDER / f"{records[0].sha256}.parquet"
    if not target.exists():
        write_as_table(services.store, records[0].path, target)
    return described_files([str(target)], pattern=name, form="parquet", types={})


def _nothing(document: ParsedDocument, what: str) -> DocumentError:
    problem = document.problem(
        (*document.input.at, KEY),
        what,
        rule="a table may be the newest result of another job",
        remedy="run that job first, or mend the name",
    )
    return DocumentError([problem])
