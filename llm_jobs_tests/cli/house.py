"""A house to run commands in: a home folder of its own, documents, and the command line in this process or another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.main import cli
from llm_jobs.documents.job import Job
from llm_jobs.events import ignore
from llm_jobs.operations.accept import accept
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.run import run_jobs

REPOSITORY = Path(__file__).parents[2]
LLM_JOBS = str(Path(sys.executable).with_name("llm-jobs"))


@dataclass(frozen=True, slots=True)
class House:
    """A working directory with a home folder, and the environment that names it."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        return {"LLM_JOBS_HOME": str(self.home), "PATH": "/usr/bin:/bin", "HOME": str(self.folder), **self.variables}

    @property
    def entry(self) -> Entry:
        return Entry(self.environment, self.folder)

    def write(self, name: str, value: Mapping[str, Any] | str) -> Path:
        """A document in the working directory; mappings as JSON, which YAML reads too."""
        path = self.folder / name
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    def invoke(self, *arguments: str) -> Result:
        """A command in this process."""
        return CliRunner().invoke(cli, arguments, obj=self.entry, prog_name="llm-jobs")

    def process(self, *arguments: str, program: Sequence[str] = (LLM_JOBS,)) -> subprocess.CompletedProcess[str]:
        """A command as a process, its output piped."""
        return subprocess.run(
            [*program, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120
        )

    def accept(self, path: Path, overrides: Overrides = NO_OVERRIDES) -> list[Job]:
        """Submit a document and run nothing."""
        with self.entry.open_services() as services:
            return [each.job for each in accept(services, path, origin="cli", overrides=overrides)]

    def answer(self, path: Path, overrides: Overrides = NO_OVERRIDES) -> list[JobReport]:
        """Submit a document and run its jobs without Dagster, which takes seconds."""
        jobs = self.accept(path, overrides)
        with self.entry.open_services() as services:
            return list(run_jobs(services, [job.hash for job in jobs], listener=ignore))


def facts(output: str) -> list[dict[str, Any]]:
    """Every line of `output` as JSON; fails where one is not."""
    return [json.loads(line) for line in output.splitlines()]


def job(
    name: str, rows: Sequence[Mapping[str, Any]], *, text: str = "Say: {{ text }}", **members: Any
) -> dict[str, Any]:
    """A YAML job with one prompt in line, asked of `simulated`."""
    prompt = {"name": "said", "text": text}
    return {"job": {"name": name, "model": "simulated", "input": {"rows": list(rows)}, "prompts": [prompt], **members}}


ROWS = [{"id": number, "text": text} for number, text in enumerate(("good", "bad", "so so"), 1)]
