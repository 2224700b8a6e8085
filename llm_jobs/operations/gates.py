"""The gate of a model: the catalogue's quota, kept with all processes; what it bears; and what a call to it may cost.

A quota that is set while work goes on holds from the next call on: the gate asks the catalogue in force each time, and
the catalogue is the same object until something changed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.engine.gates import ModelGate, Worst
from llm_jobs.events import Listener
from llm_jobs.limits.adaptive import AdaptiveConcurrency
from llm_jobs.limits.base import Limits
from llm_jobs.limits.limiter import Limiter
from llm_jobs.operations.live_catalogue import LiveCatalogue
from llm_jobs.operations.services import Services
from llm_jobs.providers.base import Request
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.entries import CatalogueEntry
from llm_jobs.providers.tokens import worst_input_tokens, worst_output_tokens

DEFAULT_BURST_S = Limits().burst_s


def open_gate(services: Services, model: ModelRef, executor: Executor, emit: Listener) -> ModelGate:
    """The gate of `model` for the running event loop; `executor` speaks to the store of the quotas."""
    in_force = _InForce(services.live, model)
    entry = in_force.entry()
    return ModelGate(
        limiter=Limiter(services.limits, quota_key(entry), limits=in_force.limits, model=model.name, executor=executor),
        limits=in_force.limits,
        adaptive=AdaptiveConcurrency(),
        worst=partial(_worst, services, in_force.entry),
        output_limit=partial(_output_limit, in_force.entry),
        reserves_worst=entry.reserves == "worst",
        now_ns=services.clock.now_ns,
        model=model.name,
        emit=emit,
    )


def quota_key(entry: CatalogueEntry) -> str:
    """What shares one quota: a vendor counts by account and model, under whatever names the catalogue has it."""
    model = entry.model
    return "|".join((model.provider, model.base_url, model.upstream, entry.key_name or ""))


class _InForce:
    """What the catalogue says of one model now."""

    def __init__(self, live: LiveCatalogue, model: ModelRef) -> None:
        self._live = live
        self._model = model
        self._catalogue: Catalogue | None = None

    def entry(self) -> CatalogueEntry:
        self._refresh()
        return self._entry

    def limits(self) -> Limits:
        self._refresh()
        return self._limits

    def _refresh(self) -> None:
        catalogue = self._live.in_force()
        if catalogue is not self._catalogue:
            self._catalogue = catalogue
            self._entry = catalogue.resolve(self._model.name, bare_provider=self._model.provider)
            self._limits = _limits_of(self._entry)


def _limits_of(entry: CatalogueEntry) -> Limits:
    quota = entry.quota
    return Limits(
        requests_per_minute=quota.requests_per_minute,
        tokens_per_minute=quota.tokens_per_minute,
        input_tokens_per_minute=quota.input_tokens_per_minute,
        output_tokens_per_minute=quota.output_tokens_per_minute,
        requests_per_day=quota.requests_per_day,
        concurrency=quota.concurrency,
        burst_s=DEFAULT_BURST_S if quota.burst_s is None else quota.burst_s,
    )


def _worst(services: Services, entry: Callable[[], CatalogueEntry], request: Request) -> Worst:
    payload = request.json()
    prompt = worst_input_tokens(request.body, payload_bytes=len(payload))
    completion = _output_limit(entry, request)
    cost_usd = services.pricing.worst_cost_usd(request.model, prompt, completion, payload=payload)
    return Worst(prompt, completion, cost_usd)


def _output_limit(entry: Callable[[], CatalogueEntry], request: Request) -> int | None:
    return worst_output_tokens(request.body, entry(), path=request.endpoint.path)
