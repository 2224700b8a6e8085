"""The page about batches: its document is read as it stands, its commands are there, its numbers are the code's."""

from __future__ import annotations

import re
from pathlib import Path

from llm_jobs.cli.main import COMMANDS
from llm_jobs.operations import batches_plan, batches_poll
from llm_jobs.providers import anthropic_batches, openai_batches
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, blocks

TEXT = (ROOT / "docs/batch.md").read_text(encoding="utf-8")


def test_the_document_of_the_page_is_accepted_and_asked_in_batches(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write("reviews.csv", "text\ngood\n")
    [block] = [block for block in blocks(TEXT) if block.language == "yaml"]
    [job] = house.accept(house.write("reviews.yaml", block.text))
    assert [job.policy.mode_of(step.name) for step in job.steps] == ["batch"]


def test_the_commands_of_the_page_are_there_and_it_fits_one_page() -> None:
    assert set(re.findall(r"llm-jobs (\w+)", TEXT)) <= COMMANDS.keys()
    assert len(TEXT.splitlines()) <= 70


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert f"{openai_batches.LIMITS.requests:,}; Anthropic {anthropic_batches.LIMITS.requests:,}" in TEXT
    assert f"after {batches_poll.OVER_S / 3600:.0f}\nhours" in TEXT
    assert batches_plan.MOST_ROUNDS == 3
    assert "after three of them online" in TEXT
