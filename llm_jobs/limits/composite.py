"""Several quotas at once: a call takes from all of them or from none.

A call waits in every queue at the same time. What one limiter grants while another does not is held for as long as the
grant is good, then given back, and the call stands at the front of its line there: so neither can two calls hold what
the other needs, nor does a call that waits for two start from the end again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llm_jobs.limits.base import Cost
from llm_jobs.limits.limiter import Limiter, Permit
from llm_jobs.limits.lines import Line

SEND_WITHIN_S = 0.05  # a permit with less left is renewed: the call must still be sent in its time


class CompositePermit:
    """The permits of one call, settled and released together."""

    __slots__ = ("_permits",)

    def __init__(self, permits: Sequence[Permit]) -> None:
        self._permits = tuple(permits)

    def settle(self, used: Cost | None) -> None:
        for permit in self._permits:
            permit.settle(used)

    def release(self) -> None:
        for permit in self._permits:
            permit.release()

    def unsent(self) -> None:
        for permit in self._permits:
            permit.unsent()


class CompositeLimiter:
    """A model's quota and its organisation's, say. The limiters belong to one event loop, and are closed by whoever
    made them."""

    def __init__(self, limiters: Sequence[Limiter]) -> None:
        self._limiters = tuple(limiters)

    def take(self, cost: Cost, line: Line) -> CompositePermit | None:
        """A permit of all limiters at once, or None, and nothing is taken."""
        permits: list[Permit] = []
        for limiter in self._limiters:
            permit = limiter.take(cost, line)
            if permit is None:
                CompositePermit(permits).unsent()
                return None
            permits.append(permit)
        return CompositePermit(permits)

    async def acquire(self, cost: Cost, line: Line) -> CompositePermit:
        """A permit of all limiters. Raises what `Limiter.acquire` raises, and nothing is taken then."""
        taken = self.take(cost, line)
        if taken is not None:
            return taken
        loop = asyncio.get_running_loop()
        asking = {limiter: loop.create_task(limiter.acquire(cost, line)) for limiter in self._limiters}
        try:
            while (over_s := await self._until_over(asking)) is not None:
                for limiter, task in asking.items():
                    if task.done() and task.result().until_s <= over_s:
                        task.result().unsent()
                        asking[limiter] = loop.create_task(limiter.acquire(cost, line, first=True))
        except BaseException:
            await self._give_up(asking)
            raise
        return CompositePermit([asking[limiter].result() for limiter in self._limiters])

    async def _until_over(self, asking: dict[Limiter, asyncio.Task[Permit]]) -> float | None:
        """None once all permits are there and good; else the time up to which permits are no longer good."""
        loop = asyncio.get_running_loop()
        while True:
            done = [task.result() for task in asking.values() if task.done()]
            first_over_s = min((permit.until_s for permit in done), default=float("inf"))
            left_s = first_over_s - SEND_WITHIN_S - loop.time()
            if left_s <= 0:
                return loop.time() + SEND_WITHIN_S
            pending = [task for task in asking.values() if not task.done()]
            if not pending:
                return None
            timeout_s = None if left_s == float("inf") else left_s
            await asyncio.wait(pending, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)

    async def _give_up(self, asking: dict[Limiter, asyncio.Task[Permit]]) -> None:
        for task in asking.values():
            task.cancel()
        await asyncio.gather(*asking.values(), return_exceptions=True)
        for task in asking.values():
            if not task.cancelled() and task.exception() is None:
                task.result().unsent()
