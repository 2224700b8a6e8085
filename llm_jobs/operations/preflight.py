"""Before anything is spent: has the environment the keys and servers that the jobs will need?

Only of jobs with calls that are not answered yet: a finished job needs neither a key nor a server.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from llm_jobs.documents.job import Job
from llm_jobs.errors import SetupError
from llm_jobs.operations.batches_targets import check_providers
from llm_jobs.operations.budgets import check_caps
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import is_answered

CONNECT_TIMEOUT_S = 5.0
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def check_environment(services: Services, jobs: Sequence[Job]) -> None:
    """Raise SetupError, naming the variable or the address, where a job that is unfinished could not be answered;
    DocumentError where it asks for batches of a provider that has none."""
    for job in jobs:
        check_providers(job, [step for step in job.steps if job.policy.mode_of(step.name) == "batch"])
    by_hash = {job.hash: job for job in jobs}
    results = services.ledger.results(list(by_hash))
    finished = {job_hash for job_hash, records in results.items() if any(not record.failed for record in records)}
    for job_hash in by_hash.keys() - finished:
        try:
            check_caps(services, by_hash[job_hash])
            _check_job(services, by_hash[job_hash])
        except SetupError:
            if not is_answered(services, find_job(services, job_hash)):
                raise


def _check_job(services: Services, job: Job) -> None:
    """Every model's key is needed; of several models that may answer one prompt, one server that listens is enough."""
    for model in job.models:
        entry = services.catalogue.resolve(model.name, bare_provider=model.provider)
        services.catalogue.check_key(replace(entry, model=model, key_name=services.catalogue.access(model).key_name))
    if not any(name in services.environment or name.upper() in services.environment for name in PROXY_VARIABLES):
        for base_urls in {tuple(dict.fromkeys(model.base_url for model in step.models)) for step in job.steps}:
            _check_servers(base_urls)


def _check_servers(base_urls: Sequence[str]) -> None:
    refusals = [_refusal(base_url) for base_url in base_urls if base_url]
    if len(refusals) == len(base_urls) and None not in refusals:
        raise SetupError(
            f"no server answers at {'; '.join(map(str, refusals))}; start it, or correct the address "
            "(OPENAI_BASE_URL, ANTHROPIC_BASE_URL, OLLAMA_HOST, or base_url in models.yaml)"
        )


def _refusal(base_url: str) -> str | None:
    """Does somebody listen? What is slow or refuses later is the engine's to retry."""
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_TIMEOUT_S).close()
    except (ConnectionRefusedError, socket.gaierror) as error:
        return f"{base_url}: {error.strerror or error}"
    except OSError:
        return None
    return None
