"""The page in a real browser: hostile answers do nothing, and its controls work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Dialog, Page

from llm_jobs.observability.report_model import ReportedRow
from llm_jobs_tests.observability.hostile import HOSTILE, hostile
from llm_jobs_tests.observability.reports import row, side, text_of
from llm_jobs_tests.servers.browser import chromium
from llm_jobs_tests.servers.counting import CountingServer, counting_server

ACTIVE = "script, img, picture, iframe, object, embed, link, style, form, base, meta, video, audio, svg, math, template"


@dataclass
class Watched:
    """A page, and the dialogs that it opened."""

    page: Page
    dialogs: list[str]

    def note(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with counting_server() as started:
        yield started


def opened(browser: Browser, server: CountingServer, text: str) -> Watched:
    """The page as the server serves it, so that its own origin is one that is counted."""
    server.page = text.encode()
    watched = Watched(browser.new_page(viewport={"width": 1300, "height": 900}), [])
    watched.page.on("dialog", watched.note)
    watched.page.goto(f"{server.url}/page", wait_until="networkidle")
    return watched


def everywhere(texts: dict[str, str]) -> list[ReportedRow]:
    """Each text in every place that a document, a table or a model can write to."""
    return [
        row(
            text,
            number,
            inputs={text: text, "nested": {text: [text]}},
            status="failed" if number % 3 == 0 else "succeeded",
            error=text,
            raw=text,
            request=text.encode() if number % 2 else b'{"messages": [{"role": "user", "content": "x"}], "model": "m"}',
            tries=[text],
            facts=[(text, text)],
        )
        for number, text in enumerate(texts.values())
    ]


def assert_nothing_happened(watched: Watched, server: CountingServer, title: str) -> None:
    page = watched.page
    page.get_by_role("button", name="open all").click()
    page.wait_for_load_state("networkidle")
    assert page.title() == title
    assert watched.dialogs == []
    assert server.asked == ["/page"]
    assert page.locator("main").locator(ACTIVE).count() == 0
    attributes = "[style], [onerror], [onload], [onfocus], [id], [name], [srcset], [src], [action]"
    assert page.locator("main").locator(attributes).count() == 0
    addresses = page.eval_on_selector_all("main a[href]", "links => links.map(link => link.getAttribute('href'))")
    assert [each for each in addresses if not each.startswith(("http://", "https://", "mailto:"))] == []


def test_hostile_texts_do_nothing_wherever_they_stand(browser: Browser, server: CountingServer) -> None:
    texts = hostile(server.url)
    watched = opened(browser, server, text_of(everywhere(texts), [texts["script"]], notes=list(texts.values())))
    assert watched.page.locator("details.row").count() == len(HOSTILE)
    assert_nothing_happened(watched, server, f"{texts['script']} · llm-jobs")


def test_hostile_texts_do_nothing_where_two_jobs_differ(browser: Browser, server: CountingServer) -> None:
    texts = list(hostile(server.url).values())
    rows = [
        ReportedRow(group="differs", inputs={"q": one}, sides=[side(one), side(other)])
        for one, other in zip(texts, reversed(texts), strict=True)
    ]
    watched = opened(browser, server, text_of(rows, ["one", "other"]))
    assert watched.page.locator("main del").count() > 0
    assert_nothing_happened(watched, server, "one and other · llm-jobs")


@pytest.mark.parametrize(
    "name",
    ["script", "script in capitals", "image", "picture", "style import", "link element", "frame", "drawing", "media"],
)
def test_the_policy_alone_stops_what_the_sanitiser_would_let_through(
    browser: Browser, server: CountingServer, name: str
) -> None:
    marked = text_of([row("MARK")])
    assert "MARK" in marked
    watched = opened(browser, server, marked.replace("MARK", hostile(server.url)[name]))
    watched.page.wait_for_load_state("networkidle")
    assert watched.page.title() == "questions · llm-jobs"
    assert watched.dialogs == []
    assert server.asked == ["/page"]


def test_rows_are_narrowed_searched_sorted_and_opened(browser: Browser, server: CountingServer) -> None:
    rows = [
        row("a blue whale", 0, tokens=5),
        row("a red fox", 1, tokens=9),
        row(None, 2, status="failed", error="no colour", tokens=7),
    ]
    page = opened(browser, server, text_of(rows)).page
    shown = page.locator("details.row:visible")
    assert page.get_by_role("status").inner_text() == "3 rows"
    page.get_by_role("searchbox").fill("FOX red")
    page.get_by_text("1 row", exact=True).wait_for()
    assert shown.count() == 1
    page.get_by_role("searchbox").fill("")
    page.get_by_text("3 rows", exact=True).wait_for()
    page.get_by_role("checkbox", name="failed").uncheck()
    assert shown.count() == 2
    page.get_by_role("combobox").select_option("tokens")
    assert "red fox" in (shown.first.text_content() or "")
    page.get_by_role("button", name="open all").click()
    assert page.get_by_role("heading", name="Prompt").count() == 2
    assert page.locator("details.row[open]").count() == 2
