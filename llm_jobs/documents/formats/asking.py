"""From the keys that say which model answers, and what follows an answer that is no success, to plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.job import AnswerStatus, FollowUp
from llm_jobs.documents.models import JobModel
from llm_jobs.documents.parsed import ParsedChoice, ParsedPrompt, ParsedStep, ParsedTask, every_step
from llm_jobs.documents.step_models import AskAgainModel, OnStatus, PromptModel, RuleModel, StepModel, WeightedModel
from llm_jobs.documents.text import KeyPath

MOST_TIMES = 10  # of a limit that grows until `up_to`

Stating = JobModel | PromptModel
Rules = Mapping[AnswerStatus, tuple[FollowUp, ...]]


def models_of(levels: Sequence[tuple[Stating, KeyPath]], checks: Checks) -> tuple[str | None, ParsedChoice | None]:
    """The model, and the choice that it is the first of, by the last of `levels` that says anything of either."""
    for level, at in reversed(levels):
        if level.models is not None:
            return _weighted(level, level.models, at, checks)
        if level.fallback is not None:
            names = ([] if level.model is None else [level.model]) + level.fallback
            return _chosen("fallback", [(name, None) for name in names], (*at, "fallback"), checks)
        if level.model is not None:
            return level.model, None
    return None, None


def _weighted(
    level: Stating, models: Sequence[WeightedModel], at: KeyPath, checks: Checks
) -> tuple[str | None, ParsedChoice | None]:
    for other in ("model", "fallback"):
        if getattr(level, other) is not None:
            checks.refuse(
                (*at, other),
                f"the model is said twice, as models and as {other}",
                rule="models is a weighted set, fallback an ordered list; a prompt has one of them",
                remedy=f"remove `{other}` or `models`",
            )
    names = sorted(((model.name, model.weight) for model in models), key=itemgetter(0))
    return _chosen("weighted", names, (*at, "models"), checks)


def _chosen(
    kind: str, models: Sequence[tuple[str, float | None]], at: KeyPath, checks: Checks
) -> tuple[str | None, ParsedChoice | None]:
    names = [name for name, _ in models]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        checks.refuse(at, "a model is named twice", value=name, rule="each model once", remedy="remove one of the two")
    if len(names) == 1:
        return names[0], None
    return names[0], ParsedChoice(kind="weighted" if kind == "weighted" else "fallback", models=tuple(models))


def models_named(job: JobModel, steps: Iterable[ParsedStep]) -> Iterator[str]:
    """The models that a job names anywhere: of prompts, of tasks, and of rules."""
    for step in every_step(steps):
        if isinstance(step, ParsedPrompt | ParsedTask):
            yield from [step.model] if step.model else []
            yield from (name for name, _ in step.choice.models) if step.choice else ()
        if isinstance(step, ParsedTask):
            yield f"task/{step.task}"
            yield from [model] if isinstance(model := step.inputs.get("model"), str) else []
    levels: list[Stating] = [job, *(prompt for prompt, _ in prompts_of(job))]
    for level in levels:
        yield from (rule.model for rules in level.on_status.values() for rule in rules if rule.model is not None)


def prompts_of(job: JobModel) -> Iterator[tuple[PromptModel, KeyPath]]:
    """The prompts of `prompts`, `steps` and `phases`, those within steps too, and where they stand. Of `steps` all are
    told, for those that ask nothing state nothing of what is read here; of a phase the name."""
    for index, prompt in enumerate(job.prompts):
        yield prompt, ("job", "prompts", index)
    for index, phase in enumerate(job.phases):
        if phase.prompt is not None:
            yield PromptModel.model_construct(name=phase.name), ("job", "phases", index)
    yield from _within(job.steps, ("job", "steps"))


def _within(steps: Sequence[StepModel], at: KeyPath) -> Iterator[tuple[PromptModel, KeyPath]]:
    for index, step in enumerate(steps):
        yield step, (*at, index)
        for key in ("steps", "first_of"):
            yield from _within(getattr(step, key) or (), (*at, index, key))


def rules_of(on_status: OnStatus, at: KeyPath, checks: Checks) -> Rules:
    """What follows each status, in order; nothing follows `give_up`."""
    return {status: tuple(_listed(status, rules, (*at, status), checks)) for status, rules in on_status.items()}


def _listed(status: AnswerStatus, rules: Sequence[RuleModel], at: KeyPath, checks: Checks) -> Iterator[FollowUp]:
    alone = len(rules) == 1
    for index, rule in enumerate(rules):
        follow_up = _follow_up(status, rule, at if alone else (*at, index), checks, alone=alone)
        if follow_up is not None:
            yield follow_up


def _follow_up(status: AnswerStatus, rule: RuleModel, at: KeyPath, checks: Checks, *, alone: bool) -> FollowUp | None:
    if rule.model is not None:
        return FollowUp(action="model", model=rule.model)
    if rule.fallback is not None:
        return FollowUp(action="fallback", times=MOST_TIMES)
    if rule.repair is not None:
        if status != "invalid":
            _refuse(checks, at, f"{status} answers cannot be repaired", "repair is for answers that break the schema")
        return FollowUp(action="repair", times=rule.repair.times)
    if rule.ask_again is not None:
        return _larger(rule.ask_again, at, checks) if status == "truncated" else _again(rule.ask_again, at, checks)
    if not alone:
        _refuse(checks, at, "give_up stands beside other rules", "give_up says that nothing follows")
    return None


def _larger(rule: AskAgainModel, at: KeyPath, checks: Checks) -> FollowUp:
    if isinstance(rule.max_tokens, int):
        if rule.up_to is not None:
            _refuse(checks, (*at, "ask_again", "up_to"), "up_to bounds nothing", "it bounds a factor such as 2x")
        return FollowUp(action="ask_again", max_tokens=rule.max_tokens)
    times = rule.times or (1 if rule.up_to is None else MOST_TIMES)
    return FollowUp(action="ask_again", times=times, factor=float(rule.max_tokens[:-1]), up_to=rule.up_to)


def _again(rule: AskAgainModel, at: KeyPath, checks: Checks) -> FollowUp:
    for key in ("max_tokens", "up_to"):
        if key in rule.model_fields_set:
            rule_text = "a larger limit helps an answer that was truncated, and no other"
            _refuse(checks, (*at, "ask_again", key), f"{key} is said of an answer that was not truncated", rule_text)
    return FollowUp(action="ask_again", times=rule.times or 1)


def _refuse(checks: Checks, at: KeyPath, what: str, rule: str) -> None:
    checks.refuse(at, what, rule=rule, remedy="remove it, or move it to the status that it is for")
