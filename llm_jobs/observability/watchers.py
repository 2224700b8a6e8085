"""Watches jobs while they run: counts, judges the conditions of their alerts, tells their metrics and their end.

Works in the event loop's thread, where rows come to their end; what a job's last thread tells is judged there too, so
that no alert is judged twice at once. A watcher does not raise, sends over its outbox and waits for nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial

from llm_jobs.documents.watched import Channel, Watching
from llm_jobs.events import (
    NOTHING,
    AlertRaised,
    Event,
    JobBroken,
    JobFinished,
    JobMeasured,
    JobStarted,
    Listener,
    RowCompleted,
    broadcast,
    wanted,
    wants,
)
from llm_jobs.observability.alerts import Judge, Raised
from llm_jobs.observability.figures import Figures
from llm_jobs.observability.messages import Subject, alert_message, end_message
from llm_jobs.observability.outbox import Outbox

LOG = logging.getLogger(__name__)
LOOK_EVERY_S = 2.0
LOOK_AT_ROWS_EVERY_S = 0.25
_OWN = frozenset({JobStarted, RowCompleted, JobFinished, JobBroken})
IsFirst = Callable[[str, int], bool]
_TOLD_AT_END = ("execution_time", "error_rate", "token_usage", "cost_usd")


def alone(about: str, number: int) -> bool:
    """Where no other process can run the job, this one is the first to tell of everything."""
    return True


class JobWatcher:
    """Watches one job in one run."""

    def __init__(
        self,
        about: Subject,
        watching: Watching,
        *,
        figures: Figures,
        listeners: Sequence[Listener],
        tell: Listener,
        outbox: Outbox,
        models: frozenset[str] = frozenset(),
        is_first: IsFirst = alone,
    ) -> None:
        """`listeners`: the job's log and what exports its metrics; `tell`: whoever listens to the run; `models`: those
        that the job may ask, whose pauses concern it; `is_first`: of the processes that run the job, whether this one
        tells about something for the so-many-th time. It may block: the outbox asks it."""
        self.models = models
        self._is_first = is_first
        self._about = about
        self._watching = watching
        self._figures = figures
        self._judge = Judge(watching.alerts)
        self._hear = broadcast(figures, *listeners)
        self._tell = broadcast(tell, *listeners)
        self._outbox = outbox
        self._running = False
        self._looked_s = -math.inf
        self._heard = wanted(self._hear)
        self.wants = None if self._heard is None else self._heard | _OWN

    def __call__(self, event: Event) -> None:
        if self._heard is None or type(event) in self._heard:
            self._hear(event)
        if isinstance(event, JobStarted):
            self._running = True

    def row_ended(self, now_s: float) -> None:
        """Look, unless that was done a moment ago."""
        if now_s - self._looked_s >= LOOK_AT_ROWS_EVERY_S:
            self._looked_s = now_s
            self.look()

    def look(self) -> None:
        """Judge the alerts, and tell the metrics as they stand."""
        if self._running:
            self._look(self._figures.values())

    def end(self, event: JobFinished | JobBroken) -> None:
        """The same for the last time, and the message at the end."""
        self._running = False
        metrics = self._figures.values()
        self._look(metrics)
        for condition in self._judge.unknown():
            LOG.warning("job %s: %r could not be judged: a metric was not known", self._about.job_hash, condition)
        if self._watching.tells_end:
            told = {name: metrics[name] for name in _TOLD_AT_END}
            status = event.status if isinstance(event, JobFinished) else "stopped"
            may = partial(self._may, f"end {status}", 1)
            self._outbox.send(end_message(self._about, event, told), self._watching.channels, may=may)

    def _look(self, metrics: dict[str, float]) -> None:
        self._raise(list(self._judge.judge(metrics)))
        if (monitoring := self._watching.monitoring) is not None:
            stated = {name: metrics[name] for name in monitoring.metrics}
            self._emit(JobMeasured(self._about.job_hash, self._about.name, stated))

    def _raise(self, raised: Sequence[Raised]) -> None:
        """Send each; one condition over several channels is one fact."""
        about = self._about
        for condition, metrics in {each.alert.condition: each.metrics for each in raised}.items():
            self._emit(AlertRaised(about.job_hash, about.name, condition, metrics))
        for each in raised:
            may = partial(self._may, f"alert {each.alert.condition}", each.number)
            self._outbox.send(alert_message(about, each), [each.alert.channel], may=may)

    def _may(self, about: str, number: int, channel: Channel) -> bool:
        return self._is_first(f"{about} {channel!r}", number)

    def _emit(self, event: JobMeasured | AlertRaised) -> None:
        if wants(self._tell, type(event)):
            self._tell(event)


class Board:
    """Passes each event on to the watcher of its job; one about a model to every job that may ask it."""

    def __init__(self, watchers: dict[str, JobWatcher], *, loop: asyncio.AbstractEventLoop) -> None:
        """`watchers` by job hash; `loop`: where they are judged."""
        self._watchers = watchers
        self._loop = loop
        heard = [watcher.wants for watcher in watchers.values()]
        self.wants = None if None in heard else NOTHING.union(*(kinds for kinds in heard if kinds is not None))

    def __call__(self, event: Event) -> None:
        job_hash = getattr(event, "job_hash", None)
        if job_hash is None:
            self._about_model(event)
            return
        watcher = self._watchers.get(job_hash)
        if watcher is None:
            return
        watcher(event)
        if isinstance(event, RowCompleted):
            watcher.row_ended(self._loop.time())
        elif isinstance(event, JobFinished | JobBroken):
            self._loop.call_soon_threadsafe(watcher.end, event)

    def _about_model(self, event: Event) -> None:
        model = getattr(event, "model", None)
        for watcher in self._watchers.values():
            if model is None or model in watcher.models:
                watcher(event)

    async def keep_looking(self) -> None:
        """Look at every job each `LOOK_EVERY_S` seconds: time passes for those too in which no row ends."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for watcher in self._watchers.values():
                watcher.look()
