"""Submitting: claim what is needed, record the batch, hand it to the vendor, record its name there.

The order is the invariant. A call is claimed under the batch's own owner and its intent is committed before the file is
made; the batch is of record, with the token by which it can be found, before anything of it leaves this process; its
name at the vendor is of record before anybody polls it. Whoever dies in between leaves either an owner without a batch
(nothing was sent) or a batch without a name, which the next poll looks for before a call of it is asked again.

The claims are committed in hundreds, not all at once with the batch: a transaction of 50,000 calls would keep every
other process from the ledger while they are rendered, and what their order promises does not need it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from llm_jobs.errors import CallError, LlmJobsError, PermanentError, RateLimited
from llm_jobs.events import BatchChanged, Listener
from llm_jobs.ledger.base import Exchange, OverBudget, Submission, Want
from llm_jobs.ledger.batch_records import UNSURE, Batch, BatchEventKind
from llm_jobs.ledger.owners import this_process
from llm_jobs.operations.batches_close import free_owner, give_up, tell
from llm_jobs.operations.batches_files import BatchFile, FileSize
from llm_jobs.operations.batches_plan import Need
from llm_jobs.operations.batches_targets import Endpoints, price_factor, target_key, target_of
from llm_jobs.operations.budgets import JobCaps
from llm_jobs.operations.services import Services
from llm_jobs.providers.base import Request
from llm_jobs.providers.batches import Ticket, is_full
from llm_jobs.providers.image_parts import body_to_send
from llm_jobs.providers.tokens import worst_input_tokens, worst_output_tokens

CLAIMED_AT_ONCE = 500
HEARTBEAT_S = 15.0


@dataclass(kw_only=True, slots=True)
class Submitted:
    """What came of submitting. `owners`: the batches that were handed over, or may have been, with `calls` calls.
    `held`: calls that others hold. `later`: calls that the vendor's queue has no room for now.
    `over_budget`: calls for which a budget has no room. `problems`: why a batch was not made."""

    owners: list[int] = field(default_factory=list)
    calls: int = 0
    held: set[str] = field(default_factory=set)
    later: int = 0
    over_budget: dict[str, OverBudget] = field(default_factory=dict)
    problems: list[CallError] = field(default_factory=list)


class Submitter:
    """Puts the calls of one job into batches: one per model and endpoint, split by the vendor's limits."""

    def __init__(
        self,
        services: Services,
        submission: Submission,
        endpoints: Endpoints,
        *,
        emit: Listener,
        caps: JobCaps,
        most_tokens: Mapping[str, int],
    ) -> None:
        """`caps`: what the job's calls count for. `most_tokens`: by model name, how many tokens of this job the
        vendor's queue may take at once."""
        self._services = services
        self._caps = caps
        self._submission = submission
        self._endpoints = endpoints
        self._emit = emit
        self._most_tokens = most_tokens
        self._files: dict[str, BatchFile] = {}
        self._owners: set[int] = set()  # of batches that are not handed over yet
        self._beating: asyncio.Task[None] | None = None
        self._full: set[str] = set()  # targets whose queue has no more room
        self.done = Submitted()

    async def take(self, needs: Sequence[Need]) -> None:
        """Claim the calls and put them into files; files that are full are handed over."""
        by_target: dict[str, dict[str, Need]] = {}
        for need in needs:
            by_target.setdefault(target_key(target_of(need.call.request)), {})[need.call.call_hash] = need
        for key, some in by_target.items():
            left = list(some.values())
            while left:
                left = await self._put(key, left[:CLAIMED_AT_ONCE]) + left[CLAIMED_AT_ONCE:]

    async def finish(self) -> Submitted:
        """Hand over what is left."""
        for key in list(self._files):
            await self._hand_over(key)
        return self.done

    async def aclose(self) -> None:
        """Free the calls of the files that were not handed over, where something stopped the work."""
        for file in self._files.values():
            await asyncio.to_thread(free_owner, self._services, file.owner_id)
        self._files.clear()
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    async def _beat(self) -> None:
        """Keep this process known to be alive to other machines, which know it by the heartbeats of its owners: one
        that is dead has its claims freed."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            for owner_id in list(self._owners):
                await asyncio.to_thread(self._services.ledger.heartbeat, owner_id)

    async def _put(self, key: str, needs: Sequence[Need]) -> list[Need]:
        """Claim those that the file under way has room for; returns the others."""
        if key in self._full:
            self.done.later += len(needs)
            return []
        file = self._files.get(key) or await self._open(key, needs[0])
        if any(need.call.request.images for need in needs):
            fitting, left = await asyncio.to_thread(self._fitting, file, needs)  # which reads them
        else:
            fitting, left = self._fitting(file, needs)
        await self._claim(file, fitting)
        if left:
            await self._hand_over(key)
            if file.target.model.name in self._most_tokens:
                self._full.add(key)
        return left

    async def _open(self, key: str, first: Need) -> BatchFile:
        target = target_of(first.call.request)
        endpoint = self._endpoints.of(target.model.provider)
        owner_id = await asyncio.to_thread(self._services.ledger.open_batch_owner, this_process())
        self._owners.add(owner_id)
        self._beating = self._beating or asyncio.create_task(self._beat())
        file = BatchFile(endpoint=endpoint, target=target, owner_id=owner_id, first_row=first.row)
        file.size = FileSize(size_bytes=len(endpoint.content([])))
        self._files[key] = file
        return file

    def _fitting(self, file: BatchFile, needs: Sequence[Need]) -> tuple[list[tuple[Need, bytes]], list[Need]]:
        """The calls that the file has room for, with their requests, and the rest. A call whose image is not what it
        was is neither: nothing is sent of it, and the job's next run looks at the image anew."""
        size = file.size
        fitting: list[tuple[Need, bytes]] = []
        for at, need in enumerate(needs):
            try:
                body = body_to_send(need.call.request)
            except PermanentError as error:
                self.done.problems.append(error)
                continue
            request = file.endpoint.request(file.target, need.call.call_hash, body)
            grown = size.plus(need, request)
            if size.requests and self._is_full(file, grown):
                return fitting, list(needs[at:])
            fitting.append((need, request))
            size = grown
        return fitting, []

    def _is_full(self, file: BatchFile, size: FileSize) -> bool:
        most_tokens = self._most_tokens.get(file.target.model.name)
        too_many_tokens = most_tokens is not None and size.tokens > most_tokens
        limits = file.endpoint.limits
        return too_many_tokens or is_full(limits, requests=size.requests, bytes=size.size_bytes, inputs=size.inputs)

    async def _claim(self, file: BatchFile, fitting: Sequence[tuple[Need, bytes]]) -> None:
        wants = [self._want(need) for need, _ in fitting]
        ledger = self._services.ledger
        exchange = await asyncio.to_thread(ledger.exchange, file.owner_id, outcomes=[], wants=wants)
        by_hash = {need.call.call_hash: (need, request) for need, request in fitting}
        for call_hash, intent_id in sorted(exchange.granted.items(), key=lambda granted: granted[1]):
            need, request = by_hash[call_hash]
            file.requests.append(request)
            file.intents.append(intent_id)
            file.size = file.size.plus(need, request)
        self._note(exchange)
        self._emit(BatchChanged(self._submission.job_hash, file.target.model.name, None, "claimed", len(file.requests)))

    def _want(self, need: Need) -> Want:
        request = need.call.request
        caps = self._caps.of(request.model.provider, self._services.clock.now_ns()) if self._caps.any else ()
        worst_tokens, worst_cost_usd = self._worst(request) if caps else (None, None)
        return Want(
            call_hash=need.call.call_hash,
            job_hash=self._submission.job_hash,
            submission_id=self._submission.id or 0,
            provider=request.endpoint.provider,
            model=request.model.name,
            worst_tokens=worst_tokens,
            worst_cost_usd=worst_cost_usd,
            budgets=caps,
            mode="batch",
        )

    def _worst(self, request: Request) -> tuple[int | None, float | None]:
        """The tokens and the cost that a call may come to at most. None: no bound is known."""
        services, model = self._services, request.model
        entry = services.catalogue.resolve(model.name, bare_provider=model.provider)
        payload = orjson.dumps(request.body)
        prompt = worst_input_tokens(request.body, payload_bytes=len(payload))
        completion = worst_output_tokens(request.body, entry, path=request.endpoint.path)
        cost_usd = services.pricing.worst_cost_usd(model, prompt, completion, payload=payload)
        tokens = None if prompt is None or completion is None else prompt + completion
        return tokens, None if cost_usd is None else cost_usd * price_factor(services, model)

    def _note(self, exchange: Exchange) -> None:
        """What was not granted: held by others, or beyond a budget. What is answered by now needs nothing."""
        self.done.held.update(exchange.busy)
        self.done.over_budget |= exchange.over_budget

    async def _hand_over(self, key: str) -> None:
        file = self._files[key]
        try:
            marks = dict(await file.endpoint.before(file.target)) if file.requests else None
        except CallError as error:
            self.done.problems.append(error)
            marks = None
        del self._files[key]  # from here on it is the batch that frees its calls, or does not
        if marks is None:
            await asyncio.to_thread(free_owner, self._services, file.owner_id)
        else:
            await self._submit(file, marks)
        self._owners.discard(file.owner_id)

    async def _submit(self, file: BatchFile, marks: dict[str, Any]) -> None:
        content = file.endpoint.content(file.requests)
        batch = file.batch(self._submission, content, marks)
        batch = replace(batch, id=await asyncio.to_thread(self._services.ledger.record_batch, batch))
        self._told(batch, "recorded")
        try:
            await self._send(file, batch, content)
        except (asyncio.CancelledError, LlmJobsError):  # stopped, or the ledger failed: at whatever moment it was
            await self._tell(batch, "polled", status=UNSURE, reason="stopped while it was handed over")
            raise

    async def _send(self, file: BatchFile, batch: Batch, content: bytes) -> None:
        """Upload and submit. Only a refusal is sure to have made no batch; anything else may have."""
        ticket = Ticket(
            target=file.target,
            token=batch.token,
            calls=batch.calls,
            recorded_ns=self._services.clock.now_ns(),
            marks=batch.details["marks"],
        )
        try:
            file_id = await file.endpoint.upload(ticket, content)
        except CallError as error:
            await self._not_made(batch, error)
            return
        if file_id is not None:
            await self._tell(batch, "uploaded", vendor_id=file_id)
        if not await asyncio.to_thread(self._services.ledger.owners_alive, [batch.owner_id]):
            return  # this process stood still for so long that others took it for dead, and its calls for theirs
        try:
            vendor_id = await file.endpoint.submit(replace(ticket, file_id=file_id), content)
        except CallError as error:
            await self._not_submitted(batch, error)
            return
        self._told(batch, "answered")
        await self._tell(batch, "submitted", vendor_id=vendor_id)
        self._count(batch)

    async def _not_submitted(self, batch: Batch, error: CallError) -> None:
        if is_refusal(error):
            await self._not_made(batch, error)
        else:
            await self._tell(batch, "polled", status=UNSURE, reason=str(error))
            self._count(batch)

    async def _not_made(self, batch: Batch, error: CallError) -> None:
        self.done.problems.append(error)
        await asyncio.to_thread(give_up, self._services, batch, status="refused", reason=str(error), emit=self._emit)

    def _count(self, batch: Batch) -> None:
        self.done.owners.append(batch.owner_id)
        self.done.calls += batch.calls

    async def _tell(
        self,
        batch: Batch,
        kind: BatchEventKind,
        *,
        vendor_id: str | None = None,
        status: str | None = None,
        reason: str | None = None,
    ) -> None:
        details = None if reason is None else {"reason": reason}
        await asyncio.to_thread(
            tell, self._services, batch, kind, emit=self._emit, vendor_id=vendor_id, status=status, details=details
        )

    def _told(self, batch: Batch, kind: str) -> None:
        self._emit(BatchChanged(batch.job_hash, batch.model, None, kind, batch.calls))


def is_refusal(error: CallError) -> bool:
    """Whether the vendor surely did not carry out the request that failed with `error`."""
    status = error.http_status
    if isinstance(error, RateLimited):
        return status == 429
    return isinstance(error, PermanentError) and (status is None or status < 500)
