"""What is known of one model: an entry of the catalogue, and the entry that a provider's name alone gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.steps import Operation
from llm_jobs.providers.vendors import COSTS_NOTHING, VENDORS, base_url_of, origins_of

# What may be stated of a model, at most. Redis counts in doubles and compares limits in millionths: 10**9 of them are
# exact. A dollar a token is far beyond any vendor's price.
MOST = 10**9
LONGEST_BURST_S = 86_400
DEAREST_PER_MILLION_USD = 10**6

# Anthropic requires max_tokens; most answers are shorter, and every current model can write as many.
_ANTHROPIC_DEFAULTS: Mapping[str, JsonValue] = MappingProxyType({"max_tokens": 4096})


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """What a model allows to all processes together. None: no limit is known.

    `tokens_per_minute` counts input and output together. `burst_s`: how many seconds' worth of a minute's quota may be
    used at once; None: the limiter's own.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    requests_per_day: int | None = None
    concurrency: int | None = None
    burst_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """USD per million tokens. `cached_input_per_million_usd` None: cached tokens cost as much as others.

    `cache_write_per_million_usd` None: what is written to the vendor's cache costs as much as other tokens;
    `cache_write_1h_per_million_usd` None: what is written for an hour costs as much as what is written for less.
    """

    input_per_million_usd: float
    output_per_million_usd: float
    cached_input_per_million_usd: float | None = None
    cache_write_per_million_usd: float | None = None
    cache_write_1h_per_million_usd: float | None = None


FREE = Price(input_per_million_usd=0.0, output_per_million_usd=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueEntry:
    """What is known of one model. `price` None: not stated here; `pricing` may know it.

    `weight`: its share where a job names a weighted set. `max_output_tokens`: the longest answer that it writes.
    `context_tokens`: what it reads and writes in one call. None of either: not stated here (`context` may know).
    `reserves`: what a call takes of a quota of tokens before it is answered: what such calls used before, or the most
    that it can use. The first uses the quota whole and may pass it by a little, the second never passes it.
    `batch_price_factor`: what a call in the vendor's batch costs, as a part of its price; None: the vendor's usual one.
    """

    model: ModelRef
    quota: Quota = field(default_factory=Quota)
    price: Price | None = None
    weight: float = 1.0
    max_output_tokens: int | None = None
    context_tokens: int | None = None
    batch_price_factor: float | None = None
    reserves: Literal["learned", "worst"] = "learned"
    key_name: str | None = None
    allowed_origins: frozenset[str] = frozenset()
    refuses: Mapping[str, str] | None = None  # parameter -> remedy; None: the rules that are built in
    defaults: Mapping[str, JsonValue] = field(default_factory=dict)  # parameters where the document says nothing
    built_in: bool = True

    def with_defaults(self, operation: Operation, parameters: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """`parameters` and the model's defaults, which become part of the request and so of its identity."""
        if operation == "embeddings":
            return dict(parameters)
        return {**{name: value for name, value in self.defaults.items() if name not in parameters}, **parameters}


def built_in_entry(name: str, provider: str, upstream: str, environment: Mapping[str, str]) -> CatalogueEntry:
    """The model `upstream` of a provider, with nothing stated about it."""
    vendor = VENDORS[provider]
    return CatalogueEntry(
        model=ModelRef(name=name, provider=provider, upstream=upstream, base_url=base_url_of(vendor, environment)),
        price=FREE if provider in COSTS_NOTHING else None,
        key_name=vendor.key_variable,
        allowed_origins=origins_of(vendor, environment),
        defaults=_ANTHROPIC_DEFAULTS if provider == "anthropic" else {},
    )
