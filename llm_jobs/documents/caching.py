"""Which recorded answers a job may read. Plain values; never identity.

A policy filters what is read and deletes nothing: what may not be read is asked anew, and both answers stay of record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class CachePolicy:
    """Answers of the `last_runs` runs before this one may be read, None: all; of `except_models` those of this run
    alone."""

    last_runs: int | None = None
    except_models: tuple[str, ...] = ()

    def runs(self, model: str) -> int | None:
        """Of how many runs before this one a model's answers may be read. None: of all, and of other jobs."""
        return 0 if model in self.except_models else self.last_runs


def cache_from(members: Mapping[str, Any] | None) -> CachePolicy | None:
    """What JSON has of `CachePolicy`; jobs of before have nothing of it."""
    if members is None:
        return None
    return CachePolicy(last_runs=members["last_runs"], except_models=tuple(members["except_models"]))
