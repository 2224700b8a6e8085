"""The lineage in a real browser, and the picture of it that the README shows."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from llm_jobs.observability.plots import WIDTH
from llm_jobs_tests.docs.lineage import NODES, PATIENCE_MS, answered_examples, lineage_page, node, picture
from llm_jobs_tests.docs.pages import ROOT

PICTURE = ROOT / "docs/images/lineage.png"
MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with answered_examples(tmp_path_factory.mktemp("lineage")) as running, lineage_page(running.url) as opened:
        yield opened


def size_px(png: bytes) -> tuple[int, int]:
    """Width and height, from the header."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize("name", NODES)
def test_the_lineage_shows_every_asset(page: Page, name: str) -> None:
    assert node(page, name).is_visible()


def test_results_come_from_documents_inputs_prompts_and_models_and_lead_on(page: Page) -> None:
    left_edge = {name: box["x"] for name in NODES if (box := node(page, name).bounding_box())}
    before = ("job_documents", "inputs", "prompt_library", "model_catalogue")
    assert max(left_edge[name] for name in before) < left_edge["results"]
    assert left_edge["results"] < min(left_edge["deliveries"], left_edge["jobs"])


def test_every_job_has_its_result_and_passed_its_checks(page: Page) -> None:
    told = node(page, "results").text_content() or ""
    assert "5 partitions" in told
    assert "3 / 3 Passed" in told


def test_no_first_visit_dialog_stands_in_the_way(page: Page) -> None:
    assert page.get_by_role("dialog").count() == 0


def test_the_picture_in_the_readme_is_such_a_picture(page: Page) -> None:
    taken, kept = size_px(picture(page)), size_px(PICTURE.read_bytes())
    assert kept == pytest.approx(taken, rel=0.05), "python -m llm_jobs_tests.docs.lineage docs/images/lineage.png"
    assert PICTURE.stat().st_size < MOST_BYTES


def test_latency_and_cost_of_a_result_are_drawn_when_somebody_looks(page: Page) -> None:
    browser = page.context.browser
    assert browser is not None
    opened = browser.new_page()
    opened.goto(f"{page.url.partition('/locations')[0]}/assets/results?view=events", timeout=PATIENCE_MS)
    opened.get_by_role("row").filter(has_text="latency and cost over time").get_by_text("Show Markdown").first.click()
    image = opened.get_by_role("dialog").get_by_alt_text("latency and cost over time")
    image.wait_for(timeout=PATIENCE_MS)
    assert image.evaluate("image => image.naturalWidth") == WIDTH
    opened.close()
