"""What a process imports is what it needs; how long that takes is measured by `python -m benchmarks.startup`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What no process needs that answers prompts below Dagster, from a file, on SQLite, without telemetry.
NEVER = {
    "aiohttp",
    "anthropic",
    "dagster",
    "filelock",
    "fsspec",
    "genai_prices",
    "httpx",
    "httpx2",
    "ollama",
    "openai",
    "opentelemetry",
    "pandas",
    "prometheus_client",
    "psycopg",
    "redis",
    "requests",
    "sqlalchemy",
    "transformers",
}
# What a process needs that opens the ledger, or reads a document or a table.
LEDGER = {"pydantic", "yaml", "psutil"}
TABLES = {"pyarrow", "numpy"}
PROMPTS = {"jinja2"}

COMMAND = """
import sys
from llm_jobs.cli.main import main
try:
    main({arguments})
except SystemExit as end:
    assert not end.code, end.code
"""
JOB = """
import sys
from llm_jobs.operations.executor import JobExecutor
result = JobExecutor("job.yaml").run()
assert (result.status, result.rows, result.calls_sent) == ("done", 2, {sent}), result
assert "pyarrow.compute" not in sys.modules, "0.04 s of imports that a job does not need"
"""
DOCUMENT = """
job:
  name: lean
  model: simulated
  input: {source: file, path: rows.jsonl, format: jsonl}
  prompts:
    - {name: answer, text: "{{ question }}"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(DOCUMENT, encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text('{"question": "one"}\n{"question": "two"}\n', encoding="utf-8")
    return tmp_path


def packages_after(code: str, folder: Path) -> set[str]:
    """The top-level packages that a fresh process has imported when `code` has run in `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_JOBS_", "OTEL_"))}
    environment["LLM_JOBS_HOME"] = str(folder / "home")
    told = "\nprint(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code + told], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_the_help_imports_the_command_line_and_nothing_else(folder: Path) -> None:
    found = packages_after(COMMAND.format(arguments="'--help'"), folder)
    assert found & (NEVER | LEDGER | TABLES | PROMPTS | {"asyncio", "rich"}) == set()
    assert "click" in found


@pytest.mark.parametrize("arguments", ["'status'", "'status', '--json'", "'budgets'"])
def test_a_command_that_asks_the_ledger_imports_no_tables_and_no_prompts(folder: Path, arguments: str) -> None:
    found = packages_after(COMMAND.format(arguments=arguments), folder)
    assert found & (NEVER | TABLES | PROMPTS) == set()
    assert found >= LEDGER


def test_a_job_imports_what_it_needs_when_it_runs_and_when_it_is_finished(folder: Path) -> None:
    first = packages_after(JOB.format(sent=2), folder)
    again = packages_after(JOB.format(sent=0), folder)
    assert (first | again) & (NEVER | {"click", "rich"}) == set()
    assert first >= LEDGER | TABLES | PROMPTS


def test_the_package_imports_dagster_when_its_component_is_asked_for_and_not_before(folder: Path) -> None:
    assert "dagster" not in packages_after("import llm_jobs; assert 'LlmJob' in dir(llm_jobs)\nimport sys", folder)
    assert "dagster" in packages_after("from llm_jobs import LlmJob, llm_asset\nimport sys", folder)
