"""What the prompt library and the model catalogue hold at this moment, as tables with a digest."""

from __future__ import annotations

from llm_jobs.documents.identity import hash_of
from llm_jobs.operations.records import Inventory
from llm_jobs.operations.services import Services


def prompt_library(services: Services) -> Inventory:
    """Every version of every prompt, with its text."""
    rows: list[dict[str, object]] = []
    for name in services.library.names():
        for version in services.library.versions(name):
            prompt = services.library.get(name, version)
            text = "\n".join(f"{message.role}: {message.content}" for message in prompt.messages)
            rows.append({"prompt": name, "version": version, "model": prompt.model or "", "text": text})
    return Inventory(digest=hash_of(rows), rows=rows)


def model_catalogue(services: Services) -> Inventory:
    """The models that have a name, with what is stated about them."""
    rows: list[dict[str, object]] = [
        {
            "model": entry.model.name,
            "provider": entry.model.provider,
            "upstream": entry.model.upstream,
            "requests_per_minute": entry.quota.requests_per_minute,
            "tokens_per_minute": entry.quota.tokens_per_minute,
            "concurrency": entry.quota.concurrency,
            "input_per_million_usd": entry.price.input_per_million_usd if entry.price else None,
            "output_per_million_usd": entry.price.output_per_million_usd if entry.price else None,
        }
        for entry in services.catalogue.entries()
    ]
    return Inventory(digest=hash_of(rows), rows=rows)
