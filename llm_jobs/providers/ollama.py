"""Ollama: chat and embeddings of local models, with the digest of a model's weights for its identity.

Source: docs/api.md of ollama/ollama, and the request bytes of the vendor's SDK (the tests compare).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import CallError, DocumentError, NotFound, Problem, SetupError
from llm_jobs.providers.answers import compact, count, member, object_at, status_by, text_or_none, whole_object
from llm_jobs.providers.base import Reply, ReplyStatus, Request, Usage
from llm_jobs.providers.http_provider import HttpProvider
from llm_jobs.providers.image_parts import ollama_turn
from llm_jobs.providers.openai_format import single_text
from llm_jobs.providers.vendors import origin_of

_PATHS: Mapping[Operation, str] = {"chat": "/api/chat", "embeddings": "/api/embed"}
# Members of the request itself; every other parameter is one of the model's options, as in a Modelfile.
_MEMBERS = frozenset(
    {"dimensions", "format", "keep_alive", "logprobs", "options", "think", "tools", "top_logprobs", "truncate"}
)
_OPTION_NAMES = {"max_tokens": "num_predict", "max_completion_tokens": "num_predict"}  # the other vendors' word
_STATUS: Mapping[str, ReplyStatus] = {"length": "truncated"}
_LIST_TIMEOUT_S = 10.0
_PULL_TIMEOUT_S = 3600.0  # some models are hundreds of gigabytes


class OllamaProvider(HttpProvider):
    kind: str = "ollama"

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        path = _PATHS.get(operation)
        if path is None:
            what = f"the provider ollama does not offer {operation}"
            remedy = (
                "use `operation: chat` or embeddings; for the responses endpoint write openai/… with its /v1 address"
            )
            raise DocumentError([Problem(what=what, key="operation", rule="chat or embeddings", remedy=remedy)])
        return Endpoint(
            provider=self.kind,
            base_url=model.base_url,
            identity_url=model.identity_url,
            path=path,
            digest=model.digest,
        )

    def body(
        self,
        model: ModelRef,
        operation: Operation,
        messages: Sequence[Message],
        parameters: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue] | None,
    ) -> dict[str, JsonValue]:
        body: dict[str, JsonValue] = {"model": model.upstream}
        if operation == "embeddings":
            body["input"] = single_text(messages)
        else:
            body["messages"] = [{"role": message.role, **ollama_turn(message.content)} for message in messages]
            body["stream"] = False
        options: dict[str, JsonValue] = {}
        for name, value in parameters.items():
            if name in _MEMBERS:
                body[name] = value
            else:
                options[_OPTION_NAMES.get(name, name)] = value
        if schema is not None:
            body["format"] = dict(schema)
        stated = body.get("options")
        if options:
            body["options"] = {**options, **(stated if isinstance(stated, dict) else {})}
        return body

    def payload(self, request: Request) -> bytes:
        """Chat answers come as a stream unless the body says otherwise."""
        payload = super().payload(request)
        return payload[:-1] + b',"stream":false}' if "messages" in request.body else payload

    def read(self, request: Request, raw: bytes) -> Reply:
        answer = whole_object(raw)
        usage = Usage(
            prompt_tokens=count(answer, "prompt_eval_count"),
            completion_tokens=0 if "embeddings" in answer else count(answer, "eval_count"),
        )
        finish_reason = text_or_none(answer.get("done_reason"))
        status: ReplyStatus = _STATUS.get(finish_reason or "", "succeeded")
        output: JsonValue
        if request.endpoint.path == _PATHS["embeddings"]:
            vectors = member(answer, "embeddings")
            output = vectors[0] if len(vectors) == 1 else vectors
        else:
            message = object_at(answer, "message")
            output = compact(message) if message.get("tool_calls") else text_or_none(message.get("content"))
        return Reply(
            status=status_by(status, output),
            output=output,
            usage=usage,
            finish_reason=finish_reason,
            model=text_or_none(answer.get("model")),
        )

    async def pull(self, model: ModelRef) -> None:
        """Have the server download `model`; what is there already is not fetched again. Raises CallError."""
        access = self._catalogue.access(model)
        key = self._keys.key(access, origin_of(model.base_url))
        await self.channel().exchange(
            "POST",
            f"{model.base_url}/api/pull",
            headers={"content-type": "application/json", **(self.authorisation(key) if key else {})},
            payload=compact({"model": model.upstream, "stream": False}).encode(),
            timeout_s=_PULL_TIMEOUT_S,
            scrubber=self._keys.scrubber(),
        )

    async def digest(self, model: ModelRef) -> str:
        """The digest of the weights that `model` names on its server now; asked when a job is frozen.

        Raises SetupError where the server cannot be reached, NotFound where it does not have the model.
        """
        access = self._catalogue.access(model)
        key = self._keys.key(access, origin_of(model.base_url))
        try:
            answered = await self.channel().exchange(
                "GET",
                f"{model.base_url}/api/tags",
                headers=self.authorisation(key) if key else {},
                payload=None,
                timeout_s=_LIST_TIMEOUT_S,
                scrubber=self._keys.scrubber(),
            )
            models = member(whole_object(answered.raw), "models")
        except CallError as error:
            remedy = "start it (`ollama serve`), or set OLLAMA_HOST to where it runs"
            raise SetupError(f"Ollama did not list its models: {error}; {remedy}") from None
        digests = {name: entry.get("digest") for entry in models for name in (entry.get("name"), entry.get("model"))}
        wanted = model.upstream if ":" in model.upstream else f"{model.upstream}:latest"
        if digests.get(wanted):
            return str(digests[wanted])
        known = ", ".join(sorted(name for name in digests if name)) or "none"
        raise NotFound(
            f"Ollama has no model {model.upstream!r}",
            name=model.name,
            rule=f"it has: {known}",
            remedy=f"`ollama pull {model.upstream}`",
        )
