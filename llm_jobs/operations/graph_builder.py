"""The builder of graphs that runs what it built: an entry point, like `executor`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.operations.executor import EVENTS, JobExecutor, JobResult
from llm_jobs.pipelines.builder import Builder


class GraphBuilder(Builder):
    """A graph of steps, built call by call; `run` runs it, and running it again asks only what has changed."""

    def run(
        self,
        *,
        home: str | os.PathLike[str] | None = None,
        model: str | None = None,
        parameters: Mapping[str, JsonValue] | None = None,
        epoch: str | None = None,
        concurrency: int | None = None,
    ) -> JobResult:
        """Run the graph as the job that it is; its answers are kept in the ledger of the home folder. What was
        registered by `on` for start, progress, complete and error is told as `JobExecutor` tells it.

        Raises DocumentError, NotFound or SetupError before anything is spent.
        """
        with TemporaryDirectory() as folder:
            path = Path(folder) / "graph.yaml"
            path.write_text(self._placed().to_yaml(), encoding="utf-8")
            executor = JobExecutor(
                path, home=home, model=model, parameters=parameters, epoch=epoch, concurrency=concurrency
            )
            for event in EVENTS:
                for listener in self._listeners.get(event, ()):
                    executor.on(event, listener)
            return executor.run()

    def _placed(self) -> Builder:
        """The same, its table's file found from anywhere."""
        built = Builder.from_job(self.to_job(), tasks=self._tasks)
        table = built.members.get("input")
        path = table.get("path") if isinstance(table, dict) else None
        if isinstance(path, str) and "://" not in path:
            cast("dict[str, JsonValue]", table)["path"] = str(Path(path).absolute())
        return built
