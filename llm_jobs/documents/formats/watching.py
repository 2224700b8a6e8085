"""From the sections `monitoring`, `logging` and `alerts` of a YAML job to its Watching. Never identity."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.expressions import compile_expression
from llm_jobs.documents.job import Budget
from llm_jobs.documents.models import ErrorHandlingModel, JobModel
from llm_jobs.documents.outputs import OutputErrorModel
from llm_jobs.documents.text import KeyPath
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.documents.variables import credential_name
from llm_jobs.documents.watched import METRICS, Alert, Channel, JobLog, Monitoring, Watching
from llm_jobs.documents.watching import AlertModel, LoggingModel, MonitoringModel
from llm_jobs.errors import DocumentError, RowError

# A condition compares numbers: nothing else of the language of expressions is of use in it, or is let in.
_TOKEN = re.compile(r"\s*(?:[A-Za-z_]\w*|\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?|[<>=!]=|[<>+\-/%()]|\*(?!\*))")
_WORDS_NOT_FOR_NUMBERS = frozenset({"in", "is"})
_DEEPEST = 20
_SLACK_HOST = "hooks.slack.com"
_RULE = "a condition compares metrics: error_rate > 0.05 and rows >= 100"
_PLACEHOLDERS = ("name", "job_hash")
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def watching_of(
    job: JobModel, handling: ErrorHandlingModel, outputs: object, budget: Budget | None, checks: Checks
) -> Watching | None:
    """Who watches the job; None where the document says nothing of it."""
    alerts = [
        _alert(model, ("job", "alerts", index), checks, has_budget=budget is not None)
        for index, model in enumerate(job.alerts)
    ]
    watching = Watching(
        monitoring=_monitoring(job.monitoring, checks),
        log=_log(job.logging, checks),
        alerts=(*alerts, *_handled(handling, alerts)),
        tells_end=_tells_end(outputs),
        tells_undelivered=_is_told(handling.on_output_error),
    )
    return None if watching == Watching() else watching


def _tells_end(outputs: object) -> bool:
    """Whether one of the document's outputs says `on_complete: notify`."""
    listed = outputs if isinstance(outputs, list) else [outputs]
    return any(getattr(output, "on_complete", None) == "notify" for output in listed)


def _is_told(model: OutputErrorModel | None) -> bool:
    """Whether the channels are told of a delivery that fails."""
    return model is not None and (model.alert or model.strategy == "alert")


def _handled(handling: ErrorHandlingModel, alerts: Sequence[Alert]) -> list[Alert]:
    """What `alert: true` of an error strategy asks for, through every channel of the document."""
    channels = Watching(alerts=tuple(alerts)).channels
    asked = {"input_errors > 0": handling.on_input_error, "prompt_failures > 0": handling.on_prompt_failure}
    return [
        Alert(condition=condition, channel=channel)
        for condition, model in asked.items()
        if getattr(model, "alert", False) or getattr(model, "strategy", None) == "alert"
        for channel in channels
    ]


def _monitoring(model: MonitoringModel | None, checks: Checks) -> Monitoring | None:
    if model is None:
        return None
    for index, name in enumerate(model.metrics):
        if name not in METRICS:
            _refuse_metric(name, ("job", "monitoring", "metrics", index), checks)
    push = model.export_to.prometheus.push if model.export_to and model.export_to.prometheus else None
    if push is not None:
        checks.endpoint(push, ("job", "monitoring", "export_to", "prometheus", "push"))
    return Monitoring(
        metrics=tuple(dict.fromkeys(model.metrics)), is_exported=model.export_to is not None, push_url=push
    )


def _refuse_metric(name: str, at: KeyPath, checks: Checks) -> None:
    checks.refuse(
        at,
        f"no metric {name!r}",
        rule=f"known are {', '.join(METRICS)}",
        remedy=did_you_mean(name, METRICS, otherwise="choose one of these"),
    )


def _log(model: LoggingModel | None, checks: Checks) -> JobLog | None:
    if model is None:
        return None
    for name in PLACEHOLDER.findall(model.path or ""):
        if name not in _PLACEHOLDERS:
            checks.refuse(
                ("job", "logging", "path"),
                f"unknown placeholder {{{name}}}",
                rule="known are {name} and {job_hash}",
                remedy=did_you_mean(name, _PLACEHOLDERS, otherwise="correct the path"),
            )
    return JobLog(
        level=model.level,
        format=model.format,
        destination=model.destination,
        path=model.path,
        rotate=model.rotate,
        content=model.content,
    )


def _alert(model: AlertModel, at: KeyPath, checks: Checks, *, has_budget: bool) -> Alert:
    _check_condition(model.condition, (*at, "condition"), checks, has_budget=has_budget)
    url = model.url
    if url is not None and credential_name(url) is None:
        url = _webhook(url, (*at, "url"), checks)
    return Alert(
        condition=model.condition,
        channel=Channel(
            action=model.action,
            recipients=tuple(model.recipients or ()),
            channel=model.channel,
            url=url,
            api_key=checks.api_key(model.api_key, (*at, "api_key")),
        ),
    )


def _webhook(url: str, at: KeyPath, checks: Checks) -> str | None:
    if f"//{_SLACK_HOST}/" in url.lower():
        checks.refuse(
            at,
            "the address of a Slack webhook is a secret",
            rule="secrets stay in the environment",
            remedy="write `action: slack` and set LLM_JOBS_SLACK_WEBHOOK_URL",
        )
        return None
    return checks.endpoint(url, at)


def _check_condition(text: str, at: KeyPath, checks: Checks, *, has_budget: bool) -> None:
    """Only numbers, metrics and what compares them; so that it can be judged at every row, and does nothing else."""
    if (refused := _refused_part(text)) is not None:
        checks.refuse(at, f"{refused!r} is not for conditions", value=text, rule=_RULE, remedy="compare metrics only")
        return
    try:
        expression = compile_expression(text, where="the condition")
    except DocumentError as error:
        what = error.problems[0].what.removeprefix("the condition: ")
        checks.refuse(at, f"no expression: {what}", value=text, rule=_RULE, remedy="correct it")
        return
    unknown = sorted(expression.names - METRICS.keys())
    for name in unknown:
        _refuse_metric(name, at, checks)
    if unknown:
        return
    if not expression.names:
        checks.refuse(at, "the condition reads no metric", value=text, rule=_RULE, remedy="name what is compared")
    elif "budget_used" in expression.names and not has_budget:
        checks.refuse(
            at,
            "budget_used is read, and the job has no budget",
            rule="it is the share of the job's own budget",
            remedy="write `budget: {max_cost_usd: …}`, or compare cost_usd",
        )
    else:
        try:
            expression.value(dict.fromkeys(METRICS, 0.5))
        except RowError as error:
            checks.refuse(at, f"it cannot be judged: {error}", value=text, rule=_RULE, remedy="correct it")


def _refused_part(text: str) -> str | None:
    """The first piece of the text that no condition may have."""
    at = depth = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        token = "" if match is None else match[0].strip()
        depth += (token == "(") - (token == ")")
        if match is None or token in _WORDS_NOT_FOR_NUMBERS or depth > _DEEPEST:
            return text[at:].split()[0][:20]
        at = match.end()
    return None
