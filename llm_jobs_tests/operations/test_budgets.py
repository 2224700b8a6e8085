"""Which caps a call counts for, what is refused because it cannot be capped, and what is told of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.ledger.base import BudgetCap, JobChange
from llm_jobs.operations.accept import read_jobs
from llm_jobs.operations.budgets import caps_of, check_caps
from llm_jobs.operations.budgets_file import read_budgets
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.overrides import NO_OVERRIDES
from llm_jobs_tests.cli.house import ROWS, House, facts, job
from llm_jobs_tests.servers.speaking import speaking_server

NEW_YEARS_EVE_NS = int(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() * 1e9)
SECOND_NS = 1_000_000_000
BUDGETS = """
providers:
  simulated: {max_cost_usd: 50}
labels:
  team=search: {max_cost_usd: 500, max_tokens: 1000000}
  team=sales: {max_cost_usd: 1}
"""
MINE = "mine: {provider: openai, base_url: 'http://127.0.0.1:9/v1', %s}"
PRICE = "price: {input_per_million_usd: 1, output_per_million_usd: 2}"


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.home.mkdir()
    return made


def state(house: House, *, budgets: str = BUDGETS, models: str = "") -> None:
    (house.home / "budgets.yaml").write_text(budgets, encoding="utf-8")
    if models:
        (house.home / "models.yaml").write_text(models, encoding="utf-8")


def test_a_call_counts_for_its_job_its_provider_today_and_its_labels_this_month(house: House) -> None:
    state(house)
    document = job("one", ROWS, labels={"team": "search", "stage": "try"}, budget={"max_cost_usd": 2})
    [submitted] = house.accept(house.write("one.yaml", document))
    with house.entry.open_services() as services:
        caps = caps_of(services, find_job(services, "one"), submitted)
    assert caps.of("simulated", NEW_YEARS_EVE_NS) == (
        BudgetCap(key=f"job:{submitted.hash}", max_cost_usd=2),
        BudgetCap(key="provider:simulated:2026-12-31", max_cost_usd=50),
        BudgetCap(key="label:team=search:2026-12", max_cost_usd=500, max_tokens=1_000_000),
    )
    assert [cap.key for cap in caps.of("simulated", NEW_YEARS_EVE_NS + SECOND_NS)][1:] == [
        "provider:simulated:2027-01-01",
        "label:team=search:2027-01",
    ]
    assert [cap.key[:4] for cap in caps.of("openai", NEW_YEARS_EVE_NS)] == ["job:", "labe"]


def test_without_budgets_no_call_counts_for_any(house: House) -> None:
    [submitted] = house.accept(house.write("one.yaml", job("one", ROWS)))
    with house.entry.open_services() as services:
        assert caps_of(services, find_job(services, "one"), submitted).of("simulated", NEW_YEARS_EVE_NS) == ()


def test_a_budget_that_was_raised_stands_until_the_document_says_another(house: House) -> None:
    path = house.write("one.yaml", job("one", ROWS, budget={"max_cost_usd": 2}))
    [submitted] = house.accept(path)

    def cap() -> BudgetCap:
        with house.entry.open_services() as services:
            [found] = caps_of(services, find_job(services, "one"), submitted).of("simulated", NEW_YEARS_EVE_NS)
        return found

    with house.entry.open_services() as services:
        raised = JobChange(job_hash=submitted.hash, field="budget", value={"max_cost_usd": 9.5}, who="ada")
        services.ledger.record_change(raised)
    assert cap() == BudgetCap(key=f"job:{submitted.hash}", max_cost_usd=9.5)
    house.accept(path)
    assert cap().max_cost_usd == 2


@pytest.mark.parametrize(
    ("model", "prompt", "refused"),
    [
        ("", {"max_tokens": 5}, "no price is known of mine"),
        (PRICE, {}, "nothing bounds the answers of mine"),
        (PRICE, {"max_tokens": 5}, None),
        (f"{PRICE}, max_output_tokens: 100", {}, None),
        (PRICE, {"operation": "embeddings"}, None),
    ],
)
def test_a_cap_that_cannot_be_kept_is_refused(
    house: House, model: str, prompt: dict[str, Any], refused: str | None
) -> None:
    state(house, budgets="providers: {openai: {max_cost_usd: 5}}", models=MINE % model)
    document = job("one", ROWS)
    document["job"]["model"] = "mine"
    document["job"]["prompts"][0].update(prompt)
    path = house.write("one.yaml", document)
    with house.entry.open_services() as services:
        [read] = read_jobs(services, path, NO_OVERRIDES)
        if refused is None:
            check_caps(services, read)
            return
        with pytest.raises(SetupError, match=refused):
            check_caps(services, read)
    result = house.invoke("run", "one.yaml")
    assert result.exit_code == 3
    assert refused in result.output


def test_a_cap_is_refused_where_no_price_of_the_tier_is_known(house: House) -> None:
    state(house, budgets="{}")
    document = job("one", ROWS, model="openai/gpt-4.1-mini", budget={"max_cost_usd": 1})
    document["job"]["prompts"][0].update(max_tokens=5, parameters={"service_tier": "flex"})
    path = house.write("one.yaml", document)
    with house.entry.open_services() as services:
        [read] = read_jobs(services, path, NO_OVERRIDES)
        with pytest.raises(SetupError, match="no price is known of openai/gpt-4"):
            check_caps(services, read)


QUOTA = "reserves: worst, quota: {tokens_per_minute: 10000}"


@pytest.mark.parametrize(
    ("model", "prompt", "refused"),
    [
        (QUOTA, {}, True),
        (QUOTA, {"max_tokens": 5}, False),
        (f"{QUOTA}, max_output_tokens: 100", {}, False),
        (QUOTA, {"operation": "embeddings"}, False),
        ("reserves: worst, quota: {output_tokens_per_minute: 10000}", {}, True),
        ("reserves: worst, quota: {input_tokens_per_minute: 10000}", {}, False),
        ("reserves: worst, quota: {requests_per_minute: 10000}", {}, False),
        ("quota: {tokens_per_minute: 10000}", {}, False),
    ],
)
def test_a_quota_that_is_reserved_by_a_worst_case_that_nobody_knows_is_refused(
    house: House, model: str, prompt: dict[str, Any], refused: bool
) -> None:
    state(house, models=MINE % model)
    document = job("one", ROWS)
    document["job"]["model"] = "mine"
    document["job"]["prompts"][0].update(prompt)
    path = house.write("one.yaml", document)
    with house.entry.open_services() as services:
        [read] = read_jobs(services, path, NO_OVERRIDES)
        if not refused:
            check_caps(services, read)
            return
        with pytest.raises(SetupError, match=r"nothing bounds its answers to the step .*; state max_tokens"):
            check_caps(services, read)
    result = house.invoke("run", "one.yaml")
    assert (result.exit_code, "max_output_tokens" in result.output) == (3, True)


def test_a_model_that_only_follows_others_needs_a_price_too(house: House) -> None:
    state(house, budgets="{}", models=MINE % "")
    document = job("one", ROWS, budget={"max_cost_usd": 1}, on_status={"refused": {"model": "mine"}})
    document["job"]["prompts"][0]["max_tokens"] = 5
    path = house.write("one.yaml", document)
    with house.entry.open_services() as services:
        [read] = read_jobs(services, path, NO_OVERRIDES)
        with pytest.raises(SetupError, match="no price is known of mine"):
            check_caps(services, read)


def test_a_model_that_is_not_capped_needs_no_price(house: House) -> None:
    state(house, budgets="providers: {anthropic: {max_cost_usd: 5}}", models=MINE % "")
    document = job("one", ROWS, labels={"team": "other"})
    document["job"]["model"] = "mine"
    path = house.write("one.yaml", document)
    with house.entry.open_services() as services:
        [read] = read_jobs(services, path, NO_OVERRIDES)
        check_caps(services, read)


@pytest.mark.parametrize(("cap_usd", "asked", "cost_usd"), [(1, 0, 0), (10_000, 3, 9)])
def test_a_cap_covers_what_a_call_writes_to_the_vendors_cache(
    tmp_path: Path, cap_usd: float, asked: int, cost_usd: float
) -> None:
    with speaking_server(lambda body: "said") as speaking:  # three tokens of each question are written
        house = House(tmp_path, dict(speaking.environment))
        house.home.mkdir()
        price = "{input_per_million_usd: 0, output_per_million_usd: 0, cache_write_per_million_usd: 1000000}"
        state(house, budgets="{}", models=f"m: {{provider: anthropic, price: {price}}}")
        document = job("one", ROWS, model="m", budget={"max_cost_usd": cap_usd})
        document["job"]["prompts"][0].update(max_tokens=5, parameters={"cache_control": {"type": "ephemeral"}})
        [report] = house.answer(house.write("one.yaml", document))
    assert len(speaking.bodies) == asked
    assert report.cost_usd == pytest.approx(cost_usd)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("providers: {openay: {max_cost_usd: 5}}", "openai"),
        ("labels: {team: {max_cost_usd: 5}}", "team=VALUE"),
        ("labels: {team=a: {}}", "states no limit"),
        ("providers: {openai: {max_cost: 5}}", "max_cost_usd"),
        ("providers: {openai: {max_cost_usd: -5}}", "greater than 0"),
    ],
)
def test_a_file_that_is_wrong_says_where_and_what_to_write(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "budgets.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError, match=told) as raised:
        read_budgets(path)
    assert raised.value.problems[0].line == 1


def test_an_empty_file_and_none_state_nothing(tmp_path: Path) -> None:
    assert read_budgets(tmp_path / "budgets.yaml").providers == {}
    (tmp_path / "budgets.yaml").write_text("{}\n", encoding="utf-8")
    assert read_budgets(tmp_path / "budgets.yaml").labels == {}


def test_the_command_lists_every_budget_in_force(house: House) -> None:
    assert "No budget is stated" in house.invoke("budgets").output
    state(house)
    house.accept(house.write("one.yaml", job("one", ROWS, budget={"max_cost_usd": 2, "max_tokens": 10_000})))
    lines = facts(house.invoke("budgets", "--json").output)
    assert [(line["name"], line["max_cost_usd"]) for line in lines] == [
        ("simulated", 50),
        ("team=search", 500),
        ("team=sales", 1),
        ("one", 2),
    ]
    assert all(line["state"]["spent_usd"] == 0 for line in lines)
    assert "$2.00" in house.invoke("budgets").output
