"""Chooses the result store by its URL."""

from __future__ import annotations

from pathlib import Path

from llm_jobs.errors import SetupError
from llm_jobs.events import Listener, ignore
from llm_jobs.results.base import ResultStore
from llm_jobs.results.local import LocalStore


def open_store(url: str, *, emit: Listener = ignore, scratch: Path | None = None) -> ResultStore:
    """The store at a path, `file://…` or `s3://…`. `scratch`: where drafts of objects lie; the system's by default.

    Raises SetupError for a URL whose store is not known to refuse overwriting.
    """
    protocol, separator, rest = url.partition("://")
    if not separator or protocol == "file":
        return LocalStore(Path(rest if separator else url).absolute(), emit=emit)
    if protocol not in ("s3", "s3a"):
        raise SetupError(
            f"results cannot be kept under {protocol}://: only local folders and s3:// are known to refuse "
            "overwriting; set LLM_JOBS_RESULTS_URL to one of them"
        )
    try:
        # botocore takes some 0.3 s to import and comes with an extra.
        from llm_jobs.results.objects import ObjectStore
    except ImportError as error:
        raise SetupError(f"{url} needs s3fs ({error}): pip install 'llm-jobs[s3]'") from None
    return ObjectStore(url, scratch=scratch, emit=emit)
