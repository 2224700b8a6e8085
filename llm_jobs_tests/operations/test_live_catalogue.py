"""A change of a model is in force everywhere within a second, by whichever way one asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from llm_jobs.clock import WallClock
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.errors import SetupError
from llm_jobs.ledger.base import Ledger, ModelVersion
from llm_jobs.ledger.opening import open_ledger
from llm_jobs.operations.live_catalogue import LOOK_EVERY_S, LiveCatalogue
from llm_jobs.providers.base import Usage
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.pricing import Pricing
from llm_jobs_tests.virtual_time import run_virtual

MODEL = "openai/gpt-4.1-mini"
STATED = Catalogue(environment={})


@dataclass
class Seconds:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=WallClock())
    yield opened
    opened.close()


def record(ledger: Ledger, name: str = MODEL, **definition: object) -> None:
    ledger.record_model_version(ModelVersion(name=name, definition=definition, who="ada"))


def rpm(live: LiveCatalogue) -> int | None:
    return live.in_force().resolve(MODEL).quota.requests_per_minute


def test_a_change_is_seen_when_half_a_second_has_passed_and_not_asked_for_before(ledger: Ledger) -> None:
    now = Seconds()
    live = LiveCatalogue(STATED, ledger=ledger, now_s=now)
    assert live.in_force() is STATED
    record(ledger, requests_per_minute=7)
    now.now_s += LOOK_EVERY_S - 0.01
    assert live.in_force() is STATED
    now.now_s += 0.01
    assert rpm(live) == 7
    same = live.in_force()
    now.now_s += 10
    assert live.in_force() is same


def test_what_was_set_before_is_in_force_from_the_start(ledger: Ledger) -> None:
    record(ledger, requests_per_minute=7, weight=3)
    record(ledger, requests_per_minute=None, concurrency=2)
    live = LiveCatalogue(STATED, ledger=ledger, now_s=Seconds())
    entry = live.in_force().resolve(MODEL)
    assert (entry.quota.requests_per_minute, entry.quota.concurrency, entry.weight) == (None, 2, 3)
    assert [version.who for version in live.versions(MODEL)] == ["ada", "ada"]
    assert live.versions("simulated") == ()
    assert live.set_values(MODEL) == {"requests_per_minute": None, "weight": 3, "concurrency": 2}


def test_a_name_that_means_nothing_any_more_harms_no_other(ledger: Ledger) -> None:
    record(ledger, "gone", requests_per_minute=1)
    record(ledger, requests_per_minute=7)
    assert rpm(LiveCatalogue(STATED, ledger=ledger, now_s=Seconds())) == 7


def test_a_price_that_is_set_holds_for_the_next_answer(ledger: Ledger) -> None:
    now = Seconds()
    live = LiveCatalogue(STATED, ledger=ledger, now_s=now)
    pricing = Pricing(live)
    model: ModelRef = live.in_force().resolve(MODEL).model
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=0)
    assert pricing.cost_usd(model, usage) == pytest.approx(0.4)
    record(ledger, input_per_million_usd=7.0, output_per_million_usd=8.0)
    now.now_s += 1
    assert pricing.cost_usd(model, usage) == pytest.approx(7.0)


@dataclass
class Broken:
    """A ledger whose versions cannot be read any more."""

    ledger: Ledger
    broken: bool = False
    asked: int = 0

    def newest_model_version(self) -> int:
        self.asked += 1
        if self.broken:
            raise SetupError("the database is gone")
        return self.ledger.newest_model_version()

    def __getattr__(self, name: str) -> object:
        return getattr(self.ledger, name)


def test_a_ledger_that_cannot_be_read_changes_nothing_and_is_asked_again(ledger: Ledger) -> None:
    record(ledger, requests_per_minute=7)
    now, broken = Seconds(), Broken(ledger)
    live = LiveCatalogue(STATED, ledger=broken, now_s=now)  # type: ignore[arg-type]
    broken.broken = True
    now.now_s += 1
    assert rpm(live) == 7
    with pytest.raises(SetupError):
        live.look()
    record(ledger, requests_per_minute=8)
    broken.broken = False
    now.now_s += 1
    assert rpm(live) == 8


def test_while_it_is_watched_nobody_who_asks_asks_the_ledger(ledger: Ledger) -> None:
    async def watched() -> None:
        loop = asyncio.get_running_loop()
        counted = Broken(ledger)
        live = LiveCatalogue(STATED, ledger=counted, now_s=loop.time)  # type: ignore[arg-type]
        async with live.watch():
            await asyncio.sleep(0.1)
            record(ledger, requests_per_minute=7)
            changed_s = loop.time()
            while rpm(live) != 7:
                await asyncio.sleep(0.01)
            assert loop.time() - changed_s <= LOOK_EVERY_S
            before = counted.asked
            await asyncio.sleep(10)
            assert before + 18 <= counted.asked <= before + 21
        record(ledger, requests_per_minute=8)
        await asyncio.sleep(LOOK_EVERY_S)
        assert rpm(live) == 8

    run_virtual(watched())
