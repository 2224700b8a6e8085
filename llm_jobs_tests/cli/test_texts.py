"""Texts for terminals: nothing that a stranger wrote can drive one."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.cli.texts import cell, compact_json, dollars, duration, number, visible, visible_lines
from llm_jobs.observability.texts import short_time


@given(st.text())
def test_no_control_character_is_left_in_visible_text(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in shown)
    assert "\u202e" not in shown
    assert "\u2028" not in shown


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S"))))
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("[red]नमस्ते[/red]", "[red]नमस्ते[/red]"),
    ],
)
def test_what_drives_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_long_text_is_cut_where_asked() -> None:
    assert visible("abcdef", most=4) == "abc…"
    assert visible("abcd", most=4) == "abcd"


def test_lines_and_tabs_stay_where_lines_are_shown() -> None:
    assert visible_lines("a\n\tb\x1b\r") == "a\n\tb\\x1b\\r"


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_json_for_programs_is_one_line_of_ascii_and_comes_back(value: dict[str, object]) -> None:
    line = compact_json(value)
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == value


@pytest.mark.parametrize(
    ("cost_usd", "shown"),
    [(None, "?"), (0.0, "$0"), (0.000088, "$0.000088"), (0.0123, "$0.012"), (0.5, "$0.50"), (1234.5, "$1,234.50")],
)
def test_a_cost_shows_the_digits_that_count(cost_usd: float | None, shown: str) -> None:
    assert dollars(cost_usd) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.42, "0.4 s"), (12.3, "12 s"), (59.9, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_a_duration_is_said_in_the_units_of_its_size(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_one_row_is_no_rows() -> None:
    assert (number(1, "row"), number(1319, "row")) == ("1 row", "1,319 rows")


def test_cells_hold_any_value_on_one_line() -> None:
    assert [cell(value) for value in (None, True, 3, 0.25, {"a": "\x1b"}, [1, 2])] == [
        "",
        "True",
        "3",
        "0.25",
        '{"a": "\\u001b"}',
        "[1, 2]",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "<1 ms"),
        (0.0516, "52 ms"),
        (0.9996, "1.0 s"),
        (1.26, "1.3 s"),
        (9.96, "10.0 s"),
        (12.4, "12 s"),
        (185.0, "3 min 5 s"),
    ],
)
def test_times_of_calls_are_short(seconds: float, shown: str) -> None:
    assert short_time(seconds) == shown
