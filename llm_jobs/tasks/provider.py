"""Tasks asked as a model is: a recorded task's answer is in the ledger, once for the same inputs, whatever job asks.

The request's body holds the inputs, its path the task's name and version, its digest that of the user's code. Tasks
that are not recorded but wait (users' code, downloads) are awaited here too: one place holds workers and threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import CallTimeout, DocumentError, PermanentError, Problem, RowError, TransientError
from llm_jobs.isolation.workers import Workers
from llm_jobs.providers.base import Answered, Reply, Request, Usage
from llm_jobs.tasks.base import Surroundings, Task, Values
from llm_jobs.tasks.registry import Tasks

KIND = "task"
MOST_THREADS = 8  # tasks that read files or compute at length, at once


class TaskProvider:
    """The provider of the kind `task`."""

    kind: str = KIND

    def __init__(self, tasks: Tasks, surroundings: Surroundings, workers: Workers) -> None:
        self._tasks = tasks
        self._pull = surroundings.pull
        self._pulled: dict[str, asyncio.Task[None]] = {}
        self._surroundings = replace(surroundings, workers=workers, pull=self._pull_once)
        self._workers = workers
        self._turns = asyncio.Semaphore(MOST_THREADS)

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        raise self._no_model()

    def body(
        self,
        model: ModelRef,
        operation: Operation,
        messages: Sequence[Message],
        parameters: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue] | None,
    ) -> dict[str, JsonValue]:
        raise self._no_model()

    async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
        name = request.endpoint.path.rpartition("@")[0]
        inputs = request.body["inputs"]
        assert isinstance(inputs, dict)
        task = self._tasks.get(name)
        assert isinstance(task, Task)
        try:
            outputs = await self.answer(task, inputs, digest=request.endpoint.digest, timeout_s=timeout_s)
            return Answered(raw=orjson.dumps(outputs), headers={})
        except (RowError, TypeError) as error:  # the same inputs would fail again; or are no JSON
            failure = PermanentError(str(error))
        raise failure

    async def answer(
        self, task: Task, inputs: Values, *, digest: str | None, timeout_s: float, rehearsal: bool = False
    ) -> Values:
        """The outputs of a task for one row. Raises RowError, CallTimeout or TransientError."""
        around = replace(self._surroundings, digest=digest, timeout_s=timeout_s, rehearsal=rehearsal)
        if type(task).answer is not Task.answer:
            return await task.answer(inputs, around)
        async with self._turns:
            try:
                async with asyncio.timeout(timeout_s):
                    return await task.answer(inputs, around)
            except TimeoutError:
                raise CallTimeout(f"the task {task.name} did not end within {timeout_s:g} s") from None

    def read(self, request: Request, raw: bytes) -> Reply:
        try:
            output = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise TransientError(f"the answer is not whole: {error}") from None
        usage = Usage(prompt_tokens=0, completion_tokens=0)
        return Reply(status="succeeded", output=output, usage=usage, finish_reason=None, model=None)

    async def aclose(self) -> None:
        for pulling in self._pulled.values():
            pulling.cancel()
        await asyncio.gather(*self._pulled.values(), return_exceptions=True)
        await self._workers.aclose()

    async def _pull_once(self, model: str) -> None:
        """Many rows may name one model. What failed is tried again by the next."""
        assert self._pull is not None
        pulling = self._pulled.get(model)
        if pulling is None or (pulling.done() and (pulling.cancelled() or pulling.exception())):
            pulling = self._pulled[model] = asyncio.ensure_future(self._pull(model))
        await asyncio.shield(pulling)

    def _no_model(self) -> DocumentError:
        what = "the provider task reaches no model"
        return DocumentError([Problem(what=what, rule="tasks are steps: `task: NAME`", remedy="name another model")])
