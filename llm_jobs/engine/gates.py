"""What one model allows: its quota, which all processes share, as many calls at once as it is found to bear here, and
what a call to it may use.

A lane that states its concurrency is not held to what is found: it was told. Its quota holds all the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from llm_jobs.errors import CallError, RateLimited
from llm_jobs.events import ConcurrencyChanged, Listener, QuotaPaused, RequestSent, ignore, wants
from llm_jobs.limits.adaptive import AdaptiveConcurrency
from llm_jobs.limits.base import HOT_PER_COLD, NO_LIMITS, NOTHING, Cost, Limits
from llm_jobs.limits.estimates import LearnedTokens
from llm_jobs.limits.headers import observed
from llm_jobs.limits.limiter import Limiter, Permit
from llm_jobs.providers.base import Reply, Request

if TYPE_CHECKING:
    from llm_jobs.engine.calls import Call, Lane

HEARD_EVERY_S = 0.1  # headers tell the same again and again
MOST_LEARNED = 1_000  # steps whose calls' usage is remembered


class Worst(NamedTuple):
    """What a call may use at most. None: no bound is known."""

    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None

    @property
    def tokens(self) -> int | None:
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


UNKNOWN = Worst(None, None, None)


def _unknown(request: Request) -> Worst:
    return UNKNOWN


class ModelGate:
    """One model, as all lanes of this process share it.

    `limits` is asked at each call and tells what holds now; `limiter` keeps them. `output_limit`: the most tokens of an
    answer, where that is known. `reserves_worst`: a call's tokens are reserved by their bound, not by what such calls
    used before. `emit` hears of each request, how many calls at once are found, and of pauses. `now_ns`: the wall
    clock, for dates in headers.
    """

    def __init__(
        self,
        *,
        limiter: Limiter | None = None,
        limits: Callable[[], Limits] = lambda: NO_LIMITS,
        adaptive: AdaptiveConcurrency | None = None,
        worst: Callable[[Request], Worst] = _unknown,
        output_limit: Callable[[Request], int | None] = lambda request: None,
        reserves_worst: bool = False,
        model: str = "",
        emit: Listener = ignore,
        now_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self.limiter = limiter
        self.adaptive = adaptive
        self.worst = worst
        self.stalled: OrderedDict[Lane, None] = OrderedDict()  # have calls for this model, and no room for them
        self._limits = limits
        self._output_limit = output_limit
        self._reserves_worst = reserves_worst
        self._model = model
        self._emit = emit
        self._tells_requests = wants(emit, RequestSent)
        self._now_ns = now_ns
        self._hear_from_s = -HEARD_EVERY_S
        self._at_once = adaptive.limit if adaptive else 0
        self._in_flight = 0  # of lanes that are held to what is found
        self._hot_run = 0
        self._learned: OrderedDict[tuple[str, str], LearnedTokens] = OrderedDict()

    def has_room(self, lane: Lane) -> bool:
        """May one more call of `lane` be in flight?"""
        return self.adaptive is None or lane.is_fixed or self._in_flight < self.adaptive.limit

    def room(self) -> int:
        """How many more calls may be in flight, of lanes that are held to what is found."""
        return 0 if self.adaptive is None else max(0, self.adaptive.limit - self._in_flight)

    def next_lane(self) -> Lane | None:
        """Who waits here and goes next: hot lanes before cold ones, of ten one is cold while cold waits; in turn within
        a class. It is taken off the list."""
        hot = next((lane for lane in self.stalled if lane.line.priority == "hot"), None)
        cold = next((lane for lane in self.stalled if lane.line.priority == "cold"), None)
        chosen = cold if hot is None or (cold is not None and self._hot_run >= HOT_PER_COLD) else hot
        if chosen is not None:
            del self.stalled[chosen]
            self._hot_run = self._hot_run + 1 if chosen is hot and cold is not None else 0
        return chosen

    def cost(self, lane: Lane, calls: Sequence[Call]) -> Cost:
        """What is reserved of the quota for one request that carries `calls`."""
        limits = self._limits()
        if not limits.counts_tokens:
            return NOTHING
        costs = [
            (self._reserves_worst and self._bound(call, limits)) or self._expected(lane, call, limits) for call in calls
        ]
        return costs[0] if len(costs) == 1 else _sum(costs)

    def entered(self, lane: Lane, now_s: float) -> None:
        """A request of `lane` is sent."""
        if self._tells_requests:
            self._emit(RequestSent(lane.job_hash, self._model))
        if self.adaptive is not None and not lane.is_fixed:
            self._in_flight += 1
            self.adaptive.sent(now_s)

    def heard(self, headers: Mapping[str, str], now_s: float) -> None:
        """What the vendor's headers tell of its own counts corrects the quota, for every process."""
        if now_s >= self._hear_from_s:
            self._hear(headers, now_s)

    def _hear(self, headers: Mapping[str, str], now_s: float) -> None:
        if self.limiter is None or not self._limits().windowed:
            return
        self._hear_from_s = now_s + HEARD_EVERY_S
        told = observed(headers, now_ns=self._now_ns())
        if told is not None:
            self.limiter.observe(told)

    def left(
        self,
        lane: Lane,
        calls: Sequence[Call],
        outcome: Sequence[Reply | None] | CallError | None,
        permit: Permit | None,
        *,
        sent_s: float,
        now_s: float,
    ) -> None:
        """It ended: with replies, with an error, or, where `outcome` is None, by being cancelled."""
        if permit is not None:
            self._settle(lane, calls, outcome, permit)
        if isinstance(outcome, RateLimited) and self.limiter is not None:
            self._refused(outcome, self.limiter, now_s)
        if self.adaptive is not None and not lane.is_fixed:
            self._in_flight -= 1
            self._adapt(self.adaptive, outcome, now_s, now_s - sent_s)

    async def aclose(self) -> None:
        """Give what is held of the quota back."""
        if self.limiter is not None:
            await self.limiter.aclose()

    def _refused(self, error: RateLimited, limiter: Limiter, now_s: float) -> None:
        """What a refusal tells holds at once, for every process."""
        self._hear(error.counts, now_s)
        if error.wait_s:
            self._emit(QuotaPaused(self._model, limiter.pause(error.wait_s), "the provider asked for it"))

    def _settle(
        self, lane: Lane, calls: Sequence[Call], outcome: Sequence[Reply | None] | CallError | None, permit: Permit
    ) -> None:
        if permit.cost is not NOTHING and outcome is not None:
            permit.settle(_used_by(outcome) if isinstance(outcome, CallError) else self._used(lane, calls, outcome))
        permit.release()

    def _used(self, lane: Lane, calls: Sequence[Call], replies: Sequence[Reply | None]) -> Cost | None:
        used = []
        for call, reply in zip(calls, replies, strict=True):
            if reply is None or reply.usage.prompt_tokens is None:
                return None
            usage = reply.usage
            used.append(Cost(usage.prompt_tokens or 0, usage.completion_tokens or 0))
            self._learned_of(lane, call).learn(
                call.request.size(), input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens
            )
        return used[0] if len(used) == 1 else _sum(used)

    def _bound(self, call: Call, limits: Limits) -> Cost | None:
        """The worst case as far as the quota counts it; None where it is not known."""
        worst = self.worst(call.request)
        counts_output = limits.tokens_per_minute is not None or limits.output_tokens_per_minute is not None
        if worst.input_tokens is None or (worst.output_tokens is None and counts_output):
            return None
        return Cost(worst.input_tokens, worst.output_tokens or 0)

    def _expected(self, lane: Lane, call: Call, limits: Limits) -> Cost:
        longest = self._output_limit(call.request)
        prompt, completion = self._learned_of(lane, call).estimate(call.request.size(), longest)
        return Cost(prompt, completion).within(limits)

    def _learned_of(self, lane: Lane, call: Call) -> LearnedTokens:
        key = (lane.job_hash, call.step)
        learned = self._learned.get(key)
        if learned is None:
            learned = self._learned[key] = LearnedTokens()
            if len(self._learned) > MOST_LEARNED:
                self._learned.popitem(last=False)
        return learned

    def _adapt(
        self,
        adaptive: AdaptiveConcurrency,
        outcome: Sequence[Reply | None] | CallError | None,
        now_s: float,
        latency_s: float,
    ) -> None:
        if isinstance(outcome, RateLimited):
            adaptive.limited(now_s, latency_s)
        elif outcome is None or isinstance(outcome, CallError):
            adaptive.failed(now_s)
        else:
            adaptive.answered(now_s, latency_s, _tokens(outcome))
        if adaptive.limit != self._at_once:
            self._at_once = adaptive.limit
            self._emit(ConcurrencyChanged(self._model, adaptive.limit, adaptive.state().phase))


def _sum(costs: Sequence[Cost]) -> Cost:
    return Cost(sum(cost.input_tokens for cost in costs), sum(cost.output_tokens for cost in costs))


def _used_by(error: CallError) -> Cost | None:
    """A refusal used no tokens. Of what was cut off or ran out of time nobody knows, and the estimate stays."""
    return None if error.was_sent and error.http_status is None else NOTHING


def _tokens(replies: Sequence[Reply | None]) -> int | None:
    """What was written, where all of it is known."""
    total = 0
    for reply in replies:
        if reply is None or reply.usage.completion_tokens is None:
            return None
        total += reply.usage.completion_tokens
    return total
