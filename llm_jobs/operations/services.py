"""What the use cases work with, opened once per process from `Settings` and handed to every operation.

Holds no secret: `environment` is the process's own mapping, read by name at the moment of a call.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from llm_jobs.clock import Clock, WallClock
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.errors import RowError
from llm_jobs.events import Listener, ignore
from llm_jobs.isolation.workers import Workers
from llm_jobs.ledger.base import Ledger
from llm_jobs.ledger.opening import open_ledger
from llm_jobs.limits.base import LimitStore
from llm_jobs.limits.opening import LazyLimitStore
from llm_jobs.operations.live_catalogue import LiveCatalogue
from llm_jobs.prompts.library import PromptLibrary
from llm_jobs.prompts.stacks import StackLibrary
from llm_jobs.providers.base import Provider, Pulls
from llm_jobs.providers.catalogue import Catalogue, load_catalogue
from llm_jobs.providers.pricing import Pricing
from llm_jobs.providers.registry import open_provider
from llm_jobs.results.base import ResultStore
from llm_jobs.results.opening import open_store
from llm_jobs.settings import Settings
from llm_jobs.sources.images import ImageMemory
from llm_jobs.sources.reach import Reach
from llm_jobs.tasks.base import Surroundings
from llm_jobs.tasks.provider import KIND, TaskProvider
from llm_jobs.tasks.registry import Tasks

UNBOUNDED = 0  # connections: the engine bounds the calls in flight


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The ledger, the result store, the quotas, the model catalogue and the prompt library of one home folder."""

    settings: Settings
    environment: Mapping[str, str] = field(repr=False)
    working_directory: Path
    clock: Clock
    random: Random
    ledger: Ledger
    store: ResultStore
    limits: LimitStore
    live: LiveCatalogue
    pricing: Pricing
    library: PromptLibrary
    stacks: StackLibrary
    tasks: Tasks = field(default_factory=Tasks)
    images: ImageMemory = field(default_factory=ImageMemory, repr=False)
    asks_servers: bool = True  # False: local models stay without their digest, for nothing is asked while reading

    @property
    def catalogue(self) -> Catalogue:
        """The models as they stand now."""
        return self.live.in_force()

    @property
    def reach(self) -> Reach:
        """What reading a table elsewhere may use."""
        settings = self.settings
        return Reach(
            environment=self.environment,
            home=settings.home,
            allowed_hosts=settings.allowed_hosts,
            roots=settings.allowed_roots,
        )

    @property
    def surroundings(self) -> Surroundings:
        """What tasks may use."""
        settings = self.settings
        roots = (settings.home, settings.home.parent, *settings.allowed_roots)
        return Surroundings(
            scripts=settings.scripts,
            roots=tuple(each for each in roots if each != each.parent),  # never the whole file system
            timeout_s=settings.script_timeout_s,
            memory_mb=settings.task_memory_mb,
        )

    def writing_store(self, emit: Listener) -> ResultStore:
        """The result store, with a listener that is told when files are written and linked."""
        return open_store(self.settings.results_url, emit=emit)

    def weight(self, model: ModelRef) -> float:
        """A model's share of the sets that leave it open, as the catalogue states it now."""
        return self.catalogue.resolve(model.name, bare_provider=model.provider).weight

    def open_provider(self, kind: str) -> Provider:
        """A provider for the running event loop. Raises SetupError or NotFound."""
        if kind == KIND:
            workers = Workers(environment=self.environment, at_once=self.settings.task_workers)
            return TaskProvider(self.tasks, replace(self.surroundings, pull=self._pull), workers)
        return open_provider(
            kind,
            environment=self.environment,
            catalogue=self.catalogue,
            connections=UNBOUNDED,
            script_folder=self.settings.scripts,
            model_folder=self.settings.models,
        )

    async def _pull(self, model: str) -> None:
        """Have Ollama download a model. Raises CallError where it does not."""
        entry = self.catalogue.resolve(model, bare_provider="ollama")
        provider = self.open_provider(entry.model.provider)
        try:
            if not isinstance(provider, Pulls):
                raise RowError(f"the provider {entry.model.provider} downloads no models; write ollama/NAME")
            await provider.pull(entry.model)
        finally:
            await provider.aclose()


@contextmanager
def open_services(
    settings: Settings,
    *,
    environment: Mapping[str, str] = os.environ,
    working_directory: Path,
    makes_home: bool = True,
) -> Iterator[Services]:
    """Services of this process, closed on leaving. Makes the home folder, unless that is left to others. Raises
    SetupError or DocumentError."""
    if makes_home:
        make_home(settings)
    clock = WallClock()
    stated = load_catalogue(settings.models_file, environment=environment)
    ledger = open_ledger(settings.database_url, clock=clock)
    limits = LazyLimitStore(settings.limits_url)
    try:
        live = LiveCatalogue(stated, ledger=ledger, now_s=time.monotonic)
        yield Services(
            settings=settings,
            environment=environment,
            working_directory=working_directory,
            clock=clock,
            random=Random(),
            ledger=ledger,
            store=open_store(settings.results_url, emit=ignore),
            limits=limits,
            live=live,
            pricing=Pricing(live),
            library=PromptLibrary(settings.prompts),
            stacks=StackLibrary(settings.stacks),
            tasks=Tasks(named=settings.tasks),
        )
    finally:
        limits.close()
        ledger.close()


def make_home(settings: Settings) -> None:
    """The folders that a user drops files into, made if they are not there."""
    for folder in (settings.inbox, settings.jobs, settings.rejected, settings.scripts, settings.prompts):
        folder.mkdir(parents=True, exist_ok=True)
