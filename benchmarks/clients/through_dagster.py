"""This project through its own door: `llm-jobs run`, which is a Dagster run in the same process.

python -m benchmarks.clients.through_dagster URL CALLS CONCURRENCY FOLDER
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.clients.document import write_document, write_models

_DOOR = "from llm_jobs.cli.main import main; main()"  # what the console script does


def environment(url: str, folder: Path) -> dict[str, str]:
    """Homes of its own in `folder`, and the server as OpenAI's."""
    homes = {"LLM_JOBS_HOME": str(folder / "home"), "DAGSTER_HOME": str(folder / "dagster")}
    return {**os.environ, **homes, "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "sk-benchmark"}


def command(document: Path) -> list[str]:
    return [sys.executable, "-c", _DOOR, "run", str(document), "--json"]


def _become(program: list[str], variables: Mapping[str, str]) -> None:
    """Replace this process, so that what is measured is the program alone."""
    os.execve(program[0], program, dict(variables))


if __name__ == "__main__":
    where = Path(sys.argv[4])
    write_models(where / "home")
    asked = write_document(where / "documents", calls=int(sys.argv[2]), concurrency=int(sys.argv[3]))
    _become(command(asked), environment(sys.argv[1], where))
