"""Pools: one per provider, counted in running steps, their limits set in Dagster's UI.

Dagster's `pool=` is fixed when code is loaded; which providers a run needs is known when it starts. So slots are
claimed here, at run time, and given back whatever happens. A slot whose run is dead is freed by whoever waits for it.
Pools without a limit cost one query and are not claimed. Quotas in requests and tokens are `limits`' business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from llm_jobs.orchestration.owners import is_run_alive

POLL_INTERVAL_S = 1.0
PRIORITY_TAG = "dagster/priority"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pools:
    """Claims slots. Waiting means asking again every `poll_interval_s`, by `sleep`."""

    sleep: Callable[[float], object]
    poll_interval_s: float = POLL_INTERVAL_S

    @contextmanager
    def held(
        self, instance: dg.DagsterInstance, run_id: str, *, names: Collection[str], priority: int = 0
    ) -> Iterator[None]:
        """Hold one slot of every pool among `names` that has a limit. Blocks until all are held."""
        limited = limited_pools(instance, names)
        try:
            for name in limited:  # in one order everywhere: two runs never wait for each other
                self._claim(instance, name, run_id, priority)
            yield
        finally:
            for name in limited:
                instance.event_log_storage.free_concurrency_slot_for_step(run_id, _step_key(name))

    def _claim(self, instance: dg.DagsterInstance, name: str, run_id: str, priority: int) -> None:
        storage = instance.event_log_storage
        while not storage.claim_concurrency_slot(name, run_id, _step_key(name), priority).is_claimed:
            if free_dead(instance, name):
                continue
            if _has_idle_slot(instance, name):  # freed between Dagster's look and our place in the queue: queue anew
                storage.free_concurrency_slot_for_step(run_id, _step_key(name))
            self.sleep(self.poll_interval_s)


def limited_pools(instance: dg.DagsterInstance, names: Collection[str]) -> list[str]:
    """Those of `names` that have a limit, sorted; where the instance has a default limit, all of them."""
    storage = instance.event_log_storage
    if not names or not storage.supports_global_concurrency_limits:
        return []
    explicit = {pool.name for pool in storage.get_pool_limits()}
    if instance.global_op_concurrency_default_limit is not None:
        for name in set(names) - explicit:  # never for an explicit limit: it would be overwritten
            storage.initialize_concurrency_limit_to_default(name)
        return sorted(names)
    return sorted(set(names) & explicit)


def free_dead(instance: dg.DagsterInstance, name: str) -> bool:
    """Free the slots and places in the queue of runs that are dead; tells whether there were any."""
    info = instance.event_log_storage.get_concurrency_info(name)
    runs = {slot.run_id for slot in info.claimed_slots} | {step.run_id for step in info.pending_steps}
    dead = [run_id for run_id in runs if not is_run_alive(instance, run_id)]
    for run_id in dead:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return bool(dead)


def _has_idle_slot(instance: dg.DagsterInstance, name: str) -> bool:
    info = instance.event_log_storage.get_concurrency_info(name)
    assigned = [step for step in info.pending_steps if step.assigned_timestamp is not None]
    return len(assigned) < info.slot_count


def _step_key(name: str) -> str:
    """A run's place in one pool: apart from its places in others, so that one can be given back alone."""
    return f"calls to {name}"
