"""Answers as HTML: their Markdown rendered, and nothing in it that acts.

Three walls, each of which is enough alone: the parser takes raw HTML as text, `nh3` (ammonia) lets only the tags below
through, and the page's policy (`report_page`) forbids scripts, images, frames and styles that are not its own. An image
is never fetched: its text and address are shown. Links lead to http, https and mailto alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import MutableMapping, Sequence
from html import escape
from typing import Any

from llm_jobs.observability.texts import visible_lines

MOST_CHARACTERS = 20_000  # of one text, so that a page stays readable
# Each may open something whose end is looked for in all of the text: 20,000 brackets take the parser half a second.
MOST_BRACKETS, MOST_STARS = 500, 4_000
HEADINGS = tuple(f"h{level}" for level in range(1, 7))
TABLES = ("table", "tbody", "td", "th", "thead", "tr")
BLOCKS = ("blockquote", "br", "hr", "li", "ol", "p", "pre", "ul")
WORDS = ("a", "code", "del", "em", "s", "span", "strong")
TAGS = frozenset({*HEADINGS, *TABLES, *BLOCKS, *WORDS})
_SCHEMES = frozenset({"http", "https", "mailto"})
_MARKDOWN = re.compile(r"[*_`#\[\]<>|~\\&]|^ {4}|^\t|^\s*(?:[-+=]|\d+[.)])|  $", re.MULTILINE)


def escaped(text: str) -> str:
    """`text` as it is, for the inside of an element or of a quoted attribute; control characters written out."""
    return escape(visible_lines(text.replace("\r\n", "\n")))


def rendered(text: str) -> str:
    """`text`, which is Markdown, as HTML that does nothing. Longer than MOST_CHARACTERS: the caller cuts it."""
    shown = visible_lines(text.replace("\r\n", "\n"))
    # 25 ms together, for those alone who make a page.
    import nh3

    return nh3.clean(
        _parser().render(shown),
        tags=set(TAGS),
        attributes={"a": {"href"}, "span": {"class"}},
        url_schemes=set(_SCHEMES),
        link_rel="noopener noreferrer nofollow",
        attribute_filter=_kept,
    )


def has_markup(text: str) -> bool:
    """May Markdown make anything of `text` but paragraphs? Texts that would hold the parser up are taken as text."""
    if text.count("[") > MOST_BRACKETS or text.count("*") + text.count("_") > MOST_STARS:
        return False
    return bool(_MARKDOWN.search(text))


def _kept(tag: str, name: str, value: str) -> str | None:
    """Attributes that say what we mean: links that name their scheme, and the class that images are shown with."""
    if name == "href":
        return value if value.partition(":")[0].lower() in _SCHEMES else None
    return value if (tag, name) == ("a", "rel") or (tag, name, value) == ("span", "class", "image") else None


@functools.cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image)
    return parser


def _image(self: Any, tokens: Sequence[Any], index: int, options: Any, env: MutableMapping[str, Any]) -> str:
    """What an image would show and where it lies, as text."""
    token = tokens[index]
    alt = self.renderInlineAsText(token.children or [], options, env)
    address = str(token.attrs.get("src", ""))
    shown = address if len(address) <= 200 else address[:199] + "…"
    return f'<span class="image">{escape(alt)} <code>{escape(shown)}</code></span>'
