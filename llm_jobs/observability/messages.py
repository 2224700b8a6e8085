"""What people are told about a job: plain text with its name, hash, what happened and the numbers. No row content.

A job's name is somebody's text: control characters are shown as escapes, so that it adds no header and no line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from llm_jobs.events import JobBroken, JobFinished
from llm_jobs.observability.alerts import Raised

Kind = Literal["alert", "end", "undelivered"]
_MOST_SUBJECT = 200
_LAST = "This alert was raised often in this run and is not sent again before the next one."


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The job that a message is about. `link`: where its run is shown, if that is known."""

    name: str
    job_hash: str
    link: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """`title` says what happened in half a line; `metrics` are the numbers that belong to it."""

    kind: Kind
    about: Subject
    title: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str | None = None
    condition: str | None = None

    @property
    def subject(self) -> str:
        """One printable line."""
        return _visible(f"[llm-jobs] {self.about.name}: {self.title}")[:_MOST_SUBJECT]

    @property
    def text(self) -> str:
        """Some lines for a person."""
        lines = [f"Job: {_visible(self.about.name)}", f"Hash: {self.about.job_hash}", _visible(self.title)]
        lines += [f"{name} = {_number(value)}" for name, value in self.metrics.items()]
        lines += [_visible(line) for line in (self.note, self.about.link) if line]
        return "\n".join(lines)

    def members(self) -> dict[str, object]:
        """The message as JSON values, for programs."""
        return {
            "kind": self.kind,
            "job": self.about.name,
            "job_hash": self.about.job_hash,
            "condition": self.condition,
            "metrics": {name: value if math.isfinite(value) else None for name, value in self.metrics.items()},
            "subject": self.subject,
            "text": self.text,
            "link": self.about.link,
        }


def alert_message(about: Subject, raised: Raised) -> Message:
    """A condition began to hold."""
    return Message(
        kind="alert",
        about=about,
        title=raised.alert.condition,
        condition=raised.alert.condition,
        metrics=raised.metrics,
        note=_LAST if raised.is_last else None,
    )


def end_message(about: Subject, event: JobFinished | JobBroken, metrics: Mapping[str, float]) -> Message:
    """The job ended."""
    if isinstance(event, JobBroken):
        return Message(kind="end", about=about, title=f"stopped without a result: {event.error}", metrics=metrics)
    title = f"{event.status}, {event.succeeded} of {event.rows} rows succeeded"
    return Message(kind="end", about=about, title=title, metrics=metrics)


def undelivered_message(about: Subject, places: Sequence[str]) -> Message:
    """A result did not reach `places`, which hold no credential."""
    return Message(kind="undelivered", about=about, title=f"the result was not delivered to {', '.join(places)}")


def _number(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.6g}" if isinstance(value, float) else str(value)


def _visible(text: str) -> str:
    """One line in which every control character is an escape."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
