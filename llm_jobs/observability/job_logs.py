"""The log that a job's document asks for: the events of that job, where and how the document says.

A log that cannot be written stops nothing: the project's own log says so once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from llm_jobs.documents.watched import JobLog
from llm_jobs.observability.log_files import LogFile
from llm_jobs.observability.logs import EventLog, JsonFormatter, Scrub, TextFormatter

LOG = logging.getLogger(__name__)
LOGGER = "llm_jobs.job"


@contextmanager
def job_logged(stated: JobLog, *, path: Path | None, scrub: Scrub) -> Iterator[EventLog]:
    """A listener that writes what it hears as `stated` says, to the file at `path` where it is one.

    Whoever calls passes only the events of the job.
    """
    # A logger of its own, unknown to `logging`: nobody's configuration changes what a document states.
    logger = logging.Logger(LOGGER, stated.level.upper())
    logger.manager = logging.Manager(logging.RootLogger(logging.NOTSET))
    formatter = JsonFormatter(scrub) if stated.format == "json" else TextFormatter(scrub)
    file = None if path is None else LogFile(path, rotate=stated.rotate)
    stream = sys.stderr if stated.destination == "stderr" else sys.stdout
    handler = _Lines(_writer(stream) if file is None else file.append, scrub=scrub if stated.content else None)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    try:
        yield EventLog(logger, content=stated.content)
    finally:
        if file is not None:
            file.close()


def _writer(stream: TextIO) -> Callable[[str], None]:
    def write(line: str) -> None:
        stream.write(line + "\n")
        stream.flush()

    return write


class _Lines(logging.Handler):
    """Hands each line on; the first that cannot be written is told."""

    def __init__(self, write: Callable[[str], None], *, scrub: Scrub | None) -> None:
        """`scrub`: what lines with prompts and answers pass through."""
        super().__init__()
        self._write = write
        self._scrub = scrub
        self._silent = False

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        try:
            self._write(line if self._scrub is None else self._scrub(line))
        except OSError as error:
            if not self._silent:
                LOG.error("the log of a job is not written: %s: %s", error.filename or "", error.strerror)
            self._silent = True
        else:
            self._silent = False
