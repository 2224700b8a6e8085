"""What a plan says comes true: over a hundred seeded changes of documents that are then really run, counts are exact
and the cost lies in the stated interval. The books are those of the server that sold the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from llm_jobs.operations.plan import JobPlan, plan_named
from llm_jobs.operations.records import JobReport
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.operations.changing import change, first, place, rows_added
from llm_jobs_tests.servers.shop import Shop, shop

CHAINS = 5
CHANGES = 21  # of each chain
LEAST_WITHIN = 0.85

MODEL = """
{name}:
  provider: openai
  model: {name}-1
  base_url: {url}
  price: {{input_per_million_usd: 0.4, output_per_million_usd: 1.6}}
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What was planned, what was reported, and what the server's books say."""

    change: str
    plan: JobPlan
    report: JobReport
    sold: int
    paid_usd: float

    @property
    def is_within(self) -> bool:
        cost = self.plan.cost_usd
        return cost is not None and cost.low - 1e-12 <= self.paid_usd <= cost.high + 1e-12


def stated(folder: Path, sales: Shop) -> House:
    """A house whose catalogue names the shop's models and prices."""
    folder.mkdir()
    house = House(folder)
    house.home.mkdir()
    models = "".join(MODEL.format(name=name, url=sales.url) for name in ("shop", "other"))
    (house.home / "models.yaml").write_text(models, encoding="utf-8")
    return house


def chain(folder: Path, sales: Shop, seed: int) -> list[Told]:
    """A document, changed and run `CHANGES` times; every second one has two prompts."""
    house = stated(folder, sales)
    random = Random(seed)
    written = first(random, steps=1 + seed % 2)
    house.answer(place(written, folder))
    return [_changed(house, sales, change(random, written), place(written, folder)) for _ in range(CHANGES)]


def _changed(house: House, sales: Shop, name: str, path: Path) -> Told:
    with house.entry.open_services() as services:
        [plan] = plan_named(services, path.name)
    sold, paid = len(sales.sold), sales.cost_usd
    [report] = house.answer(path)
    return Told(name, plan, report, len(sales.sold) - sold, sales.cost_usd - paid)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Told]:
    folder = tmp_path_factory.mktemp("chains")
    with shop() as sales:
        return [each for seed in range(CHAINS) for each in chain(folder / str(seed), sales, seed)]


def test_the_calls_that_are_said_to_be_new_are_those_that_the_server_sells(told: list[Told]) -> None:
    assert len(told) > 100
    assert sum(1 for each in told if not each.plan.calls.unknown) > 80
    for each in told:
        calls, report = each.plan.calls, each.report
        if not calls.unknown:
            assert (calls.new, calls.reused) == (each.sold, report.calls_reused), each
        else:  # rows whose first answers are alike ask the second question once
            assert calls.new <= each.sold <= calls.new + calls.unknown, each
            assert calls.total == each.sold + report.calls_reused, each


def test_the_rows_that_are_said_to_be_reused_are_those_that_cost_nothing(told: list[Told]) -> None:
    for each in told:
        rows = each.plan.rows
        assert rows.total == each.report.rows, each
        assert rows.reused + rows.new + rows.changed + rows.again == rows.total, each
        assert (rows.reused == rows.total) == (each.sold == 0), each


def test_the_cost_lies_in_the_stated_interval_of_ninety_per_cent(told: list[Told]) -> None:
    within = sum(each.is_within for each in told)
    asked = [each for each in told if each.sold]
    assert len(asked) > 50
    assert within / len(told) >= LEAST_WITHIN, [(each.change, each.paid_usd, each.plan.cost_usd) for each in told]
    assert sum(each.is_within for each in asked) / len(asked) >= LEAST_WITHIN


def test_the_interval_is_narrow_where_the_step_is_known(told: list[Told]) -> None:
    known = [each.plan for each in told if each.sold >= 10 and {step.basis for step in each.plan.steps} == {"same"}]
    widths = [(plan.cost_usd.high - plan.cost_usd.low) / plan.cost_usd.expected for plan in known if plan.cost_usd]
    assert widths
    assert sorted(widths)[len(widths) // 2] < 1.5


def test_nothing_costs_more_than_the_worst_case_that_was_stated(told: list[Told]) -> None:
    stated = [each for each in told if each.plan.worst_cost_usd is not None and each.sold]
    assert len(stated) > 20
    assert all(each.paid_usd <= (each.plan.worst_cost_usd or 0) for each in stated)


@pytest.mark.parametrize("rule", [None, {"ask_again": {"max_tokens": "2x", "up_to": 4_000}}])
def test_what_was_cut_off_is_not_bought_again_and_what_follows_it_is_known(
    tmp_path: Path, rule: dict[str, object] | None
) -> None:
    with shop() as sales:
        house = stated(tmp_path / "house", sales)
        random = Random(5)
        written = first(random)
        written.job["prompts"][0]["max_tokens"] = 40
        if rule is not None:
            written.job["on_status"] = {"truncated": rule}
        [report] = house.answer(place(written, house.folder))
        assert report.calls_sent == len(sales.sold)
        rows_added(random, written)
        told = _changed(house, sales, "rows_added", place(written, house.folder))
        again = _changed(house, sales, "nothing", place(written, house.folder))
    assert any(each["max_tokens"] > 40 for each in sales.sold) == (rule is not None)
    assert told.plan.calls.reused == report.calls_sent
    assert 0 < told.plan.calls.new <= told.sold  # what follows a new answer that is cut off cannot be known
    assert (again.plan.calls.new, again.sold) == (0, 0)
