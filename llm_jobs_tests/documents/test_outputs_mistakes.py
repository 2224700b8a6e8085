"""`output` and `on_output_error`: what they mean, and what each mistake in them is answered with."""

from __future__ import annotations

import json

import pytest

from llm_jobs.documents.destinations import ApiOutput, DatabaseOutput, FileOutput, Output, OutputError, delivery_key
from llm_jobs.documents.frozen import job_from_json, job_to_json
from llm_jobs.documents.job import Input, Job, Policy
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.parsing import parse_document
from llm_jobs.documents.steps import PromptStep
from llm_jobs.errors import DocumentError, Problem

HEAD = "job:\n  name: reviews\n  model: m\n  prompts: [{name: said, text: Hello}]\n"
LINE = 5  # the first after HEAD
FILE = FileOutput(path="out/a.csv", format="csv")
TABLE = DatabaseOutput(table="results", connection="default", database="default")
API = ApiOutput(endpoint="https://api.example.com/results")


def policy_of(text: str, **variables: str) -> Policy:
    [document] = parse_document("reviews.yaml", f"{HEAD}{text}\n".encode(), variables=variables)
    return document.policy


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(DocumentError) as caught:
        policy_of(text)
    return caught.value.problems


@pytest.mark.parametrize(
    ("output", "meant"),
    [
        ("{path: out/a.csv}", FILE),
        ("{destination: file, path: out/a.txt, format: csv}", FileOutput(path="out/a.txt", format="csv")),
        ("{path: a.jsonl.gz}", FileOutput(path="a.jsonl.gz", format="jsonl", compression="gzip")),
        ("{path: a.TSV.zst}", FileOutput(path="a.TSV.zst", format="tsv", compression="zstd")),
        ("{path: 's3://b/a.parquet'}", FileOutput(path="s3://b/a.parquet", format="parquet")),
        (
            "{path: '{{ epoch_ns }}_{{ document }}.json'}",
            FileOutput(path="{{ epoch_ns }}_{{ document }}.json", format="json"),
        ),
        ("{path: '{name}-{epoch}.json', format: pair}", FileOutput(path="{name}-{epoch}.json", format="pair")),
        ("{destination: database, table: results}", TABLE),
        (
            "{destination: database, table: public.results, connection: shop, mode: upsert, key: [id], format: json, "
            "batch_size: 5}",
            DatabaseOutput(
                table="public.results",
                connection="shop",
                database="shop",
                mode="upsert",
                key=("id",),
                format="json",
                batch_size=5,
            ),
        ),
        (
            "{destination: database, table: t, connection: 'postgresql://ann:${SHOP_PASSWORD}@db.example/shop'}",
            DatabaseOutput(
                table="t",
                connection="postgresql://ann:${SHOP_PASSWORD}@db.example/shop",
                database="postgresql://db.example/shop",
            ),
        ),
        ("{destination: api, endpoint: https://api.example.com/results}", API),
        (
            "{destination: api, endpoint: 'http://h/r', method: PUT, auth: bearer_token, format: jsonl, retries: 0, "
            "timeout: 9}",
            ApiOutput(
                endpoint="http://h/r", method="PUT", bearer="LLM_JOBS_API_TOKEN", format="jsonl", retries=0, timeout_s=9
            ),
        ),
        (
            "{destination: api, endpoint: 'http://h/r', auth: {bearer: '${TOKEN}'}, "
            "headers: {X-Api-Key: '${KEY}', X-Team: nlp}}",
            ApiOutput(endpoint="http://h/r", bearer="TOKEN", headers={"X-Api-Key": "${KEY}", "X-Team": "nlp"}),
        ),
    ],
)
def test_a_destination_means_what_it_says(output: str, meant: Output) -> None:
    assert policy_of(f"  output: {output}").outputs == (meant,)


def test_a_job_may_have_several_destinations() -> None:
    policy = policy_of("  output:\n    - {path: out/a.csv}\n    - {destination: database, table: results}")
    assert policy.outputs == (FILE, TABLE)


def test_the_profile_s_destinations_replace_the_document_s() -> None:
    text = "  output: {path: out/a.csv}\n  profiles: {nightly: {output: [{destination: database, table: results}]}}"
    [document] = parse_document("reviews.yaml", f"{HEAD}{text}\n".encode(), profile="nightly")
    assert document.policy.outputs == (TABLE,)


def test_variables_are_filled_in_where_they_tell_the_place_and_stay_names_where_they_are_secrets() -> None:
    text = "  output: {destination: database, table: '${T}_results', connection: 'postgresql://${U}@h/d'}"
    [output] = policy_of(text, T="reviews", U="ann").outputs
    assert isinstance(output, DatabaseOutput)
    assert (output.table, output.connection) == ("reviews_results", "postgresql://${U}@h/d")


@pytest.mark.parametrize(
    ("handling", "meant"),
    [
        ("{strategy: fail, alert: true}", OutputError(alert=True)),
        ("{strategy: retry, max_retries: 7, backoff: exponential}", OutputError(strategy="retry", max_retries=7)),
        ("{strategy: skip}", OutputError(strategy="skip")),
        ("{strategy: alert}", OutputError(strategy="alert", alert=True)),
        ("{strategy: fallback, fallback: {path: out/a.csv}}", OutputError(strategy="fallback", fallback=FILE)),
    ],
)
def test_what_becomes_of_a_failure_is_what_it_says(handling: str, meant: OutputError) -> None:
    text = f"  output: {{path: x.csv}}\n  error_handling: {{on_output_error: {handling}}}"
    assert policy_of(text).on_output_error == meant


@pytest.mark.parametrize(
    ("output", "key", "what", "remedy"),
    [
        ("{path: x.txt}", "", "does not tell the file's format", "`format:`"),
        ("{path: x.csv, format: cvs}", ".format", "not one of", "did you mean 'csv'?"),
        ("{path: x.csv, format: columns}", ".format", "no format of the destination file", "choose"),
        ("{path: x.parquet.gz}", ".path", "compressed inside", "remove .gz"),
        ("{path: '{{ epok }}.csv'}", ".path", "unknown placeholder 'epok'", "did you mean 'epoch'?"),
        ("{path: '{id}.csv'}", ".path", "unknown placeholder 'id'", "correct the path"),
        ("{path: ''}", ".path", "at least 1 character", "at least one character"),
        ("{path: 7}", ".path", "should be text", "in quotes"),
        ("{path: x.csv, table: t}", ".table", "said of the destination file", "destination: database"),
        ("{path: x.csv, endpoint: 'http://h'}", ".endpoint", "said of the destination file", "destination: api"),
        ("{path: x.csv, batch_size: 3}", ".batch_size", "said of the destination file", "remove"),
        ("{path: x.csv, on_complete: shout}", ".on_complete", "not one of", "choose"),
        ("{path: x.csv, pth: y}", ".pth", "unknown key", "did you mean 'path'?"),
        ("{destination: kafka, path: x.csv}", ".destination", "not one of", "choose"),
        ("{destination: databse, table: t}", ".destination", "not one of", "did you mean 'database'?"),
        ("{destination: database}", "", "the key 'table' is missing", "add 'table'"),
        ("{destination: database, table: 'a b'}", ".table", "no table's name", "rename"),
        ("{destination: database, table: 'a; DROP TABLE b'}", ".table", "no table's name", "rename"),
        ("{destination: database, table: a.b.c}", ".table", "no table's name", "rename"),
        ("{destination: database, table: t, path: x.csv}", ".path", "said of the destination database", "file"),
        ("{destination: database, table: t, mode: upsert}", ".mode", "an upsert has no key", "add `key:"),
        ("{destination: database, table: t, key: [id]}", ".key", "said of an append", "mode: upsert"),
        ("{destination: database, table: t, mode: upsert, key: []}", ".key", "at least 1 item", "at least one item"),
        ("{destination: database, table: t, mode: upsert, key: [a, a]}", ".key", "'a' cannot be in the key", "remove"),
        ("{destination: database, table: t, mode: upsert, key: [llm_row]}", ".key", "cannot be in the key", "remove"),
        ("{destination: database, table: t, mode: replace}", ".mode", "not one of", "choose"),
        ("{destination: database, table: t, format: csv}", ".format", "no format of the destination", "choose"),
        ("{destination: database, table: t, batch_size: 0}", ".batch_size", "greater than or equal", "larger"),
        ("{destination: api}", "", "the key 'endpoint' is missing", "add 'endpoint'"),
        ("{destination: api, endpoint: api.example.com}", ".endpoint", "not an http or https URL", "https://"),
        ("{destination: api, endpoint: 'https://a:b@h/r'}", ".endpoint", "holds credentials", "https://"),
        ("{destination: api, endpoint: 'https://h/r', method: GET}", ".method", "not one of", "choose"),
        ("{destination: api, endpoint: 'https://h/r', format: csv}", ".format", "no format", "choose"),
        ("{destination: api, endpoint: 'https://h/r', retries: -1}", ".retries", "greater than or equal", "larger"),
        ("{destination: api, endpoint: 'https://h/r', timeout: 0}", ".timeout", "greater than 0", "larger"),
        ("{destination: api, endpoint: 'https://h/r', auth: basic}", ".auth", "neither bearer_token", "correct"),
        (
            "{destination: api, endpoint: 'https://h/r', auth: {bearer: a b}}",
            ".auth",
            "not named by a variable",
            "bearer_token",
        ),
        ("{destination: api, endpoint: 'https://h/r', headers: {Host: x}}", ".headers.Host", "not for documents", ""),
        ("{destination: api, endpoint: 'https://h/r', headers: {'a b': x}}", ".headers['a b']", "no header", "correct"),
        ("{destination: api, endpoint: 'https://h/r', headers: {X: 7}}", ".headers.X", "should be text", "in quotes"),
        (
            "{destination: api, endpoint: 'https://h/r', auth: bearer_token, headers: {Authorization: '${T}'}}",
            ".auth",
            "said twice",
            "remove one",
        ),
        ("[]", "", "at least 1 item", "at least one item"),
        ("out.csv", "", "should be a mapping", "write a mapping"),
    ],
)
def test_a_mistake_in_a_destination_is_answered_with_line_key_and_remedy(
    output: str, key: str, what: str, remedy: str
) -> None:
    key = "job.output.path" if what.startswith("does not tell") else f"job.output{key}"
    [problem] = [problem for problem in problems_of(f"  output: {output}") if problem.key == key]
    assert (problem.file, problem.line) == ("reviews.yaml", LINE)
    assert what in problem.what
    assert remedy in str(problem.remedy)


def test_of_several_destinations_the_mistaken_one_is_named() -> None:
    text = "  output:\n    - {path: a.csv}\n    - {path: a.csv}\n    - {destination: database}"
    told = [(problem.line, problem.key, problem.what) for problem in problems_of(text)]
    assert told == [
        (LINE + 2, "job.output[1]", "a destination is named twice"),
        (LINE + 3, "job.output[2]", "the key 'table' is missing"),
    ]


@pytest.mark.parametrize(
    ("handling", "key", "what", "remedy"),
    [
        ("{strategy: fallback}", ".fallback", "belong together", "fallback: {path"),
        ("{strategy: skip, fallback: {path: x.csv}}", ".fallback", "belong together", "strategy: fallback"),
        ("{strategy: fallback, fallback: {path: x}}", ".fallback.path", "does not tell", "`format:`"),
        ("{strategy: skip, max_retries: 3}", ".max_retries", "said of the strategy skip", "strategy: retry"),
        ("{strategy: retry, max_retries: many}", ".max_retries", "should be a whole number", "whole number"),
        ("{strategy: ignore}", ".strategy", "not one of", "choose"),
        ("{strategy: retry, backoff: linear}", ".backoff", "not one of", "exponential"),
        ("{alert: 1}", ".alert", "true or false", "true or false"),
    ],
)
def test_a_mistake_in_on_output_error_is_answered_with_line_key_and_remedy(
    handling: str, key: str, what: str, remedy: str
) -> None:
    text = f"  output: {{path: x.csv}}\n  error_handling:\n    on_output_error: {handling}"
    key = f"job.error_handling.on_output_error{key}"
    [problem] = [problem for problem in problems_of(text) if problem.key == key]
    assert problem.line == LINE + 2
    assert what in problem.what
    assert remedy in f"{problem.remedy} {problem.rule}"


@pytest.mark.parametrize(
    "output",
    [
        "{destination: database, table: t, connection: 'postgresql://ann:hunter22@db.example/shop'}",
        "{destination: database, table: t, connection: 'postgresql://db.example/shop?password=hunter22'}",
        "{destination: api, endpoint: 'https://h/r', headers: {Authorization: Bearer hunter22}}",
        "{destination: api, endpoint: 'https://h/r', headers: {X-Api-Key: hunter22}}",
        "{destination: api, endpoint: 'https://h/r', auth: hunter22}",
        "{destination: api, endpoint: 'https://h/r', auth: {bearer: hunter-22}}",
        "{destination: api, endpoint: 'https://ann:hunter22@h/r'}",
    ],
)
def test_a_secret_in_a_document_is_refused_and_not_repeated(output: str) -> None:
    told = "".join(map(str, problems_of(f"  output: {output}")))
    assert told
    assert "hunter" not in told


def test_destinations_are_policy_and_come_back_from_json() -> None:
    policy = Policy(
        outputs=(
            FILE,
            TABLE,
            API,
            DatabaseOutput(table="t", connection="c", database="c", mode="upsert", key=("a", "b")),
        ),
        on_output_error=OutputError(strategy="fallback", fallback=FILE),
    )
    plain, full = job_with(Policy()), job_with(policy)
    assert plain.hash == full.hash
    assert job_from_json(job_to_json(full)).policy == policy


def test_a_job_of_before_keeps_its_destination() -> None:
    members = json.loads(job_to_json(job_with(Policy())))
    del members["policy"]["outputs"], members["policy"]["on_output_error"]
    members["policy"]["output"] = {"destination": "file", "path": "out/a.csv", "format": "csv"}
    policy = job_from_json(json.dumps(members).encode()).policy
    assert (policy.outputs, policy.on_output_error) == ((FILE,), OutputError())


def job_with(policy: Policy) -> Job:
    step = PromptStep(
        name="said", model=ModelRef(name="m", provider="simulated", upstream="m", base_url=""), messages=()
    )
    return Job(name="reviews", steps=(step,), input=Input(kind="inline", digest="0"), policy=policy)


def test_what_changes_how_rows_travel_is_no_other_destination() -> None:
    slower = DatabaseOutput(table="results", connection="default", database="default", batch_size=5)
    patient = ApiOutput(endpoint=API.endpoint, bearer="TOKEN", retries=50, batch_size=7)
    assert delivery_key(slower) == delivery_key(TABLE)
    assert delivery_key(patient) == delivery_key(API)
    others: list[Output] = [FILE, FileOutput(path="out/a.csv", format="json"), TABLE, API]
    assert len({delivery_key(output) for output in others}) == len(others)
