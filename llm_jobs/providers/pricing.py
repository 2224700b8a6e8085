"""What an answer cost, in USD: the catalogue's own price, else an offline table. Unknown is None, never 0.

Cached tokens are part of the prompt's tokens and reasoning tokens part of the completion's: each is counted once. The
table (genai-prices) is imported when a price is first asked that the catalogue does not state, of a model that a vendor
may serve: it costs half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.providers.base import Usage
from llm_jobs.providers.catalogue import InForce
from llm_jobs.providers.entries import Price

_Rate = Callable[[int], float]  # prompt tokens -> USD per token
_Rates = tuple[_Rate, _Rate, _Rate]  # of fresh prompt tokens, cached ones, completion tokens
_MILLION = 1_000_000


class Pricing:
    """Costs of answers, at the prices in force. A model's price is looked up once until the catalogue changes."""

    def __init__(self, catalogue: InForce) -> None:
        self._live = catalogue
        self._catalogue = catalogue.in_force()
        self._rates: dict[ModelRef, _Rates | None] = {}

    def cost_usd(self, model: ModelRef, usage: Usage) -> float | None:
        """What `usage` cost, None where the price or a count of tokens is unknown."""
        if model.provider == "sentence-transformers":
            return 0.0  # it works here, and counts no tokens
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        catalogue = self._live.in_force()
        if catalogue is not self._catalogue:
            self._catalogue, self._rates = catalogue, {}
        try:
            rates = self._rates[model]
        except KeyError:
            rates = self._rates[model] = self._look_up(model)
        if rates is None:
            return None
        fresh, cached, completion = rates
        prompt_tokens = usage.prompt_tokens
        cached_tokens = min(usage.cached_tokens or 0, prompt_tokens)
        cost = (prompt_tokens - cached_tokens) * fresh(prompt_tokens) + cached_tokens * cached(prompt_tokens)
        return cost + usage.completion_tokens * completion(prompt_tokens)

    def worst_cost_usd(self, model: ModelRef, input_tokens: int | None, output_tokens: int | None) -> float | None:
        """What a call costs at most if its tokens do not pass these; None where a bound or the price is unknown.

        The prompt is taken to be wholly fresh or wholly cached, whichever is dearer where somebody stated prices.
        """
        if input_tokens is None or output_tokens is None:
            return None
        fresh = self.cost_usd(model, Usage(prompt_tokens=input_tokens, completion_tokens=output_tokens))
        usage = Usage(prompt_tokens=input_tokens, completion_tokens=output_tokens, cached_tokens=input_tokens)
        cached = self.cost_usd(model, usage)
        return None if fresh is None or cached is None else max(fresh, cached)

    def is_priced(self, model: ModelRef) -> bool:
        """Is a price known? A price of 0 is one."""
        return self.worst_cost_usd(model, 0, 0) is not None

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

    def _look_up(self, model: ModelRef) -> _Rates | None:
        price = self._catalogue.stated_price(model)
        if price is not None:
            return _stated(price)
        if model.provider in ("simulated", "ollama", "command") or not model.upstream:
            return None
        url = model.identity_url or model.base_url
        return _from_table(model.upstream, url) if _may_be_a_vendors(url) else None


_VENDOR_URLS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}


def _stated(price: Price) -> _Rates:
    cached = price.cached_input_per_million_usd
    cached = price.input_per_million_usd if cached is None else cached
    return _flat(price.input_per_million_usd), _flat(cached), _flat(price.output_per_million_usd)


def _may_be_a_vendors(url: str) -> bool:
    """Not where the host is a number or a name of the local network: no table knows who serves there."""
    _, dot, last = (urlsplit(url).hostname or "").rpartition(".")
    return bool(dot) and last.isalpha()


def _from_table(upstream: str, base_url: str) -> _Rates | None:
    """The table's price of a model for whoever serves `base_url`; None where it knows either not."""
    from genai_prices import Usage as TableUsage
    from genai_prices import calc_price

    try:
        found = calc_price(TableUsage(input_tokens=0, output_tokens=0), upstream, provider_api_url=base_url)
    except LookupError:
        return None
    price: Any = found.model_price
    fresh, completion = getattr(price, "input_mtok", None), getattr(price, "output_mtok", None)
    if fresh is None:
        return None
    cached = getattr(price, "cache_read_mtok", None)
    return _rate(fresh), _rate(fresh if cached is None else cached), _rate(0 if completion is None else completion)


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


def _flat(per_million_usd: float) -> _Rate:
    per_token = per_million_usd / _MILLION
    return lambda prompt_tokens: per_token
