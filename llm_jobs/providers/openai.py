"""OpenAI, and every server that speaks its protocol: chat completions, responses, embeddings.

The base URL ends in `/v1`, as for the vendor's SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.providers.base import Reply, Request
from llm_jobs.providers.http_provider import HttpProvider
from llm_jobs.providers.openai_format import PATHS, openai_body, read_openai


class OpenAIProvider(HttpProvider):
    kind: str = "openai"

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        return Endpoint(
            provider=self.kind,
            base_url=model.base_url,
            identity_url=model.identity_url,
            path=PATHS[operation],
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
        return openai_body(model.upstream, operation, messages, parameters, schema)

    def read(self, request: Request, raw: bytes) -> Reply:
        return read_openai(request.endpoint.path, raw)
