"""In what two jobs, or two calls, differ, and what of it makes another question. Pure: values in, values out.

A path is written as a person would point: `steps[0].parameters.temperature`, `body.messages[1].content`. Steps are
paired by name, those that were renamed in their order. The steps of a graph that ask no model are told by name:
`steps.large.where`. Of tables only the digests are compared here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from llm_jobs.documents.identity import TRANSPORT_FIELDS
from llm_jobs.documents.job import Job
from llm_jobs.documents.steps import CompoundStep, GraphStep, PromptStep, RequestStep, Step, TaskStep
from llm_jobs.documents.text_changes import shown_text, text_change

# calls:   every call of the step is another question.
# rows:    another table; only rows that differ in what prompts read are other questions.
# samples: another number of answers per row; those that both ask for are the same.
# job:     another job and result, of the same questions.
# nothing: not identity; the same job.
Effect = Literal["calls", "rows", "samples", "job", "nothing"]


@dataclass(frozen=True, slots=True)
class Absent:
    """Stands where one side has no such member: JSON's null is a value."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = Absent()


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One member that differs. `step`: the new job's step that it belongs to, None for what is the whole job's."""

    path: str
    old: object
    new: object
    effect: Effect = "calls"
    step: int | None = None

    def told(self) -> str:
        """Old and new on one line, each cut to where they differ."""
        if isinstance(self.old, str) and isinstance(self.new, str):
            return text_change(self.old, self.new)
        return f"{_shown(self.old)} → {_shown(self.new)}"


def job_differences(old: Job, new: Job) -> tuple[Difference, ...]:
    """What differs between two jobs, identity first."""
    return (*_identity(old, new), *_policy(old, new))


def call_differences(old: Mapping[str, object], new: Mapping[str, object]) -> tuple[Difference, ...]:
    """What differs between two calls as `call_members` tells them."""
    return tuple(Difference(path=path, old=a, new=b) for path, a, b in _walk(old, new, ""))


def call_members(
    *, endpoint: Mapping[str, object], body: Mapping[str, object], epoch: str | None, sample: int, renewal: int = 0
) -> dict[str, object]:
    """What a call's hash is made of (`identity.CallIdentity`), member by member."""
    members: dict[str, object] = {
        "body": {name: value for name, value in body.items() if name not in TRANSPORT_FIELDS},
        "endpoint": dict(endpoint),
    }
    if epoch is not None:
        members["epoch"] = epoch
    if renewal:
        members["renewal"] = renewal
    if sample:
        members["sample"] = sample
    return members


def paired_steps(old: Job, new: Job) -> list[int | None]:
    """For each step of `new` the index of its counterpart in `old`, None where it has none."""
    names = {step.name: at for at, step in enumerate(old.steps)}
    pairs = [names.get(step.name) for step in new.steps]
    left = [at for at in range(len(old.steps)) if at not in pairs]
    return [left.pop(0) if pair is None and left else pair for pair in pairs]


def _identity(old: Job, new: Job) -> Iterator[Difference]:
    pairs = paired_steps(old, new)
    for at, (step, pair) in enumerate(zip(new.steps, pairs, strict=True)):
        if pair is None:
            yield Difference(path=f"steps[{at}]", old=ABSENT, new=step.name, step=at)
        else:
            yield from _step(old.steps[pair], step, at)
    for at, step in enumerate(old.steps):
        if at not in pairs:
            yield Difference(path=f"steps[{at}]", old=step.name, new=ABSENT, effect="job")
    yield from _others(old, new)
    if old.input.identity() != new.input.identity():
        yield _input(old, new)
    if old.sample != new.sample:
        yield Difference(path="sample", old=old.sample, new=new.sample, effect="samples")
    if old.epoch != new.epoch:
        yield Difference(path="epoch", old=old.epoch, new=new.epoch)
    if old.run != new.run:
        yield Difference(path="run", old=old.run, new=new.run, effect="job")


def _others(old: Job, new: Job) -> Iterator[Difference]:
    """Of the steps that ask no model. What a task computes reaches the questions after it; the others choose rows."""
    before, after = (dict(_not_asking(job.graph)) for job in (old, new))
    for name in [*after, *(name for name in before if name not in after)]:
        a, b = before.get(name), after.get(name)
        effect: Effect = "calls" if isinstance(b or a, TaskStep) else "rows"
        if a is None or b is None:
            kinds = (ABSENT if each is None else str(each.identity()["kind"]) for each in (a, b))
            yield Difference(path=f"steps.{name}", old=next(kinds), new=next(kinds), effect=effect)
            continue
        for path, x, y in _walk(_own_members(a), _own_members(b), f"steps.{name}"):
            yield Difference(
                path=path, old=x, new=y, effect="job" if path.startswith(f"steps.{name}.needs") else effect
            )


def _not_asking(graph: Iterable[GraphStep]) -> Iterator[tuple[str, GraphStep]]:
    for step in graph:
        if not isinstance(step, PromptStep | RequestStep):
            yield step.name, step
        if isinstance(step, CompoundStep):
            yield from _not_asking(step.steps)


def _own_members(step: GraphStep) -> dict[str, object]:
    """What identifies a step, those within it left out."""
    return {name: value for name, value in step.identity().items() if name != "steps"}


def _input(old: Job, new: Job) -> Difference:
    if old.input.kind != new.input.kind:
        return Difference(path="input", old=old.input.kind, new=new.input.kind, effect="rows")
    for name in ("format", "types"):
        if getattr(old.input, name) != getattr(new.input, name):
            return Difference(
                path=f"input.{name}", old=getattr(old.input, name), new=getattr(new.input, name), effect="rows"
            )
    if old.input.digest == new.input.digest:
        return Difference(
            path="input.as_of", old=_told(old.input.as_of_ns), new=_told(new.input.as_of_ns), effect="rows"
        )
    path = f"input.{new.input.kind}" if new.input.kind in ("file", "query", "api") else "input.rows"
    return Difference(path=path, old=old.input.digest[:12], new=new.input.digest[:12], effect="rows")


def _told(time_ns: int | None) -> str:
    return datetime.fromtimestamp((time_ns or 0) / 1e9, UTC).isoformat(timespec="seconds")


def _step(old: Step, new: Step, at: int) -> Iterator[Difference]:
    for path, a, b in _walk(old.identity(), new.identity(), ""):
        effect = _effect(path, old, new)
        yield Difference(path=f"steps[{at}].{path}", old=a, new=b, effect=effect, step=at)
    if old.model.name != new.model.name and old.identity().get("model") == new.identity().get("model"):
        path = f"steps[{at}].model.name"
        yield Difference(path=path, old=old.model.name, new=new.model.name, effect="nothing", step=at)


def _effect(path: str, old: Step, new: Step) -> Effect:
    """Whether a member of a step's identity reaches the model."""
    top, _, below = path.partition(".")
    top = top.partition("[")[0]
    if top in ("name", "answer_pointer", "needs"):
        return "job"
    if top == "when":
        return "rows"
    if top in ("parameters", "body") and below.partition(".")[0].partition("[")[0] in TRANSPORT_FIELDS:
        return "job"
    if top == "schema" and not (_sends_schema(old) or _sends_schema(new)):
        return "job"
    if top == "native" and not (_has_schema(old) or _has_schema(new)):
        return "job"
    return "calls"


def _has_schema(step: Step) -> bool:
    return isinstance(step, PromptStep) and step.schema is not None


def _sends_schema(step: Step) -> bool:
    return isinstance(step, PromptStep) and step.schema is not None and step.native


def _policy(old: Job, new: Job) -> Iterator[Difference]:
    if old.name != new.name:
        yield Difference(path="name", old=old.name, new=new.name, effect="nothing")
    for path, a, b in _walk(_policy_members(old), _policy_members(new), ""):
        yield Difference(path=path, old=a, new=b, effect="nothing")


def _policy_members(job: Job) -> dict[str, object]:
    """The policy as a document writes it: one output is no list."""
    members = asdict(job.policy)
    outputs = members.pop("outputs")
    return members | ({"output": outputs[0] if len(outputs) == 1 else outputs} if outputs else {})


def _walk(old: object, new: object, path: str) -> Iterator[tuple[str, object, object]]:
    """The members that differ, in the new value's order; those that only the old one has come after."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*new, *(name for name in old if name not in new)]:
            below = f"{path}.{name}" if path else str(name)
            yield from _walk(old.get(name, ABSENT), new.get(name, ABSENT), below)
    elif _is_list(old) and _is_list(new):
        for at in range(max(len(old), len(new))):  # type: ignore[arg-type]
            yield from _walk(_at(old, at), _at(new, at), f"{path}[{at}]")
    elif not _same(old, new):
        yield path, old, new


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _at(values: object, at: int) -> object:
    assert isinstance(values, Sequence)
    return values[at] if at < len(values) else ABSENT


def _same(old: object, new: object) -> bool:
    """Equal as JSON: 1 and 1.0 are one number, true is none."""
    return old == new and isinstance(old, bool) == isinstance(new, bool)


def _shown(value: object) -> str:
    return shown_text(value if isinstance(value, str) else repr(value))
