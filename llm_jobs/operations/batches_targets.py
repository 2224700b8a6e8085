"""Where batches go: the vendors' endpoints, opened once per use, and targets as the ledger keeps them.

A target names the variable of a key, never its value.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from llm_jobs.documents.identity import hash_of
from llm_jobs.documents.job import Job
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.documents.steps import Step
from llm_jobs.errors import DocumentError, Problem
from llm_jobs.ledger.batch_records import BatchState
from llm_jobs.operations.placing import key_of
from llm_jobs.operations.services import Services
from llm_jobs.providers.base import Request
from llm_jobs.providers.batches import PRICE_FACTORS, BatchEndpoint, BatchTarget, Ticket
from llm_jobs.providers.registry import open_batch_endpoint

FOLDER = "batches"  # of the simulated endpoint, below the home folder


class Endpoints:
    """The batch endpoints of one event loop, by provider."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: dict[str, BatchEndpoint] = {}

    def of(self, kind: str) -> BatchEndpoint:
        """The endpoint of a provider. Raises SetupError where it has none."""
        if kind not in self._open:
            services = self._services
            self._open[kind] = open_batch_endpoint(
                kind,
                environment=services.environment,
                catalogue=services.catalogue,
                folder=services.settings.home / FOLDER,
            )
        return self._open[kind]

    async def aclose(self) -> None:
        for endpoint in self._open.values():
            await endpoint.aclose()


@asynccontextmanager
async def open_endpoints(services: Services) -> AsyncIterator[Endpoints]:
    endpoints = Endpoints(services)
    try:
        yield endpoints
    finally:
        await endpoints.aclose()


def price_factor(services: Services, model: ModelRef) -> float:
    """What a call in a batch of `model` costs, as a part of its price online."""
    stated = services.catalogue.resolve(model.name, bare_provider=model.provider).batch_price_factor
    return PRICE_FACTORS.get(model.provider, 1.0) if stated is None else stated


def check_providers(job: Job, steps: Sequence[Step]) -> None:
    """Raise DocumentError where a model that `steps` of the job may ask has no batch endpoint, or its steps are a
    graph, of which nobody knows what it asks before it is asked."""
    if steps and job.graph:
        problem = Problem(
            what=f"the job {job.name} is to be asked in batches, and its steps are a graph",
            key="mode",
            value="batch",
            rule="a batch is made of prompts that come one after the other",
            remedy="leave it online, or make the steps that should be cheap a job of their own, whose result another "
            "job reads with `input: {result_of: NAME}`",
        )
        raise DocumentError([problem])
    without = sorted({model.provider for step in steps for model in step.models} - PRICE_FACTORS.keys())
    if without:
        problem = Problem(
            what=f"the job {job.name} is to be asked in batches, and asks models of {', '.join(without)}",
            key="mode",
            value="batch",
            rule=f"batch endpoints are those of {', '.join(PRICE_FACTORS)}",
            remedy="leave it online, or choose another model",
        )
        raise DocumentError([problem])


def check_modes(document: ParsedDocument, job: Job) -> None:
    """Raise DocumentError, with its place, where the document asks for batches that cannot be made."""
    try:
        check_providers(job, [step for step in job.steps if job.policy.mode_of(step.name) == "batch"])
    except DocumentError as error:
        at = key_of(document, "mode", value="batch")
        told = [
            document.problem(at, each.what, value="batch", rule=each.rule, remedy=each.remedy)
            for each in error.problems
        ]
        raise DocumentError(told) from None


def target_of(request: Request) -> BatchTarget:
    return BatchTarget(model=request.model, endpoint=request.endpoint)


def target_key(target: BatchTarget) -> str:
    """What is the same for requests that may share a batch."""
    return hash_of(target_to_json(target))


def target_to_json(target: BatchTarget) -> dict[str, Any]:
    endpoint = asdict(target.endpoint)
    endpoint["headers"] = dict(target.endpoint.headers)
    endpoint["credentials"] = dict(target.endpoint.credentials)
    return {"model": asdict(target.model), "endpoint": endpoint}


def target_from_json(told: Mapping[str, Any]) -> BatchTarget:
    return BatchTarget(model=ModelRef(**told["model"]), endpoint=Endpoint(**told["endpoint"]))


def ticket_of(state: BatchState) -> Ticket:
    """What is needed to find a batch that was recorded."""
    batch = state.batch
    return Ticket(
        target=target_from_json(batch.details["target"]),
        token=batch.token,
        calls=batch.calls,
        recorded_ns=batch.recorded_ns or 0,
        file_id=state.file_id,
        marks=batch.details["marks"],
    )
