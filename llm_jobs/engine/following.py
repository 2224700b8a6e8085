"""Which model is asked, and what is asked next: choices among several models, and what follows an answer that is none.

Invariants: the choice of a weighted set depends on the question and the weights alone, so any job, process and order
asks the same model (unless it is cooling down); whatever follows is a call of its own, with a hash of its own; a chain
of calls ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from llm_jobs.documents.job import AnswerStatus, FollowUp, Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Candidate, ModelRef
from llm_jobs.documents.steps import PromptStep, Step
from llm_jobs.engine.calls import Call, Settled
from llm_jobs.engine.choosing import order_of
from llm_jobs.engine.health import Health, ModelHealth
from llm_jobs.engine.judging import judge
from llm_jobs.engine.steps import Asker, Means, PreparedStep, Rendered, Row, Since, first_candidate
from llm_jobs.engine.watched import CoolingDown, WatchedProvider
from llm_jobs.errors import RowError
from llm_jobs.ledger.base import Answer
from llm_jobs.providers.base import Provider, Request
from llm_jobs.providers.rewording import another_draw, continued, larger_limit, with_output_limit
from llm_jobs.results.outputs import Outputs
from llm_jobs.values import value

MOST_FOLLOW_UPS = 32  # of one row in one step
Rules = Mapping[AnswerStatus, Sequence[FollowUp]]
MeansOf = Callable[[ModelRef], Means]

WEIGHTED = "weighted"
FIRST = "first"
EACH = "each"
COOLING = "cooling down"
ANSWERED = "answered before"
# A row's failures after which the next model of a list is asked. What was erased or not sent is not asked elsewhere.
_FAILED = frozenset({"failed", "rate_limited", "timed_out"})
_OF_CALLS = frozenset({"PermanentError", "TransientError", "RateLimited", "CallTimeout", CoolingDown.__name__})
# Truncated, but not by the limit on the answer: a larger one would be paid for nothing.
_NO_LIMIT_HELPS = frozenset({"model_context_window_exceeded", "pause_turn"})


@value
class Asked:
    """A call of a row, and how it came to it. `reason`: why this model (`llm_model_reason`); None: there is one."""

    call: Call
    reason: str | None
    rendered: Rendered
    sample: int  # of the row
    model: _Model
    tried: frozenset[int]  # places in the choice
    draw: int  # samples drawn beside the row's own
    used: Mapping[tuple[str, int], int]  # rule -> how often it was followed

    @property
    def asked_of(self) -> str:
        return self.call.request.model.name


class _Model:
    """One model that may be asked, and its health."""

    def __init__(self, candidate: Candidate, asker: Asker, health: ModelHealth) -> None:
        self.name = candidate.model.name
        self.asker = asker
        self.health = health
        self._asked = WatchedProvider(asker.means.provider, health, insists=False)
        self._insisted = WatchedProvider(asker.means.provider, health, insists=True)

    def provider(self, *, insists: bool) -> Provider:
        return self._insisted if insists else self._asked


def prepare(
    step: Step,
    job: Job,
    means_of: MeansOf,
    *,
    health: Health,
    now: Callable[[], float],
    since: Since = lambda model: None,
) -> PreparedStep:
    """A step of a job, ready to be asked. `since`: which of the recorded answers may be read.

    Raises DocumentError for a model that cannot be asked so.
    """
    rules = job.policy.on_status.get(step.name, {})
    outputs = Outputs(step, operation=step.operation)
    if not rules and len(step.models) == 1:
        return PreparedStep(step, means_of(step.model), outputs=outputs, epoch=job.epoch, since=since)
    return FollowedStep(
        step,
        means_of,
        outputs=outputs,
        epoch=job.epoch,
        rules=rules,
        samples=job.sample,
        health=health,
        now=now,
        since=since,
    )


class FollowedStep(PreparedStep):
    """A step with several models, or with calls that follow others: the first of a row, and those that follow it."""

    def __init__(
        self,
        step: Step,
        means_of: MeansOf,
        *,
        outputs: Outputs,
        epoch: str | None,
        rules: Rules,
        samples: int,
        health: Health,
        now: Callable[[], float],
        since: Since = lambda model: None,
    ) -> None:
        """`samples`: answers that the job asks for per row. `now`: seconds, for health."""
        super().__init__(step, means_of(step.model), outputs=outputs, epoch=epoch, since=since)
        self._rules = rules
        self._means_of = means_of
        self._samples = samples
        self._health = health
        self._now = now
        self._choice = step.choice if isinstance(step, PromptStep) else None
        self._models = [self._model(candidate) for candidate in self._choice.candidates] if self._choice else []
        self._order = order_of(step, [model.asker.means.weight for model in self._models])
        self._takes_any = self._choice is not None and (
            self._choice.kind == "fallback"
            or (self._choice.kind == "weighted" and any(one.weight is None for one in self._choice.candidates))
        )
        self._alone = None if self._choice else _Model(first_candidate(step), self.first, ModelHealth())
        self._named = {
            rule.candidate.model.name: self._model(rule.candidate)
            for listed in rules.values()
            for rule in listed
            if rule.candidate is not None
        }

    def call(self, row: Row, sample: int) -> Call:
        return self.begin(row, sample).call

    @property
    def has_rules(self) -> bool:
        """Does a call follow some answers that are no success?"""
        return any(self._rules.values())

    def begin(self, row: Row, sample: int) -> Asked:
        """The first call about `row`. Raises RowError."""
        rendered = self.render(row)
        if self._alone is not None:
            call = self._alone.asker.call(self._alone.asker.request(rendered), sample)
            return _asked(call, self._alone, None, rendered, sample, tried=frozenset())
        if self._choice is not None and self._choice.kind == "each":
            return self._ask_named(row, rendered, sample)
        order = self._order(rendered, sample)
        return self._ask_one_of(order, rendered, sample, frozenset(), self._first_reason, passing=True)

    def _ask_named(self, row: Row, rendered: Rendered, sample: int) -> Asked:
        """The model that the row names; no other is asked in its place."""
        assert self._choice is not None
        named = row.get(self._choice.column or "")
        place = next((place for place, model in enumerate(self._models) if model.name == named), None)
        if place is None:
            raise RowError(
                f"the column {self._choice.column} names the model {named!r}, which is not in the step's list"
            )
        every = frozenset(range(len(self._models)))
        return self._ask_one_of([place], rendered, sample, every, EACH, passing=True)

    def follow_up(self, asked: Asked, settled: Settled) -> Asked | None:
        """The call that follows one that has ended; None where the row ends with it. Raises RowError."""
        facts = settled.facts
        if sum(asked.used.values()) >= MOST_FOLLOW_UPS:
            return None
        if facts.status in _FAILED or facts.error_class == CoolingDown.__name__:
            return self._after_failure(asked, settled)
        for index, rule in enumerate(self._rules.get(facts.status, ())):  # type: ignore[arg-type]
            followed = asked.used.get((facts.status, index), 0)
            if followed < rule.times and (after := self._follow(rule, asked, settled)) is not None:
                return replace(after, used={**asked.used, (facts.status, index): followed + 1})
        return None

    @property
    def takes_any(self) -> bool:
        """Any model's recorded answer will do: of a list, and of a set that leaves shares to the catalogue."""
        return self._takes_any

    def candidates(self, row: Row, sample: int) -> list[Asked]:
        """The calls any answer of which will do, the preferred first. Raises RowError."""
        if not self._takes_any:
            return [self.begin(row, sample)]
        rendered = self.render(row)
        order = self._order(rendered, sample)
        return [self._candidate(place, rendered, sample, preferred=place == order[0]) for place in order]

    def _candidate(self, place: int, rendered: Rendered, sample: int, *, preferred: bool) -> Asked:
        model = self._models[place]
        call = model.asker.call(model.asker.request(rendered), sample, model.provider(insists=True))
        reason = self._first_reason if preferred else ANSWERED
        return _asked(call, model, reason, rendered, sample, tried=frozenset({place}))

    @property
    def _first_reason(self) -> str:
        return WEIGHTED if self._is_weighted else FIRST

    @property
    def _is_weighted(self) -> bool:
        return self._choice is not None and self._choice.kind == "weighted"

    def _model(self, candidate: Candidate) -> _Model:
        asker = self.asker(candidate, self._means_of(candidate.model))
        return _Model(candidate, asker, self._health.of(candidate.model.name))

    def _ask_one_of(
        self,
        order: Sequence[int],
        rendered: Rendered,
        sample: int,
        tried: frozenset[int],
        reason: str,
        *,
        passing: bool,
    ) -> Asked:
        """The first place of `order` whose model is well; the first of all where none is, which then is insisted on."""
        now_s = self._now()
        well = [place for place in order if not self._models[place].health.is_cooling(now_s)]
        place = well[0] if well else order[0]
        if passing and place != order[0]:
            skipped = self._models[order[0]].name
            reason = COOLING if self._is_weighted else f"fallback: {skipped} {COOLING}"
        model = self._models[place]
        call = model.asker.call(model.asker.request(rendered), sample, model.provider(insists=len(well) < 2))
        return _asked(call, model, reason, rendered, sample, tried=tried | {place})

    def _after_failure(self, asked: Asked, settled: Settled) -> Asked | None:
        """The next model of a list; of a weighted set only where the model was found to be cooling down."""
        error_class = settled.facts.error_class
        cooling = error_class == CoolingDown.__name__
        if error_class not in _OF_CALLS or not asked.tried or (self._is_weighted and not cooling):
            return None
        return self._next_model(asked, COOLING if cooling else settled.facts.status)

    def _next_model(self, asked: Asked, why: str) -> Asked | None:
        order = [place for place in self._order(asked.rendered, asked.sample) if place not in asked.tried]
        if not order:
            return None
        reason = COOLING if self._is_weighted else f"fallback: {asked.asked_of} {why}"
        after = self._ask_one_of(order, asked.rendered, asked.sample, asked.tried, reason, passing=False)
        return replace(after, used=asked.used)

    def _follow(self, rule: FollowUp, asked: Asked, settled: Settled) -> Asked | None:
        if rule.action == "fallback":
            return self._next_model(asked, settled.facts.status)
        if rule.action == "model" and rule.candidate is not None:
            return self._ask_instead(rule.candidate, asked, settled)
        if rule.action == "repair":
            return self._repair(asked, settled)
        return self._ask_again(rule, asked, settled)

    def _ask_instead(self, candidate: Candidate, asked: Asked, settled: Settled) -> Asked:
        model = self._named[candidate.model.name]
        call = model.asker.call(model.asker.request(asked.rendered), asked.sample)
        reason = f"on_status: {asked.asked_of} {settled.facts.status}"
        return _asked(call, model, reason, asked.rendered, asked.sample, tried=asked.tried)

    def _repair(self, asked: Asked, settled: Settled) -> Asked | None:
        output = settled.reply.output if settled.reply is not None else None
        complaint = f"This is not the answer that was asked for: {settled.facts.error}. Answer again, corrected."
        body = continued(asked.call.request.body, output, complaint) if isinstance(output, str) else None
        return self._again(asked, body, draw=asked.draw)

    def _ask_again(self, rule: FollowUp, asked: Asked, settled: Settled) -> Asked | None:
        request, facts = asked.call.request, settled.facts
        if facts.status != "truncated":
            return self._again(asked, another_draw(request.body, 1), draw=asked.draw + 1)
        if facts.finish_reason in _NO_LIMIT_HELPS:
            return None
        limit = rule.max_tokens
        if limit is None:
            limit = larger_limit(request, rule.factor or 2.0, used=facts.completion_tokens)
        if limit is not None and rule.up_to is not None:
            limit = min(limit, rule.up_to)
        return self._again(asked, None if limit is None else with_output_limit(request, limit), draw=asked.draw)

    def _again(self, asked: Asked, body: Mapping[str, JsonValue] | None, *, draw: int) -> Asked | None:
        """The same model with another body, or another draw."""
        if body is None:
            return None
        old = asked.call.request
        request = Request(
            endpoint=old.endpoint, model=old.model, body=body, answer_pointer=old.answer_pointer, images=old.images
        )
        call = asked.model.asker.call(request, asked.sample + draw * self._samples, asked.call.provider)
        return replace(asked, call=call, draw=draw)


def _asked(
    call: Call, model: _Model, reason: str | None, rendered: Rendered, sample: int, *, tried: frozenset[int]
) -> Asked:
    return Asked(
        call=call,
        reason=reason,
        rendered=rendered,
        sample=sample,
        model=model,
        tried=tried,
        draw=0,
        used={},
    )


def said_before(call: Call, answer: Answer) -> Settled | None:
    """A recorded answer that is no success, as the end of this asking; None where its text is erased or unreadable."""
    if answer.answer is None:
        return None
    try:
        reply = call.provider.read(call.request, answer.answer)
    except Exception:  # noqa: BLE001 - unreadable, or a defect of the provider: then it is as if nothing had been said
        return None
    status, error = judge(call, reply)
    return Settled(
        call_hash=call.call_hash,
        facts=replace(answer.facts, status=status, error=error),
        reply=reply,
        reused=True,
        attempts=0,
        answered_ns=answer.recorded_ns,
    )
