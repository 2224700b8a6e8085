"""Which models are well: one that failed too often in a row is left in peace for a while, then tried with one call.

A circuit breaker (M. Nygard, "Release It!", 2007): closed, open for a growing time, half open for one probe. Pure:
time is an argument, in seconds of any clock that does not go back. A 429 says "later", not "broken": whoever tells of
failures leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

FAILURES = 5  # in a row
FIRST_S = 10.0
LONGEST_S = 600.0
PROBE_S = 60.0  # a probe of which nothing was heard for so long is followed by another


class ModelHealth:
    """One model, as the calls of this process met it."""

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        first_s: float = FIRST_S,
        longest_s: float = LONGEST_S,
        probe_s: float = PROBE_S,
        cooled: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`cooled` hears for how long the model is left in peace, each time."""
        self._most_failures = failures
        self._first_s = first_s
        self._longest_s = longest_s
        self._probe_s = probe_s
        self._cooled = cooled
        self._failures = 0
        self._coolings = 0  # since it last answered
        self._until_s = 0.0
        self.waiting: set[Callable[[], object]] = set()  # each is called when it is left in peace

    def is_cooling(self, now_s: float) -> bool:
        """Left in peace at this time. Changes nothing."""
        return self._coolings > 0 and now_s < self._until_s

    def admits(self, now_s: float) -> bool:
        """May a call be sent now? After a cooling the one that is told so first is the probe, and the others wait."""
        if not self._coolings:
            return True
        if now_s < self._until_s:
            return False
        self._until_s = now_s + self._probe_s
        return True

    def answered(self) -> None:
        """It answered, whatever it said."""
        self._failures = self._coolings = 0

    def failed(self, now_s: float, *, probe: bool) -> None:
        """A call failed that may succeed later. `probe`: it was admitted after a cooling."""
        self._failures += 1
        if probe or (not self._coolings and self._failures >= self._most_failures):
            lasts_s = min(self._first_s * 2.0**self._coolings, self._longest_s)
            self._until_s = now_s + lasts_s
            self._coolings += 1
            self._cooled(lasts_s)
            for wake in list(self.waiting):
                wake()

    @property
    def coolings(self) -> int:
        """How often in a row it was left in peace; 0 while it is well."""
        return self._coolings


class Health:
    """Every model by its name. `cooled` hears which of them is left in peace, and for how long."""

    def __init__(self, cooled: Callable[[str, float], None] = lambda model, seconds: None) -> None:
        self._models: dict[str, ModelHealth] = {}
        self._cooled = cooled

    def of(self, model: str) -> ModelHealth:
        if model not in self._models:
            self._models[model] = ModelHealth(cooled=partial(self._cooled, model))
        return self._models[model]
