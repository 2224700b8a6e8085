"""The page about money: its file of budgets and the cap of a job are read as they stand."""

from __future__ import annotations

import re
from pathlib import Path

from llm_jobs.documents.job import Budget
from llm_jobs.operations.budgets_file import read_budgets
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, blocks

TEXT = (ROOT / "docs/money.md").read_text(encoding="utf-8")


def test_the_budgets_of_the_page_are_read(tmp_path: Path) -> None:
    [block] = [block for block in blocks(TEXT) if block.language == "yaml"]
    path = tmp_path / "budgets.yaml"
    path.write_text(block.text, encoding="utf-8")
    stated = read_budgets(path)
    assert stated.providers == {"openai": Budget(max_cost_usd=50)}
    assert stated.labels == {"team=search": Budget(max_cost_usd=500)}


def test_the_cap_of_the_page_is_taken_by_a_document(tmp_path: Path) -> None:
    [cap] = re.findall(r"`(budget: \{.+\})`", TEXT)
    house = House(tmp_path)
    text = f"job:\n  name: a\n  model: simulated\n  {cap}\n  input: {{rows: [{{text: Good}}]}}\n"
    [job] = house.accept(house.write("a.yaml", f'{text}  prompts: [{{name: label, text: "{{{{ text }}}}"}}]\n'))
    assert job.policy.budget == Budget(max_cost_usd=5, max_tokens=1_000_000)
