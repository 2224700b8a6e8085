"""The document that this project's own clients run: a table of questions and one prompt."""

from __future__ import annotations

from pathlib import Path

import orjson

from benchmarks.clients.questions import MODEL, questions

_DOCUMENT = """\
job:
  name: benchmark
  model: openai/{model}
  input: {{source: file, path: {table}, format: jsonl}}
  prompts:
    - {{name: answer, text: "{{{{ question }}}}"}}
  execution: {{concurrency: {concurrency}}}
"""


# Quotas that are kept and never reached: counting is part of what is measured.
_MODELS = """\
openai/{model}:
  provider: openai
  model: {model}
  quota: {{requests_per_minute: 10000000, tokens_per_minute: 1000000000}}
"""


def write_models(home: Path) -> None:
    """Write the catalogue of the home folder: the model with its quotas."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "models.yaml").write_text(_MODELS.format(model=MODEL), encoding="utf-8")


def write_document(folder: Path, *, calls: int, concurrency: int, start: int = 0) -> Path:
    """Write the document and its table, questions from number `start` on; returns the document's path."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "questions.jsonl"
    with table.open("wb") as file:
        for question in questions(calls, start=start):
            file.write(orjson.dumps({"question": question}) + b"\n")
    document = folder / "benchmark.yaml"
    document.write_text(_DOCUMENT.format(model=MODEL, table=table, concurrency=concurrency), encoding="utf-8")
    return document
