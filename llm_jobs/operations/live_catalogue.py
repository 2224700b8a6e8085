"""The catalogue in force: what is built in, models.yaml, and above both what somebody set while work goes on.

Invariant: a change that any process recorded is in force here within a second, with no restart. Asking costs a
microsecond; twice a second one asker looks for a newer version, or, where an event loop must not wait for a database,
`watch` does it in a thread. A ledger that cannot be read changes nothing: its own users report it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from llm_jobs.errors import LlmJobsError
from llm_jobs.ledger.base import Ledger, ModelVersion
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.set_values import folded

LOOK_EVERY_S = 0.5


class LiveCatalogue:
    """Hands out immutable catalogues, the same one until something changed. Any thread may ask."""

    def __init__(self, stated: Catalogue, *, ledger: Ledger, now_s: Callable[[], float]) -> None:
        """`stated`: built in and models.yaml. `now_s`: seconds that never go back. Raises what the ledger raises."""
        self.stated = stated
        self._ledger = ledger
        self._now_s = now_s
        self._looking = threading.Lock()
        self._watchers = 0
        self._seen = 0
        self._catalogue = stated
        self._versions: Mapping[str, tuple[ModelVersion, ...]] = {}
        self._look_at_s = now_s() + LOOK_EVERY_S
        self.look()

    def in_force(self) -> Catalogue:
        """The catalogue as it stands now."""
        if not self._watchers and self._now_s() >= self._look_at_s and self._looking.acquire(blocking=False):
            try:
                self._look_at_s = self._now_s() + LOOK_EVERY_S
                with suppress(LlmJobsError):
                    self._look()
            finally:
                self._looking.release()
        return self._catalogue

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """What was set of a model, oldest first."""
        self.in_force()
        return self._versions.get(name, ())

    def set_values(self, name: str) -> dict[str, Any]:
        """What was set of a model and is in force."""
        return folded(version.definition for version in self.versions(name))

    def look(self) -> None:
        """Look for newer versions now. Blocks; raises what the ledger raises."""
        with self._looking:
            self._look()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """While open, a thread of the running loop's executor does the looking, and nobody who asks ever waits."""
        watching = asyncio.create_task(self._keep_looking())
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _keep_looking(self) -> None:
        while True:
            with suppress(LlmJobsError):
                await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        newest = self._ledger.newest_model_version()
        if newest == self._seen:
            return
        by_name: dict[str, list[ModelVersion]] = defaultdict(list)
        for version in self._ledger.model_versions():
            by_name[version.name].append(version)
        definitions = {name: folded(each.definition for each in versions) for name, versions in by_name.items()}
        self._catalogue = self.stated.with_set_values(definitions)
        self._versions = {name: tuple(versions) for name, versions in by_name.items()}
        self._seen = newest
