"""What every task promises, as tests: subclass `TaskContract`, name the task, and let pytest collect it.

    class TestInitials(TaskContract):
        task = Initials()

It needs nothing but the task's `example`. A task that reads files or runs scripts writes them in `prepare`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

from llm_jobs.documents.content import shown_content
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import TaskStep
from llm_jobs.isolation.workers import Workers
from llm_jobs.results.row_columns import TaskColumns
from llm_jobs.results.schemas import compile_check
from llm_jobs.tasks.base import OWN, AnyTask, PromptTask, Surroundings, Task, Values, given_inputs
from llm_jobs.tasks.filling import compile_inputs
from llm_jobs.tasks.registry import plain_name


class TaskContract:
    """Tests of one task."""

    task: AnyTask

    def prepare(self, folder: Path) -> None:
        """Write what the example needs into `folder`, which holds both files and scripts."""

    def surroundings(self, folder: Path) -> Surroundings:
        self.prepare(folder)
        return Surroundings(scripts=folder, roots=(folder,))

    def test_it_says_what_it_is(self) -> None:
        task = self.task
        assert task.name == plain_name(task.name), "a name is lower case, words joined by _"
        assert task.description.endswith(".")
        assert task.category
        assert task.version

    def test_its_schemas_are_json_schemas_and_its_defaults_fit_them(self) -> None:
        for schema in [*self.task.inputs.values(), *self.task.outputs.values()]:
            json.dumps(dict(schema))
            check = compile_check(schema)
            if "default" in schema:
                check(schema["default"])

    def test_it_gives_one_output_of_the_steps_own_name_or_named_ones(self) -> None:
        assert self.task.outputs
        assert OWN not in self.task.outputs or len(self.task.outputs) == 1

    def test_its_example_has_every_input_and_fits(self) -> None:
        needed = {name for name, schema in self.task.inputs.items() if "default" not in schema}
        assert needed <= self.task.example.keys()
        for name, value in self.task.example.items():
            compile_check(self.task.inputs.get(name, {}))(value)

    def test_an_input_that_is_left_out_is_the_column_of_its_name(self) -> None:
        if isinstance(self.task, Task) and self.task.fixed:
            return
        written = given_inputs(self.task, {})
        for name, schema in self.task.inputs.items():
            assert written[name] == schema.get("default", f"{{{{ {name} }}}}")

    def test_its_example_gives_what_it_declares(self, tmp_path: Path) -> None:
        if isinstance(self.task, PromptTask):
            messages = self.task.asked(self.task.example)
            assert messages
            assert all(
                str(value) in "".join(shown_content(each.content) for each in messages)
                for value in self.task.example.values()
            )
            return
        outputs, columns = self._answered(tmp_path), self._columns()
        assert columns.values(outputs).keys() >= {field.name for field in columns.fields}
        json.dumps(dict(outputs), allow_nan=False)

    def test_it_gives_the_same_again_unless_it_is_recorded(self, tmp_path: Path) -> None:
        if isinstance(self.task, Task) and not self.task.recorded:
            assert self._answered(tmp_path) == self._answered(tmp_path)

    def test_a_rehearsal_gives_the_same_outputs(self, tmp_path: Path) -> None:
        if isinstance(self.task, Task) and not self.task.recorded and not self.task.slow:
            assert self._answered(tmp_path) == self._answered(tmp_path, rehearsal=True)

    def _given(self) -> Values:
        assert isinstance(self.task, Task)
        return given_inputs(self.task, self.task.written(self.task.example), {})

    def _columns(self) -> TaskColumns:
        assert isinstance(self.task, Task)
        fixed = {name: value for name, value in self._given().items() if name in self.task.fixed}
        outputs = self.task.declared(fixed)
        return TaskColumns(TaskStep(name="step", task=self.task.name, version="1", inputs={}, outputs=outputs))

    def _answered(self, folder: Path, *, rehearsal: bool = False) -> Values:
        return asyncio.run(self._answer(self.surroundings(folder), rehearsal))

    async def _answer(self, around: Surroundings, rehearsal: bool) -> Values:
        task, workers = self.task, Workers(environment={})
        assert isinstance(task, Task)
        given = self._given()
        fixed = {name: value for name, value in given.items() if name in task.fixed}
        others = {name: value for name, value in given.items() if name not in task.fixed}
        filled = compile_inputs(others, where="the example", schemas=task.inputs)({})
        inputs: Mapping[str, JsonValue] = {**fixed, **filled}
        around = Surroundings(
            scripts=around.scripts, roots=around.roots, workers=workers, pull=around.pull, rehearsal=rehearsal
        )
        try:
            outputs = await task.answer(inputs, around) if task.slow else task.run(inputs, around)
            return task.shaped(outputs, fixed)
        finally:
            await workers.aclose()
