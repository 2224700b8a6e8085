"""What differs between two texts is marked, and nothing else is changed."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.observability.differing import MOST_WORDS, marked

WORDS = st.lists(st.sampled_from(["a", "b", "c", " ", "\n", "<b>", "&", "word"]), max_size=30).map("".join)


def without_marks(html: str) -> str:
    return unescape(re.sub(r"</?(?:del|ins)>", "", html))


@given(WORDS, WORDS)
def test_without_its_marks_each_text_is_what_it_was(first: str, second: str) -> None:
    left, right = marked(first, second)
    assert (without_marks(left), without_marks(right)) == (first, second)


@given(WORDS, WORDS)
def test_what_is_not_marked_is_in_both(first: str, second: str) -> None:
    left, right = marked(first, second)
    assert re.sub(r"<del>.*?</del>", "", left, flags=re.DOTALL) == re.sub(r"<ins>.*?</ins>", "", right, flags=re.DOTALL)
    assert ("<del>" in left or "<ins>" in right) == (first != second)


def test_words_are_marked_one_by_one() -> None:
    assert marked("It is 42 now.", "It is 41 now.") == ("It is <del>42</del> now.", "It is <ins>41</ins> now.")


def test_markup_in_a_text_is_text() -> None:
    left, right = marked("<script>", "<img>")
    assert "<script" not in left
    assert "<img" not in right


@pytest.mark.parametrize("between", ["\n", " "])
def test_long_texts_are_compared_line_by_line_or_marked_whole(between: str) -> None:
    words = [f"w{number}" for number in range(MOST_WORDS)]
    left, right = marked(between.join(words), between.join([*words[:-1], "other"]))
    assert right.endswith("other</ins>")
    assert left.startswith("<del>") == (between == " ")
