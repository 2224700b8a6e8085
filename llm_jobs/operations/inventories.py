"""What the prompt library and the model catalogue hold at this moment, as tables with a digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from llm_jobs.documents.content import shown_content
from llm_jobs.documents.identity import hash_of
from llm_jobs.ledger.base import ModelVersion
from llm_jobs.operations.models import set_at
from llm_jobs.operations.records import Inventory
from llm_jobs.operations.services import Services
from llm_jobs.providers.entries import CatalogueEntry


def prompt_library(services: Services) -> Inventory:
    """Every version of every prompt, with its text."""
    rows: list[dict[str, object]] = []
    for name in services.library.names():
        for version in services.library.versions(name):
            prompt = services.library.get(name, version)
            text = "\n".join(f"{message.role}: {shown_content(message.content)}" for message in prompt.messages)
            rows.append({"prompt": name, "version": version, "model": prompt.model or "", "text": text})
    return Inventory(digest=hash_of(rows), rows=rows)


def model_catalogue(services: Services) -> Inventory:
    """The models that have a name, with what is in force of them, and since when where somebody set it."""
    rows = [_model_row(entry, services.live.versions(entry.model.name)) for entry in services.catalogue.entries()]
    return Inventory(digest=hash_of(rows), rows=rows)


def model_row(services: Services, name: str) -> dict[str, object]:
    """One model's row of the catalogue. Raises NotFound."""
    return _model_row(services.catalogue.resolve(name), services.live.versions(name))


def _model_row(entry: CatalogueEntry, versions: Sequence[ModelVersion]) -> dict[str, object]:
    newest = versions[-1] if versions else None
    return {
        "model": entry.model.name,
        "provider": entry.model.provider,
        "upstream": entry.model.upstream,
        **asdict(entry.quota),
        "weight": entry.weight,
        "input_per_million_usd": entry.price.input_per_million_usd if entry.price else None,
        "output_per_million_usd": entry.price.output_per_million_usd if entry.price else None,
        "max_output_tokens": entry.max_output_tokens,
        "set_by": newest.who if newest else None,
        "set_at": set_at(newest) if newest else None,
    }
