"""What happened between two moments: calls in flight, answers, latencies, tokens; and the throughput that they mean."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Window:
    """Sums over the answers since `start`. Times in seconds; `last_s` is the time of the latest event."""

    start_s: float = 0.0
    last_s: float = 0.0
    call_seconds: float = 0.0  # calls in flight, integrated over time
    answers: int = 0
    failures: int = 0
    latency_s: float = 0.0
    latency_squared: float = 0.0
    untold: int = 0  # answers without a number of tokens
    tokens: float = 0.0
    tokens_squared: float = 0.0
    token_seconds: float = 0.0  # tokens times latency
    usual_tokens: float = 0.0  # per answer, when they were first told: makes tokens comparable with answers

    def start(self, now_s: float) -> None:
        """Begin again; what is usual stays."""
        if not self.usual_tokens and self.answers and not self.untold:
            self.usual_tokens = self.tokens / self.answers
        self.start_s = self.last_s = now_s
        self.call_seconds = self.latency_s = self.latency_squared = 0.0
        self.tokens = self.tokens_squared = self.token_seconds = 0.0
        self.answers = self.failures = self.untold = 0

    def pass_time(self, now_s: float, in_flight: int) -> None:
        self.call_seconds += in_flight * (now_s - self.last_s)
        self.last_s = now_s

    def answer(self, now_s: float, in_flight: int, latency_s: float, tokens: int | None) -> None:
        """As `pass_time`, and an answer. Called for every call: one method, no helpers."""
        self.call_seconds += in_flight * (now_s - self.last_s)
        self.last_s = now_s
        self.answers += 1
        self.latency_s += latency_s
        self.latency_squared += latency_s * latency_s
        if tokens is None:
            self.untold += 1
        else:
            self.tokens += tokens
            self.tokens_squared += tokens * tokens
            self.token_seconds += tokens * latency_s

    def mean_in_flight(self) -> float:
        elapsed_s = self.last_s - self.start_s
        return self.call_seconds / elapsed_s if elapsed_s > 0 else 0.0

    def throughput(self) -> float:
        """Answers per second, 0 where nothing can be said.

        By Little's law: calls in flight over mean latency. A count over the time would be off by what had begun before
        and what had not ended yet, which is as much as a round trip. That count bounds it all the same: a client that
        is slower than its server answers no more calls than it does. Where answers have lengths, and these explain
        the latencies, it is the throughput of tokens, in answers of the usual length.
        """
        in_flight = self.mean_in_flight()
        if self.answers < 4 or self.latency_s <= 0 or in_flight <= 0:
            return 0.0
        rate = self.answers / self.latency_s
        counted = (self.answers + in_flight) / (self.last_s - self.start_s)
        if self.usual_tokens and not self.untold and self.tokens and self._tokens_explain_latency():
            rate = self.tokens / self.latency_s / self.usual_tokens
            counted *= self.tokens / self.answers / self.usual_tokens
        share = self.answers / (self.answers + self.failures)
        return min(in_flight * rate, counted) * share

    def _tokens_explain_latency(self) -> bool:
        """Whether tokens over latency varies less than answers over latency, by the variance of a ratio of sums."""
        answers, usual = self.answers, self.tokens / self.answers
        per_second = self.tokens / self.latency_s
        of_tokens = self.tokens_squared - 2 * per_second * self.token_seconds + per_second**2 * self.latency_squared
        of_answers = answers * answers * self.latency_squared / self.latency_s**2 - answers
        return of_tokens / usual**2 < of_answers
