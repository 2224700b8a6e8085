"""From a row to a call: each step of a job compiled once, then applied to every row.

Pure: renders, builds the request, hashes it. A row that cannot be rendered raises RowError, which is that row's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llm_jobs.documents.formats.batch import OPERATION_OF_URL
from llm_jobs.documents.identity import CallIdentity
from llm_jobs.documents.job import Endpoint, JsonValue, ModelRef, PromptStep, RequestStep, Step
from llm_jobs.engine.calls import Call, ModelGate, Price
from llm_jobs.errors import RowError
from llm_jobs.prompts.rendering import compile_messages, compile_value
from llm_jobs.providers.base import Provider, Request
from llm_jobs.results.outputs import Outputs

Row = Mapping[str, JsonValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What a step's calls are made with."""

    provider: Provider
    gate: ModelGate
    price: Price


class PreparedStep:
    """One step, ready to turn rows into calls and answers into columns."""

    def __init__(self, step: Step, means: Means, *, outputs: Outputs, epoch: str | None) -> None:
        self.step = step
        self.outputs = outputs
        self.declared = isinstance(step, PromptStep) and step.schema is not None
        self._means = means
        self._epoch = epoch
        self._request = _request_builder(step, means.provider)
        self._last: tuple[Endpoint, int, CallIdentity] | None = None

    def call(self, row: Row, sample: int) -> Call:
        """The call that asks this step about `row`. Raises RowError."""
        request = self._request(row)
        try:
            call_hash = self._identity(request.endpoint, sample).hash(request.body)
        except ValueError as error:
            raise RowError(f"the request cannot be identified: {error}") from None
        means = self._means
        return Call(
            call_hash=call_hash,
            request=request,
            provider=means.provider,
            gate=means.gate,
            price=means.price,
            check=self._check,
        )

    def _check(self, output: JsonValue) -> None:
        """Raises ValueError where the answer is not what the step declares."""
        self.outputs.values(output)

    def _identity(self, endpoint: Endpoint, sample: int) -> CallIdentity:
        last = self._last
        if last is None or last[0] is not endpoint or last[1] != sample:
            identity = CallIdentity(endpoint.identity(), epoch=self._epoch, sample=sample)
            self._last = last = (endpoint, sample, identity)
        return last[2]


def _request_builder(step: Step, provider: Provider) -> Callable[[Row], Request]:
    if isinstance(step, PromptStep):
        return _prompt_requests(step, provider)
    if step.endpoint is not None:
        return _made_requests(step, step.endpoint)
    return _whole_requests(step, provider)


def _prompt_requests(step: PromptStep, provider: Provider) -> Callable[[Row], Request]:
    render = compile_messages(step.messages, templated=step.templated)
    endpoint = provider.endpoint(step.model, step.operation)

    def build(row: Row) -> Request:
        body = provider.body(step.model, step.operation, render(row), step.parameters, step.schema)
        return Request(endpoint=endpoint, model=step.model, body=body)

    return build


def _made_requests(step: RequestStep, endpoint: Endpoint) -> Callable[[Row], Request]:
    fill = compile_value(dict(step.body or {}), templated=step.templated)

    def build(row: Row) -> Request:
        body = fill(row)
        assert isinstance(body, dict)
        return Request(endpoint=endpoint, model=step.model, body=body, answer_pointer=step.answer_pointer)

    return build


def _whole_requests(step: RequestStep, provider: Provider) -> Callable[[Row], Request]:
    endpoints: dict[str, Endpoint] = {}

    def build(row: Row) -> Request:
        url, body = row["url"], row["body"]
        assert isinstance(url, str)
        assert isinstance(body, dict)
        if url not in endpoints:
            endpoints[url] = provider.endpoint(step.model, OPERATION_OF_URL[url])
        return Request(endpoint=endpoints[url], model=step.model, body=_with_model(body, step.model))

    return build


def _with_model(body: dict[str, JsonValue], model: ModelRef) -> dict[str, JsonValue]:
    """The body with the name that the provider receives, its members in the user's order."""
    return body if body.get("model") == model.upstream else {**body, "model": model.upstream}
