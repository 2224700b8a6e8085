"""What is delivered: one result of one job, the words that a path may say about it, and the place that it names.

No table is read here, so that a place can be checked when a job is submitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}|(?<![\$\{])\{([^{}]*)\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The result that is delivered: what the placeholders of a path stand for, and what a pair says."""

    name: str  # the job's
    job_hash: str
    epoch_ns: int
    document: str = ""  # the document's file name without its suffix
    link: str = ""  # where the document is kept
    answer: str | None = None  # the column of the last answer

    def words(self) -> dict[str, str]:
        """By placeholder. No word holds a separator of paths."""
        day = datetime.fromtimestamp(self.epoch_ns / 1e9, UTC).date().isoformat()
        words = {
            "name": self.name,
            "job_hash": self.job_hash,
            "epoch": str(self.epoch_ns),
            "epoch_ns": str(self.epoch_ns),
            "date": day,
            "document": self.document,
        }
        return {key: word.replace("/", "_").replace("\0", "_") for key, word in words.items()}

    def filled(self, path: str) -> str:
        """`path` with its placeholders filled in. Raises KeyError for one that is unknown."""
        words = self.words()
        return PLACEHOLDER.sub(lambda match: words[match[1] or match[2]], path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """What a destination holds now. `is_new`: False where it held all of it already."""

    destination: str  # without credentials
    rows: int
    is_new: bool = True
    sha256: str | None = None
    size_bytes: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)
