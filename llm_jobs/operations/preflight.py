"""Before anything is spent: has the environment the keys and servers that the jobs will need?

Only of jobs with calls that are not answered yet: a finished job needs neither a key nor a server.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from llm_jobs.documents.job import Job, ModelRef
from llm_jobs.errors import SetupError
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import is_answered

CONNECT_TIMEOUT_S = 5.0
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def check_environment(services: Services, jobs: Sequence[Job]) -> None:
    """Raise SetupError, naming the variable or the address, where a job that is unfinished could not be answered."""
    by_hash = {job.hash: job for job in jobs}
    results = services.ledger.results(list(by_hash))
    finished = {job_hash for job_hash, records in results.items() if any(not record.failed for record in records)}
    for job_hash in by_hash.keys() - finished:
        try:
            _check_models(services, {step.model.name: step.model for step in by_hash[job_hash].steps})
        except SetupError:
            if not is_answered(services, find_job(services, job_hash)):
                raise


def _check_models(services: Services, models: Mapping[str, ModelRef]) -> None:
    for model in models.values():
        entry = services.catalogue.resolve(model.name, bare_provider=model.provider)
        services.catalogue.check_key(replace(entry, model=model, key_name=services.catalogue.access(model).key_name))
    if not any(name in services.environment or name.upper() in services.environment for name in PROXY_VARIABLES):
        _check_servers(models.values())


def _check_servers(models: Iterable[ModelRef]) -> None:
    """Does somebody listen? What is slow or refuses later is the engine's to retry."""
    for base_url in dict.fromkeys(model.base_url for model in models if model.base_url):
        parts = urlsplit(base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), timeout=CONNECT_TIMEOUT_S).close()
        except (ConnectionRefusedError, socket.gaierror) as error:
            raise SetupError(
                f"no server answers at {base_url}: {error.strerror or error}; start it, or correct the address "
                "(OPENAI_BASE_URL, ANTHROPIC_BASE_URL, OLLAMA_HOST, or base_url in models.yaml)"
            ) from None
        except OSError:
            continue
