"""What the offline table (genai-prices) knows of the vendors' models beside their prices: names and sizes.

The table is imported when first asked: it costs half a second. It knows nothing of the longest answer of a model.
"""

from __future__ import annotations

import re
from typing import Any

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.validation import nearest
from llm_jobs.providers.entries import CatalogueEntry


def context_tokens(entry: CatalogueEntry) -> int | None:
    """How many tokens the model reads and writes in one call: as models.yaml states it, else as the table does."""
    if entry.context_tokens is not None:
        return entry.context_tokens
    found = _model(_vendor(entry.model), entry.model.upstream)
    return None if found is None else found.context_window


def unknown_to_its_vendor(model: ModelRef) -> str | None:
    """Where the vendor at the model's address is known and the model is not: the nearest that is, or an empty text.

    None: the model is known, or nothing is known of who serves it.
    """
    vendor = _vendor(model)
    if vendor is None or _model(vendor, model.upstream) is not None:
        return None
    return nearest(model.upstream, [known.id for known in vendor.models]) or ""


def _vendor(model: ModelRef) -> Any:
    from genai_prices.data_snapshot import get_snapshot

    url = model.identity_url or model.base_url
    return next((each for each in get_snapshot().providers if url and re.match(each.api_pattern, url)), None)


def _model(vendor: Any, upstream: str) -> Any:
    if vendor is None:
        return None
    return next((known for known in vendor.models if known.is_match(upstream)), None)
