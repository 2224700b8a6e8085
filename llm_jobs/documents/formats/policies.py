"""From the sections of a YAML job that say how it is carried out to its Policy. Never identity."""

from __future__ import annotations

from collections.abc import Mapping

from llm_jobs.documents.cache_models import CacheModel
from llm_jobs.documents.caching import CachePolicy
from llm_jobs.documents.checks import Checks
from llm_jobs.documents.failures import PromptFailures, Threshold
from llm_jobs.documents.formats.asking import Rules, prompts_of, rules_of
from llm_jobs.documents.formats.launching import launch_rules_of
from llm_jobs.documents.formats.outputs import output_error_of, outputs_of
from llm_jobs.documents.formats.watching import watching_of
from llm_jobs.documents.inputs import InputErrorModel
from llm_jobs.documents.job import Budget, Mode, Policy, Schedule
from llm_jobs.documents.models import BudgetModel, ErrorHandlingModel, ExecutionModel, JobModel, ScheduleModel
from llm_jobs.documents.table_sources import RETRIES, InputErrors

_DEFAULT = Policy()


def policy_of(job: JobModel, checks: Checks) -> tuple[Policy, tuple[str, ...]]:
    """The policy, and notes about keys that are accepted and change nothing in this version."""
    execution, handling = job.execution, job.error_handling
    errors = input_errors_of(handling.on_input_error)
    budget = budget_of(job.budget)
    policy = Policy(
        version=job.version,
        description=job.description,
        labels=job.labels,
        priority=job.priority,
        concurrency=execution.concurrency,
        group=execution.group,
        max_retries=_max_retries(execution, handling, checks),
        timeout_s=_DEFAULT.timeout_s if execution.timeout is None else execution.timeout,
        job_timeout_s=execution.job_timeout,
        on_input_error="skip" if errors is None or errors.tolerates else "fail",
        input_errors=errors,
        outputs=outputs_of(job.output, ("job", "output"), checks),
        on_output_error=output_error_of(handling.on_output_error, ("job", "error_handling", "on_output_error"), checks),
        schedule=_schedule(job.schedule),
        budget=budget,
        mode=job.mode,
        step_modes=_step_modes(job),
        on_status=_on_status(job, checks),
        watching=watching_of(job, handling, job.output, budget, checks),
        launch=launch_rules_of(job, checks),
        failures=_failures(handling),
        cache=_cache(job.cache),
        step_caches=_step_caches(job),
    )
    return policy, _notes(job)


def input_errors_of(model: InputErrorModel | None) -> InputErrors | None:
    if model is None:
        return None
    retries = RETRIES if model.max_retries is None else model.max_retries
    return InputErrors(strategy=model.strategy, log=model.log, alert=model.alert, max_retries=retries)


def budget_of(model: BudgetModel | None) -> Budget | None:
    if model is None:
        return None
    return Budget(max_cost_usd=model.max_cost_usd, max_tokens=model.max_tokens)


def _step_modes(job: JobModel) -> dict[str, Mode]:
    """By prompt, where it differs from the job's."""
    return {prompt.name: prompt.mode for prompt, _ in prompts_of(job) if prompt.mode not in (None, job.mode)}


def _step_caches(job: JobModel) -> dict[str, CachePolicy]:
    """By step, of those that say it themselves."""
    stated = {prompt.name: _cache(prompt.cache) for prompt, _ in prompts_of(job)}
    return {name: policy for name, policy in stated.items() if policy is not None}


def _cache(model: CacheModel | None) -> CachePolicy | None:
    if model is None:
        return None
    return CachePolicy(last_runs=model.last_runs, except_models=tuple(each.model for each in model.but or ()))


def _on_status(job: JobModel, checks: Checks) -> Mapping[str, Rules]:
    """By prompt: the job's rules, then the prompt's own, status by status."""
    shared = rules_of(job.on_status, ("job", "on_status"), checks)
    by_prompt = {}
    for prompt, at in prompts_of(job):
        own = rules_of(prompt.on_status, (*at, "on_status"), checks)
        if rules := {**shared, **own}:
            by_prompt[prompt.name] = rules
    return by_prompt


def _max_retries(execution: ExecutionModel, handling: ErrorHandlingModel, checks: Checks) -> int:
    failure = handling.on_prompt_failure
    said = [execution.retry_on_failure, failure.max_retries if failure else None]
    numbers = {number for number in said if number is not None}
    if len(numbers) > 1:
        checks.refuse(
            ("job", "error_handling", "on_prompt_failure", "max_retries"),
            f"{said[1]} retries here and {said[0]} in execution.retry_on_failure",
            rule="the number of retries is said once",
            remedy="remove one of the two",
        )
    return numbers.pop() if numbers else _DEFAULT.max_retries


def _failures(handling: ErrorHandlingModel) -> PromptFailures:
    failure, stated = handling.on_prompt_failure, handling.failure_threshold
    threshold = None
    if stated is not None:
        threshold = Threshold(rows=stated) if isinstance(stated, int) else Threshold(share=stated)
    if failure is None:
        return PromptFailures(threshold=threshold)
    return PromptFailures(strategy=failure.strategy, value=failure.value, threshold=threshold)


def _schedule(model: ScheduleModel | None) -> Schedule | None:
    if model is None:
        return None
    return Schedule(cron=model.cron, timezone=model.timezone, enabled=model.enabled)


def _notes(job: JobModel) -> tuple[str, ...]:
    if job.input is not None and job.input.batch_strategy == "sequential":
        return ("batch_strategy: sequential changes nothing: rows are streamed, and asked as the concurrency allows",)
    return ()
