"""Documents for each provider and format whose questions make the server fail and repeat what it was sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_jobs_tests.end_to_end.documents import FORMATS, write_document
from llm_jobs_tests.end_to_end.secret_server import BEHAVIOURS, FORMS

HTTP_PROVIDERS = ("openai", "anthropic", "ollama")
MAIN_BEHAVIOURS = ("answers", "fails-once", "refuses")

# Reads the request's URL from its arguments; the key is named and never seen.
_REQUEST_SCRIPT = """
import json, sys
given = json.load(sys.stdin)
url, where = sys.argv[1:]
print(json.dumps({
    "url": url + ("?key=${COMMAND_KEY}" if where == "query" else ""),
    "headers": {"Authorization": "Bearer ${COMMAND_KEY}", "X-Api-Key": "${COMMAND_KEY}"},
    "body": {"model": "m", "messages": given["messages"]},
    "answer": "/choices/0/message/content",
}))
"""
_PROGRAM_SCRIPT = """
import json, sys
given = json.load(sys.stdin)
print(json.dumps({"argv": ["nosy.py", given["prompt"]], "stdin": given["prompt"]}))
"""
# A script is no sandbox: it can read its parent's environment. What it says is cleaned all the same.
_NOSY_PROGRAM = """
import os, sys
with open(f"/proc/{os.getppid()}/environ") as file:
    keys = [line for line in file.read().split("\\0") if "_KEY=" in line]
print(*keys, *(value for name, value in os.environ.items() if "KEY" in name))
sys.exit("\\n".join(keys) if "refuses" in sys.argv[1] else 0)
"""


def write_home(home: Path, server_url: str) -> None:
    """The scripts of the command provider, and the catalogue that lists where its key may go."""
    scripts = {"request.py": _REQUEST_SCRIPT, "program.py": _PROGRAM_SCRIPT, "nosy.py": _NOSY_PROGRAM}
    (home / "scripts").mkdir(parents=True)
    for name, text in scripts.items():
        (home / "scripts" / name).write_text(text, encoding="utf-8")
    listed = {"provider": "openai", "key": "COMMAND_KEY", "allowed_hosts": [server_url]}
    (home / "models.yaml").write_text(json.dumps({"listed": listed}), encoding="utf-8")


def questions(subject: str, behaviours: Sequence[str] = tuple(BEHAVIOURS)) -> list[str]:
    """The main behaviours with every form, the others with some."""
    asked = []
    for number, behaviour in enumerate(behaviours):
        forms = list(FORMS) if behaviour in MAIN_BEHAVIOURS else list(FORMS)[number % 3 :: 3]
        asked += [f"{subject} {behaviour} {form}" for form in forms]
    return asked


def http_documents(folder: Path) -> list[Path]:
    """A document of each format for each provider with a server; a batch file is OpenAI's."""
    return [
        write_document(
            folder, form, name=f"{provider}-{form}", model=f"{provider}/m", questions=questions(f"{provider} {form}")
        )
        for provider in HTTP_PROVIDERS
        for form in FORMATS
        if form != "batch" or provider == "openai"
    ]


def simulated_documents(folder: Path) -> list[Path]:
    return [
        write_document(folder, form, name=f"simulated-{form}", model="simulated", questions=[f"{form} plain question"])
        for form in FORMATS
    ]


def command_documents(folder: Path, server_url: str) -> list[Path]:
    """Pairs whose request a script prints: to the server, with a table, and to a program that looks for keys."""
    table = folder / "command.rows.jsonl"
    asked = [{"question": question} for question in questions("command pair", MAIN_BEHAVIOURS)]
    table.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    data = {"input": {"source": "file", "path": str(table), "format": "jsonl"}}
    url = f"{server_url}/v1/chat/completions"
    return [
        _command(folder, "command-http", ["request.py", url, "headers"], {"base": "{{ question }}", "data": data}),
        _command(folder, "command-query", ["request.py", url, "query"], {"base": "query {{ question }}", "data": data}),
        _command(folder, "program-answers", ["program.py"], {"base": "program answers plain"}),
        _command(folder, "program-refuses", ["program.py"], {"base": "program refuses plain"}),
    ]


def _command(folder: Path, name: str, command: Sequence[str], prompt: dict[str, Any]) -> Path:
    script, *arguments = command
    configuration = {"LLM_name": "command/m", "command": {"script": script, "arguments": arguments}}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"configuration": configuration, "prompt": prompt}), encoding="utf-8")
    return path
