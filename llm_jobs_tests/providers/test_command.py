"""A script's own request: taken as printed, sent as printed, with credentials only where they may go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.documents.identity import CallIdentity
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.errors import CallError, CallTimeout, DocumentError, PermanentError
from llm_jobs.providers.base import Reply, Request
from llm_jobs.providers.catalogue import Catalogue, load_catalogue
from llm_jobs.providers.command import CommandProvider, CommandRequest, parse_command
from llm_jobs_tests.servers.wire import Received, Sent, listening

KEY = "sk-secret-of-the-operator"
MODEL = ModelRef(name="command/x", provider="command", upstream="x", base_url="")


def parsed(printed: Any, catalogue: Catalogue | None = None) -> CommandRequest:
    catalogue = catalogue or Catalogue(environment={})
    return parse_command(json.dumps(printed).encode(), script="make.py", catalogue=catalogue)


def request_of(command: CommandRequest) -> Request:
    return Request(endpoint=command.endpoint, model=MODEL, body=command.body, answer_pointer=command.answer_pointer)


def run(
    command: CommandRequest, folder: Path, environment: Mapping[str, str] | None = None, *, timeout_s: float = 10.0
) -> Reply:
    environment = environment or {}

    async def ask() -> Reply:
        catalogue = Catalogue(environment=environment)
        provider = CommandProvider(environment=environment, catalogue=catalogue, script_folder=folder)
        request = request_of(command)
        try:
            answered = await provider.send(request, call_hash="0" * 32, timeout_s=timeout_s)
            return provider.read(request, answered.raw)
        finally:
            await provider.aclose()

    return asyncio.run(ask())


def test_a_request_keeps_its_query_headers_and_body() -> None:
    command = parsed(
        {
            "method": "PUT",
            "url": "HTTPS://API.Example:443/v1/a b?version=2&empty=",
            "headers": {"X-Mode": "fast", "User-Agent": "mine"},
            "body": {"prompt": "hi", "n": 1},
            "answer": "/text",
        }
    )
    assert command.endpoint.base_url == "https://api.example"
    assert command.endpoint.path == "/v1/a%20b?version=2&empty="
    assert command.endpoint.method == "PUT"
    assert command.endpoint.headers == {"x-mode": "fast"}
    assert command.body == {"prompt": "hi", "n": 1}
    assert command.answer_pointer == "/text"


LISTED = "mine: {provider: openai, key: MY_KEY, allowed_hosts: [api.example, api2.example]}"


def test_credentials_are_no_part_of_the_identity(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(
        LISTED + "\nyours: {provider: openai, key: YOUR_KEY, allowed_hosts: [api.example]}"
    )
    catalogue = load_catalogue(tmp_path / "models.yaml", environment={})
    hashes = set()
    for name in ("MY_KEY", "YOUR_KEY"):
        printed = {
            "url": f"https://api.example/v1?key=${{{name}}}&q=1",
            "headers": {"Authorization": f"Bearer ${{{name}}}"},
        }
        command = parsed(printed, catalogue)
        assert command.endpoint.credentials == {"authorization": f"Bearer ${{{name}}}", "?key": f"${{{name}}}"}
        assert command.endpoint.path == "/v1?q=1"
        hashes.add(CallIdentity(command.endpoint.identity()).hash(command.body))
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("printed", "what"),
    [
        ({"url": "https://api.example", "headers": {"Authorization": "Bearer sk-in-clear"}}, "secret in clear"),
        ({"url": "https://api.example", "headers": {"x": "${MY_KEY}"}}, "MY_KEY is not sent to https://api.example"),
        ({"url": "https://api.example?key=${OPENAI_API_KEY}"}, "OPENAI_API_KEY is not sent to"),
        ({"url": "http://api.openai.com/v1", "headers": {"x": "${OPENAI_API_KEY}"}}, "OPENAI_API_KEY is not sent to"),
        ({"url": "https://user:pw@api.example/"}, "credentials"),
        ({"url": "file:///etc/passwd"}, "cannot be used"),
        ({"body": {}}, "url"),
        ({"url": "https://api.example", "answer": "text"}, "answer"),
        ({"url": "https://api.example", "method": "DELETE"}, "method"),
        ({"url": "https://api.example", "hedaers": {}}, "hedaers"),
        ({"argv": []}, "argv"),
        ({"argv": ["x"], "environment": {}}, "environment"),
        ([1], "make.py"),
        ("text", "make.py"),
    ],
)
def test_a_request_that_may_not_be_sent_is_refused_before_anything_is_spent(printed: Any, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parsed(printed)
    assert what in str(caught.value)
    assert "sk-in-clear" not in str(caught.value)


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"make\.py"):
        parse_command(b"curl https://api.example", script="make.py", catalogue=Catalogue(environment={}))


def test_a_credential_in_the_query_goes_only_where_it_is_listed(tmp_path: Path) -> None:
    seen: list[Received] = []

    def handle(received: Received) -> Sent:
        seen.append(received)
        return Sent(body=b'{"text": "hello ' + KEY.encode() + b'"}')

    async def ask() -> Reply:
        async with listening(handle) as server:
            path = tmp_path / "models.yaml"
            path.write_text(f"m: {{provider: openai, key: MY_KEY, allowed_hosts: ['{server.url}']}}")
            catalogue = load_catalogue(path, environment={})
            provider = CommandProvider(environment={"MY_KEY": KEY}, catalogue=catalogue)
            command = parsed({"method": "GET", "url": f"{server.url}/q?key=${{MY_KEY}}", "answer": "/text"}, catalogue)
            request = request_of(command)
            answered = await provider.send(request, call_hash="0" * 32, timeout_s=10)
            await provider.aclose()
            return provider.read(request, answered.raw)

    reply = asyncio.run(ask())
    assert reply.output == "hello [removed secret]"
    assert (seen[0].method, seen[0].target, seen[0].body) == ("GET", f"/q?key={KEY}", b"")


@pytest.mark.parametrize("environment", [{"MY_KEY": KEY}, {}])
def test_a_frozen_request_is_checked_again_at_the_call(tmp_path: Path, environment: dict[str, str]) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(LISTED)
    printed = {"url": "https://api.example/", "headers": {"x-key": "${MY_KEY}"}}
    command = parsed(printed, load_catalogue(path, environment={}))
    with pytest.raises(PermanentError, match="does not list it"):
        run(command, tmp_path, environment)


def script(folder: Path, text: str) -> str:
    (folder / "model.py").write_text(text, encoding="utf-8")
    return "model.py"


def test_a_program_answers_what_it_prints(tmp_path: Path) -> None:
    name = script(tmp_path, "import sys; print(sys.argv[1], sys.stdin.read().upper(), end='')")
    assert run(parsed({"argv": [name, "--loud"], "stdin": "hello ä"}), tmp_path).output == "--loud HELLO Ä"


def test_a_program_may_answer_in_json_with_usage(tmp_path: Path) -> None:
    text = 'print(\'{"model": "tiny", "text": "hi", "usage": {"prompt_tokens": 3, "completion_tokens": 1}}\')'
    reply = run(parsed({"argv": [script(tmp_path, text)], "answer": "/text"}), tmp_path)
    assert (reply.output, reply.model, reply.usage.prompt_tokens) == ("hi", "tiny", 3)


def test_a_program_gets_no_key_and_what_it_prints_is_scrubbed(tmp_path: Path) -> None:
    name = script(tmp_path, f"import os; print(os.environ.get('OPENAI_API_KEY'), '{KEY}')")
    assert run(parsed({"argv": [name]}), tmp_path, {"OPENAI_API_KEY": KEY}).output == "None [removed secret]\n"


@pytest.mark.parametrize(
    ("text", "expected", "what"),
    [
        ("import sys; sys.exit('the reason')", PermanentError, "the reason"),
        ("import time; time.sleep(60)", CallTimeout, "did not end"),
        (f"import sys; sys.exit('{KEY}')", PermanentError, "removed secret"),
    ],
)
def test_a_program_that_fails_is_an_error_of_its_class(
    tmp_path: Path, text: str, expected: type[CallError], what: str
) -> None:
    with pytest.raises(CallError) as caught:
        run(parsed({"argv": [script(tmp_path, text)]}), tmp_path, {"OPENAI_API_KEY": KEY}, timeout_s=1)
    assert type(caught.value) is expected
    assert what in str(caught.value)
    assert KEY not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["../outside.py", "/bin/sh", "missing.py"])
def test_a_program_outside_the_folder_is_not_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(PermanentError):
        run(parsed({"argv": [name]}), tmp_path)
