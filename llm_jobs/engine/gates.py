"""What one model allows this process, and what a call to it may use at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from llm_jobs.limits.memory import RequestQuota
from llm_jobs.providers.base import Request


class Worst(NamedTuple):
    """What a call may use at most. None: no bound is known."""

    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None

    @property
    def tokens(self) -> int | None:
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


UNKNOWN = Worst(None, None, None)


def _unknown(request: Request) -> Worst:
    return UNKNOWN


@dataclass(kw_only=True, slots=True)
class ModelGate:
    """One model, as all lanes of this process share it."""

    quota: RequestQuota = field(default_factory=lambda: RequestQuota(None))
    slots: asyncio.Semaphore | None = None
    worst: Callable[[Request], Worst] = _unknown
