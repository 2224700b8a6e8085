"""What a process of its own does with a store; it imports as little as it can."""

from __future__ import annotations

import time

from llm_jobs.limits.base import Ask, Limits
from llm_jobs.limits.opening import open_limit_store


def greedy(url: str, key: str, owner: str, seconds: float) -> int:
    """How many calls one process is granted when it asks without end."""
    store = open_limit_store(url)
    limits = Limits(requests_per_minute=300, burst_s=60)
    ask = Ask(owner=owner, limits=limits, hot=((2, 1, 0),), hot_waiting=2)
    granted, ends_s = 0, time.monotonic() + seconds
    while time.monotonic() < ends_s:
        granted += store.exchange(key, ask).hot
        time.sleep(0.002)
    store.close()
    return granted
