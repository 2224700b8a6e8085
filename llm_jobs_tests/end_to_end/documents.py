"""The same questions as a pair, a YAML job and a batch file: what the server is asked is the same in all three."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

Format = Literal["pair", "job", "batch"]
FORMATS: tuple[Format, ...] = ("pair", "job", "batch")


def write_document(
    folder: Path,
    form: Format,
    *,
    name: str,
    model: str,
    questions: Sequence[str],
    execution: dict[str, Any] | None = None,
) -> Path:
    """A document of the format `form` that asks `model` each of `questions`; its table lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    if form == "batch":
        return _batch(folder / f"{name}.jsonl", model, questions)
    table = folder / f"{name}.rows.jsonl"
    table.write_text("".join(json.dumps({"question": question}) + "\n" for question in questions), encoding="utf-8")
    source = {"source": "file", "path": str(table), "format": "jsonl"}
    return _pair(folder, name, model, source) if form == "pair" else _job(folder, name, model, source, execution)


def _batch(path: Path, model: str, questions: Sequence[str]) -> Path:
    lines = [
        {
            "custom_id": f"q{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": model.removeprefix("openai/"), "messages": [{"role": "user", "content": question}]},
        }
        for number, question in enumerate(questions)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def _pair(folder: Path, name: str, model: str, source: dict[str, str]) -> Path:
    document = {
        "configuration": {"LLM_name": model},
        "prompt": {"base": "{{ question }}", "data": {"input": source}},
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _job(folder: Path, name: str, model: str, source: dict[str, str], execution: dict[str, Any] | None) -> Path:
    job: dict[str, Any] = {
        "name": name,
        "model": model,
        "input": source,
        "prompts": [{"name": "answer", "text": "{{ question }}"}],
    }
    if execution:
        job["execution"] = execution
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"job": job}, sort_keys=False), encoding="utf-8")
    return path
