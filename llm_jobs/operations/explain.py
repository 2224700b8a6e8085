"""Explain a document: the job that it is under a profile and parameters, and where each value was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_jobs.documents.choices import Choices
from llm_jobs.documents.explaining import Explained, FoundPrompt, Options
from llm_jobs.documents.explaining import explain as explained
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsing import detect, read_source
from llm_jobs.documents.text import KeyPath, dotted
from llm_jobs.documents.yaml_writing import write_yaml
from llm_jobs.errors import DocumentError, Problem
from llm_jobs.operations.accept import read_jobs
from llm_jobs.operations.locking import lock_of, under_lock
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.services import Services


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One job of a document. `origins`: key path -> kind, name, file, line."""

    job_hash: str
    file: str
    document: JsonValue
    origins: dict[str, dict[str, JsonValue]]
    text: str  # the document as YAML, each value with its origin behind it


def explain_document(services: Services, path: Path, overrides: Overrides) -> list[Explanation]:
    """The jobs of a document, each explained. Raises DocumentError for all that `run` would refuse it for."""
    content = path.read_bytes()
    if detect(path.name, content) != "job":
        raise DocumentError([_other_format(path)])
    jobs = read_jobs(services, path, overrides)
    locked = under_lock(services, lock_of(path), path)
    source = read_source(path.name, content, max_bytes=services.settings.max_document_bytes)
    found = []
    for job, options in zip(jobs, _options(services, overrides), strict=True):
        result = explained(
            source,
            _choices(locked, overrides),
            find=lambda name, version: _prompt(locked, name, version),
            options=options,
            model_defaults=lambda name: services.catalogue.resolve(name).defaults,
        )
        found.append(_explanation(job.hash, path, result))
    return found


def _choices(services: Services, overrides: Overrides) -> Choices:
    return Choices(
        profile=overrides.profile,
        parameters=overrides.parameters,
        environment=services.environment,
        stacks=services.stacks.get,
    )


def _options(services: Services, overrides: Overrides) -> Iterator[Options]:
    """What is said beside the document and is neither a profile nor a parameter, once per model."""
    said: dict[KeyPath, tuple[str, JsonValue]] = {}
    if overrides.input is not None:
        table = str((services.working_directory / overrides.input).resolve())
        said[("input",)] = (f"--input {overrides.input}", {"path": table})
    if overrides.epoch is not None:
        said[("epoch",)] = ("--epoch", overrides.epoch)
    if overrides.concurrency is not None:
        said[("execution", "concurrency")] = ("--concurrency", overrides.concurrency)
    for model in overrides.models or (None,):
        yield said if model is None else {**said, ("model",): ("--model", model)}


def _prompt(services: Services, name: str, version: str | None) -> FoundPrompt:
    found = services.library.get(name, version)
    path = Path(found.file)
    source = read_source(f"{path.parent.name}/{path.name}", path.read_bytes())
    return FoundPrompt(name=f"{name}@{found.version}", version=found.version, source=source)


def _explanation(job_hash: str, path: Path, result: Explained) -> Explanation:
    told = {key: place.told(here=path.name) for key, place in result.origins.items()}
    origins: dict[str, dict[str, JsonValue]] = {
        dotted(key): {"kind": place.kind, "name": place.name, "file": place.file, "line": place.line}
        for key, place in result.origins.items()
    }
    return Explanation(
        job_hash=job_hash,
        file=path.name,
        document=result.source.value,
        origins=origins,
        text=write_yaml(result.source.value, comment=told.get),
    )


def _other_format(path: Path) -> Problem:
    return Problem(
        what="there is nothing to explain in this document",
        file=path.name,
        rule="YAML jobs and templates have profiles, parameters and stacks; other documents mean what they say",
        remedy="llm-jobs validate shows what it asks",
    )
