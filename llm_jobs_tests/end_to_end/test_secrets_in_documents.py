"""A document cannot send a key elsewhere, and a key written into a document is repeated and kept by nobody."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg
import pytest

from llm_jobs.operations.services import Services, open_services
from llm_jobs.orchestration.bound import BoundUseCases
from llm_jobs.orchestration.instances import open_instance
from llm_jobs.orchestration.sensors import intake_sensor
from llm_jobs.settings import Settings
from llm_jobs_tests.end_to_end.secret_documents import write_home
from llm_jobs_tests.end_to_end.secret_runs import environment, keys_of, llm_jobs, ordinary
from llm_jobs_tests.end_to_end.secret_search import Search, below
from llm_jobs_tests.end_to_end.secret_server import secret_server

WRITTEN = ordinary("written")


def pair(**configuration: object) -> str:
    return json.dumps({"configuration": {"LLM_name": "openai/m", **configuration}, "prompt": "keep this prompt"})


def yaml_job(*lines: str) -> str:
    prompt = ["- name: answer", "  text: keep this prompt", *(f"  {line}" for line in lines)]
    return "\n".join(["job:", "  name: x", "  model: openai/m", "  prompts:", *(f"    {line}" for line in prompt), ""])


def table(source: str) -> str:
    return yaml_job().replace("  prompts:", f"  input: {{{source}}}\n  prompts:")


def batch(**body: object) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": "keep this prompt"}], **body}
    return json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"


# File name -> a document that holds a key in clear.
LITERAL = {
    "pair.json": pair(api_key=WRITTEN),
    "parameter.json": pair(token=WRITTEN),
    "headers.json": pair(endpoint=f"https://user:{WRITTEN}@host.example/v1"),
    "nested.json": pair(api_key={"value": WRITTEN}),
    "broken.json": pair(api_key=WRITTEN)[:-1],
    "job.yaml": yaml_job(f"api_key: {WRITTEN}"),
    "quoted.yaml": yaml_job(f"api_key: '{WRITTEN}'"),
    "block.yaml": yaml_job("api_key: |", f"  {WRITTEN}"),
    "list.yaml": yaml_job(f"api_key: [{WRITTEN}]"),
    "broken.yaml": yaml_job(f"api_key: '{WRITTEN}", "  wrong: ]"),
    "colon.yaml": yaml_job(f"api_key: {WRITTEN}: x"),
    "twice.yaml": yaml_job(f"api_key: {WRITTEN}", f"api_key: {WRITTEN}"),
    "unknown.yaml": yaml_job(f"authorization: Bearer {WRITTEN}"),
    "connection.yaml": table(f"query: SELECT 1, connection: 'postgresql://a:{WRITTEN}@h/d'"),
    "database.yaml": table(f"query: SELECT 1, connection: 'postgresql://h/d?password={WRITTEN}'"),
    "auth.yaml": table(f"endpoint: https://h/x, auth: {WRITTEN}"),
    "bearer.yaml": table(f"endpoint: https://h/x, auth: {{bearer: {WRITTEN}}}"),
    "header.yaml": table(f"endpoint: https://h/x, headers: {{X-Auth-Token: {WRITTEN}}}"),
    "params.yaml": table(f"endpoint: https://h/x, params: {{token: {WRITTEN}}}"),
    "address.yaml": table(f"endpoint: 'https://h/x?token={WRITTEN}'"),
    "batch.jsonl": batch(api_key=WRITTEN),
    "broken.jsonl": batch(api_key=WRITTEN).replace("}}", "}"),
}
SEARCH = Search({"the written key": WRITTEN, **keys_of("ordinary")})


def write_all(folder: Path) -> list[Path]:
    folder.mkdir(parents=True)
    for name, text in LITERAL.items():
        (folder / name).write_text(text, encoding="utf-8")
        os.utime(folder / name, (1, 1))
    return [folder / name for name in LITERAL]


def test_a_document_that_points_a_model_at_another_host_gets_no_key(tmp_path: Path) -> None:
    """Pair and YAML job, with and without a named key; a batch file names no host. All keys of the home are set."""
    home, keys = tmp_path / "home", keys_of("ordinary")
    with secret_server() as listed, secret_server() as other:
        write_home(home, listed.url)
        elsewhere: dict[str, Callable[[str], str]] = {
            "plain.json": lambda provider: pair(LLM_name=f"{provider}/m", endpoint=f"{other.url}/v1"),
            "named.json": lambda provider: pair(
                LLM_name=f"{provider}/m", endpoint=f"{other.url}/v2", api_key="${COMMAND_KEY}"
            ),
            "job.yaml": lambda provider: yaml_job(f"model: {provider}/m", f"endpoint: {other.url}/v3"),
        }
        documents = []
        for provider in ("openai", "anthropic"):
            for name, write in elsewhere.items():
                documents.append(home / f"{provider}-{name}")
                documents[-1].write_text(write(provider), encoding="utf-8")
        done = llm_jobs("run", *documents, environment=environment(home, listed.url, keys))
    assert done.returncode == 0, done.stdout + done.stderr
    assert listed.seen == []
    assert len(other.seen) == len(documents)
    search = Search(keys)
    for received in other.seen:
        said = f"{received.target} {json.dumps(dict(received.headers))}".encode() + received.body
        assert search.leaks([("the request", said)]) == []
        assert not {"authorization", "x-api-key", "cookie"} & received.headers.keys()


def test_a_script_that_names_a_host_which_is_not_listed_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with secret_server() as listed, secret_server() as other:
        write_home(home, listed.url)
        document = home / "elsewhere.json"
        command = {"script": "request.py", "arguments": [f"{other.url}/v1/chat/completions", "query"]}
        document.write_text(pair(LLM_name="command/m", command=command), encoding="utf-8")
        done = llm_jobs("run", document, environment=environment(home, listed.url, keys_of("ordinary")))
    assert done.returncode == 2
    assert "COMMAND_KEY is not sent to" in done.stderr
    assert (listed.seen, other.seen) == ([], [])


def test_a_key_in_a_document_is_refused_by_the_command_line_and_repeated_nowhere(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    told = environment(home, "http://127.0.0.1:1", keys_of("ordinary"))
    for command in (("validate", *write_all(tmp_path / "documents")), ("submit", tmp_path / "documents" / "job.yaml")):
        done = llm_jobs(*command, environment=told)
        assert done.returncode == 2, done.stdout
        assert SEARCH.leaks([("the output", (done.stdout + done.stderr).encode()), *below(home)]) == []
    assert list((home / "inbox").iterdir()) == []


def test_a_key_in_a_document_of_the_inbox_is_neither_kept_nor_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    write_all(home / "inbox")
    with open_home(home) as services, open_instance(home / "dagster") as instance:
        resources = {"use_cases": BoundUseCases(services=services)}
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            intake_sensor.evaluate_tick(context)
    logged = capfd.readouterr()
    assert all(name in logged.err for name in LITERAL)
    assert SEARCH.leaks([("the log", (logged.out + logged.err).encode()), *below(home)]) == []
    assert list((home / "inbox").iterdir()) == []
    for name in LITERAL:
        (kept,) = (home / "rejected").glob(f"*_{name}")
        (error,) = (home / "rejected").glob(f"*_{name}.error.txt")
        assert "keep this prompt" in kept.read_text()
        assert "[removed secret]" in kept.read_text()
        assert "without the secret" in error.read_text()


def test_a_key_of_the_operator_in_a_rejected_document_is_not_kept_either(tmp_path: Path) -> None:
    home, keys = tmp_path / "home", keys_of("awkward")
    text = json.dumps({"configuration": {"LLM_name": keys["OPENAI_API_KEY"]}, "prompt": "keep this prompt"})
    (home / "inbox").mkdir(parents=True)
    (home / "inbox" / "wrong.json").write_text(text)
    os.utime(home / "inbox" / "wrong.json", (1, 1))
    with open_home(home, **keys) as services:
        (rejected,) = BoundUseCases(services=services).intake(budget_s=10).rejected
    assert Search(keys).leaks([("the error", rejected.error.encode()), *below(home)]) == []
    assert json.loads(Path(rejected.moved_to).read_text())["prompt"] == "keep this prompt"


def open_home(home: Path, **keys: str) -> AbstractContextManager[Services]:
    settings = Settings.from_environment({"LLM_JOBS_HOME": str(home)}, working_directory=home)
    return open_services(settings, environment=keys, working_directory=home)
