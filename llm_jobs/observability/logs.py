"""Structured logs: one line per event of note, and every other line of the project's loggers in the same form.

Prompts and answers are in no line unless that is asked for, and keys in none: what others write (messages and
tracebacks of defects) goes through `scrub`. A failure that repeats is told ten times, then at each power of ten with
its count: a million rows without a server make sixteen lines, not a million.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from typing import TextIO

from llm_jobs.events import (
    AlertRaised,
    BatchChanged,
    BudgetReached,
    CallFailed,
    CallRecorded,
    CallReused,
    CallSent,
    CallWaiting,
    ConcurrencyChanged,
    Event,
    JobBroken,
    JobFinished,
    JobStarted,
    ModelCooled,
    QuotaPaused,
    ResultRecorded,
)
from llm_jobs.observability.telemetry import LogFormat

PROJECT = "llm_jobs"
TOLD_EACH = 10
FACTS = "facts"  # the attribute of a record that holds an event's members

_CONTENT = frozenset({"body", "output"})
_LEVELS: dict[type, int] = {
    JobStarted: logging.INFO,
    JobFinished: logging.INFO,
    JobBroken: logging.ERROR,
    ResultRecorded: logging.INFO,
    BatchChanged: logging.INFO,
    BudgetReached: logging.WARNING,
    AlertRaised: logging.WARNING,
    QuotaPaused: logging.WARNING,
    ModelCooled: logging.WARNING,
    CallFailed: logging.WARNING,
    ConcurrencyChanged: logging.DEBUG,
    CallSent: logging.DEBUG,
    CallWaiting: logging.DEBUG,
    CallRecorded: logging.DEBUG,
    CallReused: logging.DEBUG,
}

Scrub = Callable[[str], str]


class EventLog:
    """The listener that writes events to `logger`, as far as its level allows."""

    def __init__(self, logger: logging.Logger, *, content: bool = False) -> None:
        """`content`: prompts and answers stand in the lines that have them."""
        self._logger = logger
        self._hidden = frozenset() if content else _CONTENT
        self._failures: Counter[tuple[str, str, str]] = Counter()
        self.wants = frozenset(kind for kind, level in _LEVELS.items() if logger.isEnabledFor(level))

    def __call__(self, event: Event) -> None:
        kind = type(event)
        members: dict[str, object] = {
            field.name: getattr(event, field.name) for field in fields(event) if field.name not in self._hidden
        }
        level = _LEVELS[kind]
        if isinstance(event, CallFailed):
            if event.retry_in_s is not None:
                level = logging.DEBUG  # a retry is everyday work
            elif not self._is_told(event, members):
                return
        self._logger.log(level, snake_case(kind.__name__), extra={FACTS: members})

    def _is_told(self, event: CallFailed, members: dict[str, object]) -> bool:
        alike = (event.job_hash, event.model, event.error)
        self._failures[alike] += 1
        count = self._failures[alike]
        if count > TOLD_EACH:
            members["count"] = count
        return count <= TOLD_EACH or str(count).strip("0") == "1"


def snake_case(name: str) -> str:
    """`JobStarted` as `job_started`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class _Formatter(logging.Formatter):
    """One line per record: its time, level and logger, what happened, and the facts."""

    def __init__(self, scrub: Scrub) -> None:
        super().__init__()
        self._scrub = scrub

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, FACTS, None)
        if facts is not None:
            return self._line(record, record.msg, facts)
        told: dict[str, object] = {}
        if record.exc_info:
            told["traceback"] = self._scrub(self.formatException(record.exc_info))
        return self._line(record, self._scrub(record.getMessage()), told)

    def _line(self, record: logging.LogRecord, event: str, facts: Mapping[str, object]) -> str:
        raise NotImplementedError


class JsonFormatter(_Formatter):
    """A line is one JSON object in ASCII: `time`, `level`, `logger`, `event`, then the facts."""

    def _line(self, record: logging.LogRecord, event: str, facts: Mapping[str, object]) -> str:
        head = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name, "event": event}
        return json.dumps({**head, **facts}, separators=(",", ":"), default=str)


class TextFormatter(_Formatter):
    """The same for people: `2026-11-21T09:00:00.000Z info job_started name="reviews" rows=25`."""

    def _line(self, record: logging.LogRecord, event: str, facts: Mapping[str, object]) -> str:
        # JSON's escapes keep control characters and line breaks of names and errors out of terminals.
        told = " ".join(
            f"{name}={json.dumps(value, default=str)}" for name, value in facts.items() if value is not None
        )
        shown = event if event.isprintable() else json.dumps(event)
        return f"{_time(record)} {record.levelname.lower()} {shown} {told}".rstrip()


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def logged(form: LogFormat, *, level: str, scrub: Scrub, stream: TextIO | None = None) -> Iterator[EventLog]:
    """Write the project's log in `form` to `stream` (standard error) while the block runs."""
    logger = logging.getLogger(PROJECT)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(scrub) if form == "json" else TextFormatter(scrub))
    before = (logger.level, logger.propagate)
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False  # a handler of the root would write the same line again
    try:
        yield EventLog(logger)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
