"""Answers as HTML: what Markdown means is kept, and what would act is not."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_jobs.observability.rendered import TAGS, escaped, has_markup, rendered
from llm_jobs_tests.observability.hostile import HOSTILE


class Elements(HTMLParser):
    """The elements and attributes of a piece of HTML, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def assert_harmless(html: str) -> None:
    found = Elements(html)
    assert found.tags <= TAGS
    assert {name for name, _ in found.attributes} <= {"href", "rel", "class"}
    addresses = [value or "" for name, value in found.attributes if name == "href"]
    assert [each for each in addresses if not each.startswith(("http:", "https:", "mailto:"))] == []


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_answer_is_only_text(text: str) -> None:
    assert_harmless(rendered(text))


@given(st.text(alphabet=st.sampled_from("<>!/[]()*_`#|-\n \t\"'=:&;ajsx\u202e\x00"), max_size=80))
@example("[a](JAVASCRIPT:alert(1))")
@example("<a href='x' onclick=a>")
def test_no_text_becomes_anything_that_acts(text: str) -> None:
    assert_harmless(rendered(text))
    assert Elements(escaped(text)).tags == set()


def test_markdown_is_rendered() -> None:
    html = rendered(
        "# Title\n\n**bold** and `code`\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx < y\n```"
    )
    for piece in ("<h1>Title</h1>", "<strong>bold</strong>", "<li>one</li>", "<td>2</td>", "<code>x &lt; y\n</code>"):
        assert piece in html


def test_an_image_is_shown_by_its_text_and_address() -> None:
    html = rendered("![the moon](http://example.com/moon.png)")
    assert '<span class="image">the moon <code>http://example.com/moon.png</code></span>' in html


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("[a](https://example.com)", "https://example.com"),
        ("<mailto:a@example.com>", "mailto:a@example.com"),
        ("[a](javascript:alert(1))", None),
        ("[a](/etc/passwd)", None),
        ("[a](//example.com)", None),
        ("[a](file:///etc/passwd)", None),
        ("[a](data:text/html,x)", None),
    ],
)
def test_links_lead_to_named_places_of_the_web_alone(text: str, address: str | None) -> None:
    found = dict(Elements(rendered(text)).attributes)
    assert found.get("href") == address
    assert address is None or found["rel"] == "noopener noreferrer nofollow"


@pytest.mark.parametrize(("text", "shown"), [("a\u202eb", "a\\u202eb"), ("\x1b[2J", "\\x1b[2J"), ("\ud800", "\\ud800")])
def test_what_turns_or_drives_is_written_out(text: str, shown: str) -> None:
    assert shown in rendered(text)
    assert escaped(text) == shown
    escaped(text).encode()


def test_right_to_left_writing_stays_as_it_is() -> None:
    assert "أهلا וسهلا" in rendered("أهلا וسهلا")


@pytest.mark.parametrize("text", ["a *b*", "# a", "- a", "1. a", "    a", "a  \nb", "a | b", "<b>", "&amp;", "\\*"])
def test_what_may_be_markup_is_shown_with_its_source(text: str) -> None:
    assert has_markup(text)


@pytest.mark.parametrize("text", ["", "a", "a b.", "A, b; c: 3.5 (d)\n\nsecond - third", "أهلا"])
def test_plain_sentences_are_no_markup(text: str) -> None:
    assert not has_markup(text)


@pytest.mark.parametrize("text", ["[" * 20_000, "![" * 10_000, "[](" * 6_000, "*_" * 10_000])
def test_what_would_hold_the_parser_up_is_shown_as_text(text: str) -> None:
    assert not has_markup(text)
