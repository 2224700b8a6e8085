"""The page about models: its commands run as they stand, and its table has every member and every option."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

from llm_jobs.cli.models_set import set_values
from llm_jobs.providers.entries import Price, Quota
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, blocks

TEXT = (ROOT / "docs/models.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_run_as_they_stand(tmp_path: Path) -> None:
    house = House(tmp_path)
    [block] = blocks(TEXT)
    for line in block.text.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "llm-jobs"
        result = house.invoke(*arguments)
        assert result.exit_code == 0, result.output
    assert "the new contract" in result.output


def test_the_table_has_every_member_of_models_yaml_and_every_option() -> None:
    members = {f"quota.{field.name}" for field in fields(Quota)} | {f"price.{field.name}" for field in fields(Price)}
    rows = [re.findall(r"`([^`]+)`", line) for line in TEXT.splitlines() if line.startswith("| `")]
    written = {row[0] for row in rows}
    assert written == members | {"weight", "max_output_tokens", "context_tokens"}
    options = {row[1]: row[0].rpartition(".")[2] for row in rows if len(row) > 1}
    known = {each.opts[0]: each.name for each in set_values.params if each.opts[0] not in ("--why", "--json", "model")}
    assert options == known
