"""What may be set of a model while work goes on, and what it makes of the entry that models.yaml states."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.entries import Price, Quota
from llm_jobs.providers.known_models import context_tokens, unknown_to_its_vendor
from llm_jobs.providers.set_values import AS_STATED, LIMITS, folded, in_force, problems

CATALOGUE = Catalogue(environment={})
UNPRICED = CATALOGUE.resolve("openai/gpt-4.1-mini")
PRICE = {"input_per_million_usd": 1, "output_per_million_usd": 2.5}

GOOD: list[dict[str, Any]] = [
    {"requests_per_minute": 1},
    {"tokens_per_minute": None, "burst_s": 0.5},
    {"weight": 0.25},
    {"requests_per_day": AS_STATED, "weight": AS_STATED},
    PRICE,
    {**PRICE, "cached_input_per_million_usd": 0},
    {**PRICE, "cache_write_per_million_usd": 1.25, "cache_write_1h_per_million_usd": 2},
    {"requests_per_minute": 10**9, "burst_s": 86_400, "weight": 1e9},
    {"input_per_million_usd": 1e6, "output_per_million_usd": 10**6},
]


@pytest.mark.parametrize("definition", GOOD)
def test_what_may_be_set_has_no_problem(definition: dict[str, Any]) -> None:
    assert problems(UNPRICED, {}, definition) == []


@pytest.mark.parametrize(
    ("definition", "what"),
    [
        ({}, "nothing to set"),
        ({"requests_per_minute": 0}, "at least 1"),
        ({"requests_per_minute": -3}, "at least 1"),
        ({"tokens_per_minute": 1.5}, "whole number"),
        ({"concurrency": True}, "whole number"),
        ({"concurrency": "many"}, "whole number"),
        ({"burst_s": 0}, "above 0"),
        ({"burst_s": True}, "a number"),
        ({"requests_per_minute": 10**9 + 1}, "at most 1,000,000,000"),
        ({"concurrency": 10**400}, "at most 1,000,000,000"),
        ({"requests_per_minute": 1e23}, "whole number"),
        ({"burst_s": 1e306}, "at most 86,400"),
        ({"burst_s": float("inf")}, "at most 86,400"),
        ({"burst_s": 10**400}, "at most 86,400"),
        ({"weight": 1e300}, "at most 1,000,000,000"),
        ({"input_per_million_usd": 1e300, "output_per_million_usd": 1}, "at most 1,000,000"),
        ({"weight": 0}, "above 0"),
        ({"weight": None}, "a number"),
        ({"weight": float("nan")}, "a number"),
        ({"input_per_million_usd": -1, "output_per_million_usd": 1}, "at least 0"),
        ({**PRICE, "cache_write_per_million_usd": -1}, "at least 0"),
        ({"input_per_million_usd": 1}, "half a price"),
        ({"cached_input_per_million_usd": 1}, "half a price"),
        ({"requests_per_minut": 5}, "did you mean 'requests_per_minute'"),
        ({"provider": "openai"}, "nothing that can be set"),
    ],
)
def test_what_may_not_be_set_says_the_rule(definition: dict[str, Any], what: str) -> None:
    (problem,) = problems(UNPRICED, {}, definition)
    assert what in str(problem)


def test_half_a_price_is_enough_where_the_other_half_is_known() -> None:
    assert problems(UNPRICED, PRICE, {"output_per_million_usd": 3}) == []
    assert problems(CATALOGUE.resolve("simulated"), {}, {"output_per_million_usd": 3}) == []
    assert problems(UNPRICED, PRICE, {"output_per_million_usd": AS_STATED}) != []


def test_of_each_member_the_newest_is_in_force() -> None:
    together = folded([{"requests_per_minute": 5, "weight": 2.0}, {"requests_per_minute": None}, {"unheard_of": 1}])
    assert together == {"requests_per_minute": None, "weight": 2.0}
    assert folded([{"requests_per_minute": 5}, {"requests_per_minute": AS_STATED}]) == {}


def test_what_is_not_set_stays_as_stated() -> None:
    entry = in_force(UNPRICED, {"concurrency": 3, **PRICE})
    assert entry.quota == Quota(concurrency=3)
    assert entry.price == Price(input_per_million_usd=1, output_per_million_usd=2.5)
    assert entry.model == UNPRICED.model
    assert in_force(entry, {"concurrency": None}).quota == Quota()
    assert in_force(entry, {"concurrency": None}).price == entry.price


def test_half_a_price_that_lost_its_other_half_is_no_price() -> None:
    assert in_force(UNPRICED, {"input_per_million_usd": 1}).price is None


_values = st.none() | st.just(AS_STATED) | st.integers(-5, 10**10) | st.floats() | st.booleans() | st.text(max_size=3)


@given(st.dictionaries(st.sampled_from([*LIMITS, "weight", *PRICE, "other"]), _values), st.sampled_from(GOOD))
def test_what_has_no_problem_can_be_in_force(definition: dict[str, Any], before: dict[str, Any]) -> None:
    if problems(UNPRICED, before, definition):
        return
    entry = in_force(UNPRICED, folded([before, definition]))
    limits = [getattr(entry.quota, name) for name in LIMITS]
    assert all(limit is None or 0 < limit <= 10**9 for limit in limits)
    assert 0 < entry.weight <= 10**9
    assert entry.price is None or min(entry.price.input_per_million_usd, entry.price.output_per_million_usd) >= 0


def test_a_model_that_its_vendor_does_not_have_is_found_out() -> None:
    def unknown(name: str) -> str | None:
        return unknown_to_its_vendor(CATALOGUE.resolve(name).model)

    assert unknown("openai/gpt-4.1-mini") is None
    assert unknown("openai/gpt-4.1-mni") == "gpt-4.1-mini"
    assert unknown("ollama/anything") is None
    assert unknown("simulated") is None


def test_the_size_of_a_model_is_the_stated_one_or_the_tables() -> None:
    known = context_tokens(CATALOGUE.resolve("openai/gpt-4.1-mini"))
    assert known is not None
    assert known > 100_000
    assert context_tokens(CATALOGUE.resolve("ollama/x")) is None
