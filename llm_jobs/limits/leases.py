"""What one process has leased of a quota, and what it has to tell the store about it.

A block is what is left of one grant, in the slot of that grant, and good for a moment. Corrections are sums per slot.
No loop and no clock in here: times are arguments, in the seconds of whoever calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from llm_jobs.errors import PermanentError
from llm_jobs.limits.base import Ask, Correction, Cost, Grant, Limits, Run


@dataclass(slots=True)
class Block:
    """What is left of a grant of `size` calls."""

    slot: int
    until_s: float
    size: int
    requests: int
    input_tokens: int
    output_tokens: int


class Leases:
    """Blocks, oldest first, corrections that are not told yet, and what was drawn since the last exchange."""

    def __init__(self) -> None:
        self._blocks: deque[Block] = deque()
        self._corrections: dict[int, list[int]] = {}
        self._drawn = [0, 0, 0]  # calls, input and output tokens

    @property
    def owes(self) -> bool:
        """Is there anything to tell?"""
        return bool(self._corrections)

    @property
    def drawn(self) -> int:
        """Calls since the last exchange."""
        return self._drawn[0]

    @property
    def is_low(self) -> bool:
        """Is less than half left of the newest block?"""
        return bool(self._blocks) and 2 * self._blocks[-1].requests <= self._blocks[-1].size

    @property
    def first_ends_s(self) -> float | None:
        return self._blocks[0].until_s if self._blocks else None

    def add(self, ask: Ask, grant: Grant, until_s: float) -> None:
        """Keep what was granted of what was asked."""
        requests = input_tokens = output_tokens = 0
        for runs, left in ((ask.hot, grant.hot), (ask.cold, grant.cold), ((ask.ahead,), grant.ahead)):
            for times, of_input, of_output in runs:
                granted = min(left, times)
                left -= granted
                requests += granted
                input_tokens += granted * of_input
                output_tokens += granted * of_output
        if requests:
            self._blocks.append(Block(grant.slot, until_s, requests, requests, input_tokens, output_tokens))

    def draw(self, cost: Cost, now_s: float) -> Block | None:
        """Take one call from the oldest block that has room for it; None where none has."""
        input_tokens, output_tokens = cost.input_tokens, cost.output_tokens
        for block in self._blocks:
            if (
                now_s < block.until_s
                and block.requests > 0
                and block.input_tokens >= input_tokens
                and block.output_tokens >= output_tokens
            ):
                block.requests -= 1
                block.input_tokens -= input_tokens
                block.output_tokens -= output_tokens
                return block
        return None

    def count(self, cost: Cost) -> None:
        """A call was let go."""
        drawn = self._drawn
        drawn[0] += 1
        drawn[1] += cost.input_tokens
        drawn[2] += cost.output_tokens

    def expected(self, calls_ahead: float, *, windowed: bool) -> Run:
        """The calls of the next moment, less those that are leased, if they come as they came since the last exchange.
        `calls_ahead`: the length of that moment in the time since then. Counting begins again."""
        calls, input_tokens, output_tokens = self._drawn
        self._drawn = [0, 0, 0]
        expected = int(calls * calls_ahead)
        if windowed:
            expected -= sum(block.requests for block in self._blocks)
        if expected <= 0:
            return (0, 0, 0)
        return (expected, -(-input_tokens // calls), -(-output_tokens // calls))

    def end(self, now_s: float) -> None:
        """What is left of the blocks whose time is over is to be given back."""
        while self._blocks and (self._blocks[0].until_s <= now_s or self._blocks[0].requests == 0):
            block = self._blocks.popleft()
            if block.requests or block.input_tokens or block.output_tokens:
                self.correct(block.slot, -block.requests, -block.input_tokens, -block.output_tokens)

    def correct(self, slot: int, requests: int, input_tokens: int, output_tokens: int) -> None:
        entry = self._corrections.get(slot)
        if entry is None:
            entry = self._corrections[slot] = [0, 0, 0]
        entry[0] += requests
        entry[1] += input_tokens
        entry[2] += output_tokens

    def corrected(self) -> tuple[Correction, ...]:
        """What is to be told, which is told then."""
        corrections, self._corrections = self._corrections, {}
        return tuple((slot, r, i, o) for slot, (r, i, o) in corrections.items() if r or i or o)

    def not_heard(self, corrections: Iterable[Correction]) -> None:
        """Nobody knows whether the store heard these: what was used beyond the estimate is told again, what was given
        back is not."""
        for slot, *amounts in corrections:
            if any(amount > 0 for amount in amounts):
                requests, input_tokens, output_tokens = (max(0, amount) for amount in amounts)
                self.correct(slot, requests, input_tokens, output_tokens)

    def clear(self) -> None:
        """There is no limit any more: nothing is leased and nothing owed."""
        self._blocks.clear()
        self._corrections.clear()


def check_size(model: str, cost: Cost, limits: Limits) -> None:
    """Raise PermanentError for a call to `model` that not even an idle minute has room for."""
    for what, amount, most, remedy in (
        (
            "tokens",
            cost.input_tokens + cost.output_tokens,
            limits.tokens_per_minute,
            "shorten the prompt, lower max_tokens",
        ),
        ("input tokens", cost.input_tokens, limits.input_tokens_per_minute, "shorten the prompt"),
        ("output tokens", cost.output_tokens, limits.output_tokens_per_minute, "lower max_tokens"),
    ):
        if most is not None and amount > most:
            raise PermanentError(
                f"the call may use {amount:,} {what}, and the quota of {model} is {most:,} a minute: it can never be "
                f"sent; {remedy} or raise the model's quota"
            )
