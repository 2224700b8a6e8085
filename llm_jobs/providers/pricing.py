"""What an answer cost, in USD: the catalogue's own price, else an offline table. Unknown is None, never 0.

Tokens read from the vendor's cache and written to it are part of the prompt's tokens and reasoning tokens part of the
completion's: each is counted once. The table (genai-prices) is imported when a price is first asked that the catalogue
does not state, of a model that a vendor may serve: it costs half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.providers.base import Usage
from llm_jobs.providers.catalogue import InForce
from llm_jobs.providers.entries import Price

_Rate = Callable[[int], float]  # prompt tokens -> USD per token
_MILLION = 1_000_000
_CACHE_CONTROL, _FOR_AN_HOUR = b'"cache_control"', b'"1h"'  # strings of a JSON text: a quote within one is escaped
_TIERS = {tier: b'"service_tier":"%b"' % tier.encode() for tier in ("flex", "priority", "fast")}  # of other prices


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rates:
    """Of prompt tokens: fresh ones, those read from the cache, those written to it, and there for an hour."""

    fresh: _Rate
    cached: _Rate
    written: _Rate
    written_1h: _Rate
    completion: _Rate


class Pricing:
    """Costs of answers, at the prices in force. A model's price is looked up once until the catalogue changes."""

    def __init__(self, catalogue: InForce) -> None:
        self._live = catalogue
        self._catalogue = catalogue.in_force()
        self._rates: dict[tuple[ModelRef, str | None], _Rates | None] = {}

    def cost_usd(self, model: ModelRef, usage: Usage) -> float | None:
        """What `usage` cost, None where the price or a count of tokens is unknown."""
        if model.provider == "sentence-transformers":
            return 0.0  # it works here, and counts no tokens
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        catalogue = self._live.in_force()
        if catalogue is not self._catalogue:
            self._catalogue, self._rates = catalogue, {}
        tier = usage.tier if usage.tier in _TIERS else None
        try:
            rates = self._rates[model, tier]
        except KeyError:
            rates = self._rates[model, tier] = self._look_up(model, tier)
        if rates is None:
            return None
        prompt_tokens = usage.prompt_tokens
        cached = min(usage.cached_tokens or 0, prompt_tokens)
        written = min(usage.cache_write_tokens or 0, prompt_tokens - cached)
        written_1h = min(usage.cache_write_1h_tokens or 0, written)
        return (
            (prompt_tokens - cached - written) * rates.fresh(prompt_tokens)
            + cached * rates.cached(prompt_tokens)
            + (written - written_1h) * rates.written(prompt_tokens)
            + written_1h * rates.written_1h(prompt_tokens)
            + usage.completion_tokens * rates.completion(prompt_tokens)
        )

    def worst_cost_usd(
        self, model: ModelRef, input_tokens: int | None, output_tokens: int | None, *, payload: bytes = b""
    ) -> float | None:
        """What a call costs at most if its tokens do not pass these; None where a bound or the price is unknown.

        The prompt is taken to be wholly fresh, wholly read from the cache or wholly written to it, whichever is the
        dearest that the request may cause. `payload`: its JSON, which tells what it asks of Anthropic's cache (other
        vendors write what they like), and the tier that may serve it in place of the usual one.
        """
        if input_tokens is None or output_tokens is None:
            return None
        most = Usage(prompt_tokens=input_tokens, completion_tokens=output_tokens)
        usages = [most, replace(most, cached_tokens=input_tokens)]
        asks = _CACHE_CONTROL in payload
        if asks or model.provider != "anthropic":
            usages.append(replace(most, cache_write_tokens=input_tokens))
        if asks and _FOR_AN_HOUR in payload:
            usages.append(replace(most, cache_write_tokens=input_tokens, cache_write_1h_tokens=input_tokens))
        usages += [replace(usage, tier=tier) for tier, named in _TIERS.items() if named in payload for usage in usages]
        costs = [cost for usage in usages if (cost := self.cost_usd(model, usage)) is not None]
        return max(costs) if len(costs) == len(usages) else None

    def is_priced(self, model: ModelRef, *, payload: bytes = b"") -> bool:
        """Is a price known, in the tier too that the JSON of a request names? A price of 0 is one."""
        return self.worst_cost_usd(model, 0, 0, payload=payload) is not None

    def estimate_as(self, name: str, usage: Usage) -> float | None:
        """What `usage` would have cost with the model `name`, e.g. `openai/gpt-4.1-mini` at the vendor's price."""
        provider, _, upstream = name.partition("/")
        stated = self._live.in_force().resolve(name)
        if stated.price is not None:
            return self.cost_usd(stated.model, usage)
        vendor_url = _VENDOR_URLS.get(provider)
        if vendor_url is None:
            return None
        return self.cost_usd(ModelRef(name=name, provider=provider, upstream=upstream, base_url=vendor_url), usage)

    def _look_up(self, model: ModelRef, tier: str | None) -> _Rates | None:
        price = self._catalogue.stated_price(model)
        if price is not None:
            return _stated(price)
        if model.provider in ("simulated", "ollama", "command") or not model.upstream:
            return None
        url = model.identity_url or model.base_url
        return _from_table(model.upstream, url, tier) if _may_be_a_vendors(url) else None


_VENDOR_URLS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}


def _stated(price: Price) -> _Rates:
    fresh = _flat(price.input_per_million_usd)
    written = _flat_or(price.cache_write_per_million_usd, fresh)
    return _Rates(
        fresh=fresh,
        cached=_flat_or(price.cached_input_per_million_usd, fresh),
        written=written,
        written_1h=_flat_or(price.cache_write_1h_per_million_usd, written),
        completion=_flat(price.output_per_million_usd),
    )


def _may_be_a_vendors(url: str) -> bool:
    """Not where the host is a number or a name of the local network: no table knows who serves there."""
    _, dot, last = (urlsplit(url).hostname or "").rpartition(".")
    return bool(dot) and last.isalpha()


def _from_table(upstream: str, base_url: str, tier: str | None) -> _Rates | None:
    """The table's price of a model, in a tier, for whoever serves `base_url`; None where it knows one of them not."""
    from genai_prices import Usage as TableUsage
    from genai_prices import calc_price

    nothing, context = TableUsage(input_tokens=0, output_tokens=0), {"service_tier": tier} if tier else None
    try:
        found = calc_price(nothing, upstream, provider_api_url=base_url, price_context=context)
    except LookupError:
        return None
    if tier and not any(variant.when.get("service_tier") == tier for variant in found.model.price_variants or ()):
        return None
    price: Any = found.model_price
    if getattr(price, "input_mtok", None) is None:
        return None
    fresh = _rate(price.input_mtok)
    written = _stated_or(price, "cache_write_mtok", fresh)
    return _Rates(
        fresh=fresh,
        cached=_stated_or(price, "cache_read_mtok", fresh),
        written=written,
        written_1h=_stated_or(price, "cache_write_1h_mtok", written),
        completion=_stated_or(price, "output_mtok", _flat(0)),
    )


def _stated_or(price: Any, name: str, otherwise: _Rate) -> _Rate:
    stated = getattr(price, name, None)
    return otherwise if stated is None else _rate(stated)


def _rate(price: Any) -> _Rate:
    """A price of the table: one number, or tiers of which the one that the prompt reaches holds for all tokens."""
    tiers = getattr(price, "tiers", None)
    if tiers is None:
        return _flat(float(price))
    steps = [(int(tier.start), float(tier.price) / _MILLION) for tier in tiers]
    base = float(price.base) / _MILLION

    def tiered(prompt_tokens: int) -> float:
        return next((rate for start, rate in reversed(steps) if prompt_tokens > start), base)

    return tiered


def _flat_or(per_million_usd: float | None, otherwise: _Rate) -> _Rate:
    return otherwise if per_million_usd is None else _flat(per_million_usd)


def _flat(per_million_usd: float) -> _Rate:
    per_token = per_million_usd / _MILLION
    return lambda prompt_tokens: per_token
