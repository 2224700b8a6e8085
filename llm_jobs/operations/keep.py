"""Keep a text for ever under a name of its own."""

from __future__ import annotations

from pathlib import Path

from llm_jobs.files import Draft


def keep(target: Path, content: bytes) -> Path:
    """`target` with `content`, durable and read-only on return. Raises ImmutableError if it exists."""
    draft = Draft(target)
    try:
        draft.path.write_bytes(content)
        draft.sync()
        draft.publish()
    finally:
        draft.discard()
    return target
