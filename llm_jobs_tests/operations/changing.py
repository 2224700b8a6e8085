"""Documents that change as people change them: one seeded step after another, with their tables beside them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import yaml

WORDS = ("river", "lamp", "winter", "coat", "answer", "yellow", "bridge", "music", "paper", "stone", "garden", "bread")
OPENINGS = ("Summarise", "Judge", "Explain", "Translate", "Rate", "Describe", "Classify", "Review")
SCHEMAS = [
    {"type": "object", "properties": {name: {"type": kind}}, "required": [name], "additionalProperties": False}
    for name in ("score", "grade")
    for kind in ("integer", "string")
]

Table = list[dict[str, Any]]


@dataclass(slots=True)
class Written:
    """A document under way: what it says, and the form in which it and its table are written."""

    job: dict[str, Any]
    rows: Table
    syntax: str = "yaml"
    table: str = "inline"
    next_id: int = 0
    history: list[tuple[dict[str, Any], Table]] = field(default_factory=list)


def first(random: Random, *, steps: int = 1) -> Written:
    """A document of one or two prompts over a table."""
    prompts = [{"name": "said", "text": opening(random) + " {{ text }}", "temperature": 0.2, "max_tokens": 2_000}]
    if steps == 2:
        prompts.append({"name": "then", "text": opening(random) + " {{ said }}", "max_tokens": 2_000})
    written = Written(job={"name": "changing", "model": "shop", "prompts": prompts}, rows=[])
    for _ in range(random.randint(15, 35)):
        written.rows.append(row(random, written))
    return written


def opening(random: Random) -> str:
    return f"{random.choice(OPENINGS)} number {random.randint(1, 10**6)}:"


def text(random: Random) -> str:
    return " ".join(random.choices(WORDS, k=random.randint(5, 60)))


def row(random: Random, written: Written) -> dict[str, Any]:
    written.next_id += 1
    return {"id": written.next_id, "text": text(random), "note": random.choice(WORDS)}


def place(written: Written, folder: Path) -> Path:
    """Write the document and its table; its name stays the same, whatever its syntax."""
    job = dict(written.job)
    job["input"] = {"rows": written.rows} if written.table == "inline" else {"path": _table(written, folder)}
    if written.table == "csv":
        job["input"]["types"] = {"id": "integer"}
    path = folder / "changing.yaml"
    if written.syntax == "json":
        path.write_text(json.dumps({"job": job}, indent=1), encoding="utf-8")
    else:
        path.write_text(yaml.safe_dump({"job": job}, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _table(written: Written, folder: Path) -> str:
    name = f"rows.{written.table}"
    path = folder / name
    if written.table == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(written.rows[0]))
            writer.writeheader()
            writer.writerows(written.rows)
    elif written.table == "parquet":
        pd.DataFrame(written.rows).to_parquet(path)
    else:
        path.write_text("".join(json.dumps(each) + "\n" for each in written.rows), encoding="utf-8")
    return name


def rows_added(random: Random, written: Written) -> None:
    written.rows += [row(random, written) for _ in range(random.randint(1, 12))]


def rows_removed(random: Random, written: Written) -> None:
    written.rows = random.sample(written.rows, max(5, len(written.rows) - random.randint(1, 6)))


def rows_edited(random: Random, written: Written) -> None:
    for each in random.sample(written.rows, random.randint(1, 6) if len(written.rows) > 6 else 1):
        written.rows[written.rows.index(each)] = {**each, "text": text(random)}


def rows_reordered(random: Random, written: Written) -> None:
    random.shuffle(written.rows)


def notes_edited(random: Random, written: Written) -> None:
    written.rows = [{**each, "note": random.choice(WORDS)} for each in written.rows]


def prompt_reworded(random: Random, written: Written) -> None:
    prompt = random.choice(written.job["prompts"])
    prompt["text"] = f"{opening(random)} {prompt['text'].split(': ', 1)[1]}"


def temperature_set(random: Random, written: Written) -> None:
    random.choice(written.job["prompts"])["temperature"] = round(random.random(), 2)


def limit_set(random: Random, written: Written) -> None:
    random.choice(written.job["prompts"])["max_tokens"] = random.randint(1_500, 3_000)


def model_exchanged(random: Random, written: Written) -> None:
    written.job["model"] = "other" if written.job["model"] == "shop" else "shop"


def schema_declared(random: Random, written: Written) -> None:
    prompt = written.job["prompts"][-1]
    prompt["schema"] = random.choice([each for each in SCHEMAS if each != prompt.get("schema")])


def schema_removed(random: Random, written: Written) -> None:
    written.job["prompts"][-1].pop("schema", None)


def policy_changed(random: Random, written: Written) -> None:
    written.job["execution"] = {"concurrency": random.randint(1, 32)}
    written.job["priority"] = random.choice(["hot", "cold"])


def renamed(random: Random, written: Written) -> None:
    written.job["name"] = f"changing {random.choice(WORDS)}"


def syntax_changed(random: Random, written: Written) -> None:
    written.syntax = "json" if written.syntax == "yaml" else "yaml"


def table_written_again(random: Random, written: Written) -> None:
    written.table = random.choice([kind for kind in ("inline", "csv", "parquet", "jsonl") if kind != written.table])


def column_added(random: Random, written: Written) -> None:
    written.rows = [{**each, f"extra{len(each)}": number} for number, each in enumerate(written.rows)]


def asked_again(random: Random, written: Written) -> None:
    written.job["epoch"] = f"week {random.randint(1, 10**6)}"


def taken_back(random: Random, written: Written) -> None:
    job, rows = random.choice(written.history)
    written.job, written.rows = json.loads(json.dumps(job)), json.loads(json.dumps(rows))


Change = Callable[[Random, Written], None]
CHANGES: tuple[Change, ...] = (
    rows_added,
    rows_removed,
    rows_edited,
    rows_reordered,
    notes_edited,
    prompt_reworded,
    temperature_set,
    limit_set,
    model_exchanged,
    schema_declared,
    schema_removed,
    policy_changed,
    renamed,
    syntax_changed,
    table_written_again,
    column_added,
    asked_again,
    taken_back,
)

ASKING = (rows_added, rows_edited, prompt_reworded, temperature_set, model_exchanged, schema_declared)  # twice as often


def change(random: Random, written: Written) -> str:
    """One change, sometimes two at once; returns their names."""
    written.history.append((json.loads(json.dumps(written.job)), json.loads(json.dumps(written.rows))))
    chosen = random.sample(CHANGES + ASKING, 2 if random.random() < 0.2 else 1)
    for each in chosen:
        each(random, written)
    return " and ".join(each.__name__ for each in chosen)
