"""Run language-model jobs in bulk: every prompt is paid for once, every answer is kept.

`JobExecutor` and `AsyncJobExecutor` run a document from Python, `GraphBuilder` builds one; they are imported when they
are first asked for, so that importing the package is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_jobs.importing import imported

if TYPE_CHECKING:
    from llm_jobs.operations.executor import AsyncJobExecutor, JobExecutor, JobResult
    from llm_jobs.operations.graph_builder import GraphBuilder

__all__ = ["AsyncJobExecutor", "GraphBuilder", "JobExecutor", "JobResult"]


def __getattr__(name: str) -> object:
    if name in __all__:
        room = "graph_builder" if name == "GraphBuilder" else "executor"
        return getattr(imported(f"llm_jobs.operations.{room}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
