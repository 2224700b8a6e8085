"""The page about images: its document runs as it stands, and its table has the keys that there are."""

from __future__ import annotations

import re
from pathlib import Path

from llm_jobs.documents.message_models import PartModel
from llm_jobs.sources.images import LARGEST_BYTES
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, blocks
from llm_jobs_tests.docs.played import write_file
from llm_jobs_tests.pictures import png

PAGE = (ROOT / "docs/vision.md").read_text(encoding="utf-8")


def test_the_document_of_the_page_is_answered(tmp_path: Path) -> None:
    house = House(tmp_path)
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(("red", "blue")):
        (tmp_path / "photos" / f"{name}.png").write_bytes(png(seed))
    [block] = [block for block in blocks(PAGE) if block.language == "yaml"]
    path = write_file(block, house)
    assert path is not None
    [report] = house.answer(path)
    assert (report.status, report.succeeded) == ("done", 2)


def test_the_page_tells_every_key_and_the_limit() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(PartModel.model_fields)
    assert f"at most {LARGEST_BYTES // 1_000_000} MB" in PAGE
