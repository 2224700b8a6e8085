"""From a job to its results and back by names alone: no document, input or result is opened (J24, J27-J29)."""

from __future__ import annotations

from llm_jobs.operations.services import Services
from llm_jobs.results.layout import job_of


def find_results(services: Services, document_name: str) -> list[str]:
    """Where the results of the documents submitted as `document_name` lie, newest first; empty where there is none."""
    submissions = services.ledger.submissions(document_name=document_name, bodies=False)
    hashes = list(dict.fromkeys(submission.job_hash for submission in submissions))
    return [services.store.locate(path) for job_hash in hashes for path in reversed(services.store.paths(job_hash))]


def origin_of(result_path: str) -> str:
    """The job hash of a result, sliced from its path. Raises NotFound where the path is not a result's."""
    return job_of(result_path)
