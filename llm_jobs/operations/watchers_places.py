"""Before anything is spent: may the log of a job lie where its document says, and can its alerts be sent at all?

An alert that cannot be sent is a promise that is not kept, so a missing setting is an error when the job is submitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from llm_jobs.documents.connections import check_host
from llm_jobs.documents.job import Job
from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.documents.variables import credential_name
from llm_jobs.documents.watched import Channel, Watching
from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.observability.channels import missing_setting
from llm_jobs.operations.keep import short_name
from llm_jobs.operations.model_keys import refuse_model_keys
from llm_jobs.operations.services import Services
from llm_jobs.settings import Settings


def log_path(settings: Settings, path: str | None, *, name: str, job_hash: str) -> Path:
    """Where the log of a job lies: `{name}` and `{job_hash}` filled in, relative to the folder of logs, links followed.
    Without a path it is a file named like the job."""
    safe = short_name(name.replace("/", "_")).lstrip(".") or "job"
    stated = f"{safe}.log" if path is None else path.replace("{name}", safe).replace("{job_hash}", job_hash)
    return (settings.logs / stated).resolve()


def may_hold_log(settings: Settings, place: Path) -> bool:
    """Whether a log may lie at `place`, an absolute path without links: a file in an allowed folder."""
    roots = (settings.logs.resolve(), *settings.allowed_roots)
    return any(place != root and place.is_relative_to(root) for root in roots) and not place.is_dir()


def check_log(settings: Settings, document: ParsedDocument) -> None:
    """Raise DocumentError where the log that a document states lies outside the allowed folders."""
    watching = document.policy.watching
    if watching is None or watching.log is None or watching.log.destination != "file":
        return
    place = log_path(settings, watching.log.path, name=document.name, job_hash="0" * 32)
    if not may_hold_log(settings, place):
        problem = document.problem(
            ("job", "logging", "path"),
            "the log is a folder, or lies outside the allowed ones",
            value=watching.log.path,
            rule=f"logs lie in {settings.logs}, or in a folder of LLM_JOBS_ALLOWED_ROOTS",
            remedy="write a relative path such as nightly.log, or name the folder in LLM_JOBS_ALLOWED_ROOTS",
        )
        raise DocumentError([problem])


def check_channels(services: Services, job: Job) -> None:
    """Raise SetupError where the environment lacks what an alert of the job needs, or the job names a host that
    documents may not name, DocumentError where an alert would carry the key of a model."""
    watching = job.policy.watching
    if watching is None:
        return
    for channel in watching.channels:
        _check_channel(channel, services.environment, job)
        named = [channel.url or "", f"${{{channel.api_key}}}" if channel.api_key else ""]
        refuse_model_keys(services, named, place=f"an alert by {channel.action}")
    for url in _written_urls(watching):
        check_host(url, allowed=services.settings.allowed_hosts)


def _check_channel(channel: Channel, environment: Mapping[str, str], job: Job) -> None:
    if (name := missing_setting(channel, environment)) is not None:
        raise SetupError(
            f"an alert of the job {job.name} goes by {channel.action}, which needs {name}, and that is not set; set it "
            "(docs/telemetry.md says how), or remove the alert"
        )


def _written_urls(watching: Watching) -> Iterator[str]:
    if watching.monitoring is not None and watching.monitoring.push_url is not None:
        yield watching.monitoring.push_url
    for channel in watching.channels:
        if channel.url is not None and credential_name(channel.url) is None:
            yield channel.url
