"""Starts the child of these tests and the command line as real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
KEY = 'sk-test/key+with%signs=and"quotes'


def child_environment(openai_url: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The parent's environment without what would reach another home, ledger or server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_JOBS", "OPENAI", "DAGSTER"))}
    return {**kept, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": openai_url, **(extra or {})}


def start_child(
    home: Path, documents: Sequence[Path], *, environment: Mapping[str, str], options: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """The child of `child.py`, its output piped."""
    command = [sys.executable, "-m", "llm_jobs_tests.end_to_end.child", str(home), *map(str, documents), *options]
    return subprocess.Popen(
        command, env=dict(environment), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def start_command_line(*arguments: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """`llm-jobs` with `arguments`, its output piped."""
    command = [str(Path(sys.executable).with_name("llm-jobs")), *arguments]
    return subprocess.Popen(
        command, env=dict(environment), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Wait for a child that is to succeed; the facts of its jobs."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return [json.loads(line) for line in output.splitlines()]


def run_child(
    home: Path, documents: Sequence[Path], *, environment: Mapping[str, str], options: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Run the child to its end; the facts of its jobs."""
    return finish(start_child(home, documents, environment=environment, options=options))
