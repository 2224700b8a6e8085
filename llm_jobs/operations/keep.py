"""Keep a text for ever under a name of its own, and find it again."""

from __future__ import annotations

from pathlib import Path

from llm_jobs.files import Draft

MOST_NAME_BYTES = 180  # a file system's limit is 255, and a draft's name is longer than the file's


def short_name(name: str) -> str:
    """`name`, its beginning cut off where it is longer than files are kept under; bytes that are no text replaced."""
    encoded = name.encode("utf-8", "replace")
    return (
        name
        if name.isascii() and len(encoded) <= MOST_NAME_BYTES
        else encoded[-MOST_NAME_BYTES:].decode("utf-8", "ignore")
    )


def newest_kept(folder: Path, name: str) -> Path | None:
    """The newest document that was kept in `folder`, a job's, under `name`: `<epoch ns>_<name>`."""
    short = short_name(name)
    found = folder.iterdir() if folder.is_dir() else ()
    return max((path for path in found if path.name.partition("_")[2] == short), default=None)


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
