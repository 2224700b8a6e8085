"""What the blocks of the reference name: prompts of a library, models, tables, and the places they are put in.

A block stands in `blocks/` as it was written. Where it names a place of another machine (`/data/`, `/output/`,
`/logs/`, `https://api.example.com`), `placed` puts one of the test's in its stead; nothing else of it is changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from llm_jobs.operations.records import JobReport
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.sources.databases import sqlite_file

BLOCKS = Path(__file__).with_name("blocks")
API = "https://api.example.com"
FOLDERS = ("/data/", "/output/", "/logs/")
REVIEWS = [{"id": 1, "category": "shoes", "text": "Too small."}, {"id": 2, "category": "hats", "text": "Fine."}]
MODELS = "gpt-4: {provider: simulated}\ngpt-3.5-turbo: {provider: simulated}\n"
TABLES = """
CREATE TABLE reviews (review_id INTEGER, review_text TEXT, processed BOOLEAN);
INSERT INTO reviews VALUES (1, 'Too small.', false), (2, 'Fine.', false), (3, 'Old.', true);
CREATE TABLE new_data AS SELECT value FROM json_each('[1, 2]');
"""
_VERSIONED = re.compile(r"- name: (\w+)\n +version: (\S+)")
_NAMED = re.compile(r"\b(?:name|prompt): (\w+)|^ +- (\w+_job)$", re.MULTILINE)


def block(number: int) -> str:
    """The text of a block of document 5, as it stands."""
    return shown(f"5-{number:02}")


def shown(name: str) -> str:
    """The text of a block of any document, as it stands: `3-01`."""
    [path] = BLOCKS.glob(f"{name}.*")
    return path.read_text(encoding="utf-8")


def names() -> list[str]:
    """The blocks of all documents."""
    return sorted(path.stem for path in BLOCKS.iterdir())


def placed(text: str, folder: Path, *, api: str = API) -> str:
    """A block with the test's places in the stead of those that it names."""
    for each in FOLDERS:
        (folder / each.strip("/")).mkdir(exist_ok=True)
        text = text.replace(each, f"{folder}{each}")
    return text.replace(API, api)


def alternatives(text: str) -> list[str]:
    """A section that is written with several values at once (`# Or …`), once with each."""
    head, rest = text.split("\n", 1)
    return [f"{head}\n{part}" for part in re.split(r"^ *# Or .*\n", rest, flags=re.MULTILINE)]


def inside_a_job(section: str, *others: str) -> str:
    """A section of a job as a whole document: the smallest job that it can stand in."""
    lines = [line for text in (section, *others) for line in text.splitlines()]
    prompt = "" if "prompts:" in section else "  prompts: [{name: said, model: gpt-4, text: Say something.}]\n"
    return "job:\n  name: fragment\n" + prompt + "".join(f"  {line}\n" for line in lines)


def library(home: Path) -> None:
    """Every prompt that a block names, in every version that it asks for; the stack; the models."""
    versions: dict[str, set[str]] = {}
    for number in numbers():
        text = block(number)
        for name, version in _VERSIONED.findall(text):
            versions.setdefault(name, set()).add(version)
        for names in _NAMED.findall(text):
            versions.setdefault("".join(names), {"1.0.0"})
    for name, each in versions.items():
        for version in each:
            write(home / "prompts" / name / f"{version}.yaml", _prompt(name))
    write(home / "stacks/sentiment_analysis_stack/1.0.0.yaml", "prompts: [{name: sentiment_analyzer, version: 2.1.0}]")
    write(home / "models.yaml", MODELS)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _prompt(name: str) -> str:
    return json.dumps({"model": "gpt-4", "messages": [{"role": "user", "content": f"This is {name}."}]})


def furnished(folder: Path) -> House:
    """A house with the library, and a database as its default connection."""
    house = House(folder)
    library(house.home)
    database = sqlite_file(folder, TABLES)
    house.variables["LLM_JOBS_CONNECTION_DEFAULT"] = f"sqlite:///{database}"
    house.variables["LLM_JOBS_ALLOWED_ROOTS"] = str(folder)
    house.write("reviews.json", json.dumps(REVIEWS))
    return house


def rows_of(report: JobReport) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = pq.read_table(report.result).to_pylist()
    return rows


def numbers() -> Iterator[int]:
    """The numbers of the blocks of document 5."""
    return (int(name.removeprefix("5-")) for name in names() if name.startswith("5-"))
