"""Windows of time, also over midnight and where clocks are changed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.launch_rules import TimeWindow
from llm_jobs.documents.windows import in_words, is_open, opens_at

ZONES = ["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]


def window(start: str, end: str, zone: str = "Europe/Paris") -> TimeWindow:
    start_s, end_s = (int(text[:2]) * 3600 + int(text[3:]) * 60 for text in (start, end))
    return TimeWindow(start_s=start_s, end_s=end_s, timezone=zone)


def ns(utc: str) -> int:
    return int(datetime.fromisoformat(f"{utc}+00:00").timestamp()) * 1_000_000_000


DAY, NIGHT = window("09:00", "17:00"), window("22:00", "06:00")
GAP = window("02:15", "02:45")  # skipped in Paris on 29 March 2026, shown twice on 25 October
CASES = [
    (DAY, "2026-11-20T07:59:59", False),  # winter: one hour ahead
    (DAY, "2026-11-20T08:00:00", True),
    (DAY, "2026-11-20T15:59:59", True),
    (DAY, "2026-11-20T16:00:00", False),
    (DAY, "2026-07-20T07:00:00", True),  # summer: two hours ahead
    (DAY, "2026-07-20T06:59:59", False),
    (NIGHT, "2026-11-20T20:59:59", False),
    (NIGHT, "2026-11-20T21:00:00", True),
    (NIGHT, "2026-11-20T23:30:00", True),
    (NIGHT, "2026-11-21T04:59:59", True),
    (NIGHT, "2026-11-21T05:00:00", False),
    (NIGHT, "2026-03-29T03:59:59", True),  # the night that is an hour shorter ends at 06:00 all the same
    (NIGHT, "2026-03-29T04:00:00", False),
    (NIGHT, "2026-10-25T04:59:59", True),  # and the longer one
    (NIGHT, "2026-10-25T05:00:00", False),
    (GAP, "2026-03-28T01:20:00", True),
    (GAP, "2026-03-29T01:20:00", False),  # clocks show 03:20
    (GAP, "2026-10-25T00:20:00", True),
    (GAP, "2026-10-25T00:50:00", False),
    (GAP, "2026-10-25T01:20:00", True),  # 02:20 for the second time
    (window("18:00", "24:00", "UTC"), "2026-11-20T23:59:59", True),
    (window("18:00", "24:00", "UTC"), "2026-11-20T00:00:00", False),
    (window("22:00", "00:00", "UTC"), "2026-11-20T23:59:59", True),
    (window("22:00", "00:00", "UTC"), "2026-11-20T00:00:00", False),
]


@pytest.mark.parametrize(("asked", "utc", "expected"), CASES)
def test_a_window_is_open_as_clocks_on_the_wall_show_it(asked: TimeWindow, utc: str, *, expected: bool) -> None:
    assert is_open(asked, ns(utc)) is expected


@pytest.mark.parametrize(
    ("asked", "utc", "opening"),
    [
        (DAY, "2026-11-20T07:00:00", "2026-11-20T09:00:00+01:00"),
        (DAY, "2026-11-20T16:00:00", "2026-11-21T09:00:00+01:00"),
        (NIGHT, "2026-11-20T12:00:00", "2026-11-20T22:00:00+01:00"),
        (NIGHT, "2026-11-20T22:30:00", "2026-11-20T23:30:00+01:00"),  # open now
        (DAY, "2026-03-28T17:00:00", "2026-03-29T09:00:00+02:00"),  # clocks are put forward in between
        (DAY, "2026-10-24T17:00:00", "2026-10-25T09:00:00+01:00"),
        (GAP, "2026-03-28T12:00:00", "2026-03-30T02:15:00+02:00"),  # the day in between has no such time
    ],
)
def test_the_next_opening_is_told(asked: TimeWindow, utc: str, opening: str) -> None:
    assert opens_at(asked, ns(utc)).isoformat() == opening


def test_a_window_is_told_in_words() -> None:
    assert in_words(window("22:00", "06:30")) == "22:00-06:30 Europe/Paris"


@given(
    minutes=st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(lambda pair: pair[0] != pair[1]),
    zone=st.sampled_from(ZONES),
    now=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
)
def test_a_closed_window_opens_within_three_days_and_not_before_it_is_told_to(
    minutes: tuple[int, int], zone: str, now: datetime
) -> None:
    asked = TimeWindow(start_s=minutes[0] * 60, end_s=minutes[1] * 60, timezone=zone)
    now_ns = ns(now.replace(microsecond=0).isoformat())
    opening = opens_at(asked, now_ns)
    assert opening.timestamp() * 1e9 >= now_ns
    assert opening.timestamp() * 1e9 - now_ns <= timedelta(days=3).total_seconds() * 1e9
    assert is_open(asked, int(opening.timestamp()) * 1_000_000_000)
