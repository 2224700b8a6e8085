"""When a job's alerts are raised: once each time that a condition begins to hold.

Pure: whoever judges hands in the metrics and sends what comes of it. An episode lasts from where a condition begins to
hold to where it holds no more; a job's end ends them all. An alert is raised at most `MOST_EPISODES` times in a run, so
that a number that sways about a bound fills nobody's mailbox.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llm_jobs.documents.expressions import Expression, compile_expression
from llm_jobs.documents.watched import Alert
from llm_jobs.errors import RowError

MOST_EPISODES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Raised:
    """An alert whose condition began to hold, the `number`-th time in this run. `metrics`: those that it reads;
    `is_last`: it will not be raised again in this run."""

    alert: Alert
    metrics: Mapping[str, float]
    is_last: bool
    number: int = 1


@dataclass(kw_only=True, slots=True, eq=False)
class _Episode:
    alert: Alert
    expression: Expression
    holds: bool = False
    raised: int = 0
    known: bool = False  # its metrics were known at least once

    def judge(self, metrics: Mapping[str, float]) -> bool:
        """Whether an episode begins."""
        held, self.holds = self.holds, self._holds(metrics)
        if not self.holds or held or self.raised >= MOST_EPISODES:
            return False
        self.raised += 1
        return True

    def _holds(self, metrics: Mapping[str, float]) -> bool:
        """What cannot be judged, for a number is not known or divided by zero, does not hold."""
        read = {name: metrics[name] for name in self.expression.names}
        self.known = self.known or not any(map(math.isnan, read.values()))
        try:
            return self.expression.is_true(read)
        except RowError:
            return False


class Judge:
    """The alerts of one job in one run."""

    def __init__(self, alerts: Sequence[Alert]) -> None:
        """Raises DocumentError for a condition that is no expression; documents with such are refused before."""
        self._episodes = [
            _Episode(alert=alert, expression=compile_expression(alert.condition, where="the condition of an alert"))
            for alert in alerts
        ]

    def judge(self, metrics: Mapping[str, float]) -> Iterator[Raised]:
        """Those that are raised now."""
        for episode in self._episodes:
            if episode.judge(metrics):
                read = {name: metrics[name] for name in sorted(episode.expression.names)}
                number = episode.raised
                yield Raised(alert=episode.alert, metrics=read, is_last=number == MOST_EPISODES, number=number)

    def unknown(self) -> list[str]:
        """Conditions that could never be judged: a number that they read was not known all the time."""
        return list(dict.fromkeys(each.alert.condition for each in self._episodes if not each.known))
