"""Which caps a job's calls count for, whether they can be kept at all, and how full they are.

A cap holds only where every call's worst case is known before it is sent: so a cap in dollars on a model without a
price, or on one whose answers have no bound, is refused before anything is spent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Budget, Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.steps import PromptStep, Step
from llm_jobs.errors import SetupError
from llm_jobs.ledger.base import BudgetCap, BudgetState, Submission
from llm_jobs.operations.bounds import answers_are_bounded, check_reserved
from llm_jobs.operations.budgets_file import StatedBudgets, read_budgets
from llm_jobs.operations.job_changes import budget_in_force, changes_of
from llm_jobs.operations.services import Services

FILE_NAME = "budgets.yaml"
JOBS_SHOWN = 50


class JobCaps:
    """The caps of one job's calls, by provider and day. Cheap to ask for each call."""

    def __init__(self, job: Job, budget: Budget | None, stated: StatedBudgets) -> None:
        self._own = () if budget is None else (_cap(f"job:{job.hash}", budget),)
        self._labels = [
            (label, stated.labels[label])
            for name, value in job.policy.labels.items()
            if (label := f"{name}={value}") in stated.labels
        ]
        self._providers = stated.providers
        self._made: dict[tuple[str, int], tuple[BudgetCap, ...]] = {}

    @property
    def any(self) -> bool:
        """Could there be a cap for some call?"""
        return bool(self._own or self._labels or self._providers)

    def of(self, provider: str, now_ns: int) -> tuple[BudgetCap, ...]:
        """The caps of a call to a provider that is sent now; empty where there is none."""
        key = provider, now_ns // 86_400_000_000_000
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = tuple(self._caps(provider, now_ns))
        return made

    def _caps(self, provider: str, now_ns: int) -> Iterator[BudgetCap]:
        yield from self._own
        if provider in self._providers:
            yield _cap(provider_key(provider, now_ns), self._providers[provider])
        for label, budget in self._labels:
            yield _cap(label_key(label, now_ns), budget)


def caps_of(services: Services, submission: Submission, job: Job) -> JobCaps:
    """The caps that are stated now. Raises DocumentError where `budgets.yaml` is wrong."""
    budget = budget_in_force(job, changes_of(services.ledger, job.hash), submitted_ns=submission.submitted_ns or 0)
    return JobCaps(job, budget, stated_budgets(services))


def stated_budgets(services: Services) -> StatedBudgets:
    """What `budgets.yaml` states."""
    return read_budgets(services.settings.home / FILE_NAME)


def provider_key(provider: str, now_ns: int) -> str:
    """The key of a provider's budget of the UTC day."""
    return f"provider:{provider}:{_utc(now_ns):%Y-%m-%d}"


def label_key(label: str, now_ns: int) -> str:
    """The key of the budget of `name=value` of the UTC month."""
    return f"label:{label}:{_utc(now_ns):%Y-%m}"


def _utc(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns / 1e9, UTC)


def _cap(key: str, budget: Budget) -> BudgetCap:
    return BudgetCap(key=key, max_cost_usd=budget.max_cost_usd, max_tokens=budget.max_tokens)


def check_caps(services: Services, job: Job) -> None:
    """Raise SetupError where a cap that holds for the job, or a quota that is reserved by the worst case, could not be
    kept, DocumentError where caps are misstated."""
    caps = JobCaps(job, job.policy.budget, stated_budgets(services))
    now_ns = services.clock.now_ns()
    for step in job.steps:
        for model, parameters in _asked(job, step):
            if job.policy.mode_of(step.name) != "batch":
                check_reserved(services, step, model, parameters)
            for cap in caps.of(model.provider, now_ns):
                _check(services, cap, step, model, parameters)


def _asked(job: Job, step: Step) -> Iterator[tuple[ModelRef, Mapping[str, JsonValue] | None]]:
    """The models that a step may ask, with the request's parameters; None: each row has its own."""
    if not isinstance(step, PromptStep):
        yield step.model, step.body
    elif step.choice is None:
        yield step.model, step.parameters
    else:
        for candidate in step.choice.candidates:
            yield candidate.model, candidate.parameters
    for rules in job.policy.on_status.get(step.name, {}).values():
        for rule in rules:
            if rule.candidate is not None:
                yield rule.candidate.model, rule.candidate.parameters


def _check(
    services: Services, cap: BudgetCap, step: Step, model: ModelRef, parameters: Mapping[str, JsonValue] | None
) -> None:
    payload = b"" if parameters is None else orjson.dumps(dict(parameters))
    if cap.max_cost_usd is not None and not services.pricing.is_priced(model, payload=payload):
        raise SetupError(
            f"the budget {cap.key} is ${cap.max_cost_usd:g}, and no price is known of {model.name} as the step "
            f"{step.name} asks it: a cap cannot be kept where costs are unknown; state `price` for it in "
            f"{services.settings.models_file}, or remove the cap"
        )
    entry = services.catalogue.resolve(model.name, bare_provider=model.provider)
    if not answers_are_bounded(entry, step, parameters):
        raise SetupError(
            f"the budget {cap.key} is capped, and nothing bounds the answers of {model.name} to the step {step.name}: "
            f"a cap cannot be kept where a call may cost anything; state max_tokens for the prompt, or "
            f"max_output_tokens for the model in {services.settings.models_file}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetLine:
    """A budget of today: what it is for, how far it may be filled, how full it is."""

    key: str
    name: str  # the job's, the provider's, the label's
    max_cost_usd: float | None
    max_tokens: int | None
    state: BudgetState


def budget_lines(services: Services) -> list[BudgetLine]:
    """The budgets in force: providers today, labels this month, and of the latest jobs those that have one."""
    now_ns = services.clock.now_ns()
    stated = stated_budgets(services)
    caps = [(kind, _cap(provider_key(kind, now_ns), budget)) for kind, budget in stated.providers.items()]
    caps += [(label, _cap(label_key(label, now_ns), budget)) for label, budget in stated.labels.items()]
    caps += _job_caps(services)
    states = services.ledger.budget_state([cap.key for _, cap in caps])
    return [_line(name, cap, states) for name, cap in caps]


def _line(name: str, cap: BudgetCap, states: Mapping[str, BudgetState]) -> BudgetLine:
    state = states.get(cap.key, BudgetState())
    return BudgetLine(key=cap.key, name=name, max_cost_usd=cap.max_cost_usd, max_tokens=cap.max_tokens, state=state)


def _job_caps(services: Services) -> Sequence[tuple[str, BudgetCap]]:
    found = []
    for listed in services.ledger.latest_jobs(JOBS_SHOWN):
        submission = services.ledger.submissions(job_hash=listed.job_hash)[0]
        if not submission.job:
            continue  # erased
        job = job_from_json(submission.job)
        changes = changes_of(services.ledger, job.hash)
        budget = budget_in_force(job, changes, submitted_ns=submission.submitted_ns or 0)
        if budget is not None:
            found.append((submission.name, _cap(f"job:{job.hash}", budget)))
    return found
