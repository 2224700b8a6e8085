"""The picture of a report: `python -m llm_jobs_tests.docs.report_picture docs/images/report.png`.

The example about reviews is answered by the simulated model; its page is shown as a browser shows it, one row open.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from llm_jobs.operations.report import linked_report
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT
from llm_jobs_tests.servers.browser import chromium

WIDTH_PX, HEIGHT_PX = 1200, 1220


def picture(folder: Path) -> bytes:
    """The upper part of the page, as PNG."""
    house = House(folder)
    shutil.copytree(ROOT / "examples", folder / "examples")
    [report] = house.answer(folder / "examples/reviews.yaml")
    with house.entry.open_services() as services:
        path = linked_report(services, report.job_hash)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX}, color_scheme="light")
        page.goto(f"file://{path}")
        page.locator("details.row > summary").first.click()
        return page.screenshot()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        Path(sys.argv[1]).write_bytes(picture(Path(temporary)))
