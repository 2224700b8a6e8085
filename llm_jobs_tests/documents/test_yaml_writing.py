"""What is written as YAML reads back as the same values."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.documents.yaml_writing import write_yaml
from llm_jobs.observability.texts import visible_lines

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.text("ab \n:#-{}[]\"'|>&*!%@`,?~\t.01", max_size=12),
)
KEYS = TEXTS.filter(lambda key: key != "<<")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_reads_back_as_it_was_written(value: Any) -> None:
    read = read_yaml("x.yaml", write_yaml({"value": value})).value
    assert read == {"value": value}
    assert repr(read) == repr({"value": value})


@given(VALUES)
def test_comments_change_no_value(value: Any) -> None:
    text = write_yaml({"value": value}, comment=lambda path: "line 3, # and more")
    assert read_yaml("x.yaml", text).value == {"value": value}


@pytest.mark.parametrize(
    "text",
    ["NO", "on", "12:30", "007", "1e5", "0x1f", "~", "", "null", "1_000", "2026-01-01", "=", "- a", "a: b", "a #b"],
)
def test_text_that_looks_like_something_else_is_text_for_every_reader(text: str) -> None:
    assert yaml.safe_load(write_yaml([text])) == [text]
    assert read_yaml("x.yaml", write_yaml([text])).value == [text]


def test_the_text_is_as_a_person_would_write_it() -> None:
    value: Any = {
        "job": {
            "name": "reviews",
            "input": {"rows": [{"id": 1, "text": "a: b"}]},
            "prompts": [{"name": "said", "text": "Is it\n\n  good?\n", "temperature": 0.5}],
            "labels": {},
        }
    }
    assert write_yaml(value) == (
        "job:\n"
        "  name: reviews\n"
        "  input:\n"
        "    rows:\n"
        '      - {"id": 1, "text": "a: b"}\n'
        "  prompts:\n"
        "    - name: said\n"
        "      text: |\n"
        "        Is it\n"
        "\n"
        "          good?\n"
        "      temperature: 0.5\n"
        "  labels: {}\n"
    )


@given(VALUES)
def test_what_a_screen_must_not_be_told_is_written_out(value: Any) -> None:
    text = write_yaml({"value": value, "block": "a \u202e b\nc\u2066d"})
    assert visible_lines(text) == text
