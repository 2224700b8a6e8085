"""The digest of a local model's weights, asked of its server while a job is frozen: another pull is another model."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.operations.background import consume
from llm_jobs.operations.services import Services
from llm_jobs.providers.base import Digests
from llm_jobs.providers.ollama import OllamaProvider

LOCAL = "sentence-transformers"


def with_digest(services: Services, model: ModelRef) -> ModelRef:
    """`model` with its digest where its provider tells one. Raises SetupError where the server does not answer."""
    if not services.asks_servers:
        return model
    if model.provider == LOCAL:
        provider = services.open_provider(model.provider)
        return replace(model, digest=provider.digest(model)) if isinstance(provider, Digests) else model
    if model.provider != OllamaProvider.kind:
        return model

    async def ask() -> AsyncGenerator[str, None]:
        provider = services.open_provider(model.provider)
        assert isinstance(provider, OllamaProvider)
        try:
            yield await provider.digest(model)
        finally:
            await provider.aclose()

    (digest,) = consume(ask)
    return replace(model, digest=digest)
