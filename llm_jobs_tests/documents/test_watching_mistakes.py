"""`monitoring`, `logging` and `alerts`: what they mean, and what each mistake in them is answered with."""

from __future__ import annotations

import json

import pytest

from llm_jobs.documents.frozen import job_from_json, job_to_json
from llm_jobs.documents.job import Input, Job, Policy
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.parsing import parse_document
from llm_jobs.documents.steps import PromptStep
from llm_jobs.documents.watched import DEFAULT_CHANNEL, Alert, Channel, JobLog, Monitoring, Watching
from llm_jobs.errors import DocumentError, Problem

HEAD = "job:\n  name: reviews\n  model: m\n  prompts: [{name: said, text: Hello}]\n"
LINE = 5  # the first after HEAD
MAIL = "action: email, recipients: [admin@example.com]"


def policy_of(text: str, **options: str) -> Policy:
    [document] = parse_document("reviews.yaml", f"{HEAD}{text}\n".encode(), variables=options)
    return document.policy


def watching_of(text: str) -> Watching:
    watching = policy_of(text).watching
    assert watching is not None
    return watching


def problem_of(text: str) -> Problem:
    with pytest.raises(DocumentError) as caught:
        policy_of(text)
    [problem] = caught.value.problems
    return problem


def alert(condition: str, to: str = "action: log") -> str:
    return f"  alerts:\n    - condition: {condition}\n      {to.replace(', ', chr(10) + '      ')}"


def test_every_key_arrives_where_it_belongs() -> None:
    watching = watching_of(
        """\
  monitoring: {metrics: [error_rate, cost_usd, error_rate], export_to: {prometheus: {push: "http://gateway:9091"}}}
  logging: {level: WARNING, format: text, destination: file, path: "{name}/job.log", rotate: size, content: on}
  alerts:
    - {condition: error_rate > 0.05, action: email, recipients: [admin@example.com, ops@example.com]}
    - {condition: execution_time > 600, action: slack, channel: "#ops"}
    - {condition: cost_usd > 5, action: webhook, url: "${HOOK}", api_key: "${HOOK_KEY}"}
    - {condition: failed > 0, action: log}"""
    )
    assert watching.monitoring == Monitoring(metrics=("error_rate", "cost_usd"), push_url="http://gateway:9091")
    assert watching.log == JobLog(level="warning", format="text", path="{name}/job.log", rotate="size", content=True)
    assert watching.alerts == (
        Alert(
            condition="error_rate > 0.05",
            channel=Channel(action="email", recipients=("admin@example.com", "ops@example.com")),
        ),
        Alert(condition="execution_time > 600", channel=Channel(action="slack", channel="#ops")),
        Alert(condition="cost_usd > 5", channel=Channel(action="webhook", url="${HOOK}", api_key="HOOK_KEY")),
        Alert(condition="failed > 0", channel=Channel(action="log")),
    )


def test_the_blocks_of_the_reference_mean_what_they_say() -> None:
    watching = watching_of(
        """\
  monitoring:
    metrics:
      - execution_time
      - token_usage
      - success_rate
      - error_rate
    export_to: prometheus
  logging:
    level: INFO
    format: json
    destination: file
    path: /logs/job.log
    rotate: daily
  alerts:
    - condition: error_rate > 0.05
      action: email
      recipients: [admin@example.com]
    - condition: execution_time > 600
      action: slack
      channel: "#ops\""""
    )
    assert watching.monitoring == Monitoring(
        metrics=("execution_time", "token_usage", "success_rate", "error_rate"), is_exported=True
    )
    assert watching.log == JobLog(path="/logs/job.log", rotate="daily")
    assert [str(each.channel) for each in watching.alerts] == ["email admin@example.com", "slack #ops"]


def test_a_document_that_asks_for_nothing_is_not_watched() -> None:
    assert policy_of("  description: quiet").watching is None


def test_metrics_that_are_not_exported_are_counted_all_the_same() -> None:
    monitoring = watching_of("  monitoring: {metrics: [rows]}").monitoring
    assert monitoring == Monitoring(metrics=("rows",), is_exported=False)


@pytest.mark.parametrize(
    ("handling", "expected"),
    [
        ("on_output_error: {alert: true}", Watching(tells_undelivered=True)),
        ("on_output_error: {alert: false}", None),
    ],
)
def test_an_error_strategy_that_alerts_is_watched(handling: str, expected: Watching | None) -> None:
    assert policy_of(f"  error_handling: {{{handling}}}").watching == expected


def test_what_has_no_alert_of_its_own_goes_over_the_channels_of_the_alerts() -> None:
    assert Watching(tells_end=True).channels == (DEFAULT_CHANNEL,)
    both = watching_of(f"{alert('rows > 1', MAIL)}\n    - {{condition: failed > 1, {MAIL}}}")
    assert [str(channel) for channel in both.channels] == ["email admin@example.com"]


def test_who_watches_is_no_identity_and_is_kept_with_the_job() -> None:
    watching = watching_of(f"  logging: {{}}\n  monitoring: {{metrics: [rows]}}\n{alert('rows > 1', MAIL)}")
    model = ModelRef(name="m", provider="simulated", upstream="m", base_url="")
    steps, table = (PromptStep(name="said", model=model, messages=()),), Input(kind="inline", digest="0", rows=({},))
    jobs = [Job(name="a", steps=steps, input=table, policy=Policy(watching=each)) for each in (watching, None)]
    assert jobs[0].hash == jobs[1].hash
    assert [job_from_json(job_to_json(job)).policy.watching for job in jobs] == [watching, None]


def test_a_job_that_was_kept_before_there_were_watchers_is_read() -> None:
    model = ModelRef(name="m", provider="simulated", upstream="m", base_url="")
    steps, table = (PromptStep(name="said", model=model, messages=()),), Input(kind="inline", digest="0", rows=({},))
    kept = job_to_json(Job(name="a", steps=steps, input=table))
    old = kept.replace(b',"watching":null', b"")
    assert old != kept
    assert job_from_json(old).policy.watching is None


@pytest.mark.parametrize(
    "condition",
    [
        "error_rate > 0.05",
        "error_rate>5e-2 and not (rows < 100 or failed == 0)",
        "failed / rows_expected >= 0.5",
        "(cost_usd + saved_usd) * 2 - 1 % 3 > 1 if rows > 10 else false",
        "-rows < +rows",
    ],
)
def test_a_condition_compares_metrics(condition: str) -> None:
    assert watching_of(alert(f"'{condition}'")).alerts[0].condition == condition


@pytest.mark.parametrize(
    ("condition", "what", "remedy"),
    [
        ("eror_rate > 0.05", "no metric 'eror_rate'", "did you mean 'error_rate'?"),
        ("executiontime > 600", "no metric 'executiontime'", "did you mean 'execution_time'?"),
        ("answer > 3", "no metric 'answer'", "choose one of these"),
        ("5 > 3", "reads no metric", "name what is compared"),
        ("rows >", "no expression", "correct it"),
        ("rows > 3 rows", "no expression", "correct it"),
        ("rows => 3", "'=>' is not for conditions", "compare metrics only"),
        ("rows = 3", "'=' is not for conditions", "compare metrics only"),
        ("rows > 1; failed", "';' is not for conditions", "compare metrics only"),
        ("rows > '1'", "\"'1'\" is not for conditions", "compare metrics only"),
        ("budget_used > 0.8", "the job has no budget", "write `budget:"),
        ("rows > 1 %", "no expression", "correct it"),
        ("rows / 0 > 1", "it cannot be judged", "correct it"),
    ],
)
def test_a_condition_that_is_none_is_answered_with_its_line_and_a_remedy(
    condition: str, what: str, remedy: str
) -> None:
    problem = problem_of(alert(json.dumps(condition)))
    assert (problem.line, problem.key) == (LINE + 1, "job.alerts[0].condition")
    assert what in problem.what
    assert remedy in (problem.remedy or "")


@pytest.mark.parametrize(
    "condition",
    [
        "error_rate.__class__.__mro__",
        "error_rate['__class__']",
        "().__class__",
        "rows ** 99999999 > 1",
        "9 ** 9 ** 9 ** 9 > rows",
        "range(100000000) | list | length > rows",
        "'x' * 99999999 > rows",
        "cycler(1, 2).next() > rows",
        "rows > 1 }} {% for a in range(9) %}",
        "lipsum() > rows",
        "self > rows",
        "dict(a=1) > rows",
        "namespace() > rows",
        "joiner > rows",
        "[rows, rows] > 1",
        "{rows: rows} > 1",
        "rows | attr('__class__')",
        "rows is callable",
        "rows ~ failed > 1",
        "\u0000rows > 1",
        "(" * 2000 + "rows" + ")" * 2000 + " > 1",
        "rows > " + "9" * 5000,
    ],
)
def test_a_hostile_condition_is_refused_and_does_nothing(condition: str) -> None:
    assert problem_of(alert(json.dumps(condition))).key in ("job.alerts[0].condition", None)  # None: no YAML at all


@pytest.mark.parametrize(
    ("section", "key", "what", "remedy"),
    [
        ("monitoring: {}", "job.monitoring.metrics", "missing", "add 'metrics'"),
        ("monitoring: {metrics: []}", "job.monitoring.metrics", "at least 1 item", "add at least one item"),
        ("monitoring: {metrics: rows}", "job.monitoring.metrics", "should be a list", "write a list"),
        ("monitoring: {metrics: [sucess_rate]}", "job.monitoring.metrics[0]", "no metric", "'success_rate'"),
        ("monitoring: {metrics: [rows], export_to: grafana}", "job.monitoring.export_to", "grafana", "correct"),
        ("monitoring: {metrics: [rows], exports: x}", "job.monitoring.exports", "unknown key", "'export_to'"),
        (
            "monitoring: {metrics: [rows], export_to: {prometheus: {push: ftp://x}}}",
            "job.monitoring.export_to.prometheus.push",
            "not an http or https URL",
            "https://host",
        ),
        ("logging: {level: LOUD}", "job.logging.level", "not one of", "choose one of these"),
        ("logging: {level: 10}", "job.logging.level", "not one of", "choose one of these"),
        ("logging: {format: xml}", "job.logging.format", "not one of", "choose one of these"),
        ("logging: {destination: syslog}", "job.logging.destination", "not one of", "choose one of these"),
        ("logging: {rotate: dayly}", "job.logging.rotate", "not one of", "did you mean 'daily'?"),
        ("logging: {rotated: daily}", "job.logging.rotated", "unknown key", "did you mean 'rotate'?"),
        ("logging: {destination: stdout, path: a.log}", "job.logging", "says path, which stdout has not", "correct"),
        ("logging: {destination: stdout, rotate: daily}", "job.logging", "says rotate, which stdout", "correct"),
        ('logging: {path: ""}', "job.logging.path", "at least 1 character", "at least one character"),
        ("logging: {path: '{nam}.log'}", "job.logging.path", "unknown placeholder {nam}", "did you mean 'name'?"),
        ("logging: {content: maybe}", "job.logging.content", "true or false", "true or false"),
        ("alerts: {condition: rows > 1, action: log}", "job.alerts", "should be a list", "write a list"),
        ("alerts: [{action: log}]", "job.alerts[0].condition", "missing", "rename 'action'"),
        ("alerts: [{condition: rows > 1}]", "job.alerts[0].action", "missing", "rename 'condition'"),
        ("alerts: [{condition: rows > 1, action: mail}]", "job.alerts[0].action", "not one of", "'email'"),
        ("alerts: [{condition: 5, action: log}]", "job.alerts[0].condition", "should be text", "quotes"),
        ("alerts: [{condition: rows > 1, action: log, when: x}]", "job.alerts[0].when", "unknown key", "remove"),
        ("alerts: [{condition: rows > 1, action: email}]", "job.alerts[0]", "has no recipients", "correct"),
        (
            "alerts: [{condition: rows > 1, action: email, recipients: []}]",
            "job.alerts[0].recipients",
            "at least 1 item",
            "add at least one item",
        ),
        (
            "alerts: [{condition: rows > 1, action: email, recipients: [nobody]}]",
            "job.alerts[0].recipients[0]",
            "pattern",
            "correct",
        ),
        (
            'alerts: [{condition: rows > 1, action: email, recipients: ["a@b.c\\nBcc: d@e.f"]}]',
            "job.alerts[0].recipients[0]",
            "pattern",
            "correct",
        ),
        (
            "alerts: [{condition: rows > 1, action: slack, recipients: [a@b.c]}]",
            "job.alerts[0]",
            "says recipients, which is for email and not for slack",
            "correct",
        ),
        (
            "alerts: [{condition: rows > 1, action: log, channel: '#ops'}]",
            "job.alerts[0]",
            "says channel, which is for slack and not for log",
            "correct",
        ),
        ("alerts: [{condition: rows > 1, action: webhook}]", "job.alerts[0]", "has no url", "correct"),
        (
            "alerts: [{condition: rows > 1, action: webhook, url: 'file:///etc/passwd'}]",
            "job.alerts[0].url",
            "not an http or https URL",
            "https://host",
        ),
        (
            "alerts: [{condition: rows > 1, action: webhook, url: 'https://hooks.slack.com/services/T/B/x'}]",
            "job.alerts[0].url",
            "a Slack webhook is a secret",
            "action: slack",
        ),
        (
            "alerts: [{condition: rows > 1, action: webhook, url: 'https://x', api_key: abc}]",
            "job.alerts[0].api_key",
            "credential stands in the document",
            "write ${NAME}",
        ),
    ],
)
def test_a_mistake_is_answered_with_line_key_and_remedy(section: str, key: str, what: str, remedy: str) -> None:
    problem = problem_of(f"  {section}")
    assert (problem.line, problem.key) == (LINE, key)
    assert what in problem.what
    assert remedy in (problem.remedy or "")
