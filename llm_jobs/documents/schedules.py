"""The shape of a schedule: cron expressions of five fields (POSIX crontab, with names and steps) and time zones.

Only the shape: when a schedule ticks is Dagster's. Both checks raise ValueError subclasses that pydantic reports.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo

from pydantic_core import PydanticCustomError

MACROS = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly")

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, lowest and highest value, names of the values from the lowest on.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of the months, in a leap year
_PART = re.compile(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]+))?")


def check_cron(text: str) -> str:
    """`text` if it is a cron expression. Raises ValueError that names the field at fault."""
    if text in MACROS:
        return text
    fields = text.lower().split()
    if len(fields) != len(_FIELDS):
        raise _no_cron(f"has {len(fields)} fields")
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if not _is_part(part, low, high, names):
                raise _no_cron(f"has the {name} {part!r}, which is outside {low}-{high} or not of the form a-b/step")
    _, _, days, months, weekdays = fields
    if weekdays == "*" and not _comes(days, months):
        raise _no_cron(f"never comes: no month of {months!r} has a day of {days!r}")
    return text


def cron_pattern() -> str:
    """A regular expression that fits every cron expression: all that `check_cron` sees but the order of a range and
    days that never come."""
    fields = r"\s+".join(_field_pattern(low, high, names) for _, low, high, names in _FIELDS)
    return rf"^(?:{'|'.join(MACROS)}|\s*{fields}\s*)$"


def _field_pattern(low: int, high: int, names: tuple[str, ...]) -> str:
    numbers = "|".join(map(str, range(low, high + 1)))
    words = ["".join(f"[{letter.upper()}{letter}]" for letter in name) for name in names]
    one = f"(?:{'|'.join([f'0*(?:{numbers})', *words])})"
    part = rf"(?:(?:\*|{one}(?:-{one})?)(?:/[0-9]+)?)"
    return f"{part}(?:,{part})*"


def _comes(days: str, months: str) -> bool:
    """Has one of the months one of the days?"""
    _, _, (_, low_day, high_day, _), (_, low_month, high_month, names), _ = _FIELDS
    first_day = min(_first(part, low_day, ()) for part in days.split(","))
    longest = max(
        _LONGEST[month - 1]
        for month in range(low_month, high_month + 1)
        if any(_holds(part, month, low_month, high_month, names) for part in months.split(","))
    )
    return first_day <= min(longest, high_day)


def _first(part: str, low: int, names: tuple[str, ...]) -> int:
    match = _PART.fullmatch(part)
    return low if match is None or match[1] == "*" else _number(match[1], low, names)


def _holds(part: str, value: int, low: int, high: int, names: tuple[str, ...]) -> bool:
    match = _PART.fullmatch(part)
    assert match is not None
    first = low if match[1] == "*" else _number(match[1], low, names)
    last = high if match[1] == "*" or (match[3] and not match[2]) else _number(match[2] or match[1], low, names)
    return first <= value <= last and (value - first) % int(match[3] or 1) == 0


def _no_cron(what: str) -> PydanticCustomError:
    return PydanticCustomError("cron", "the cron expression {what}", {"what": what})


def _is_part(part: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    match = _PART.fullmatch(part)
    if match is None:
        return False
    if match[3] is not None and not 1 <= int(match[3]) <= high:
        return False
    if match[1] == "*":
        return match[2] is None
    ends = [_number(text, low, names) for text in (match[1], match[2] or match[1])]
    return low <= ends[0] <= ends[1] <= high


def _number(text: str, low: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + low
    return int(text) if text.isdigit() else -1


def check_timezone(name: str) -> str:
    """`name` if it is a time zone of the IANA database. Raises ValueError with the nearest name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1)
        raise PydanticCustomError(
            "timezone", "the time zone {name} is unknown", {"name": name, "near": near[0] if near else ""}
        ) from None
    return name
