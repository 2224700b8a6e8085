"""Any sequence of exchanges, heartbeats and deaths gives what a model of forty lines says it should."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from llm_jobs.clock import SetClock
from llm_jobs.ledger.base import BudgetCap, Exchange, Outcome, OutcomeStatus, OverBudget, Want
from llm_jobs.ledger.opening import open_ledger
from llm_jobs.ledger.owners import this_process
from llm_jobs_tests.ledger.conftest import NOON_NS
from llm_jobs_tests.ledger.material import ELSEWHERE, Asker, facts, outcome

CALLS = ["a", "b", "c", "d"]
WORST_CENTS, COST_CENTS, CAP_CENTS = 30, 25, 150
STATUSES: list[OutcomeStatus] = ["succeeded", "truncated", "failed", "rate_limited"]


@dataclass
class Model:
    """What the ledger should hold. Times in seconds."""

    now_s: float = 0.0
    beats: dict[int, float | None] = field(default_factory=dict)  # owner -> last heartbeat, None: on this machine
    claims: dict[str, tuple[int, int]] = field(default_factory=dict)  # call -> owner, intent
    answers: dict[str, int] = field(default_factory=dict)
    failures: dict[str, tuple[int, OutcomeStatus]] = field(default_factory=dict)
    open_intents: dict[int, tuple[str, int]] = field(default_factory=dict)  # intent -> call, owner
    intents: list[int] = field(default_factory=list)
    late: int = 0
    reserved: dict[int, int] = field(default_factory=dict)  # intent -> owner; each holds WORST_CENTS
    spent_cents: int = 0

    @property
    def reserved_cents(self) -> int:
        return WORST_CENTS * len(self.reserved)

    def has_room(self, *, without: int = 0) -> bool:
        """Whether one more call fits, were so many of those in flight gone."""
        return self.spent_cents + self.reserved_cents + WORST_CENTS * (1 - without) <= CAP_CENTS

    def alive(self, owner: int) -> bool:
        if owner not in self.beats:
            return False
        beat = self.beats[owner]
        return beat is None or self.now_s - beat < 60  # the clock moves with each reading, so 60 s have passed

    def end(self, owner: int, ended: Outcome) -> None:
        call, status = ended.call_hash, ended.facts.status
        if self.reserved.pop(ended.intent_id, None) is not None:
            self.spent_cents += COST_CENTS
        del self.open_intents[ended.intent_id]
        if status == "succeeded":
            if call in self.answers:
                self.late += 1
            self.answers.setdefault(call, ended.intent_id)
        elif ended.final:
            newest = max((ended.intent_id, status), self.failures.get(call, (0, status)))
            self.failures[call] = newest
        if ended.final and self.claims.get(call, (0, 0))[0] == owner:
            del self.claims[call]

    def expected(self, owner: int, want: Want) -> str:
        call = want.call_hash
        if call in self.answers:
            return "answered"
        if want.behind is not None and call in self.failures and self.failures[call][0] >= want.behind:
            return "failed"
        if call not in self.claims:
            return "granted"
        holder = self.claims[call][0]
        if holder == owner:
            return "granted" if want.held else "busy"
        return "busy" if self.alive(holder) else "granted"


class LedgerMachine(RuleBasedStateMachine):
    """Calls have a prefix of their own in every example, so that examples can share one database."""

    url = "sqlite://"
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        self.prefix = f"{type(self).examples}-"
        self.clock = SetClock(NOON_NS)
        self.ledger = open_ledger(self.url, clock=self.clock)
        self.model = Model()
        self.askers: dict[int, Asker] = {}

    def teardown(self) -> None:
        self.ledger.close()

    @initialize()
    def start(self) -> None:
        self.open_owner(near=True)

    @rule(near=st.booleans())
    def open_owner(self, near: bool) -> None:
        identity = this_process() if near else replace(ELSEWHERE, pid=len(self.askers))
        asker = Asker(self.ledger, identity)
        self.askers[asker.owner_id] = asker
        self.model.beats[asker.owner_id] = None if near else self.model.now_s

    @rule(seconds=st.sampled_from([1, 30, 61]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.model.now_s += seconds

    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(sorted(self.askers)))
        self.ledger.heartbeat(owner)
        if self.model.beats[owner] is not None:
            self.model.beats[owner] = self.model.now_s

    @precondition(lambda self: len(self.askers) > 1)
    @rule(data=st.data())
    def close_owner(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(sorted(self.askers)))
        self.ledger.close_owner(owner)
        del self.askers[owner], self.model.beats[owner]
        self.model.claims = {call: claim for call, claim in self.model.claims.items() if claim[0] != owner}

    @rule(data=st.data())
    def exchange(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(sorted(self.askers)))
        mine = sorted(number for number, (_, holder) in self.model.open_intents.items() if holder == owner)
        ended = data.draw(st.lists(st.sampled_from(mine), unique=True)) if mine else []
        outcomes = [self.draw_outcome(data, number) for number in ended]
        wants = [self.draw_want(data, owner) for _ in range(data.draw(st.integers(0, 4)))]

        done = self.ledger.exchange(owner, outcomes=outcomes, wants=wants)

        for one in outcomes:
            self.model.end(owner, one)
        self.compare(owner, wants, done)

    def draw_outcome(self, data: st.DataObject, number: int) -> Outcome:
        status = data.draw(st.sampled_from(STATUSES))
        final = status == "succeeded" or data.draw(st.booleans())
        return outcome(self.model.open_intents[number][0], number, status, final=final)

    def draw_want(self, data: st.DataObject, owner: int) -> Want:
        behind = data.draw(st.sampled_from([None, 0, *self.model.intents]))
        call = self.prefix + data.draw(st.sampled_from(CALLS))
        want = self.askers[owner].want(call, held=data.draw(st.booleans()), behind=behind)
        caps = (BudgetCap(key=self.budget, max_cost_usd=CAP_CENTS / 100),) if data.draw(st.booleans()) else ()
        return replace(want, worst_cost_usd=WORST_CENTS / 100, budgets=caps)

    @property
    def budget(self) -> str:
        return f"job:{self.prefix}"

    def compare(self, owner: int, wants: list[Want], done: Exchange) -> None:
        granted: dict[str, int] = {}
        seen: dict[str, set[str]] = {"answered": set(), "failed": set(), "granted": set(), "busy": set(), "over": set()}
        before = max(self.model.intents, default=0)
        for want in wants:
            call = want.call_hash
            what = "busy" if call in granted else self.model.expected(owner, want)
            if call in seen["over"] or (call in done.over_budget and what == "granted"):
                what = "over"
            seen[what].add(call)
            if what == "granted":
                granted[call] = done.granted[call]
                if want.budgets:
                    self.model.reserved[granted[call]] = owner
            elif what == "answered":
                assert done.answered[call].intent_id == self.model.answers[call]
            elif what == "failed":
                assert done.failed[call] == facts(self.model.failures[call][1])
            elif what == "busy":
                # One batch may hold both who waits for the old intent and who waits for the new one.
                assert done.busy[call] in (
                    granted.get(call),
                    self.model.claims.get(call, (0, 0))[1],
                    done.granted.get(call),
                )
        assert {"answered": set(done.answered), "failed": set(done.failed)} == {
            name: seen[name] for name in ("answered", "failed")
        }
        assert (set(done.granted), set(done.busy)) == (seen["granted"], seen["busy"])
        assert set(done.over_budget) == seen["over"]
        for call, number in granted.items():
            assert number > before
            self.model.intents.append(number)
            self.model.claims[call] = (owner, number)
            self.model.open_intents[number] = (call, owner)
        self.compare_refusals(owner, wants, done)

    def compare_refusals(self, owner: int, wants: list[Want], done: Exchange) -> None:
        new = set(done.granted.values())
        live = sum(number in new or self.model.alive(holder) for number, holder in self.model.reserved.items())
        for call, refusal in done.over_budget.items():
            assert not self.model.has_room()
            assert refusal == OverBudget(key=self.budget, pending=self.model.has_room(without=live))
            if self.model.claims.get(call, (0, 0))[0] == owner:
                del self.model.claims[call]

    @invariant()
    def the_budget_is_that_of_the_model(self) -> None:
        state = self.ledger.budget_state([self.budget])[self.budget]
        found = (round(state.spent_usd * 100), round(state.reserved_usd * 100))
        assert found == (self.model.spent_cents, self.model.reserved_cents)
        assert sum(found) <= CAP_CENTS

    @invariant()
    def the_answers_are_those_of_the_model(self) -> None:
        found = self.ledger.look_up([self.prefix + call for call in CALLS])
        assert {call: answer.intent_id for call, answer in found.items()} == self.model.answers

    @invariant()
    def nothing_contradicts_itself(self) -> None:
        audit = self.ledger.audit()
        assert audit.inconsistencies == ()
        if self.url == "sqlite://":
            assert (audit.late, audit.answers) == (self.model.late, len(self.model.answers))
            assert audit.unrecorded == len(self.model.open_intents)


@pytest.mark.parametrize(("back_end", "examples"), [("memory", 60), ("postgresql", 12)])
def test_the_ledger_does_what_the_model_says(request: pytest.FixtureRequest, back_end: str, examples: int) -> None:
    class Machine(LedgerMachine):
        url = "sqlite://" if back_end == "memory" else str(request.getfixturevalue("postgres_url"))

    suppressed = [HealthCheck.too_slow, HealthCheck.data_too_large]
    options = settings(max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=suppressed)
    run_state_machine_as_test(Machine, settings=options)
