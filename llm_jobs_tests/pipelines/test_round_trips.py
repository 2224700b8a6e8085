"""Five hundred graphs from one form to the next and back: the same job, hash and all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.documents.job import Job
from llm_jobs.documents.parsing import parse_document
from llm_jobs.operations.graphs import usual_model
from llm_jobs.operations.resolve import resolve
from llm_jobs.operations.services import Services
from llm_jobs.pipelines.builder import Builder
from llm_jobs.pipelines.python_code import read_scripts
from llm_jobs.pipelines.written import written_job
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.pipelines.graphs import Maker

SEEDS = range(500)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with House(tmp_path_factory.mktemp("trips")).entry.open_services() as opened:
        yield opened


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return [Maker(seed).document() for seed in SEEDS]


@pytest.fixture(scope="module")
def jobs(services: Services, documents: list[dict[str, Any]]) -> list[Job]:
    return [resolved(services, "g.json", json.dumps(document)) for document in documents]


def resolved(services: Services, name: str, text: str) -> Job:
    [document] = parse_document(name, text.encode())
    return resolve(services, document, path=Path("/nowhere") / name)


def hashes(jobs: list[Job]) -> list[str]:
    return [job.hash for job in jobs]


def test_the_graphs_are_many_and_of_every_kind(documents: list[dict[str, Any]], jobs: list[Job]) -> None:
    assert len(set(hashes(jobs))) > 490
    text = json.dumps(documents)
    assert all(
        f'"{key}"' in text for key in ("task", "filter", "loop", "first_of", "for_each", "for_each_model", "when")
    )


def test_yaml_and_back(services: Services, documents: list[dict[str, Any]], jobs: list[Job]) -> None:
    texts = [Builder.from_job(document).to_yaml() for document in documents]
    assert [Builder.from_yaml(text).to_job() for text in texts] == documents
    assert hashes([resolved(services, "g.yaml", text) for text in texts]) == hashes(jobs)


def test_task_graph_and_back(services: Services, documents: list[dict[str, Any]], jobs: list[Job]) -> None:
    values = [Builder.from_job(document).to_json() for document in documents]
    assert [Builder.from_json(value).to_job() for value in values] == documents
    assert hashes([resolved(services, "g.json", json.dumps(value)) for value in values]) == hashes(jobs)


def test_dependencies_and_back(documents: list[dict[str, Any]]) -> None:
    values = [Builder.from_job(document).to_dependency_json() for document in documents]
    steps = [document["job"]["steps"] for document in documents]
    assert [Builder.from_json(value).steps for value in values] == steps


def test_python_and_back(services: Services, documents: list[dict[str, Any]], jobs: list[Job], tmp_path: Path) -> None:
    paths = [tmp_path / f"graph_{number}.py" for number in SEEDS]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(Builder.from_job(document).to_python(), encoding="utf-8")
    read = read_scripts(paths)
    assert hashes([resolved(services, "g.json", json.dumps(value)) for value in read]) == hashes(jobs)


def rewritten(services: Services, job: Job) -> Job:
    """The job that the document written of a job is."""
    written = {"job": written_job(job, usual=partial(usual_model, services))}
    return resolved(services, "g.json", json.dumps(written))


def test_a_frozen_job_is_written_as_the_document_of_the_same_job(services: Services, jobs: list[Job]) -> None:
    assert hashes([rewritten(services, job) for job in jobs]) == hashes(jobs)


@pytest.mark.parametrize(
    "asked",
    [
        "models: [simulated, simulated/small]",
        "models: [simulated, {name: simulated/small, weight: 3}]",
        "models: {simulated: 2, simulated/small: 3}",
        "fallback: [simulated/small, simulated]",
        "for_each_model: [simulated/small, simulated], reduce: {by: [id]}",
        "for_each_model: [simulated/small, simulated], reduce: {by: [model, id], aggregate: {n: count}}",
        "model: openai/m, endpoint: 'http://127.0.0.1:9/v1', api_key: '${MY_KEY}'",
        "model: openai/m, api_key: '${MY_KEY}'",
    ],
)
def test_a_frozen_job_is_written_with_the_models_and_servers_that_it_asks(services: Services, asked: str) -> None:
    steps = f"[{{name: said, text: 'Say it.', {asked}}}]"
    job = resolved(services, "g.yaml", f"job: {{name: j, input: {{rows: [{{id: 1}}]}}, steps: {steps}}}")
    again = rewritten(services, job)
    assert (again.hash, again.models) == (job.hash, job.models)
