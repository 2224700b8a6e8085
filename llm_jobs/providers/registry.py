"""Opens a provider by its kind, and imports its module only then: start-up counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from llm_jobs.errors import NotFound, SetupError
from llm_jobs.providers.base import Provider
from llm_jobs.providers.batches import PRICE_FACTORS, BatchEndpoint
from llm_jobs.providers.http_provider import AccessRules
from llm_jobs.providers.simulated import SimulatedProvider
from llm_jobs.providers.vendors import VENDORS


def open_provider(
    kind: str,
    *,
    environment: Mapping[str, str],
    catalogue: AccessRules,
    connections: int = 100,
    script_folder: Path | None = None,
    model_folder: Path | None = None,
) -> Provider:
    """A provider of `kind`. Opens no connection and reads no key before the first request is sent.

    `environment` is kept as it is and read at each call. `script_folder`: where the programs of the command provider
    lie; `model_folder`: where models that work in this process do. Raises NotFound for an unknown kind, SetupError for
    one that is not installed.
    """
    if kind == "simulated":
        return SimulatedProvider()
    if kind == "openai":
        from llm_jobs.providers.openai import OpenAIProvider

        return OpenAIProvider(environment=environment, catalogue=catalogue, connections=connections)
    if kind == "anthropic":
        from llm_jobs.providers.anthropic import AnthropicProvider

        return AnthropicProvider(environment=environment, catalogue=catalogue, connections=connections)
    if kind == "ollama":
        from llm_jobs.providers.ollama import OllamaProvider

        return OllamaProvider(environment=environment, catalogue=catalogue, connections=connections)
    if kind == "sentence-transformers":
        from llm_jobs.providers.sentence_transformers import SentenceTransformersProvider

        return SentenceTransformersProvider(model_folder=model_folder)
    if kind == "command":
        from llm_jobs.providers.command import CommandProvider

        return CommandProvider(
            environment=environment, catalogue=catalogue, connections=connections, script_folder=script_folder
        )
    raise NotFound(f"there is no provider {kind!r}; known are {', '.join(VENDORS)}")


def open_batch_endpoint(
    kind: str, *, environment: Mapping[str, str], catalogue: AccessRules, folder: Path
) -> BatchEndpoint:
    """The batch endpoint of the provider `kind`; the simulated one keeps its batches in `folder`.

    Raises SetupError where the provider has none.
    """
    if kind == "simulated":
        from llm_jobs.providers.simulated_batches import SimulatedBatches

        return SimulatedBatches(folder)
    if kind == "openai":
        from llm_jobs.providers.openai_batches import OpenAIBatches

        return OpenAIBatches(environment=environment, catalogue=catalogue)
    if kind == "anthropic":
        from llm_jobs.providers.anthropic_batches import AnthropicBatches

        return AnthropicBatches(environment=environment, catalogue=catalogue)
    raise SetupError(
        f"the provider {kind} has no batch endpoint; those of {', '.join(PRICE_FACTORS)} do: choose another model, or "
        "`mode: online`"
    )
