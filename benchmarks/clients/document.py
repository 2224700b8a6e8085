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
