"""What the use cases work with, opened once per process from `Settings` and handed to every operation.

Holds no secret: `environment` is the process's own mapping, read by name at the moment of a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from llm_jobs.clock import Clock, WallClock
from llm_jobs.engine.caller import ModelGate
from llm_jobs.ledger.base import Ledger
from llm_jobs.ledger.opening import open_ledger
from llm_jobs.prompts.library import PromptLibrary
from llm_jobs.providers.base import Provider
from llm_jobs.providers.catalogue import Catalogue, load_catalogue
from llm_jobs.results.base import ResultStore
from llm_jobs.results.opening import open_store
from llm_jobs.settings import Settings

ProviderFactory = Callable[[str], Provider]


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The ledger, the result store, the model catalogue and the prompt library of one home folder."""

    settings: Settings
    environment: Mapping[str, str] = field(repr=False)
    clock: Clock
    ledger: Ledger
    store: ResultStore
    catalogue: Catalogue
    library: PromptLibrary
    open_provider: ProviderFactory
    random: Random
