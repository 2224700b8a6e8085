"""Windows of time as clocks on the wall show them: is one open, and when does it open next.

A time that clocks skip (spring) opens nothing on that day; one that they show twice (autumn) counts both times.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from llm_jobs.documents.launch_rules import TimeWindow

_DAY_S = 24 * 3600
_DAYS_LOOKED_AT = 3  # a day whose opening time is skipped has a neighbour whose is not


def is_open(window: TimeWindow, now_ns: int) -> bool:
    """Is it within the window at `now_ns`, nanoseconds since 1970?"""
    local = datetime.fromtimestamp(now_ns // 1_000_000_000, ZoneInfo(window.timezone))
    second = local.hour * 3600 + local.minute * 60 + local.second
    if window.start_s < window.end_s:
        return window.start_s <= second < window.end_s
    return second >= window.start_s or second < window.end_s


def opens_at(window: TimeWindow, now_ns: int) -> datetime:
    """When the window opens next, in its zone; `now_ns` if it is open."""
    zone = ZoneInfo(window.timezone)
    now = datetime.fromtimestamp(now_ns // 1_000_000_000, zone)
    if is_open(window, now_ns):
        return now
    for days in range(_DAYS_LOOKED_AT):
        opening = _moment(now.date() + timedelta(days=days), window.start_s, zone)
        if opening >= now and is_open(window, int(opening.timestamp()) * 1_000_000_000):
            return opening
    return _moment(now.date() + timedelta(days=_DAYS_LOOKED_AT), window.start_s, zone)


def _moment(day: date, second: int, zone: ZoneInfo) -> datetime:
    """When clocks show `second` of `day`; where they skip it, as long after midnight as it would have been."""
    shown = datetime.combine(day, time(), zone).replace(
        hour=second // 3600, minute=second % 3600 // 60, second=second % 60
    )
    return shown.astimezone(UTC).astimezone(zone)


def in_words(window: TimeWindow) -> str:
    """`22:00-06:00 Europe/Paris`."""
    return f"{_clock(window.start_s)}-{_clock(window.end_s)} {window.timezone}"


def _clock(second: int) -> str:
    hours, rest = divmod(second, 3600)
    shown = f"{hours:02}:{rest // 60:02}"
    return f"{shown}:{rest % 60:02}" if rest % 60 else shown
