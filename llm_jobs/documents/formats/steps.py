"""The steps of a YAML job: `steps`, a graph; `phases`, a short form of one.

A step is told by one key of `KINDS`; a step without any is a prompt. A step comes after the one before it, unless
`needs` names others. `phases` are steps without ids: what is `parallel` asks about each row or group that the phase
before left, what is not asks once about all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from llm_jobs.documents.asked import ASKING
from llm_jobs.documents.checks import Checks
from llm_jobs.documents.expressions import compile_expression
from llm_jobs.documents.formats.needs import check_needs
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.message_models import MessageModel
from llm_jobs.documents.models import JobModel
from llm_jobs.documents.parsed import (
    ParsedChoice,
    ParsedCompound,
    ParsedPrompt,
    ParsedStep,
    ParsedTableStep,
    ParsedTask,
)
from llm_jobs.documents.step_models import Aggregation, PhaseModel, PromptModel, ReduceModel, StepModel
from llm_jobs.documents.steps import FilterStep, GroupStep, SplitStep, SweepStep
from llm_jobs.documents.text import KeyPath
from llm_jobs.errors import DocumentError

# The key that tells a step's kind, and the keys of a step that belong to that kind beside `name`.
KINDS: Mapping[str, frozenset[str]] = {
    "task": frozenset({"task", "inputs", "needs", "when", "cache"}),
    "filter": frozenset({"filter", "needs"}),
    "split": frozenset({"split"}),
    "for_each": frozenset({"for_each"}),
    "first_of": frozenset({"first_of", "needs", "when"}),
    "steps": frozenset({"steps", "loop", "needs", "when"}),
}
PROMPT_KEYS = frozenset(PromptModel.model_fields) | {"prompt", "needs", "when", "for_each_model", "reduce"}
_OF_PHASES = ("name", "version", "model", "temperature", "max_tokens", "parameters")  # said of the prompt
MODEL_COLUMN = "model"

Prompt = Callable[[PromptModel, KeyPath], ParsedPrompt]


class StepParser:
    """Reads the steps of one job. `prompt` reads a prompt, as in a job's `prompts`."""

    def __init__(self, checks: Checks, prompt: Prompt) -> None:
        self._checks = checks
        self._prompt = prompt

    def steps(self, job: JobModel) -> tuple[ParsedStep, ...]:
        """The job's steps, from the one of `prompts`, `steps` and `phases` that it has."""
        written = [key for key in ("prompts", "steps", "phases") if getattr(job, key)]
        if len(written) != 1:
            self._checks.refuse(
                ("job", written[1]) if written else ("job",),
                f"the job says what is asked {len(written)} times: {', '.join(written)}" if written else "asks nothing",
                rule="one of prompts (one after the other), steps (a graph) and phases",
                remedy="keep one of them" if written else "write `prompts:` with at least one prompt",
            )
            return ()
        if job.prompts:
            return tuple(self._prompt(prompt, ("job", "prompts", index)) for index, prompt in enumerate(job.prompts))
        if job.steps:
            return tuple(self._level(job.steps, ("job", "steps"), in_compound=False))
        return tuple(self._phases(job.phases))

    def _level(self, steps: Sequence[StepModel], at: KeyPath, *, in_compound: bool) -> Iterator[ParsedStep]:
        """Steps of one level."""
        for index, step in enumerate(steps):
            here = (*at, index)
            for parsed in self._step(step, here):
                if in_compound and isinstance(parsed, ParsedTableStep) and not isinstance(parsed.step, FilterStep):
                    self._refuse(here, f"{step.name} makes other rows", "steps within a step keep its rows")
                yield parsed
        check_needs(steps, at, self._checks)

    def _step(self, step: StepModel, at: KeyPath) -> Iterator[ParsedStep]:
        self._checks.column(step.name, (*at, "name"))
        kind = self._kind(step, at)
        if kind == "task":
            yield ParsedTask(
                name=step.name,
                task=step.task or "",
                inputs=step.inputs,
                needs=_tuple(step.needs),
                when=self._expression(step.when, (*at, "when")),
                at=at,
            )
        elif kind == "filter":
            where = self._expression(step.filter, (*at, "filter")) or ""
            yield ParsedTableStep(step=FilterStep(name=step.name, where=where, needs=_tuple(step.needs)), at=at)
        elif kind == "split":
            yield ParsedTableStep(step=SplitStep(name=step.name, column=step.split or ""), at=at)
        elif kind == "for_each":
            [(column, values)] = (step.for_each or {}).items()
            self._checks.column(column, (*at, "for_each"))
            yield ParsedTableStep(step=SweepStep(name=step.name, column=column, values=tuple(values)), at=at)
        elif kind in ("steps", "first_of"):
            yield self._compound(step, at)
        else:
            yield from self._asking(step, at)

    def _kind(self, step: StepModel, at: KeyPath) -> str:
        """What the step is; a key that belongs to another kind is refused."""
        said = [key for key in KINDS if key in step.model_fields_set]
        if len(said) > 1:
            self._refuse(
                at, f"step {step.name} is {' and '.join(said)} at once", f"one of {', '.join(KINDS)}, or a prompt"
            )
        kind = said[0] if said else "prompt"
        allowed = KINDS.get(kind, PROMPT_KEYS) | {"name", "purpose"}
        for key in sorted(step.model_fields_set - allowed - set(said)):
            self._refuse(
                (*at, key), f"{key} is said of a step that is a {kind}", f"its keys: {', '.join(sorted(allowed))}"
            )
        return kind

    def _compound(self, step: StepModel, at: KeyPath) -> ParsedCompound:
        key = "first_of" if step.first_of else "steps"
        inner = tuple(self._level(step.first_of or step.steps or [], (*at, key), in_compound=True))
        loop = step.loop
        return ParsedCompound(
            name=step.name,
            kind="first" if step.first_of else "loop" if loop else "all",
            steps=inner,
            until=self._expression(loop.until, (*at, "loop", "until")) if loop else None,
            at_most=loop.at_most if loop else 1,
            needs=_tuple(step.needs),
            when=self._expression(step.when, (*at, "when")),
            at=at,
        )

    def _asking(self, step: StepModel, at: KeyPath) -> Iterator[ParsedStep]:
        """A prompt, and before it what makes the rows that it asks about."""
        asks = any(getattr(step, key) is not None for key in ASKING)
        if step.for_each_model:
            yield self._table(
                SweepStep(name=f"{step.name}.models", column=MODEL_COLUMN, values=tuple(step.for_each_model)), at
            )
        if step.reduce is not None:
            aggregate = {name: _aggregate(said) for name, said in step.reduce.aggregate.items()}
            for name in (*step.reduce.by, *aggregate):
                self._checks.column(name, (*at, "reduce"))
            name = f"{step.name}.rows" if asks else step.name
            by = _columns_of(step, step.reduce)
            yield self._table(_group(name, by, step.reduce, aggregate), at)
            if not asks:
                self._check_asks_nothing(step, step.reduce, at)
                if not aggregate:
                    self._refuse((*at, "reduce"), f"step {step.name} computes nothing", "a prompt, or `aggregate`")
                return
        yield self._question(step, at)

    def _check_asks_nothing(self, step: StepModel, reduce: ReduceModel, at: KeyPath) -> None:
        if step.for_each_model:
            key = "for_each_model"
            self._refuse((*at, key), f"step {step.name} asks nothing", f"{key} is said of a prompt")
        for key in ("max_input_tokens", "combine"):
            if getattr(reduce, key) is not None:
                self._refuse((*at, "reduce", key), f"step {step.name} asks nothing", f"{key} is said of a prompt")

    def _question(self, step: StepModel, at: KeyPath) -> ParsedPrompt:
        parsed = self._prompt(step, at)
        if step.prompt is not None and parsed.library is not None:
            parsed = replace(parsed, library=replace(parsed.library, name=step.prompt))
        if step.for_each_model:
            for key in ("model", "models", "fallback"):
                if getattr(step, key) is not None:
                    self._refuse((*at, key), "the model is said twice", "for_each_model asks each of its list")
            models = tuple((name, None) for name in step.for_each_model)
            choice = ParsedChoice(kind="each", models=models, column=MODEL_COLUMN)
            parsed = replace(parsed, model=models[0][0], choice=choice)
        return replace(parsed, needs=_tuple(step.needs), when=self._expression(step.when, (*at, "when")))

    def _phases(self, phases: Sequence[PhaseModel]) -> Iterator[ParsedStep]:
        for index, phase in enumerate(phases):
            at: KeyPath = ("job", "phases", index)
            if phase.split_by is not None:
                by = (phase.split_by,) if isinstance(phase.split_by, str) else tuple(phase.split_by)
                if phase.prompt is not None:
                    self._refuse((*at, "prompt"), f"phase {phase.name} splits and asks", "a phase does one of the two")
                yield self._table(GroupStep(name=phase.name, by=by), at)
                continue
            if phase.prompt is None:
                self._refuse(at, f"phase {phase.name} names no prompt", "a phase has `prompt` or `split_by`")
                continue
            if not phase.parallel and index:
                yield self._table(GroupStep(name=f"{phase.name}.rows"), at)
            stated = {key: getattr(phase, key) for key in _OF_PHASES if key in phase.model_fields_set}
            yield self._question(StepModel.model_validate({**stated, "prompt": phase.prompt}), at)

    def _table(self, step: GroupStep | SplitStep | SweepStep, at: KeyPath) -> ParsedTableStep:
        return ParsedTableStep(step=step, at=at)

    def _expression(self, text: str | None, at: KeyPath) -> str | None:
        if text is not None:
            try:
                compile_expression(text, where=str(at[-1]))
            except DocumentError as error:
                for problem in error.problems:
                    self._refuse(at, problem.what, problem.rule or "an expression", value=text)
        return text

    def _refuse(self, at: KeyPath, what: str, rule: str, *, value: JsonValue = None) -> None:
        self._checks.refuse(at, what, rule=rule, remedy="correct it, or leave it out", value=value)


def _columns_of(step: StepModel, reduce: ReduceModel) -> tuple[str, ...]:
    """The columns that a group shares; of several models each is asked about a group of its own."""
    is_of_model = bool(step.for_each_model) and MODEL_COLUMN not in reduce.by
    return (*reduce.by, MODEL_COLUMN) if is_of_model else tuple(reduce.by)


def _tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _group(name: str, by: tuple[str, ...], reduce: ReduceModel, aggregate: Mapping[str, str]) -> GroupStep:
    combine = reduce.combine
    written = (
        []
        if combine is None
        else combine.messages or [MessageModel.model_validate({"role": "user", "content": combine.text or ""})]
    )
    return GroupStep(
        name=name,
        by=by,
        aggregate=aggregate,
        max_input_tokens=reduce.max_input_tokens,
        combine=tuple(message.message() for message in written),
    )


def _aggregate(said: str | Mapping[Aggregation, str]) -> str:
    """`count`, or `mean(correct)`."""
    if isinstance(said, str):
        return said
    [(function, column)] = said.items()
    return f"{function}({column})"
