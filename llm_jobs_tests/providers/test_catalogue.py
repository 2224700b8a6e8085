"""From a model's name to its address, key, price and limits; and what a document may not decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.errors import DocumentError, NotFound, SetupError
from llm_jobs.providers.catalogue import Catalogue, load_catalogue
from llm_jobs.providers.entries import FREE, Price, Quota

MODELS = """
fast:
  provider: openai
  model: gpt-4.1-mini
  quota: {requests_per_minute: 500, tokens_per_minute: 200000, concurrency: 20}
  price: {input_per_million_usd: 0.4, output_per_million_usd: 1.6, cached_input_per_million_usd: 0.1}
gateway:
  provider: openai
  model: vendor/big
  base_url: https://gateway.example/v1/
  identity_url: https://api.openai.com/v1
  key: GATEWAY_KEY
  allowed_hosts: [gateway.example, "http://10.0.0.1:8080"]
local:
  provider: openai
  base_url: http://gpu-box:8000/v1
  refuses: [seed]
  defaults: {max_tokens: 256}
claude:
  provider: anthropic
  model: claude-x
openai/gpt-4o:
  provider: openai
  quota: {requests_per_minute: 10}
"""


def catalogue(tmp_path: Path, text: str = MODELS, **environment: str) -> Catalogue:
    path = tmp_path / "models.yaml"
    path.write_text(text, encoding="utf-8")
    return load_catalogue(path, environment=environment)


def test_without_a_file_every_provider_is_known_by_its_name() -> None:
    entry = Catalogue(environment={}).resolve("openai/gpt-4.1-mini")
    assert entry.model == ModelRef(
        name="openai/gpt-4.1-mini", provider="openai", upstream="gpt-4.1-mini", base_url="https://api.openai.com/v1"
    )
    assert entry.key_name == "OPENAI_API_KEY"
    assert entry.allowed_origins == {"https://api.openai.com"}
    assert entry.quota == Quota()
    assert entry.price is None


def test_a_name_with_slashes_is_whole_after_the_provider() -> None:
    assert Catalogue(environment={}).resolve("openai/meta-llama/Llama-3").model.upstream == "meta-llama/Llama-3"


def test_the_simulated_model_is_free_and_needs_nothing() -> None:
    for name in ("simulated", "simulated/anything"):
        entry = Catalogue(environment={}).resolve(name)
        assert (entry.model.provider, entry.model.base_url, entry.price, entry.key_name) == (
            "simulated",
            "",
            FREE,
            None,
        )


@pytest.mark.parametrize(
    ("environment", "name", "base_url", "origin"),
    [
        ({"OPENAI_BASE_URL": "HTTP://Box:80/v1/"}, "openai/m", "http://box/v1", "http://box"),
        (
            {"ANTHROPIC_BASE_URL": "https://proxy.example"},
            "anthropic/m",
            "https://proxy.example",
            "https://proxy.example",
        ),
        ({"OLLAMA_HOST": "gpu:11435"}, "ollama/m", "http://gpu:11435", "http://gpu:11435"),
        ({}, "ollama/m", "http://127.0.0.1:11434", "http://127.0.0.1:11434"),
    ],
)
def test_the_operator_says_where_models_are(environment: dict[str, str], name: str, base_url: str, origin: str) -> None:
    entry = Catalogue(environment=environment).resolve(name)
    assert entry.model.base_url == base_url
    assert origin in entry.allowed_origins


def test_the_file_adds_names_with_their_facts(tmp_path: Path) -> None:
    models = catalogue(tmp_path)
    fast = models.resolve("fast")
    assert (fast.model.upstream, fast.model.base_url) == ("gpt-4.1-mini", "https://api.openai.com/v1")
    assert fast.quota == Quota(requests_per_minute=500, tokens_per_minute=200_000, concurrency=20)
    assert fast.price == Price(input_per_million_usd=0.4, output_per_million_usd=1.6, cached_input_per_million_usd=0.1)
    gateway = models.resolve("gateway")
    assert gateway.model.identity_url == "https://api.openai.com/v1"
    assert gateway.allowed_origins == {"https://gateway.example", "http://10.0.0.1:8080"}
    assert models.resolve("openai/gpt-4o").quota.requests_per_minute == 10
    assert models.names() == ["claude", "fast", "gateway", "local", "openai/gpt-4o", "simulated"]
    assert models.key_names() == {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_API_KEY", "GATEWAY_KEY"}


def test_the_file_states_every_limit_and_the_size_of_a_model(tmp_path: Path) -> None:
    limits = {
        "requests_per_minute": 500,
        "tokens_per_minute": 200_000,
        "input_tokens_per_minute": 150_000,
        "output_tokens_per_minute": 50_000,
        "requests_per_day": 10_000,
        "concurrency": 20,
        "burst_s": 2.5,
    }
    stated = {"provider": "openai", "quota": limits, "weight": 0.5, "max_output_tokens": 900, "context_tokens": 8000}
    entry = catalogue(tmp_path, json.dumps({"m": stated})).resolve("m")
    assert entry.quota == Quota(
        requests_per_minute=500,
        tokens_per_minute=200_000,
        input_tokens_per_minute=150_000,
        output_tokens_per_minute=50_000,
        requests_per_day=10_000,
        concurrency=20,
        burst_s=2.5,
    )
    assert (entry.weight, entry.max_output_tokens, entry.context_tokens) == (0.5, 900, 8000)
    silent = catalogue(tmp_path, "m: {provider: openai}").resolve("m")
    assert (silent.weight, silent.max_output_tokens, silent.context_tokens) == (1.0, None, None)


def test_an_address_alone_gets_no_key(tmp_path: Path) -> None:
    local = catalogue(tmp_path).resolve("local")
    assert local.model.upstream == "local"
    assert "http://gpu-box:8000" not in local.allowed_origins


def test_defaults_become_part_of_the_request_where_the_document_says_nothing(tmp_path: Path) -> None:
    models = catalogue(tmp_path)
    assert models.resolve("claude").with_defaults("chat", {"top_k": 3}) == {"max_tokens": 4096, "top_k": 3}
    assert models.resolve("claude").with_defaults("chat", {"max_tokens": 9}) == {"max_tokens": 9}
    assert models.resolve("local").with_defaults("chat", {}) == {"max_tokens": 256}
    assert models.resolve("local").with_defaults("embeddings", {}) == {}


def test_a_document_may_point_elsewhere_and_the_key_stays(tmp_path: Path) -> None:
    models = catalogue(tmp_path)
    entry = models.resolve("gateway", endpoint="https://elsewhere.example/v1/")
    assert (entry.model.base_url, entry.model.identity_url) == ("https://elsewhere.example/v1", None)
    assert "https://elsewhere.example" not in models.access(entry.model).origins


def test_a_document_may_name_a_key_that_goes_where_the_catalogue_lists_it(tmp_path: Path) -> None:
    models = catalogue(tmp_path)
    for key, origins in (
        ("GATEWAY_KEY", {"https://gateway.example", "http://10.0.0.1:8080"}),
        ("AWS_SECRET_ACCESS_KEY", set()),
    ):
        access = models.access(models.resolve("openai/m", endpoint="https://evil.example", key=key).model)
        assert access.key_name == key
        assert set(access.origins) == origins


def test_a_frozen_model_keeps_its_access_when_its_name_has_gone() -> None:
    model = ModelRef(name="gone", provider="openai", upstream="m", base_url="https://api.openai.com/v1")
    assert Catalogue(environment={}).access(model).origins == {"https://api.openai.com"}


def test_a_bare_name_of_a_batch_file_is_openais_unless_the_catalogue_says_otherwise(tmp_path: Path) -> None:
    models = catalogue(tmp_path)
    assert models.resolve("gpt-4o", bare_provider="openai").model.provider == "openai"
    assert models.resolve("claude", bare_provider="openai").model.provider == "anthropic"
    assert models.resolve("ollama/x", bare_provider="openai").model.provider == "ollama"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fsat", "did you mean 'fast'"),
        ("gpt-4.1-mini", "did you mean 'openai/gpt-4.1-mini'"),
        ("claude-sonnet-4-5", "did you mean 'anthropic/claude-sonnet-4-5'"),
        ("meta-llama/Llama", "did you mean 'openai/meta-llama/Llama'"),
        ("openai/", "known are claude, fast"),
        ("", "simulated/NAME"),
    ],
)
def test_an_unknown_name_lists_the_known_and_the_nearest(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(NotFound) as caught:
        catalogue(tmp_path).resolve(name)
    assert hint in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x", "api.openai.com", "https://user:pw@x", "https://x/?key=1", "http://[x", ""])
def test_an_endpoint_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(DocumentError) as caught:
        Catalogue(environment={}).resolve("openai/m", endpoint=url)
    assert "pw" not in str(caught.value)


def test_a_missing_key_is_told_before_anything_runs() -> None:
    models = Catalogue(environment={})
    entry = models.resolve("openai/m")
    with pytest.raises(SetupError, match="OPENAI_API_KEY is not set"):
        models.check_key(entry)
    for environment, name in (
        ({"OPENAI_API_KEY": "x"}, "openai/m"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, "openai/m"),
        ({}, "simulated"),
        ({}, "ollama/m"),
    ):
        models = Catalogue(environment=environment)
        models.check_key(models.resolve(name))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("fast: {provider: opnai}", "did you mean 'openai'"),
        ("fast: {model: x}", "provider"),
        ("fast: {provider: openai, quotas: {}}", "quotas"),
        ("fast: {provider: openai, quota: {requests_per_minute: 0}}", "requests_per_minute"),
        ("fast: {provider: openai, quota: {requests_per_day: -5}}", "requests_per_day"),
        ("fast: {provider: openai, quota: {burst_s: .inf}}", "burst_s"),
        ("fast: {provider: openai, quota: {burst_s: 1.0e+306}}", "burst_s"),
        ("fast: {provider: openai, quota: {concurrency: 9999999999}}", "concurrency"),
        ("fast: {provider: openai, max_output_tokens: 9999999999}", "max_output_tokens"),
        ("fast: {provider: openai, weight: 1.0e+300}", "weight"),
        (
            "fast: {provider: openai, price: {input_per_million_usd: 1, output_per_million_usd: 1.0e+300}}",
            "output_per_million",
        ),
        ("fast: {provider: openai, quota: {input_tokens_per_minut: 5}}", "did you mean 'input_tokens_per_minute'"),
        ("fast: {provider: openai, weight: 0}", "weight"),
        ("fast: {provider: openai, max_output_tokens: 1.5}", "max_output_tokens"),
        ("fast: {provider: openai, context_tokens: none}", "context_tokens"),
        (
            "fast: {provider: openai, price: {input_per_million_usd: -1, output_per_million_usd: 1}}",
            "input_per_million",
        ),
        ("fast: {provider: openai, base_url: 'ftp://x'}", "base_url"),
        ("fast: {provider: openai, allowed_hosts: ['https://user:pw@x']}", "allowed_hosts"),
        ("fast: {provider: openai, key: 'sk-a key'}", "key"),
        ("fast: 3", "value 3"),
        ("[1, 2]", "no models"),
        ("a: {provider: openai}\na: {provider: openai}", "twice"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        catalogue(tmp_path, text)
    assert what in str(caught.value)
    assert f"{tmp_path / 'models.yaml'}:" in str(caught.value)
    assert "pw" not in str(caught.value)


REASONING = ("o1", "o1-mini", "o3-mini-2025-01-31", "o4-mini", "gpt-5", "gpt-5-nano", "gpt-5.1", "openai/gpt-5")


@pytest.mark.parametrize("upstream", REASONING)
@pytest.mark.parametrize("parameter", ["temperature", "top_p", "logprobs", "presence_penalty", "max_tokens"])
def test_reasoning_models_refuse_what_they_do_not_take(upstream: str, parameter: str) -> None:
    models = Catalogue(environment={})
    (problem,) = models.check_parameters(models.resolve(f"openai/{upstream}"), "chat", {parameter: 1})
    assert (problem.key, problem.value) == (parameter, "1")
    assert problem.remedy
    if parameter == "max_tokens":
        assert "max_completion_tokens" in problem.remedy


@pytest.mark.parametrize(
    ("name", "operation", "parameters"),
    [
        ("openai/gpt-4.1", "chat", {"temperature": 2, "max_tokens": 5, "seed": 1}),
        ("openai/gpt-5-chat-latest", "chat", {"temperature": 1, "max_tokens": 5}),
        ("openai/o3", "chat", {"reasoning_effort": "low", "max_completion_tokens": 5, "brand_new": 1}),
        ("openai/gpt-5.1", "chat", {"reasoning_effort": "none", "temperature": 1}),
        ("openai/gpt-5.1", "responses", {"reasoning": {"effort": "none"}, "temperature": 1, "max_output_tokens": 5}),
        ("openai/o3", "chat", {"model": "o3", "messages": [], "n": 1, "stream": False}),
        ("openai/o300", "chat", {"temperature": 1}),
        ("anthropic/m", "chat", {"temperature": 1, "top_k": 5, "max_tokens": 5}),
        ("ollama/m", "chat", {"num_ctx": 5, "seed": 1, "temperature": 3}),
        ("simulated", "chat", {"temperature": 9}),
    ],
)
def test_what_a_model_takes_passes(name: str, operation: Any, parameters: dict[str, Any]) -> None:
    models = Catalogue(environment={})
    assert models.check_parameters(models.resolve(name), operation, parameters) == []


@pytest.mark.parametrize(
    ("name", "operation", "parameter", "value", "remedy"),
    [
        ("openai/gpt-4.1", "chat", "n", 3, "sample"),
        ("openai/gpt-4.1", "chat", "stream", True, "leave it out"),
        ("openai/gpt-4.1", "responses", "max_tokens", 5, "max_output_tokens"),
        ("openai/gpt-4.1", "responses", "background", True, "leave it out"),
        ("anthropic/m", "chat", "seed", 5, "sample"),
        ("anthropic/m", "chat", "temperature", 1.5, "0 to 1"),
        ("anthropic/m", "chat", "max_completion_tokens", 5, "max_tokens"),
        ("ollama/m", "chat", "reasoning_effort", "low", "think"),
        ("simulated", "chat", "api_key", "sk-in-clear", "models.yaml"),
    ],
)
def test_what_would_be_lost_is_refused(name: str, operation: Any, parameter: str, value: Any, remedy: str) -> None:
    models = Catalogue(environment={})
    (problem,) = models.check_parameters(models.resolve(name), operation, {parameter: value})
    assert remedy in (problem.remedy or "")
    assert "sk-in-clear" not in str(problem)


def test_the_file_has_the_last_word_on_what_is_refused(tmp_path: Path) -> None:
    models = catalogue(tmp_path, "openai/o3: {provider: openai, refuses: [top_k]}")
    entry = models.resolve("openai/o3")
    assert models.check_parameters(entry, "chat", {"temperature": 1}) == []
    assert [problem.key for problem in models.check_parameters(entry, "chat", {"top_k": 1})] == ["top_k"]
