"""The page about editors: its commands print the schemas that it names, and its document is checked by one."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from llm_jobs.documents.schema import NAMES
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, blocks, tables

TEXT = (ROOT / "docs/editors.md").read_text(encoding="utf-8")
BLOCKS = {block.language: block.text for block in blocks(TEXT)}


def test_every_format_is_listed_with_its_file() -> None:
    rows = list(tables(TEXT, "| `--format` |"))
    assert [row["`--format`"].strip("`") for row in rows] == list(NAMES)
    assert all(f"{row['`--format`'].strip('`')}.schema.json" in row["in this repository"] for row in rows)


def test_the_schema_that_the_document_names_is_printed_and_accepts_it(tmp_path: Path) -> None:
    house = House(tmp_path)
    for line in BLOCKS["sh"].splitlines():
        command, _, file = line.partition(" >")
        (tmp_path / file).write_text(house.invoke(*shlex.split(command)[1:]).stdout, encoding="utf-8")
    [named] = re.findall(r"\$schema=(\S+)", BLOCKS["yaml"])
    schema = json.loads((tmp_path / named).read_text(encoding="utf-8"))
    assert not list(Draft202012Validator(schema).iter_errors(read_yaml("a.yaml", BLOCKS["yaml"]).value))
    assert house.answer(house.write("a.yaml", BLOCKS["yaml"]))[0].status == "done"


def test_the_settings_name_schemas_that_are_printed() -> None:
    settings = json.loads(BLOCKS["jsonc"].split("\n", 1)[1])
    named = {*settings["yaml.schemas"], *(each["url"] for each in settings["json.schemas"])}
    assert {name.removeprefix("./") for name in named} <= set(re.findall(r">(\S+)", BLOCKS["sh"]))
