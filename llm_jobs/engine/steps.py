"""From a row to a call: each step of a job compiled once, then applied to every row.

Pure: renders, builds the request, hashes it. A row that cannot be rendered raises RowError, which is that row's alone.
Which of several models is asked, and what follows an answer that is no success, is in `following`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Self

from llm_jobs.documents.content import images_of
from llm_jobs.documents.formats.batch import OPERATION_OF_URL
from llm_jobs.documents.identity import CallIdentity
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Candidate, Endpoint, ModelRef
from llm_jobs.documents.steps import Message, PromptStep, RequestStep, Step
from llm_jobs.engine.calls import Call, Check, Price, Recency
from llm_jobs.engine.gates import ModelGate
from llm_jobs.errors import RowError
from llm_jobs.prompts.images import FindImage, no_images, with_images
from llm_jobs.prompts.rendering import compile_messages, compile_value
from llm_jobs.providers.base import Provider, Request
from llm_jobs.results.outputs import Outputs

Row = Mapping[str, JsonValue]
Since = Callable[[str], int | None]  # by model: since when answers may be read, ns since 1970; None: all may
Rendered = object  # what a step makes of a row before a model is chosen: messages, or the row itself


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What the calls to one model are made with."""

    provider: Provider
    gate: ModelGate
    price: Price
    weight: Callable[[], float] = lambda: 1.0  # the catalogue's, as it stands now
    find_image: FindImage = no_images


class Asker:
    """Makes the calls of one step to one model."""

    def __init__(
        self,
        means: Means,
        build: Callable[[Rendered], Request],
        *,
        check: Check,
        epoch: str | None,
        step: str,
        since_ns: int | None = None,
    ) -> None:
        """`since_ns`: answers that were recorded before may not be read."""
        self.means = means
        self.request = build
        self._check = check
        self._epoch = epoch
        self._step = step
        self._since_ns = since_ns
        self._last: tuple[Endpoint, int, CallIdentity] | None = None

    def call(self, request: Request, sample: int, provider: Provider | None = None) -> Call:
        """The call that sends `request`, through `provider` where it is another than the means'. Raises RowError."""
        try:
            call_hash = self._identity(request.endpoint, sample).hash(request.body)
        except ValueError as error:
            raise RowError(f"the request cannot be identified: {error}") from None
        means = self.means
        return Call(
            call_hash=call_hash,
            request=request,
            provider=provider or means.provider,
            gate=means.gate,
            price=means.price,
            check=self._check,
            step=self._step,
            recency=None if self._since_ns is None else self._recency(self._since_ns, request, sample),
        )

    def _recency(self, since_ns: int, request: Request, sample: int) -> Recency:
        def renewed(renewal: int) -> str:
            endpoint = request.endpoint.identity()
            return CallIdentity(endpoint, epoch=self._epoch, sample=sample, renewal=renewal).hash(request.body)

        return Recency(since_ns=since_ns, renewed=renewed)

    def _identity(self, endpoint: Endpoint, sample: int) -> CallIdentity:
        last = self._last
        if last is None or last[0] is not endpoint or last[1] != sample:
            identity = CallIdentity(endpoint.identity(), epoch=self._epoch, sample=sample)
            self._last = last = (endpoint, sample, identity)
        return last[2]


class PreparedStep:
    """One step, ready to turn rows into calls and answers into columns."""

    def __init__(
        self, step: Step, means: Means, *, outputs: Outputs, epoch: str | None, since: Since = lambda model: None
    ) -> None:
        self.step = step
        self.outputs = outputs
        self.declared = isinstance(step, PromptStep) and step.schema is not None
        self.epoch = epoch
        self._since = since
        self._find_image = means.find_image
        self.render = _renderer(step, means.find_image)
        self.first = self.asker(first_candidate(step), means)

    def call(self, row: Row, sample: int) -> Call:
        """The call that asks this step's first model about `row`. Raises RowError."""
        asker = self.first
        return asker.call(asker.request(self.render(row)), sample)

    def about(self, messages: Sequence[Message]) -> Self:
        """The same step with other templates for its messages."""
        other = copy(self)
        other.render = _messages(messages, self._find_image, templated=True)
        return other

    def asker(self, candidate: Candidate, means: Means) -> Asker:
        """What asks this step's question of another model. Raises DocumentError for one that cannot be asked so."""
        build = _request_builder(self.step, candidate, means.provider)
        since_ns = self._since(candidate.model.name)
        return Asker(means, build, check=self._check, epoch=self.epoch, step=self.step.name, since_ns=since_ns)

    def _check(self, output: JsonValue) -> None:
        """Raises ValueError where the answer is not what the step declares."""
        self.outputs.values(output)


def first_candidate(step: Step) -> Candidate:
    """The step's own model, as one of several."""
    return Candidate(model=step.model, parameters=step.parameters if isinstance(step, PromptStep) else {})


def _renderer(step: Step, find_image: FindImage) -> Callable[[Row], Rendered]:
    if not isinstance(step, PromptStep):
        return _as_it_is
    return _messages(step.messages, find_image, templated=step.templated)


def _messages(
    messages: Sequence[Message], find_image: FindImage, *, templated: bool
) -> Callable[[Row], tuple[Message, ...]]:
    render = compile_messages(messages, templated=templated)
    if not any(images_of(message.content) for message in messages):
        return render
    return lambda row: with_images(render(row), find_image)


def _as_it_is(row: Row) -> Rendered:
    return row


def _request_builder(step: Step, candidate: Candidate, provider: Provider) -> Callable[[Rendered], Request]:
    if isinstance(step, PromptStep):
        return _prompt_requests(step, candidate, provider)
    if step.endpoint is not None:
        return _made_requests(step, step.endpoint)
    return _whole_requests(step, provider)


def _prompt_requests(step: PromptStep, candidate: Candidate, provider: Provider) -> Callable[[Rendered], Request]:
    model, parameters = candidate.model, candidate.parameters
    endpoint = provider.endpoint(model, step.operation)
    schema = step.schema if step.native else None

    def build(messages: Rendered) -> Request:
        body = provider.body(model, step.operation, messages, parameters, schema)  # type: ignore[arg-type]
        return Request(endpoint=endpoint, model=model, body=body)

    def build_with_images(messages: Rendered) -> Request:
        body = provider.body(model, step.operation, messages, parameters, schema)  # type: ignore[arg-type]
        images = tuple(image for message in messages for image in images_of(message.content))  # type: ignore[attr-defined]
        return Request(endpoint=endpoint, model=model, body=body, images=images)

    return build_with_images if any(images_of(message.content) for message in step.messages) else build


def _made_requests(step: RequestStep, endpoint: Endpoint) -> Callable[[Rendered], Request]:
    fill = compile_value(dict(step.body or {}), templated=step.templated)

    def build(row: Rendered) -> Request:
        body = fill(row)  # type: ignore[arg-type]
        assert isinstance(body, dict)
        return Request(endpoint=endpoint, model=step.model, body=body, answer_pointer=step.answer_pointer)

    return build


def _whole_requests(step: RequestStep, provider: Provider) -> Callable[[Rendered], Request]:
    endpoints: dict[str, Endpoint] = {}

    def build(row: Rendered) -> Request:
        assert isinstance(row, Mapping)
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
