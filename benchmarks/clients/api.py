"""This project's Python API, as a script uses it: one document, from its import on.

python -m benchmarks.clients.api URL CALLS CONCURRENCY FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.clients.document import write_document, write_models


def main(url: str, calls: int, concurrency: int, folder: Path) -> int:
    """Run the document of the speed benchmark; returns how many rows succeeded."""
    document = write_document(folder / "documents", calls=calls, concurrency=concurrency)
    write_models(folder / "home")
    os.environ.update(OPENAI_BASE_URL=f"{url}/v1", OPENAI_API_KEY="sk-benchmark")
    # The package imports what runs a document when its name is asked for, which is part of what is measured.
    from llm_jobs import JobExecutor

    return JobExecutor(document, home=folder / "home").run().succeeded


if __name__ == "__main__":
    answered = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    sys.exit(0 if answered == int(sys.argv[2]) else f"{answered} answers of {sys.argv[2]}")
