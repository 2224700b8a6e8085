"""Where results lie: names only. Opens nothing, lists nothing.

`<job hash>/<epoch ns>.parquet` is a result; `<job hash>/<epoch ns>.<step>.parquet` the table of a step whose rows are
not those of the result. The results of a job are the names in its folder; the job of a result is its folder's name.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import quote, unquote

SUFFIX = ".parquet"


def result_path(job_hash: str, epoch_ns: int) -> str:
    """The path of a result, relative to the store."""
    return f"{job_hash}/{epoch_ns}{SUFFIX}"


def step_path(job_hash: str, epoch_ns: int, step: str) -> str:
    """The path of a step's own table, relative to the store. The name is percent-encoded where a path needs it."""
    return f"{job_hash}/{epoch_ns}.{quote(step, safe=' ')}{SUFFIX}"


def job_of(path: str) -> str:
    """The job hash in a path or URL of a result, by slicing."""
    return _split(path)[0]


def epoch_of(path: str) -> int:
    """When the result in `path` was begun, nanoseconds since 1970."""
    return int(_split(path)[1].partition(".")[0])


def step_of(path: str) -> str | None:
    """The step whose table `path` is; None for a result."""
    _, _, step = _split(path)[1].partition(".")
    return unquote(step) if step else None


def is_result(name: str) -> bool:
    """Is `name`, in a job's folder, a result (and not a step's table or a file under way)?"""
    return name.endswith(SUFFIX) and name.removesuffix(SUFFIX).isdecimal()


def _split(path: str) -> tuple[str, str]:
    """Folder name and stem. Raises ValueError for what is no path of a stored table."""
    folder, name = ("", *PurePosixPath(path.replace("\\", "/")).parts)[-2:]
    if not folder or not name.endswith(SUFFIX) or not name.partition(".")[0].isdecimal():
        raise ValueError(f"{path} is no result: a result is <job hash>/<epoch ns>{SUFFIX}")
    return folder, name.removesuffix(SUFFIX)
