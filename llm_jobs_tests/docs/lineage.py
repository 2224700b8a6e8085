"""The picture of the lineage, as a browser shows it: `python -m llm_jobs_tests.docs.lineage docs/images/lineage.png`.

A fresh Dagster answers the examples that it finds in its inbox; then the graph is cut out of its page.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import FloatRect, Locator, Page, ViewportSize

from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.recording import USAGE_EVERY_S
from llm_jobs_tests.docs.pages import ROOT
from llm_jobs_tests.orchestration import page as dagster
from llm_jobs_tests.orchestration.reading import shown
from llm_jobs_tests.servers.browser import chromium

EXAMPLES = ("questions.jsonl", "reviews.yaml", "summarise.yaml", "translate.json", "weekly.yaml")
NODES = ("job_documents", "inputs", "results", "deliveries", "jobs", "usage", "prompt_library", "model_catalogue")
LINEAGE = "/locations/llm_jobs/asset-groups/llm_jobs/lineage"
WIDTH_PX, HEIGHT_PX, SCALE, MARGIN_PX = 1300, 800, 1.4, 16
PATIENCE_MS = 60_000
TOLD_AGAIN_MS = PATIENCE_MS + 1000 * USAGE_EVERY_S  # what was spent stands so long before it is told again


@contextmanager
def answered_examples(folder: Path) -> Iterator[dagster.Page]:
    """A running Dagster that has answered the examples."""
    home = folder / "home"
    shutil.copytree(ROOT / "data/prompts", home / "prompts")
    shutil.copy(ROOT / "examples/reviews.csv", home / "reviews.csv")
    with dagster.running_dagster(folder, {}) as running:
        for name in EXAMPLES:
            running.drop(name, (ROOT / "examples" / name).read_text(encoding="utf-8"))
        running.ended(*(Path(name).stem for name in EXAMPLES))
        dagster.until(lambda: len(shown(running.instance, evidence.RESULTS).materialized) == len(EXAMPLES))
        dagster.until(lambda: shown(running.instance, evidence.DELIVERIES).materialized)
        yield running


@contextmanager
def lineage_page(url: str) -> Iterator[Page]:
    """The page of the lineage in Chromium, once every node is there."""
    with chromium() as browser:
        viewport: ViewportSize = {"width": WIDTH_PX, "height": HEIGHT_PX}
        page = browser.new_page(viewport=viewport, device_scale_factor=SCALE, color_scheme="light")
        page.goto(f"{url}{LINEAGE}", timeout=PATIENCE_MS)
        for name in NODES:
            node(page, name).wait_for(timeout=PATIENCE_MS)
        node(page, "results").get_by_text("100% filled").wait_for(timeout=PATIENCE_MS)
        node(page, "jobs").get_by_text("Materialized").wait_for(timeout=PATIENCE_MS)
        yield page


def node(page: Page, name: str) -> Locator:
    """The box of an asset in the graph."""
    return page.locator("foreignObject").filter(has=page.get_by_text(name, exact=True)).last


def picture(page: Page) -> bytes:
    """The graph alone, as PNG, once the tables of jobs and of what was spent have caught up with the results."""
    page.get_by_text("Unsynced").first.wait_for(state="hidden", timeout=TOLD_AGAIN_MS)
    boxes = [box for name in NODES if (box := node(page, name).bounding_box()) is not None]
    assert len(boxes) == len(NODES)
    return page.screenshot(clip=around(boxes))


def around(boxes: list[FloatRect]) -> FloatRect:
    left, top = (min(box[side] for box in boxes) - MARGIN_PX for side in ("x", "y"))
    right = max(box["x"] + box["width"] for box in boxes) + MARGIN_PX
    bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN_PX
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def _main(target: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        answered_examples(Path(folder)) as running,
        lineage_page(running.url) as page,
    ):
        target.write_bytes(picture(page))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
