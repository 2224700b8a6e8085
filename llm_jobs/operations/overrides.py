"""What is said over a document where it is run: on the command line, in Python, by a trigger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_jobs.documents.json_value import JsonValue


@dataclass(frozen=True, kw_only=True, slots=True)
class Overrides:
    """What the command line says over the document."""

    models: tuple[str, ...] = ()
    profile: str | None = None
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    input: str | None = None
    epoch: str | None = None
    concurrency: int | None = None


NO_OVERRIDES = Overrides()
