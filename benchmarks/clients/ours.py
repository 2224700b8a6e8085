"""This project below Dagster: document, identity, ledger on disk, Parquet result.

python -m benchmarks.clients.ours URL CALLS CONCURRENCY FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.clients.document import write_document, write_models
from llm_jobs.events import ignore
from llm_jobs.operations.accept import accept
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.services import open_services
from llm_jobs.settings import Settings


def main(url: str, calls: int, concurrency: int, folder: Path) -> int:
    """Run the document of the speed benchmark; returns how many rows succeeded."""
    document = write_document(folder / "documents", calls=calls, concurrency=concurrency)
    report = answered_rows(url, document, folder)
    return report.succeeded if report.calls_sent == calls else 0


def answered_rows(url: str, document: Path, folder: Path) -> JobReport:
    """Run a document of one job in the home of `folder`."""
    write_models(folder / "home")
    environment = {**os.environ, "LLM_JOBS_HOME": str(folder / "home")}
    environment |= {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "sk-benchmark"}
    settings = Settings.from_environment(environment, working_directory=folder)
    with open_services(settings, environment=environment, working_directory=folder) as services:
        (accepted,) = accept(services, document, origin="python")
        (report,) = run_jobs(services, [accepted.job.hash], listener=ignore)
    return report


if __name__ == "__main__":
    answered = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    sys.exit(0 if answered == int(sys.argv[2]) else f"{answered} answers of {sys.argv[2]}")
