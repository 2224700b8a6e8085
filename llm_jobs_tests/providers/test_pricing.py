"""What an answer cost: each token once, by the catalogue's price or the table's; unknown is None and never 0."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from genai_prices import Usage as TableUsage
from genai_prices import calc_price

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.providers.base import Usage
from llm_jobs.providers.catalogue import Catalogue, load_catalogue
from llm_jobs.providers.pricing import Pricing

USAGE = Usage(prompt_tokens=1000, completion_tokens=500, cached_tokens=400, reasoning_tokens=300)


def pricing_and(name: str, **environment: str) -> tuple[Pricing, ModelRef]:
    catalogue = Catalogue(environment=environment)
    return Pricing(catalogue), catalogue.resolve(name).model


@pytest.mark.parametrize(
    "name", ["openai/gpt-4.1-mini", "openai/gpt-4o", "openai/gpt-6-sol", "anthropic/claude-sonnet-4-5"]
)
@pytest.mark.parametrize("prompt_tokens", [1000, 250_000])
def test_the_cost_is_that_of_the_table(name: str, prompt_tokens: int) -> None:
    pricing, model = pricing_and(name)
    usage = Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=500,
        cached_tokens=400,
        cache_write_tokens=300,
        cache_write_1h_tokens=100,
        reasoning_tokens=300,
    )
    table = TableUsage(
        input_tokens=prompt_tokens,
        cache_read_tokens=400,
        cache_write_tokens=300,
        cache_write_1h_tokens=100,
        output_tokens=500,
    )
    expected = calc_price(table, model.upstream, provider_api_url=model.base_url).total_price
    assert pricing.cost_usd(model, usage) == pytest.approx(float(expected), rel=1e-9)


def test_cached_and_reasoning_tokens_are_paid_once(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(
        "m: {provider: openai, price: {input_per_million_usd: 10, output_per_million_usd: 100,"
        " cached_input_per_million_usd: 1}}",
        encoding="utf-8",
    )
    catalogue = load_catalogue(path, environment={})
    cost = Pricing(catalogue).cost_usd(catalogue.resolve("m").model, USAGE)
    assert cost == pytest.approx((600 * 10 + 400 * 1 + 500 * 100) / 1e6)


@pytest.mark.parametrize(("hour", "expected"), [(0, 0.003855), (1000, 0.006105)])
def test_what_is_written_to_the_cache_costs_what_the_vendor_asks_for_that(hour: int, expected: float) -> None:
    pricing, model = pricing_and("anthropic/claude-sonnet-4-5")
    usage = Usage(
        prompt_tokens=1010, completion_tokens=5, cached_tokens=0, cache_write_tokens=1000, cache_write_1h_tokens=hour
    )
    assert pricing.cost_usd(model, usage) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("", 1000 * 10),
        (", cache_write_per_million_usd: 20", 1000 * 20),
        (", cache_write_per_million_usd: 20, cache_write_1h_per_million_usd: 50", 600 * 20 + 400 * 50),
    ],
)
def test_a_stated_price_may_say_what_writing_to_the_cache_costs(tmp_path: Path, stated: str, expected: int) -> None:
    path = tmp_path / "models.yaml"
    price = f"{{input_per_million_usd: 10, output_per_million_usd: 100{stated}}}"
    path.write_text(f"m: {{provider: anthropic, price: {price}}}", encoding="utf-8")
    catalogue = load_catalogue(path, environment={})
    usage = Usage(prompt_tokens=1000, completion_tokens=0, cache_write_tokens=1000, cache_write_1h_tokens=400)
    cost = Pricing(catalogue).cost_usd(catalogue.resolve("m").model, usage)
    assert cost == pytest.approx(expected / 1e6)


@pytest.mark.parametrize(
    ("name", "body", "per_million_usd"),
    [
        ("anthropic/claude-sonnet-4-5", {}, 3),
        ("anthropic/claude-sonnet-4-5", {"messages": [{"content": 'of "cache_control" and "1h"'}]}, 3),
        ("anthropic/claude-sonnet-4-5", {"cache_control": {"type": "ephemeral"}}, 3.75),
        ("anthropic/claude-sonnet-4-5", {"system": [{"cache_control": {"type": "ephemeral", "ttl": "5m"}}]}, 3.75),
        ("anthropic/claude-sonnet-4-5", {"system": [{"cache_control": {"type": "ephemeral", "ttl": "1h"}}]}, 6),
        ("openai/gpt-6-sol", {}, 2.5),
    ],
)
def test_the_worst_case_is_the_dearest_cache_that_a_request_may_cause(
    name: str, body: dict[str, Any], per_million_usd: float
) -> None:
    pricing, model = pricing_and(name)
    worst = pricing.worst_cost_usd(model, 1000, 0, payload=orjson.dumps(body))
    assert worst == pytest.approx(1000 * per_million_usd / 1e6)


@pytest.mark.parametrize(("tier", "times"), [("priority", 2), ("fast", 2), ("flex", 0.5), ("default", 1), ("auto", 1)])
def test_a_call_costs_what_the_tier_that_served_it_does(tier: str, times: float) -> None:
    pricing, model = pricing_and("openai/gpt-5.4")
    usage = Usage(prompt_tokens=1000, completion_tokens=500)
    usual = pricing.cost_usd(model, usage)
    assert usual is not None
    assert pricing.cost_usd(model, replace(usage, tier=tier)) == pytest.approx(times * usual)
    worst = pricing.worst_cost_usd(model, 1000, 500, payload=orjson.dumps({"service_tier": tier}))
    assert worst == pytest.approx(max(times, 1) * usual)


def test_the_cost_in_a_tier_without_a_known_price_is_not_known(tmp_path: Path) -> None:
    pricing, model = pricing_and("openai/gpt-4.1-mini")
    assert pricing.cost_usd(model, replace(USAGE, tier="flex")) is None
    flex, spoken_of = orjson.dumps({"service_tier": "flex"}), orjson.dumps({"a": '"service_tier":"flex"'})
    assert pricing.worst_cost_usd(model, 5, 5, payload=flex) is None
    assert (pricing.is_priced(model, payload=flex), pricing.is_priced(model, payload=spoken_of)) == (False, True)
    path = tmp_path / "models.yaml"
    path.write_text("m: {provider: openai, price: {input_per_million_usd: 1, output_per_million_usd: 1}}", "utf-8")
    catalogue = load_catalogue(path, environment={})
    cost = Pricing(catalogue).cost_usd(catalogue.resolve("m").model, replace(USAGE, tier="flex"))
    assert cost == pytest.approx(1500 / 1e6)


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("openai/no-such-model-at-all", {}),
        ("openai/gpt-4.1-mini", {"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}),
        ("ollama/llama3.2", {}),
        ("command/anything", {}),
    ],
)
def test_an_unknown_price_is_none(name: str, environment: dict[str, str]) -> None:
    pricing, model = pricing_and(name, **environment)
    assert pricing.cost_usd(model, USAGE) is None


@pytest.mark.parametrize("usage", [Usage(), Usage(prompt_tokens=5), Usage(completion_tokens=5)])
def test_unknown_tokens_have_no_cost(usage: Usage) -> None:
    pricing, model = pricing_and("simulated")
    assert pricing.cost_usd(model, usage) is None


def test_the_simulated_model_costs_nothing_and_what_it_would_have_cost_can_be_told() -> None:
    pricing, model = pricing_and("simulated", OPENAI_BASE_URL="http://127.0.0.1:8000/v1")
    assert pricing.cost_usd(model, USAGE) == 0.0
    estimate = pricing.estimate_as("openai/gpt-4.1-mini", USAGE)
    assert estimate is not None
    assert estimate > 0
    assert pricing.estimate_as("ollama/x", USAGE) is None


def test_behind_a_gateway_the_price_is_that_of_the_pinned_vendor() -> None:
    pricing, model = pricing_and("openai/gpt-4.1-mini")
    moved = ModelRef(
        name="gateway",
        provider="openai",
        upstream="gpt-4.1-mini",
        base_url="https://gateway.example/v1",
        identity_url="https://api.openai.com/v1",
    )
    assert pricing.cost_usd(moved, USAGE) == pricing.cost_usd(model, USAGE)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "[::1]:8000", "localhost", "vllm:8000", "10.0.0.3"])
def test_no_table_is_imported_for_a_server_of_ones_own(host: str) -> None:
    code = (
        "import sys\n"
        "from llm_jobs.providers.base import Usage\n"
        "from llm_jobs.providers.catalogue import Catalogue\n"
        "from llm_jobs.providers.pricing import Pricing\n"
        f"catalogue = Catalogue(environment={{'OPENAI_BASE_URL': 'http://{host}/v1'}})\n"
        "model = catalogue.resolve('openai/gpt-4.1-mini').model\n"
        "print(Pricing(catalogue).cost_usd(model, Usage(prompt_tokens=1, completion_tokens=1)))\n"
        "print('genai_prices' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]


HEAVY = ("aiohttp", "httptools", "genai_prices", "openai", "anthropic", "ollama", "transformers")


@pytest.mark.parametrize("module", ["registry", "catalogue", "pricing", "openai", "anthropic", "ollama", "command"])
def test_what_is_heavy_is_imported_when_it_is_needed(module: str) -> None:
    code = f"import sys, llm_jobs.providers.{module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("inputs", "outputs"), [(None, 5), (5, None), (None, None)])
def test_a_worst_case_without_a_bound_has_no_cost(inputs: int | None, outputs: int | None) -> None:
    pricing, model = pricing_and("simulated")
    assert pricing.worst_cost_usd(model, inputs, outputs) is None
    assert pricing.worst_cost_usd(model, 5, 5) == 0
    assert pricing.is_priced(model)


@pytest.mark.parametrize("cached_usd", [0.1, 10, 30])
def test_no_usage_within_the_bounds_costs_more_than_the_worst_case(tmp_path: Path, cached_usd: float) -> None:
    path = tmp_path / "models.yaml"
    price = f"{{input_per_million_usd: 10, output_per_million_usd: 100, cached_input_per_million_usd: {cached_usd}}}"
    path.write_text(f"m: {{provider: openai, price: {price}}}", encoding="utf-8")
    catalogue = load_catalogue(path, environment={})
    pricing, model = Pricing(catalogue), catalogue.resolve("m").model
    worst = pricing.worst_cost_usd(model, 1000, 500) or 0
    assert worst >= (pricing.cost_usd(model, USAGE) or 0) > 0
    assert not pricing.is_priced(catalogue.resolve("ollama/llama3.2").model)
