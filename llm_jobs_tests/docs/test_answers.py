"""The page about answers: its documents are read as they stand, and it names every status, rule and reason."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from llm_jobs.documents.failures import ENDS, Strategy
from llm_jobs.documents.job import AnswerStatus
from llm_jobs.documents.step_models import RuleModel
from llm_jobs.engine import following
from llm_jobs.engine.failing import FALLBACK
from llm_jobs.ledger.base import OutcomeStatus
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, Block, blocks, section, table_after

TEXT = (ROOT / "docs/answers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", blocks(TEXT), ids=lambda block: f"line {block.line}")
def test_every_document_of_the_page_is_accepted(tmp_path: Path, block: Block) -> None:
    house = House(tmp_path)
    assert block.language == "yaml"
    [job] = house.accept(house.write("document.yaml", block.text))
    assert job.policy.on_status or job.policy.failures != ENDS or not job.policy.reads_all


def test_the_page_tells_every_status_a_row_can_have() -> None:
    told = {name.strip(" `") for row in table_after(TEXT, "ledger.\n") for name in row["`llm_status`"].split(",")}
    assert told == {*get_args(OutcomeStatus), "invalid_input", FALLBACK}


def test_the_page_tells_every_rule_and_an_example_of_every_status() -> None:
    rules = section(TEXT, "What follows an answer that is no success")
    told = {row["rule"].strip("`").partition(":")[0] for row in table_after(rules, "```\n")}
    assert told == set(RuleModel.model_fields)
    assert all(f"    {status}: " in rules for status in get_args(AnswerStatus))


def test_the_page_tells_every_reason_for_a_model() -> None:
    reasons = (following.WEIGHTED, following.FIRST, following.COOLING, following.ANSWERED)
    assert all(f"`{reason}`" in TEXT for reason in reasons)


def test_the_page_tells_every_strategy() -> None:
    failed = section(TEXT, "Calls that failed")
    assert {row["`strategy`"].strip("`") for row in table_after(failed, "```\n")} == set(get_args(Strategy))
