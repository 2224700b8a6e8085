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
    return text


def cron_pattern() -> str:
    """A regular expression that fits every cron expression: all that `check_cron` sees but the order of a range."""
    fields = r"\s+".join(_field_pattern(low, high, names) for _, low, high, names in _FIELDS)
    return rf"^(?:{'|'.join(MACROS)}|\s*{fields}\s*)$"


def _field_pattern(low: int, high: int, names: tuple[str, ...]) -> str:
    numbers = "|".join(map(str, range(low, high + 1)))
    words = ["".join(f"[{letter.upper()}{letter}]" for letter in name) for name in names]
    one = f"(?:{'|'.join([f'0*(?:{numbers})', *words])})"
    part = rf"(?:(?:\*|{one}(?:-{one})?)(?:/[0-9]+)?)"
    return f"{part}(?:,{part})*"


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
