"""The input of a document, frozen: files to digests, places to addresses, queries and APIs to what is identity of them.

A query and an API are read when the job first runs, as of a time that is part of the job's identity: the tick of a
recurring document, else that of the newest submission of the same question that has no result yet, else now. So the
same command after a kill goes on with the same rows, and after the result it reads again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llm_jobs.documents.connections import check_host, resolve_connection
from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.identity import hash_of, rows_digest
from llm_jobs.documents.job import Input, Job
from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.documents.table_sources import ApiSource, QuerySource
from llm_jobs.documents.text import KeyPath
from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.operations.model_keys import refuse_model_keys
from llm_jobs.operations.paths import find_database, find_inputs
from llm_jobs.operations.placing import setup_error
from llm_jobs.operations.result_tables import result_table
from llm_jobs.operations.services import Services
from llm_jobs.sources.freeze import find_frozen
from llm_jobs.sources.many_files import described_files

LOOKED_BACK = 8  # jobs of one document
ASKED_OF_SERVERS = ("query", "api")


def resolved_input(services: Services, document: ParsedDocument, path: Path) -> Input:
    """The input of `document`, read from `path`; of a query or an API without its time. Raises DocumentError."""
    table = document.input
    if table.kind == "inline":
        rows = table.rows or ({},)
        return Input(kind="inline", rows=rows, digest=rows_digest(rows))
    if table.kind == "batch":
        return Input(kind="batch", digest=table.digest or "")
    if table.result_of is not None:
        return result_table(services, document)
    if table.query is not None:
        query = _placed(services, document, table.query, path)
        return _asked(Input(kind="query", digest="", query=query, types=table.types, batch_size=table.batch_size))
    if table.api is not None:
        _check_api(services, document, table.api)
        return _asked(Input(kind="api", digest="", api=table.api, types=table.types, batch_size=table.batch_size))
    urls = find_inputs(services.settings, document, path=path, working_directory=services.working_directory)
    return described_files(urls, pattern=table.path or "", form=table.format, types=table.types)


def _asked(source: Input) -> Input:
    """With the digest of the question, its time left out."""
    return replace(source, digest=hash_of(source.identity()))


def dated(services: Services, job: Job, *, document_name: str, as_of_ns: int | None) -> Job:
    """`job` with the time that its query or API is read as of; itself where it has neither."""
    if job.input.kind not in ASKED_OF_SERVERS:
        return job
    if as_of_ns is None:
        as_of_ns = _standing(services, job, document_name) or services.clock.now_ns()
    return replace(job, input=replace(job.input, as_of_ns=as_of_ns), hash="")


def _standing(services: Services, job: Job, document_name: str) -> int | None:
    """The time of the newest job of the same document and question that has no result."""
    ledger = services.ledger
    listed = ledger.submissions(document_name=document_name, bodies=False)
    hashes = list(dict.fromkeys(each.job_hash for each in listed if each.as_of_ns is not None))[:LOOKED_BACK]
    results = ledger.results(hashes)
    for job_hash in hashes:
        if results.get(job_hash):
            continue
        kept = ledger.submissions(job_hash=job_hash)[0]
        if kept.job and _undated(old := job_from_json(kept.job)) == job.hash:
            return old.input.as_of_ns
    return None


def _undated(job: Job) -> str:
    return replace(job, input=replace(job.input, as_of_ns=None), hash="").hash


def table_told(services: Services, job: Job) -> str | None:
    """Where the rows of a plan come from, where a run may read others: a query or an API that is not frozen yet."""
    source = job.input
    if source.kind not in ASKED_OF_SERVERS or is_frozen(services, job):
        return None
    place = source.query.place if source.query else source.api.endpoint if source.api else ""
    return f"read just now from {place}, for this only; a run reads it once more and keeps what it read"


def is_frozen(services: Services, job: Job) -> bool:
    """Is the table of a job kept already?"""
    folder = services.settings.inputs / job.hash
    return folder.is_dir() and find_frozen(folder) is not None


def _placed(services: Services, document: ParsedDocument, query: QuerySource, path: Path) -> QuerySource:
    """With the absolute path of an SQLite file that is named by its path. Raises DocumentError or SetupError for a
    place that documents may not name."""
    at = (*document.input.at, "connection")
    _refuse_keys(services, document, at, query.connection)
    file = find_database(services.settings, document, query.connection, path=path)
    if file is not None:
        return replace(query, file=file)
    try:
        resolve_connection(
            query.connection,
            environment=services.environment,
            home=services.settings.home,
            allowed_hosts=services.settings.allowed_hosts,
            roots=services.settings.allowed_roots,
        )
    except SetupError as error:
        raise setup_error(document, at, error) from None
    return query


def _check_api(services: Services, document: ParsedDocument, api: ApiSource) -> None:
    at = document.input.at
    try:
        check_host(api.endpoint, allowed=services.settings.allowed_hosts)
    except SetupError as error:
        raise setup_error(document, (*at, "endpoint"), error) from None
    _refuse_keys(services, document, (*at, "auth"), f"${{{api.bearer}}}" if api.bearer else "")
    for name, text in api.headers.items():
        _refuse_keys(services, document, (*at, "headers", name), text)


def _refuse_keys(services: Services, document: ParsedDocument, at: KeyPath, text: str) -> None:
    try:
        refuse_model_keys(services, [text], place=text)
    except DocumentError as error:
        raise DocumentError(
            [document.problem(at, each.what, rule=each.rule, remedy=each.remedy) for each in error.problems]
        ) from None
