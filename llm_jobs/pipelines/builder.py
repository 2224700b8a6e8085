"""A graph of steps that is built call by call, and its forms: YAML job, task graph, dependencies, Python, pictures.

    Builder(name="notes", model="simulated").load_document(path="notes.md").text_summary()

Every registered task is a method. A step comes after the one before it, or after all ends of `parallel`; an input that
is not given is the latest output of its name, and `rename` gives an output the name that the next step looks for. What
is held is what a YAML job holds under `steps`, so every form means the same job. Running it is `operations`'.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from llm_jobs.documents.formats.task_graph import is_task_graph, translate
from llm_jobs.documents.json_text import read_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import Flow
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.documents.yaml_writing import write_yaml
from llm_jobs.errors import DocumentError, NotFound
from llm_jobs.pipelines.graph import AUTO, Graph, Needs, Step, copied, every_step, unknown
from llm_jobs.pipelines.mermaid import mermaid
from llm_jobs.pipelines.outputs import reference
from llm_jobs.pipelines.picture import picture
from llm_jobs.pipelines.python_code import python_code, read_scripts
from llm_jobs.pipelines.svg import png, svg
from llm_jobs.pipelines.task_graphs import dependencies, task_graph
from llm_jobs.tasks.base import PromptTask
from llm_jobs.tasks.registry import Tasks


class Builder(Graph):
    """A graph that is built call by call, each method returning it."""

    def __getattr__(self, name: str) -> Callable[..., Self]:
        """The method of a registered task: its inputs, and `name`, `needs`, `when` of the step."""
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            task = self._tasks.get(name)
        except NotFound as error:
            raise AttributeError(str(error)) from None
        return lambda **inputs: self._task_method(task.name, inputs)

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *self._tasks.names()])

    def _task_method(self, task: str, inputs: dict[str, Any]) -> Self:
        own = {key: inputs.pop(key) for key in ("name", "needs", "when", "purpose") if key in inputs}
        return self.task(task, inputs, **own)

    def task(
        self, task: str, inputs: Mapping[str, JsonValue], *, name: str | None = None, needs: Needs = AUTO, **keys: Any
    ) -> Self:
        """A step that is a registered task. Raises NotFound, and DocumentError for an input that it has not."""
        found = self._tasks.get(task)
        given = dict(inputs)
        connected = self._connected(found.inputs, given)
        self._renamed = {}
        sources = [column.partition(".")[0] for column in connected.values()]
        step: Step = {
            "name": self._free(name or found.name),
            "task": found.name,
            "inputs": {**given, **{key: reference(column) for key, column in connected.items()}},
            **keys,
        }
        return self._append(step, needs, also=sources)

    def prompt(self, text: str | None = None, *, name: str = "answer", needs: Needs = AUTO, **keys: Any) -> Self:
        """A step that asks a model. `keys`: those of a prompt in a YAML job."""
        asked = {} if text is None else {"text": text}
        return self._append({"name": self._free(name), **asked, **keys}, needs)

    def filter(self, where: str, *, name: str = "kept", needs: Needs = AUTO) -> Self:
        """Keep the rows of which an expression holds."""
        return self._append({"name": self._free(name), "filter": where}, needs)

    def split(self, column: str, *, name: str | None = None) -> Self:
        """One row per item of a list."""
        return self._append({"name": self._free(name or f"{column}_item"), "split": column}, None)

    def for_each(self, values: Mapping[str, Sequence[JsonValue]], *, name: str | None = None) -> Self:
        """Each row once per value of the one column."""
        [(column, listed)] = values.items()
        return self._append({"name": self._free(name or f"each_{column}"), "for_each": {column: list(listed)}}, None)

    def reduce(
        self,
        *,
        by: Sequence[str] = (),
        aggregate: Mapping[str, JsonValue] | None = None,
        max_input_tokens: int | None = None,
        combine: Mapping[str, JsonValue] | None = None,
        name: str = "groups",
        needs: Needs = None,
        **keys: Any,
    ) -> Self:
        """One row per group; with the keys of a prompt, that prompt about each group. `max_input_tokens` and `combine`:
        how it asks about groups that are too large for one question."""
        said: dict[str, JsonValue] = {"by": list(by), **({"aggregate": dict(aggregate)} if aggregate else {})}
        if max_input_tokens is not None:
            said["max_input_tokens"] = max_input_tokens
        if combine is not None:
            said["combine"] = dict(combine)
        return self._append({"name": self._free(name), "reduce": said, **keys}, needs)

    def compound(self, graph: Builder, *, name: str = "compound", needs: Needs = AUTO, **keys: Any) -> Self:
        """A graph as one step."""
        return self._append({"name": self._free(name), **keys, "steps": copied(graph.steps)}, needs)

    def loop(
        self,
        graph: Builder,
        *,
        at_most: int,
        until: str | None = None,
        name: str = "loop",
        needs: Needs = AUTO,
        **keys: Any,
    ) -> Self:
        """A graph again and again until an expression holds, at most so often."""
        bound: dict[str, JsonValue] = {**({} if until is None else {"until": until}), "at_most": at_most}
        step: Step = {"name": self._free(name), **keys, "loop": bound, "steps": copied(graph.steps)}
        return self._append(step, needs)

    def first_of(self, graph: Builder, *, name: str = "first", needs: Needs = AUTO, **keys: Any) -> Self:
        """The steps of a graph one after the other until one succeeds."""
        return self._append({"name": self._free(name), **keys, "first_of": copied(graph.steps)}, needs)

    def parallel(self, *graphs: Builder) -> Self:
        """Graphs side by side, each after what there is; the next step comes after all of them."""
        before, ends = list(self._ends), list[str]()
        for graph in graphs:
            for step in copied(graph.steps):
                if step["name"] in self.names():
                    raise DocumentError([unknown("a second step is named", str(step["name"]), self.names())])
                if step.get("needs") == []:
                    step["needs"] = list(before)
                self.steps.append(step)
            ends += graph._ends
        self._ends = ends or before
        return self._changed()

    def add(self, step: Mapping[str, JsonValue]) -> Self:
        """A step as a YAML job writes it."""
        written = dict(step)
        written["name"] = self._free(str(written.get("name", "step")))
        return self._append(written, written.pop("needs", None))  # type: ignore[arg-type]

    def to_job(self) -> dict[str, JsonValue]:
        """The document `{"job": {...}}`."""
        return {"job": {**self.members, "steps": list(copied(self.steps))}}

    def to_yaml(self) -> str:
        return write_yaml(self.to_job())

    def to_json(self) -> dict[str, JsonValue]:
        """The task graph: tasks and data flows, and the other keys of the job."""
        return {**self.members, **task_graph(self.steps)}

    def to_dependency_json(self) -> list[JsonValue]:
        """The tasks with their dependencies. The other keys of the job have no place there."""
        return dependencies(self.steps)

    def to_python(self) -> str:
        """A script that builds the graph, and runs it when it is started."""
        return python_code(self.members, self.steps, tasks=self._tasks.names())

    def to_mermaid(self) -> str:
        return mermaid(self.steps)

    def to_svg(self) -> str:
        """A picture of the steps, layer below layer, as the text of an SVG file."""
        return svg(picture([(str(self.members["name"]), self.steps)]))

    def to_png(self) -> bytes:
        """The same picture as a PNG file's bytes. Raises SetupError without the extra `png`."""
        return png(picture([(str(self.members["name"]), self.steps)]))

    @classmethod
    def from_job(cls, document: Mapping[str, JsonValue], *, tasks: Tasks | None = None) -> Self:
        """The graph of a YAML job's value, its steps as they stand. Raises DocumentError."""
        job = document.get("job")
        steps = job.get("steps", job.get("prompts")) if isinstance(job, dict) else None
        if not isinstance(job, dict) or not isinstance(steps, list):
            raise DocumentError([unknown("the document is no job with steps", next(iter(document), ""), ["job"])])
        built = cls(tasks=tasks, **{key: value for key, value in job.items() if key not in ("steps", "prompts")})
        built.steps = copied(steps)
        built._ends = [str(built.steps[-1]["name"])] if built.steps else []
        return built

    @classmethod
    def from_yaml(cls, text: str, *, tasks: Tasks | None = None) -> Self:
        """Raises DocumentError."""
        value = read_yaml("graph.yaml", text).value
        return cls.from_job(value if isinstance(value, dict) else {}, tasks=tasks)

    @classmethod
    def from_json(cls, value: JsonValue, *, tasks: Tasks | None = None) -> Self:
        """The graph of a task graph or a list of tasks with dependencies. Raises DocumentError, NotFound."""
        source = read_json("graph.json", json.dumps(value))
        if not is_task_graph(source.value):
            raise DocumentError([unknown("the value is no task graph", "", ["tasks", "dataflows"])])
        translated = translate(source)
        made = translated.source.value
        built = cls.from_job(made if isinstance(made, dict) else {}, tasks=tasks)
        for step in every_step(built.steps):
            built._fill(step, translated.flows.get(str(step["name"]), {}))
        return built

    def _fill(self, step: Step, flows: Mapping[str, Sequence[Flow]]) -> None:
        """Make templates of what flows into a step."""
        inputs = step.get("inputs")
        if not isinstance(inputs, dict):
            return
        for name, listed in flows.items():
            sources = {str(each["name"]): each for each in every_step(self.steps)}
            columns = [self._flowing(sources[flow.source], flow.output) for flow in listed]
            references: list[JsonValue] = [reference(column) for column in columns]
            is_text = isinstance(self._tasks.get(str(step["task"])), PromptTask)
            joined = "\n\n".join(map(str, references)) if is_text else references
            inputs[name] = references[0] if len(references) == 1 else joined

    def _flowing(self, source: Step, output: str) -> str:
        column = str(source["name"]) if output == "output" else self._column(source, output)
        if column is None:
            raise DocumentError([unknown(f"step {source['name']} has no output", output, [])])
        return column

    @classmethod
    def from_python(cls, path: Path, *, tasks: Tasks | None = None) -> Self:
        """The graph that a script builds under the name `graph`, in a process of its own. Raises DocumentError."""
        return cls.from_job(read_scripts([path])[0], tasks=tasks)
