"""Format 2: what a YAML job means, and what each mistake in it is answered with."""

from __future__ import annotations

from typing import Any

import pytest

from llm_jobs.documents.choices import read_parameters
from llm_jobs.documents.destinations import FileOutput, OutputError
from llm_jobs.documents.job import Policy, Schedule
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import LibraryRef, ParsedDocument, ParsedPrompt
from llm_jobs.documents.parsing import parse_document
from llm_jobs.documents.steps import Message
from llm_jobs.documents.table_sources import InputErrors
from llm_jobs.documents.watched import Watching
from llm_jobs.errors import DocumentError, Problem

JOB = """\
job:
  name: reviews
  version: 1.0.0
  description: Are they happy?
  labels: {team: nlp}
  priority: hot
  epoch: 2026-W47
  sample: 3
  input:
    rows:
      - {id: 1, review: Good}
      - {id: 2, review: NO}
  prompts:
    - name: sentiment
      model: openai/gpt-4.1-mini
      temperature: 0
      max_tokens: 20
      parameters: {reasoning_effort: low, tone: dry}
      text: Is {{ review }} positive?
      api_key: ${OPENAI_API_KEY}
      endpoint: https://gateway.example/v1
      schema: {type: object}
      operation: responses
      purpose: the first question
    - name: summary
      version: ^1.2
  output: {destination: file, path: out/answers.json}
  execution: {concurrency: 10, retry_on_failure: 3, timeout: 30, job_timeout: 600.5}
  error_handling:
    on_prompt_failure: {strategy: retry, max_retries: 3, backoff: exponential}
    on_input_error: {strategy: fail, log: true}
    on_output_error: {strategy: fail, alert: true}
  schedule: {cron: 0 9 * * 1-5, timezone: Europe/Berlin, enabled: false}
  profiles:
    development:
      model: simulated/small
      temperature: 1
      batch_size: 10
      parameters: {tone: warm}
      execution: {timeout: 5}
      labels: {stage: dev}
      sample: 1
      epoch: dev
"""

MINIMAL = """\
job:
  name: reviews
  prompts:
    - name: sentiment
      model: m
      text: Hello
"""


def parsed(text: str = JOB, file: str = "reviews.yaml", **options: Any) -> ParsedDocument:
    (document,) = parse_document(file, text.encode(), **options)
    return document


def problems_of(text: str, **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(DocumentError) as caught:
        parsed(text, **options)
    return caught.value.problems


def prompt(document: ParsedDocument, index: int = 0) -> ParsedPrompt:
    step = document.steps[index]
    assert isinstance(step, ParsedPrompt)
    return step


def test_every_key_of_a_job_arrives_where_it_belongs() -> None:
    document = parsed()
    assert (document.format, document.name, document.sample, document.epoch) == ("job", "reviews", 3, "2026-W47")
    assert document.input.rows == ({"id": 1, "review": "Good"}, {"id": 2, "review": "NO"})
    assert document.steps == (
        ParsedPrompt(
            name="sentiment",
            model="openai/gpt-4.1-mini",
            messages=(Message(role="user", content="Is {{ review }} positive?"),),
            parameters={"reasoning_effort": "low", "tone": "dry", "temperature": 0, "max_tokens": 20},
            schema={"type": "object"},
            operation="responses",
            endpoint="https://gateway.example/v1",
            api_key="OPENAI_API_KEY",
            purpose="the first question",
        ),
        ParsedPrompt(name="summary", library=LibraryRef(name="summary", version="^1.2")),
    )
    assert document.policy == Policy(
        version="1.0.0",
        description="Are they happy?",
        labels={"team": "nlp"},
        priority="hot",
        concurrency=10,
        max_retries=3,
        timeout_s=30,
        job_timeout_s=600.5,
        on_input_error="fail",
        input_errors=InputErrors(strategy="fail"),
        outputs=(FileOutput(path="out/answers.json", format="json"),),
        on_output_error=OutputError(alert=True),
        schedule=Schedule(cron="0 9 * * 1-5", timezone="Europe/Berlin", enabled=False),
        watching=Watching(tells_undelivered=True),
    )


def test_a_job_without_a_table_has_one_empty_row() -> None:
    assert parsed(MINIMAL).input.rows == ({},)


def test_messages_keep_their_roles_and_their_order() -> None:
    turns = "messages: [{role: system, content: s}, {role: user, content: u}, {role: assistant, content: a}]"
    document = parsed(MINIMAL.replace("text: Hello", turns))
    assert [message.role for message in prompt(document).messages or ()] == ["system", "user", "assistant"]


def test_a_profile_replaces_what_it_states_and_nothing_else() -> None:
    document = parsed(profile="development")
    first, second = prompt(document), prompt(document, 1)
    assert first.model == second.model == "simulated/small"
    assert first.parameters == {"reasoning_effort": "low", "tone": "warm", "temperature": 1, "max_tokens": 20}
    assert second.parameters == {"tone": "warm", "temperature": 1}
    assert (document.sample, document.epoch) == (1, "dev")
    assert (document.policy.timeout_s, document.policy.concurrency) == (5, 10)
    assert document.policy.labels == {"team": "nlp", "stage": "dev"}


def test_a_profile_may_bring_another_table() -> None:
    text = MINIMAL + "  profiles: {small: {input: {path: small.csv, types: {id: integer}}}}\n"
    table = parsed(text, profile="small").input
    assert (table.path, table.format, table.types) == ("small.csv", "csv", {"id": "integer"})


def test_param_sets_request_parameters_everywhere_and_other_names_where_they_are_declared() -> None:
    parameters: dict[str, JsonValue] = {"temperature": 0.5, "tone": "loud"}
    document = parsed(parameters=parameters)
    assert prompt(document).parameters["tone"] == "loud"
    assert [prompt(document, index).parameters["temperature"] for index in (0, 1)] == [0.5, 0.5]
    assert "tone" not in prompt(document, 1).parameters


def test_param_is_stronger_than_the_profile() -> None:
    assert prompt(parsed(profile="development", parameters={"tone": "x"})).parameters["tone"] == "x"


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("a=0.5", 0.5),
        ("a=1000", 1000),
        ("a=true", True),
        ('a=["x"]', ["x"]),
        ("a=low", "low"),
        ("a=", ""),
        ("a=b=c", "b=c"),
        ("a=NaN", "NaN"),
        ("a=1e999", "1e999"),
        ("a=9007199254740993", "9007199254740993"),
    ],
)
def test_param_values_are_json_or_text(assignment: str, value: JsonValue) -> None:
    assert read_parameters([assignment]) == {"a": value}


@pytest.mark.parametrize("assignments", [["a"], ["=1"], ["a=1", "a=2"]])
def test_a_param_without_a_name_a_value_or_given_twice_is_refused(assignments: list[str]) -> None:
    with pytest.raises(DocumentError, match="--param"):
        read_parameters(assignments)


def test_an_unknown_param_is_refused_with_the_known_ones_and_the_nearest() -> None:
    (problem,) = problems_of(JOB, parameters={"temperatur": 1})
    assert problem.rule is not None
    assert "tone" in problem.rule
    assert problem.remedy == "did you mean 'temperature'?"


def test_several_models_make_several_documents_that_ask_them_of_every_prompt() -> None:
    documents = parse_document("a.yaml", JOB.encode(), models=["a/x", "b/y"])
    asked = [[step.model for step in each.steps if isinstance(step, ParsedPrompt)] for each in documents]
    assert asked == [["a/x"] * 2, ["b/y"] * 2]


def test_input_replaces_the_table_and_epoch_the_epoch() -> None:
    document = parsed(input_override="rows.parquet", epoch="2027-W01")
    assert (document.input.kind, document.input.path, document.input.format) == ("file", "rows.parquet", "parquet")
    assert document.input.beside == "working_directory"
    assert document.epoch == "2027-W01"


@pytest.mark.parametrize(
    ("path", "file_format"),
    [
        ("a.csv", "csv"),
        ("a.JSON", "json"),
        ("a.ndjson", "jsonl"),
        ("s3://bucket/a.b/c.parquet", "parquet"),
        ("https://host/a.jsonl?version=1", "jsonl"),
    ],
)
def test_the_format_of_a_file_is_told_by_its_name(path: str, file_format: str) -> None:
    table = parsed(MINIMAL + f"  input: {{source: file, path: '{path}'}}\n").input
    assert (table.path, table.format) == (path, file_format)


MISTAKES = [
    # (document changed from, to, line, key, part of what, part of the remedy)
    ("  name: reviews", "  nam: reviews", 2, "job.nam", "unknown key 'nam'", "did you mean 'name'?"),
    ("  name: reviews", "  nam: reviews", 1, "job.name", "'name' is missing", "rename 'nam' to 'name'"),
    ("  prompts:", "  promts:", 3, "job.promts", "unknown key 'promts'", "did you mean 'prompts'?"),
    ("      text:", "      txet:", 6, "job.prompts[0].txet", "unknown key", "did you mean 'text'?"),
    ("model: m", "temprature: 1", 5, "job.prompts[0].temprature", "unknown key", "did you mean 'temperature'?"),
    ("model: m", "zzz: 1", 5, "job.prompts[0].zzz", "unknown key", "remove it or use one of these"),
    ("name: reviews", "name: 3", 2, "job.name", "should be text", "put the value in quotes"),
    ("name: reviews", "name: ''", 2, "job.name", "at least 1 character", "at least one character"),
    ("model: m", "temperature: '0.5'", 5, "job.prompts[0].temperature", "should be a number", "without quotes"),
    ("model: m", "temperature: -1", 5, "job.prompts[0].temperature", "greater than or equal to 0", "larger"),
    ("model: m", "temperature: true", 5, "job.prompts[0].temperature", "should be a number", "write a number"),
    ("model: m", "max_tokens: 1.5", 5, "job.prompts[0].max_tokens", "should be a whole number", "write a whole number"),
    ("model: m", "max_tokens: 0", 5, "job.prompts[0].max_tokens", "greater than or equal to 1", "larger"),
    ("model: m", "operation: caht", 5, "job.prompts[0].operation", "not one of the values", "did you mean 'chat'?"),
    ("model: m", "version: 1.0", 5, "job.prompts[0].version", "should be text", "quotes"),
    ("model: m", "version: 1.0.0", 5, "job.prompts[0].version", "in line has no version", "remove `version`"),
    ("model: m", "purpose: x", 4, "job.prompts[0]", "no model is named", "--model"),
    ("model: m", "api_key: sk-1234", 5, "job.prompts[0].api_key", "a credential stands", "write ${NAME}"),
    ("model: m", "endpoint: ftp://x", 5, "job.prompts[0].endpoint", "not an http or https URL", "https://host"),
    ("model: m", "endpoint: https://u:p@h", 5, "job.prompts[0].endpoint", "holds credentials", "${NAME}"),
    ("model: m", "endpoint: https://h/?k=1", 5, "job.prompts[0].endpoint", "holds a query", "https://host"),
    ("model: m", "parameters: {token: x}", 5, "job.prompts[0].parameters.token", "is a credential", "api_key"),
    ("model: m", "parameters: {stream: true}", 5, "job.prompts[0].parameters.stream", "is not a parameter", "remove"),
    ("model: m", "parameters: [1]", 5, "job.prompts[0].parameters", "should be a mapping", "write a mapping"),
    ("name: sentiment", "name: llm_status", 4, "job.prompts[0].name", "would hide", "rename"),
    ("name: sentiment", "name: ../x", 4, "job.prompts[0].name", "cannot be a column", "rename the prompt"),
    ("text: Hello", "text: ''", 6, "job.prompts[0].text", "at least 1 character", "at least one character"),
    ("text: Hello", "messages: []", 6, "job.prompts[0].messages", "at least 1 item", "add at least one item"),
    ("text: Hello", "messages: [{role: usr, content: x}]", 6, "job.prompts[0].messages[0].role", "one of", "'user'"),
    ("text: Hello", "messages: [{role: user}]", 6, "job.prompts[0].messages[0].content", "is missing", "add 'content'"),
    ("text: Hello", "text: a\n      messages: [{role: user, content: x}]", 7, "job.prompts[0].messages", "twice", ""),
    ("text: Hello", "text: Hello ${HOME}", 6, "job.prompts[0].text", "is not filled in here", "$${HOME}"),
]  # fmt: skip

SECTIONS = [
    # (a line below `job:`, key, part of what, part of the remedy); the line is 7
    ("input: {source: postgresql, path: x.csv}", "job.input.path", "a postgresql table has no path", "source: file"),
    ("input: {path: x.csv, query: q}", "job.input", "two tables are given: a file and a query", "one of these"),
    ("input: {source: fil, path: x.csv}", "job.input.source", "not one of", "did you mean 'file'?"),
    ("input: {source: file}", "job.input", "no table is given", "write `path:`"),
    ("input: {path: x.csv, rows: [{a: 1}]}", "job.input", "two tables", "one of these"),
    ("input: {path: x.xlsx}", "job.input.path", "does not tell the file's format", "`format:`"),
    ("input: {path: x, format: xlsx}", "job.input.format", "not one of", "choose one of these"),
    ("input: {path: x.csv, types: {a: int}}", "job.input.types.a", "not one of", "'integer'"),
    ("input: {source: inline, path: x.csv}", "job.input.path", "an inline table has no path", "source: file"),
    ("input: {source: file, rows: [{a: 1}]}", "job.input.rows", "a file table has no rows", "source: inline"),
    ("input: {format: csv, rows: [{a: 1}]}", "job.input.format", "said of rows in line", "remove"),
    ("input: {rows: []}", "job.input.rows", "at least 1 item", "add at least one item"),
    ("input: {rows: [1]}", "job.input.rows[0]", "should be a mapping", "write a mapping"),
    ("input: {rows: [{a: 1}, {llm_cost: 2}]}", "job.input.rows[1].llm_cost", "would hide", "rename"),
    ("input: {rows: [{sentiment: 1}]}", "job.input.rows[0].sentiment", "has the name of a prompt", "rename"),
    ("input: {rows: [{'': 1}]}", "job.input.rows[0]['']", "without a name", "name it"),
    ("input: {rows: [{a: 'x ${HOME}'}]}", "job.input.rows[0].a", "is not filled in here", "$${HOME}"),
    ("output: {path: x.txt}", "job.output.path", "does not tell the file's format", "`format:`"),
    ("output: {destination: database, path: x.csv}", "job.output.path", "said of the destination database", "file"),
    ("output: {destination: file}", "job.output", "is missing", "add 'path'"),
    ("execution: {concurency: 3}", "job.execution.concurency", "unknown key", "did you mean 'concurrency'?"),
    ("execution: {concurrency: 0}", "job.execution.concurrency", "greater than or equal to 1", "larger"),
    ("execution: {timeout: 0}", "job.execution.timeout", "greater than 0", "larger"),
    ("execution: {retry_on_failure: 101}", "job.execution.retry_on_failure", "less than or equal to 100", "smaller"),
    ("execution: 3", "job.execution", "should be a mapping", "write a mapping"),
    ("error_handling: {on_input_error: {strategy: skp}}", "job.error_handling.on_input_error.strategy", "", "'skip'"),
    ("error_handling: {on_output_error: {alert: 1}}", "job.error_handling.on_output_error.alert", "true or", "true"),
    ("schedule: {cron: 0 25 * * *}", "job.schedule.cron", "has the hour '25'", "write five fields"),
    ("schedule: {cron: 0 9 * *}", "job.schedule.cron", "has 4 fields", "write five fields"),
    ("schedule: {cron: 0 9 * * *, timezone: Europe/Berln}", "job.schedule.timezone", "unknown", "'Europe/Berlin'"),
    ("schedule: {cron: 0 9 * * *, timezone: ../etc}", "job.schedule.timezone", "unknown", "Europe/Berlin"),
    ("schedule: {cron: 0 9 * * *, enabled: 'yes'}", "job.schedule.enabled", "true or false", "write true or false"),
    ("profiles: {a: {modl: x}}", "job.profiles.a.modl", "unknown key", "did you mean 'model'?"),
    ("priority: warm", "job.priority", "not one of", "choose one of these"),
    ("labels: {a: 1}", "job.labels.a", "should be text", "put the value in quotes"),
    ("labels: {a: '${X}'}", "job.labels.a", "variable X is not allowed", "LLM_JOBS_DOCUMENT_VARIABLES"),
    ("description: '${A_TOKEN}'", "job.description", "named like a secret", "api_key"),
    ("epoch: 2026", "job.epoch", "should be text", "put the value in quotes"),
    ("sample: 1001", "job.sample", "less than or equal to 1000", "smaller"),
    ("sample: 0", "job.sample", "greater than or equal to 1", "larger"),
]  # fmt: skip


def assert_reported(problems: tuple[Problem, ...], line: int, key: str, what: str, remedy: str) -> None:
    (problem,) = [problem for problem in problems if problem.key == key]
    assert problem.file == "reviews.yaml"
    assert problem.line == line
    assert what in problem.what
    assert problem.remedy is not None
    assert remedy in problem.remedy
    assert problem.rule


@pytest.mark.parametrize(("old", "new", "line", "key", "what", "remedy"), MISTAKES)
def test_a_mistake_in_a_prompt_is_answered_with_line_key_and_remedy(
    old: str, new: str, line: int, key: str, what: str, remedy: str
) -> None:
    assert old in MINIMAL
    assert_reported(problems_of(MINIMAL.replace(old, new, 1)), line, key, what, remedy)


@pytest.mark.parametrize(("section", "key", "what", "remedy"), SECTIONS)
def test_a_mistake_in_a_section_is_answered_with_line_key_and_remedy(
    section: str, key: str, what: str, remedy: str
) -> None:
    assert_reported(problems_of(f"{MINIMAL}  {section}\n"), 7, key, what, remedy)


def test_two_prompts_of_one_name_are_refused() -> None:
    second = "    - {name: sentiment, model: m, text: x}\n"
    assert_reported(problems_of(MINIMAL + second), 7, "job.prompts[1].name", "a second prompt", "rename")


def test_two_numbers_of_retries_are_refused() -> None:
    text = MINIMAL + "  execution: {retry_on_failure: 1}\n  error_handling: {on_prompt_failure: {max_retries: 2}}\n"
    key = "job.error_handling.on_prompt_failure.max_retries"
    assert_reported(problems_of(text), 8, key, "2 retries here and 1", "remove one of the two")


def test_a_parameter_said_twice_is_refused() -> None:
    text = MINIMAL.replace("model: m", "temperature: 1\n      parameters: {temperature: 2}")
    assert_reported(problems_of(text), 6, "job.prompts[0].parameters.temperature", "said twice", "remove one")


def test_an_embedding_of_several_messages_is_refused() -> None:
    two = "operation: embeddings\n      messages: [{role: system, content: a}, {role: user, content: b}]"
    text = MINIMAL.replace("text: Hello", two)
    assert_reported(problems_of(text), 7, "job.prompts[0].messages", "made of one text", "remove")


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    (problem,) = problems_of(JOB, profile="developmnt")
    assert (problem.line, problem.rule) == (34, "known here: development")
    assert problem.remedy == "did you mean 'development'?"


def test_several_mistakes_are_reported_at_once_in_the_order_of_their_lines() -> None:
    text = MINIMAL.replace("name: reviews", "name: 3").replace("model: m", "modl: m") + "  sample: x\n"
    assert [problem.line for problem in problems_of(text)] == [2, 5, 7]


def test_a_secret_is_never_repeated() -> None:
    for key in ("api_key", "API_KEY", "password"):
        for value in ("sk-secret-1", "[sk-secret-1]", "{a: sk-secret-1}"):
            text = MINIMAL.replace("model: m", f"{key}: {value}")
            assert "sk-secret-1" not in "".join(map(str, problems_of(text)))


class TestVariables:
    TEXT = MINIMAL + "  labels: {stage: 'x-${STAGE}'}\n  output: {path: '${FOLDER}/$${x}.csv'}\n"

    def test_allowed_ones_are_filled_in_and_recorded(self) -> None:
        environment = {"LLM_JOBS_DOCUMENT_VARIABLES": "STAGE, UNUSED", "STAGE": "dev", "OTHER": "y"}
        document = parsed(self.TEXT, environment=environment, variables={"FOLDER": "/out"})
        assert document.policy.labels == {"stage": "x-dev"}
        assert document.policy.outputs == (FileOutput(path="/out/${x}.csv", format="csv"),)
        assert document.variables == {"STAGE": "dev", "FOLDER": "/out"}

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("text: Hello", "text: Hello\n      schema: {description: 'x ${STAGE}'}"),
            ("text: Hello", "text: Hello\n      parameters: {model_path: '${STAGE}'}"),
            ("text: Hello", "messages: [{role: user, content: 'x ${STAGE}'}]"),
            ("prompts:", "input: {rows: [{path: '${STAGE}', token: a}]}\n  prompts:"),
            ("prompts:", "input: {rows: [{token: '${STAGE}'}]}\n  prompts:"),
            ("name: reviews", "name: '${STAGE}'"),
        ],
    )
    def test_what_reaches_the_model_is_not_filled_in_though_it_is_allowed(self, old: str, new: str) -> None:
        (problem,) = problems_of(MINIMAL.replace(old, new), variables={"STAGE": "dev"})
        assert "not filled in here" in problem.what

    def test_one_that_is_not_allowed_is_refused_though_it_is_set(self) -> None:
        problems = problems_of(self.TEXT, environment={"STAGE": "dev"}, variables={"FOLDER": "/out"})
        assert_reported(problems, 7, "job.labels.stage", "not allowed", "LLM_JOBS_DOCUMENT_VARIABLES")

    def test_one_that_is_allowed_and_not_set_is_refused(self) -> None:
        environment = {"LLM_JOBS_DOCUMENT_VARIABLES": "STAGE,FOLDER", "FOLDER": "f"}
        assert_reported(problems_of(self.TEXT, environment=environment), 7, "job.labels.stage", "not set", "set STAGE")

    def test_a_secret_is_not_filled_in_though_it_is_allowed(self) -> None:
        environment = {"LLM_JOBS_DOCUMENT_VARIABLES": "A_KEY", "A_KEY": "sk-1"}
        problems = problems_of(self.TEXT.replace("STAGE", "A_KEY"), environment=environment, variables={"FOLDER": "/"})
        assert_reported(problems, 7, "job.labels.stage", "named like a secret", "api_key")
        assert "sk-1" not in str(problems)

    def test_a_credential_stays_a_name_though_its_variable_is_set(self) -> None:
        environment = {"LLM_JOBS_DOCUMENT_VARIABLES": "OPENAI_API_KEY", "OPENAI_API_KEY": "sk-1"}
        document = parsed(environment=environment)
        assert prompt(document).api_key == "OPENAI_API_KEY"
        assert "sk-1" not in repr(document)

    @pytest.mark.parametrize(
        ("written", "read"), [("$${HOME}", "${HOME}"), ("${", "${"), ("${1}", "${1}"), ("$ {x}", "$ {x}"), ("$x", "$x")]
    )
    def test_a_dollar_without_a_name_is_text(self, written: str, read: str) -> None:
        document = parsed(MINIMAL.replace("text: Hello", f"text: 'cost {written}'"))
        assert prompt(document).messages == (Message(role="user", content=f"cost {read}"),)


@pytest.mark.parametrize(
    "cron", ["* * * * *", "*/5 0-6,22 1 jan-mar MON-fri", "0 9 * * 7", "59 23 31 12 0", "@daily", "1-9/2 * * * *"]
)
def test_cron_expressions_are_taken_as_they_stand(cron: str) -> None:
    schedule = parsed(MINIMAL + f"  schedule: {{cron: '{cron}'}}\n").policy.schedule
    assert schedule == Schedule(cron=cron)


@pytest.mark.parametrize(
    "cron", ["60 * * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "x * * * *", "*-3 * * * *", "@now", "0 0 * * 1-"]
)
def test_what_is_no_cron_expression_is_refused(cron: str) -> None:
    assert problems_of(MINIMAL + f"  schedule: {{cron: '{cron}'}}\n")[0].key == "job.schedule.cron"


@pytest.mark.parametrize(
    ("text", "key", "what", "remedy"),
    [
        ("jobs: {}", "jobs", "begins no document", "did you mean 'job'?"),
        ("- job", None, "is not a mapping", "write `job:`"),
        ("{}", None, "is not a mapping", "write `job:`"),
        ("pipeline: {jobs: [a]}", "pipeline", "the document is a pipeline", "name one of its jobs"),
        ("prompts: []", "prompts", "begins no document", "did you mean 'prompt'?"),
    ],
)
def test_what_is_no_document_is_refused(text: str, key: str | None, what: str, remedy: str) -> None:
    (problem,) = problems_of(text)
    assert problem.key == key
    assert what in problem.what
    assert problem.remedy is not None
    assert remedy in problem.remedy
