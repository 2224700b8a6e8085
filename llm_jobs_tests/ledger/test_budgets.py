"""Budgets: what is set aside with a grant, what an outcome makes of it, and who is told to ask again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from llm_jobs.clock import SetClock
from llm_jobs.ledger.base import BudgetCap, BudgetState, Exchange, Facts, Ledger, OverBudget, OwnerIdentity, Want
from llm_jobs.ledger.budgets import Account, Accounts, Reservation, pico_usd
from llm_jobs.ledger.opening import open_ledger
from llm_jobs_tests.ledger.material import ELSEWHERE, JOB, Asker, outcome

DAY = BudgetCap(key="provider:openai:2026-11-21", max_cost_usd=1.0)
FAILED = Facts(status="failed")


class Buyer(Asker):
    """Asks with a worst case of $0.30 and 300 tokens."""

    def __init__(self, ledger: Ledger, identity: OwnerIdentity | None = None, *caps: BudgetCap) -> None:
        super().__init__(ledger, identity)
        self.caps = caps or (DAY,)

    def bid(self, call_hash: str, worst_cost_usd: float | None = 0.3, *, held: bool = False) -> Want:
        want = self.want(call_hash, held=held)
        return replace(want, worst_cost_usd=worst_cost_usd, worst_tokens=300, budgets=self.caps)

    def buy(self, *call_hashes: str, worst_cost_usd: float | None = 0.3, held: bool = False) -> Exchange:
        wants = [self.bid(call_hash, worst_cost_usd, held=held) for call_hash in call_hashes]
        return self.ledger.exchange(self.owner_id, outcomes=[], wants=wants)

    def end(self, call_hash: str, intent_id: int, facts: Facts, *, final: bool = True) -> None:
        ended = replace(outcome(call_hash, intent_id, final=final), facts=facts)
        self.ledger.exchange(self.owner_id, outcomes=[ended], wants=[])


def state(ledger: Ledger, key: str = DAY.key) -> BudgetState:
    return ledger.budget_state([key])[key]


def usd(ledger: Ledger, key: str = DAY.key) -> tuple[float, float]:
    """What is spent and what is reserved."""
    found = state(ledger, key)
    return found.spent_usd, found.reserved_usd


def test_what_nothing_was_counted_for_is_empty(ledger: Ledger) -> None:
    assert ledger.budget_state(["unknown"]) == {"unknown": BudgetState()}
    assert ledger.budget_state([]) == {}


def test_a_grant_sets_its_worst_case_aside_and_an_answer_puts_its_cost_in_its_place(ledger: Ledger) -> None:
    buyer = Buyer(ledger)
    intent_id = buyer.buy("a").granted["a"]
    assert state(ledger) == BudgetState(reserved_usd=0.3, reserved_tokens=300)

    buyer.end("a", intent_id, Facts(status="succeeded", cost_usd=0.125, prompt_tokens=20, completion_tokens=5))

    assert state(ledger) == BudgetState(spent_usd=0.125, spent_tokens=25)


def test_calls_are_granted_while_their_worst_cases_fit_and_the_rest_is_told_which_budget_is_full(
    ledger: Ledger,
) -> None:
    buyer = Buyer(ledger)

    done = buyer.buy("a", "b", "c", "d")

    assert set(done.granted) == {"a", "b", "c"}
    assert done.over_budget == {"d": OverBudget(key=DAY.key, pending=True)}
    assert not done.busy
    assert ledger.audit().intents == 3


def test_worst_cases_that_fill_the_cap_to_the_last_cent_are_granted(ledger: Ledger) -> None:
    calls = [f"call-{number}" for number in range(101)]

    done = Buyer(ledger).buy(*calls, worst_cost_usd=0.01)

    assert len(done.granted) == 100
    assert usd(ledger) == (0.0, 1.0)


def test_a_refused_call_is_left_free_for_others(ledger: Ledger) -> None:
    buyer, other = Buyer(ledger), Asker(ledger)
    assert buyer.buy("a", worst_cost_usd=2.0).over_budget == {"a": OverBudget(key=DAY.key, pending=False)}

    assert set(other.ask("a").granted) == {"a"}


def test_a_call_counts_for_all_of_its_budgets_or_for_none(ledger: Ledger) -> None:
    job = BudgetCap(key="job:1", max_cost_usd=0.5)
    label = BudgetCap(key="label:team=search:2026-11")  # no cap: it is only counted
    buyer = Buyer(ledger, None, DAY, job, label)

    done = buyer.buy("a", "b")

    assert set(done.granted) == {"a"}
    assert done.over_budget == {"b": OverBudget(key="job:1", pending=True)}
    assert [usd(ledger, key) for key in (DAY.key, "job:1", label.key)] == [(0.0, 0.3)] * 3
    buyer.end("a", done.granted["a"], Facts(status="succeeded", cost_usd=0.25))
    assert [usd(ledger, key) for key in (DAY.key, "job:1", label.key)] == [(0.25, 0.0)] * 3


def test_a_cap_on_tokens_holds_beside_one_on_money(ledger: Ledger) -> None:
    buyer = Buyer(ledger, None, BudgetCap(key="job:1", max_tokens=700, max_cost_usd=100.0))

    done = buyer.buy("a", "b", "c")

    assert set(done.granted) == {"a", "b"}
    assert state(ledger, "job:1").reserved_tokens == 600


def test_a_call_whose_worst_case_nobody_knows_is_refused_for_good_where_there_is_a_cap(ledger: Ledger) -> None:
    assert Buyer(ledger).buy("a", worst_cost_usd=None).over_budget == {"a": OverBudget(key=DAY.key, pending=False)}
    assert set(Buyer(ledger, None, BudgetCap(key="job:1")).buy("a", worst_cost_usd=None).granted) == {"a"}


def test_a_higher_cap_lets_the_same_job_go_on_from_what_it_spent(ledger: Ledger) -> None:
    buyer = Buyer(ledger)
    granted = buyer.buy("a", "b", "c").granted
    for call_hash, intent_id in granted.items():
        buyer.end(call_hash, intent_id, Facts(status="succeeded", cost_usd=0.3))
    assert buyer.buy("d").over_budget == {"d": OverBudget(key=DAY.key, pending=False)}

    richer = Buyer(ledger, None, replace(DAY, max_cost_usd=1.2))

    assert set(richer.buy("a", "b", "c").answered) == {"a", "b", "c"}
    assert set(richer.buy("d", "e").granted) == {"d"}
    assert usd(ledger) == (0.9, 0.3)


def test_an_answer_that_exists_already_costs_no_budget_anything(ledger: Ledger) -> None:
    Asker(ledger).answer("a")

    done = Buyer(ledger).buy("a", worst_cost_usd=50.0)

    assert set(done.answered) == {"a"}
    assert usd(ledger) == (0.0, 0.0)


COSTS = {
    "an answer with its cost": (Facts(status="succeeded", cost_usd=0.1, prompt_tokens=7), 0.1, 7),
    "an answer without price": (Facts(status="succeeded", prompt_tokens=7, completion_tokens=3), 0.3, 10),
    "a truncated answer with its cost": (Facts(status="truncated", cost_usd=0.1, completion_tokens=9), 0.1, 9),
    "a time-out": (Facts(status="timed_out"), 0.3, 300),
    "a connection that broke": (FAILED, 0.3, 300),
    "an answer that cannot be read": (replace(FAILED, http_status=200), 0.3, 300),
    "a gateway that gave up": (replace(FAILED, http_status=504), 0.3, 300),
    "a refusal for a bad request": (replace(FAILED, http_status=400), 0.0, 0),
    "a server error": (replace(FAILED, http_status=500), 0.0, 0),
    "a rate limit": (Facts(status="rate_limited", http_status=429), 0.0, 0),
    "a call that was not sent": (Facts(status="cancelled"), 0.0, 0),
}


@pytest.mark.parametrize("case", COSTS)
def test_an_attempt_counts_for_what_it_cost_and_for_its_worst_case_where_that_may_be(ledger: Ledger, case: str) -> None:
    facts, cost_usd, tokens = COSTS[case]
    buyer = Buyer(ledger)

    buyer.end("a", buyer.buy("a").granted["a"], facts)

    assert state(ledger) == BudgetState(spent_usd=cost_usd, spent_tokens=tokens)


def test_each_retry_sets_its_worst_case_aside_again(ledger: Ledger) -> None:
    buyer = Buyer(ledger)
    buyer.end("a", buyer.buy("a").granted["a"], Facts(status="timed_out"), final=False)

    again = buyer.buy("a", held=True).granted["a"]

    assert usd(ledger) == (0.3, 0.3)
    buyer.end("a", again, Facts(status="succeeded", cost_usd=0.1))
    assert usd(ledger) == (0.4, 0.0)


def test_a_retry_that_no_budget_has_room_for_gives_its_call_back(ledger: Ledger) -> None:
    buyer, other = Buyer(ledger), Asker(ledger)
    buyer.end("a", buyer.buy("a", worst_cost_usd=0.6).granted["a"], Facts(status="timed_out"), final=False)

    done = buyer.buy("a", worst_cost_usd=0.6, held=True)

    assert done.over_budget == {"a": OverBudget(key=DAY.key, pending=False)}
    assert set(other.ask("a").granted) == {"a"}


def test_an_outcome_makes_room_for_the_wants_of_its_own_exchange(ledger: Ledger) -> None:
    buyer = Buyer(ledger)
    intent_id = buyer.buy("a", worst_cost_usd=0.9).granted["a"]
    ended = replace(outcome("a", intent_id), facts=Facts(status="succeeded", cost_usd=0.1))

    done = ledger.exchange(buyer.owner_id, outcomes=[ended], wants=[buyer.bid("b", 0.9)])

    assert set(done.granted) == {"b"}
    assert usd(ledger) == (0.1, 0.9)


def test_an_outcome_that_another_process_reports_settles_too(ledger: Ledger) -> None:
    buyer, other = Buyer(ledger), Buyer(ledger)
    intent_id = buyer.buy("a").granted["a"]

    other.end("a", intent_id, Facts(status="succeeded", cost_usd=0.1))

    assert usd(ledger) == (0.1, 0.0)


def test_an_answer_that_comes_late_settles_what_its_own_attempt_set_aside(ledger: Ledger, clock: SetClock) -> None:
    far, near = Buyer(ledger, ELSEWHERE), Buyer(ledger)
    lost = far.buy("a").granted["a"]
    clock.advance(61)
    near.end("a", near.buy("a").granted["a"], Facts(status="succeeded", cost_usd=0.1))
    assert usd(ledger) == (0.1, 0.3)

    far.end("a", lost, Facts(status="succeeded", cost_usd=0.2))

    assert usd(ledger) == (0.3, 0.0)
    assert (ledger.late(JOB), ledger.audit().inconsistencies) == (1, ())


def test_a_lost_attempt_keeps_its_worst_case_for_ever_and_nobody_waits_for_it(ledger: Ledger, clock: SetClock) -> None:
    far, near = Buyer(ledger, ELSEWHERE), Buyer(ledger)
    assert set(far.buy("a", worst_cost_usd=0.8).granted) == {"a"}
    assert near.buy("b").over_budget == {"b": OverBudget(key=DAY.key, pending=True)}

    clock.advance(61)

    assert near.buy("b").over_budget == {"b": OverBudget(key=DAY.key, pending=False)}
    assert set(near.buy("a", worst_cost_usd=0.2).granted) == {"a"}  # taken over: the same call, paid for again
    assert usd(ledger) == (0.0, 1.0)


def test_a_call_that_was_not_recorded_when_its_owner_closed_is_lost(ledger: Ledger) -> None:
    gone, near = Buyer(ledger), Buyer(ledger)
    gone.buy("a", worst_cost_usd=0.8)

    ledger.close_owner(gone.owner_id)

    assert near.buy("b").over_budget == {"b": OverBudget(key=DAY.key, pending=False)}
    assert usd(ledger) == (0.0, 0.8)


def test_a_dead_owners_call_that_no_budget_has_room_for_is_left_to_it(ledger: Ledger, clock: SetClock) -> None:
    far, near, other = Buyer(ledger, ELSEWHERE), Buyer(ledger), Asker(ledger)
    lost = far.buy("a", worst_cost_usd=0.8).granted["a"]
    clock.advance(61)

    assert set(near.buy("a").over_budget) == {"a"}

    ledger.heartbeat(far.owner_id)  # it only stood still
    assert other.ask("a").busy == {"a": lost}
    clock.advance(61)
    assert set(other.ask("a").granted) == {"a"}


def test_asking_again_is_final_where_calls_in_flight_leave_no_room_even_if_they_cost_nothing(ledger: Ledger) -> None:
    buyer, other = Buyer(ledger), Buyer(ledger)
    buyer.end("a", buyer.buy("a", worst_cost_usd=0.6).granted["a"], Facts(status="timed_out"))
    assert set(buyer.buy("b").granted) == {"b"}

    assert other.buy("c", worst_cost_usd=0.4).over_budget == {"c": OverBudget(key=DAY.key, pending=True)}
    assert other.buy("c", worst_cost_usd=0.5).over_budget == {"c": OverBudget(key=DAY.key, pending=False)}


def test_a_call_wanted_twice_that_is_over_budget_is_nothing_else(ledger: Ledger) -> None:
    done = Buyer(ledger).buy("a", "a", worst_cost_usd=2.0)

    assert set(done.over_budget) == {"a"}
    assert not done.busy
    assert not done.granted


def test_the_worst_case_of_an_intent_is_recorded_with_it(shared_url: str) -> None:
    ledger = open_ledger(shared_url, clock=SetClock(1))
    granted = [Buyer(ledger).buy("a").granted["a"], Buyer(ledger).ask("b").granted["b"]]
    ledger.close()

    engine = create_engine(shared_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        worst = connection.execute(text("SELECT id, worst_tokens, worst_cost_usd FROM intents ORDER BY id")).all()
    engine.dispose()
    assert [tuple(row) for row in worst] == [(granted[0], 300, 0.3), (granted[1], None, None)]


AMOUNTS = st.integers(0, 2_000).map(lambda cents: cents / 100)


@given(st.lists(st.tuples(AMOUNTS, st.one_of(st.none(), AMOUNTS)), max_size=40), AMOUNTS)
def test_whatever_is_set_aside_and_settled_no_cap_is_passed_and_nothing_is_left_over(
    calls: list[tuple[float, float | None]], cap_usd: float
) -> None:
    """Each call has a worst case and costs at most that, or nobody knows what."""
    cap = BudgetCap(key="job:1", max_cost_usd=cap_usd)
    accounts = Accounts({})
    granted: list[Reservation] = []
    spent = 0
    for number, (worst_usd, cost_usd) in enumerate(calls):
        want = Want(
            call_hash=str(number),
            job_hash="j",
            submission_id=1,
            provider="p",
            model="m",
            worst_cost_usd=worst_usd,
            budgets=(cap,),
        )
        if accounts.reserve(want, lambda _: (0, 0)) is None:
            granted.append(Reservation(number, "job:1", pico_usd(worst_usd), None))
        if number % 3 == 0 and granted:
            ended = granted.pop()
            cost = None if cost_usd is None else min(cost_usd, worst_usd, calls[ended.intent_id][0])
            accounts.settle(ended, Facts(status="timed_out", cost_usd=cost))
            spent += pico_usd(calls[ended.intent_id][0] if cost is None else cost)
    account = accounts.changed.get("job:1", Account())
    assert account.spent_pico_usd == spent
    assert account.reserved_pico_usd == sum(one.worst_pico_usd or 0 for one in granted)
    assert spent + account.reserved_pico_usd <= pico_usd(cap_usd)


@pytest.mark.parametrize(
    ("dollars", "pico"), [(0.0, 0), (0.01, 10**10), (0.1 + 0.2, 3 * 10**11), (1e-12, 1), (9e9, 2**62)]
)
def test_dollars_are_whole_picodollars_rounded_up(dollars: float, pico: int) -> None:
    assert pico_usd(dollars) == pico
