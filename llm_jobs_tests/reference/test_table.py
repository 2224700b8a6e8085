"""The page that lists the blocks has each of them once, with a test that there is and a name that it holds."""

from __future__ import annotations

import re

import pytest

from llm_jobs.documents.parsing import parse_document
from llm_jobs.documents.stacks import StackText
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs_tests.docs.pages import ROOT, tables
from llm_jobs_tests.reference.stage import BLOCKS, block, names, numbers, shown

TESTS = BLOCKS.parent
PAGE = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
TABLE = list(tables(PAGE, "| block |"))


def test_the_tables_have_every_block_once() -> None:
    assert [row["block"].strip("`") for row in TABLE] == names()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["block"])
def test_a_row_names_what_its_block_holds_and_a_test_that_runs_it(row: dict[str, str]) -> None:
    block_name = row["block"].strip("`")
    assert row["what it says"].strip("`").split("`")[0] in shown(block_name)
    file, _, name = row["test"].strip("`").partition("::")
    text = (TESTS / file).read_text(encoding="utf-8")
    assert f"def {name}(" in text
    number = int(block_name.removeprefix("5-")) if block_name.startswith("5-") else block_name
    assert re.search(rf"\b{number}\b", text)


@pytest.mark.parametrize("number", [n for n in numbers() if block(n).startswith(("job:", "template:"))])
def test_a_whole_document_is_read_with_nothing_put_in_its_places(number: int) -> None:
    variables = {"LLM_JOBS_DOCUMENT_VARIABLES": "API_ENDPOINT", "API_ENDPOINT": "https://models.example.com/v1"}
    parameters = {"input_table": "reviews"} if block(number).startswith("template:") else None
    [parsed] = parse_document(
        "job.yaml", block(number).encode(), stacks=stack, environment=variables, parameters=parameters
    )
    assert parsed.steps


def stack(name: str, version: str | None) -> StackText:
    source = read_yaml("stack.yaml", "prompts: [{name: said, text: Say it., model: simulated}]")
    return StackText(name=name, version=version or "1.0.0", source=source)
