"""Whole requests that a command-generation script printed (J12): over HTTP, or as a program from the allowed folder.

A printed request is either `{method, url, headers, body, answer}` or `{argv, stdin, answer}`. `answer` is a JSON
pointer (RFC 6901) to the text in what comes back; without it the whole body is the answer. Header and query values
may hold `${NAME}`: a credential, filled in at the call, only for origins that the catalogue lists for NAME.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import orjson
from pydantic import Field

from llm_jobs.documents.json_text import read_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.documents.strict import Model
from llm_jobs.documents.text import Source, decode
from llm_jobs.documents.validation import raise_if_any, validate
from llm_jobs.errors import CallTimeout, DocumentError, PermanentError, Problem
from llm_jobs.isolation.subprocesses import ScriptError, ScriptTimeout, run_script_async
from llm_jobs.providers.answers import compact
from llm_jobs.providers.base import Answered, Reply, Request, Usage
from llm_jobs.providers.http_provider import AccessRules, HttpProvider
from llm_jobs.providers.openai_format import openai_usage
from llm_jobs.providers.vendors import checked_url, origin_of

EXEC_URL = "exec:"
_MAX_BYTES = 16 * 1024 * 1024
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})
_TRANSPORT_HEADERS = frozenset({"accept", "connection", "content-length", "host", "user-agent"})


class HttpCommand(Model):
    url: str
    method: Literal["GET", "POST", "PUT"] = "POST"
    headers: dict[str, str] = Field(default_factory=dict)
    body: dict[str, Any] = Field(default_factory=dict)
    answer: str | None = Field(default=None, pattern=r"^(/.*)?$")


class ExecCommand(Model):
    argv: list[str] = Field(min_length=1)
    stdin: str = ""
    answer: str | None = Field(default=None, pattern=r"^(/.*)?$")


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRequest:
    """What a RequestStep takes from a command script."""

    endpoint: Endpoint
    body: dict[str, JsonValue]
    answer_pointer: str | None


def parse_command(printed: bytes, *, script: str, catalogue: AccessRules) -> CommandRequest:
    """The request that `script` printed. Raises DocumentError with every problem of it, credentials that may not go
    to its address included."""
    source = read_json(script, decode(script, printed, max_bytes=_MAX_BYTES))
    if isinstance(source.value, dict) and "argv" in source.value:
        program, problems = validate(ExecCommand, source, source.value)
        raise_if_any(problems)
        assert program is not None
        endpoint = Endpoint(provider=CommandProvider.kind, base_url=EXEC_URL, path="", method="EXEC")
        body: dict[str, JsonValue] = {"argv": [*program.argv], "stdin": program.stdin}
        return CommandRequest(endpoint=endpoint, body=body, answer_pointer=program.answer)
    command, problems = validate(HttpCommand, source, source.value)
    raise_if_any(problems)
    assert command is not None
    endpoint, problems = _endpoint(command, source)
    raise_if_any([*problems, *_credential_problems(endpoint, source, catalogue)])
    return CommandRequest(endpoint=endpoint, body=command.body, answer_pointer=command.answer)


class CommandProvider(HttpProvider):
    """Sends what a script printed, as it stands."""

    kind: str = "command"

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        catalogue: AccessRules,
        connections: int = 100,
        script_folder: Path | None = None,
    ) -> None:
        super().__init__(environment=environment, catalogue=catalogue, connections=connections)
        self._environment = environment
        self._script_folder = script_folder

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        raise self._only_whole()

    def body(
        self,
        model: ModelRef,
        operation: Operation,
        messages: Sequence[Message],
        parameters: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue] | None,
    ) -> dict[str, JsonValue]:
        raise self._only_whole()

    async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
        if request.endpoint.base_url == EXEC_URL:
            return await self._run(request.body, timeout_s)
        credentials, query = self._credentials(request.endpoint)
        endpoint = request.endpoint
        url = endpoint.base_url + endpoint.path
        if query:
            url += ("&" if "?" in url else "?") + urlencode(query)
        return await self.channel().exchange(
            endpoint.method,
            url,
            headers={"content-type": "application/json", "accept": "*/*", **endpoint.headers, **credentials},
            payload=None if endpoint.method == "GET" and not request.body else self.payload(request),
            timeout_s=timeout_s,
            scrubber=self._keys.scrubber(),
        )

    def payload(self, request: Request) -> bytes:
        """The whole body: a script knows what it prints."""
        return request.json()

    def read(self, request: Request, raw: bytes) -> Reply:
        answer = _json_or_none(raw)
        usage = openai_usage(answer) if isinstance(answer, dict) else Usage()
        output: JsonValue = raw.decode("utf-8", "replace")
        if request.answer_pointer is not None:
            output = pointed(answer, request.answer_pointer)
            output = output if output is None or isinstance(output, str) else compact(output)
        model = answer.get("model") if isinstance(answer, dict) else None
        return Reply(
            status="succeeded" if output else "empty",
            output=output,
            usage=usage,
            finish_reason=None,
            model=model if isinstance(model, str) else None,
        )

    async def _run(self, body: Mapping[str, Any], timeout_s: float) -> Answered:
        if self._script_folder is None:
            raise PermanentError("programs run only from the scripts' folder, and none is set")
        scrubber = self._keys.scrubber()
        script, *arguments = body["argv"]
        try:
            printed = await run_script_async(
                script,
                folder=self._script_folder,
                arguments=arguments,
                stdin=str(body.get("stdin", "")).encode(),
                timeout_s=timeout_s,
                environment=self._environment,
            )
        except ScriptTimeout as error:
            failure: CallTimeout | PermanentError = CallTimeout(scrubber.text(str(error)))
        except ScriptError as error:
            failure = PermanentError(scrubber.text(str(error)))
        else:
            return Answered(raw=scrubber.raw(printed), headers={})
        raise failure

    def _credentials(self, endpoint: Endpoint) -> tuple[dict[str, str], dict[str, str]]:
        """Headers and query members with the credentials that this origin may have."""
        origin = origin_of(endpoint.base_url)
        headers: dict[str, str] = {}
        query: dict[str, str] = {}
        for name, template in endpoint.credentials.items():
            for variable in _REFERENCE.findall(template):
                if origin not in self._catalogue.origins_for(variable):
                    raise PermanentError(
                        f"{variable} is not sent to {origin}: models.yaml does not list it for that host"
                    )
            filled = _REFERENCE.sub(self._filler(), template)
            (query if name.startswith("?") else headers)[name.removeprefix("?")] = filled
        return headers, query

    def _filler(self) -> Callable[[re.Match[str]], str]:
        def fill(reference: re.Match[str]) -> str:
            value = self._keys.value(reference[1])
            if value is None:
                raise PermanentError(f"the environment variable {reference[1]}, which the request names, is not set")
            return value

        return fill

    def _only_whole(self) -> DocumentError:
        what = "the provider command sends whole requests only"
        remedy = "name a command-generation script under `configuration.command`"
        return DocumentError([Problem(what=what, key="model", rule="a script prints the request", remedy=remedy)])


def pointed(value: Any, pointer: str) -> Any:
    """The part of a JSON value at an RFC 6901 pointer; None where there is none."""
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _endpoint(command: HttpCommand, source: Source) -> tuple[Endpoint, list[Problem]]:
    parts = urlsplit(command.url)
    base_url = checked_url(f"{parts.scheme}://{parts.netloc}", named="url")
    headers = {name.lower(): value for name, value in command.headers.items()}
    query = parse_qsl(parts.query, keep_blank_values=True)
    credentials = {name: value for name, value in headers.items() if _REFERENCE.search(value)}
    credentials.update({f"?{name}": value for name, value in query if _REFERENCE.search(value)})
    problems = [
        source.problem(
            ("headers",),
            f"the header {name} holds a secret in clear",
            rule="secrets stay in the environment",
            remedy="write the NAME of its variable: ${NAME}",
        )
        for name in sorted(_SECRET_HEADERS & headers.keys() - credentials.keys())
    ]
    plain = [(name, value) for name, value in query if not _REFERENCE.search(value)]
    kept = {name: headers[name] for name in headers if name not in credentials and name not in _TRANSPORT_HEADERS}
    endpoint = Endpoint(
        provider=CommandProvider.kind,
        base_url=base_url,
        path=quote(parts.path, safe="/%:@!$&'()*+,;=~-._") + (f"?{urlencode(plain)}" if plain else ""),
        method=command.method,
        headers=kept,
        credentials=credentials,
    )
    return endpoint, problems


def _credential_problems(endpoint: Endpoint, source: Source, catalogue: AccessRules) -> list[Problem]:
    origin = origin_of(endpoint.base_url)
    names = sorted({name for text in endpoint.credentials.values() for name in _REFERENCE.findall(text)})
    return [
        source.problem(
            ("headers",),
            f"{name} is not sent to {origin}",
            rule="a key goes only to the hosts that the model catalogue lists for it",
            remedy=f"add a model to models.yaml with `key: {name}` and `allowed_hosts: [{origin}]`",
        )
        for name in names
        if origin not in catalogue.origins_for(name)
    ]


def _json_or_none(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
