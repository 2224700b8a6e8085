"""Run language-model jobs in bulk: every prompt is paid for once, every answer is kept.

`JobExecutor` and `AsyncJobExecutor` run a document from Python, `GraphBuilder` builds one; `LlmJob` and `llm_asset` put
one into anybody's Dagster project. They are imported when they are first asked for, so that importing the package is
quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_jobs.importing import imported

if TYPE_CHECKING:
    from llm_jobs.operations.executor import AsyncJobExecutor, JobExecutor, JobResult
    from llm_jobs.operations.graph_builder import GraphBuilder
    from llm_jobs.orchestration.component import LlmJob
    from llm_jobs.orchestration.llm_asset import llm_asset

__all__ = ["AsyncJobExecutor", "GraphBuilder", "JobExecutor", "JobResult", "LlmJob", "llm_asset"]

_ELSEWHERE = {
    "GraphBuilder": "operations.graph_builder",
    "LlmJob": "orchestration.component",
    "llm_asset": "orchestration.llm_asset",
}


def __getattr__(name: str) -> object:
    if name in __all__:
        module = _ELSEWHERE.get(name, "operations.executor")
        return getattr(imported(f"llm_jobs.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
