"""Task steps made ready for the engine: inputs filled, the task run, its outputs checked against what it declares.

Three ways: at once; awaited, so that other rows go on; and, where its answers are kept, asked through the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import RequestStep, TaskStep
from llm_jobs.engine.gates import ModelGate, Worst
from llm_jobs.engine.graph import AwaitedStep, ComputedStep
from llm_jobs.engine.session import Session
from llm_jobs.engine.steps import Asker, Means, PreparedStep, Rendered, Since
from llm_jobs.errors import CallError, InputChanged, Problem, RowError
from llm_jobs.operations.services import Services
from llm_jobs.providers.base import Request
from llm_jobs.results.row_columns import TaskColumns
from llm_jobs.tasks.base import Schema, Task, Values
from llm_jobs.tasks.filling import compile_inputs
from llm_jobs.tasks.provider import KIND, TaskProvider

Row = Mapping[str, JsonValue]
AT_ONCE = 256  # rows that wait in one slow step; how many are worked on is the provider's


class TaskWork:
    """One task step of a job that runs in a session. `timeout_s` bounds the work on one row."""

    def __init__(
        self,
        services: Services,
        session: Session,
        step: TaskStep,
        *,
        epoch: str | None,
        since: Since,
        timeout_s: float,
        rehearsal: bool = False,
    ) -> None:
        """`rehearsal`: the outputs are wanted, and no effect. Raises NotFound for a task that is no longer registered,
        and InputChanged for code that is another by now."""
        task = services.tasks.get(step.task)
        assert isinstance(task, Task)
        self._session = session
        self._step = step
        self._task = task
        self._epoch = epoch
        self._since = since
        self._timeout_s = timeout_s
        self._columns = TaskColumns(step)
        self._rehearsal = rehearsal
        self._around = around = replace(services.surroundings, rehearsal=rehearsal)
        if task.version != step.version:
            raise _changed(step, f"version {step.version} of the task {step.task} is {task.version} by now")
        if task.digest(step.fixed, around) != step.digest:
            raise _changed(step, f"the script {step.fixed.get('script')} was changed")
        schemas: Mapping[str, Schema] = {**(task.more_inputs(step.fixed, around) or {}), **task.inputs}
        self._fill = compile_inputs(step.inputs, where=f"step {step.name}", schemas=schemas)

    def ready(self) -> ComputedStep | AwaitedStep | PreparedStep:
        """The step as the engine takes it."""
        if self._step.recorded:
            return RecordedStep(
                self._step,
                self._means(),
                fill=self._asked,
                values=self._shaped,
                epoch=self._epoch,
                since=self._since,
            )
        if self._task.slow:
            return AwaitedStep(compute=self._awaited, at_once=AT_ONCE)
        return ComputedStep(compute=self._computed)

    def inputs(self, row: Row) -> dict[str, JsonValue]:
        """All inputs for a row. Raises RowError."""
        return {**self._step.fixed, **self._fill(row)}

    def _asked(self, row: Row) -> dict[str, JsonValue]:
        return {name: value for name, value in self.inputs(row).items() if name not in self._task.shaping}

    def _shaped(self, outputs: Values) -> dict[str, JsonValue]:
        """The columns. Raises ValueError."""
        return self._columns.values(self._task.shaped(outputs, self._step.fixed))

    def _computed(self, row: Row) -> Values:
        return self._values(self._task.run(self.inputs(row), self._around))

    async def _awaited(self, row: Row) -> Values:
        provider = self._session.provider(KIND)
        assert isinstance(provider, TaskProvider)
        step, rehearsal = self._step, self._rehearsal
        inputs = self.inputs(row)
        try:
            outputs = await provider.answer(
                self._task, inputs, digest=step.digest, timeout_s=self._timeout_s, rehearsal=rehearsal
            )
        except CallError as error:
            raise RowError(f"step {step.name}: {error}") from None
        return self._values(outputs)

    def _values(self, outputs: Values) -> Values:
        try:
            return self._shaped(outputs)
        except (ValueError, TypeError) as error:  # not as declared; not what JSON can say
            raise RowError(f"step {self._step.name}: {error}") from None

    def _means(self) -> Means:
        """Nothing holds a task back but the job's own concurrency: it has no quota and costs nothing."""
        gate = ModelGate(worst=lambda request: Worst(0, 0, 0.0), model=f"{KIND}/{self._step.task}")
        return Means(provider=self._session.provider(KIND), gate=gate, price=lambda usage: 0.0)


class RecordedStep(PreparedStep):
    """A task step as calls: what reaches the task is their identity."""

    def __init__(
        self,
        step: TaskStep,
        means: Means,
        *,
        fill: Callable[[Row], dict[str, JsonValue]],
        values: Callable[[Values], dict[str, JsonValue]],
        epoch: str | None,
        since: Since,
    ) -> None:
        path = f"{step.task}@{step.version}"
        model = ModelRef(name=f"{KIND}/{step.task}", provider=KIND, upstream=step.task, base_url="")
        endpoint = Endpoint(provider=KIND, base_url="", path=path, method="RUN", digest=step.digest)
        self.step = RequestStep(name=step.name, model=model, endpoint=endpoint)
        self.outputs = _Columns(values)  # type: ignore[assignment] # has the one method that the engine asks for
        self.declared = True
        self.epoch = epoch
        self.render = fill

        def build(inputs: Rendered) -> Request:
            return Request(endpoint=endpoint, model=model, body={"inputs": inputs})  # type: ignore[dict-item]

        since_ns = since(model.name)
        self.first = Asker(means, build, check=self._check, epoch=epoch, step=step.name, since_ns=since_ns)


class _Columns:
    def __init__(self, values: Callable[[Values], dict[str, JsonValue]]) -> None:
        self.values = values


def _changed(step: TaskStep, how: str) -> InputChanged:
    problem = Problem(
        what=f"the code of step {step.name} was changed since the job was submitted: {how}",
        rule="a job runs the code that it was submitted with",
        remedy="submit it again, or bring the code back",
    )
    return InputChanged([problem])
