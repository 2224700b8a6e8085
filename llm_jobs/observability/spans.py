"""OpenTelemetry spans of calls, with the semantic conventions for generative AI (version 1.38 and later).

One span per sampled call, from its first request to its durable outcome, a child of its job's span; failed attempts
are events in it. Whether a call is sampled depends on its hash alone, so that all processes agree. Prompts and answers
are in no span unless `content` says so. https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from llm_jobs.events import CallFailed, CallRecorded, CallSent, Event, JobBroken, JobFinished, JobStarted

SERVICE = "llm-jobs"
MOST_OPEN = 10_000  # calls under way with a span; no more are opened, so that what is told by nobody cannot pile up
MOST_CLOSING_S = 3.0
_HASH_DIGITS = 8

# Parameters of a request under every name that a provider gives them -> the attribute.
_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "num_predict": "gen_ai.request.max_tokens",
}


class Spans:
    """The listener that makes spans of what it hears."""

    wants = frozenset({JobStarted, CallSent, CallFailed, CallRecorded, JobFinished, JobBroken})

    def __init__(self, tracer: Tracer, *, share: float, content: bool = False) -> None:
        self._tracer = tracer
        self._content = content
        # Hexadecimal texts of one length are in the order of the numbers that they write.
        self._below = f"{round(share * 16**_HASH_DIGITS):0{_HASH_DIGITS}x}" if share < 1.0 else "g"
        self._jobs: dict[str, tuple[Span, Context]] = {}
        self._calls: dict[str, Span] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallSent):
            if event.call_hash < self._below:
                self._sent(event)
        elif isinstance(event, CallRecorded):
            if (span := self._calls.pop(event.call_hash, None)) is not None:
                self._recorded(span, event)
        elif isinstance(event, CallFailed):
            if (span := self._calls.get(event.call_hash)) is not None:
                _add_failure(span, event)
        elif isinstance(event, JobStarted):
            self._started(event)
        elif isinstance(event, JobFinished):
            self._finished(event)
        elif isinstance(event, JobBroken):
            self._ended(event.job_hash, Status(StatusCode.ERROR, event.error), {"error.type": event.error})

    def _started(self, event: JobStarted) -> None:
        attributes: dict[str, AttributeValue] = {"llm_jobs.job.name": event.name, "llm_jobs.job.hash": event.job_hash}
        if event.rows is not None:
            attributes["llm_jobs.job.rows"] = event.rows
        span = self._tracer.start_span(f"llm_jobs.job {event.name}", attributes=attributes)
        self._jobs[event.job_hash] = (span, set_span_in_context(span))

    def _sent(self, event: CallSent) -> None:
        if event.call_hash in self._calls or len(self._calls) >= MOST_OPEN:
            return
        operation = operation_of(event.path)
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": event.provider,
            "gen_ai.request.model": event.model,
            "llm_jobs.job.hash": event.job_hash,
            "llm_jobs.call.hash": event.call_hash,
            **_server(event.base_url),
            **_request(event.body or {}, content=self._content),
        }
        job = self._jobs.get(event.job_hash)
        self._calls[event.call_hash] = self._tracer.start_span(
            f"{operation} {event.model}", context=job and job[1], kind=SpanKind.CLIENT, attributes=attributes
        )

    def _recorded(self, span: Span, event: CallRecorded) -> None:
        told: dict[str, AttributeValue | None] = {
            "gen_ai.response.model": event.model_answered,
            "gen_ai.response.finish_reasons": None if event.finish_reason is None else [event.finish_reason],
            "gen_ai.usage.input_tokens": event.prompt_tokens,
            "gen_ai.usage.output_tokens": event.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": event.cached_tokens,
            "gen_ai.usage.reasoning.output_tokens": event.reasoning_tokens,
            "llm_jobs.call.status": event.status,
            "llm_jobs.call.attempts": event.attempts,
            "llm_jobs.call.cost_usd": event.cost_usd,
        }
        if self._content and event.output is not None:
            told["gen_ai.output.messages"] = _output(event)
        if event.status != "succeeded":
            kind = event.error or event.status
            told["error.type"] = kind
            span.set_status(StatusCode.ERROR, kind)
        span.set_attributes({name: value for name, value in told.items() if value is not None})
        span.end()

    def _finished(self, event: JobFinished) -> None:
        counts: dict[str, AttributeValue] = {
            "llm_jobs.job.status": event.status,
            "llm_jobs.job.rows": event.rows,
            "llm_jobs.job.rows_failed": event.failed,
        }
        if event.cost_usd is not None:
            counts["llm_jobs.job.cost_usd"] = event.cost_usd
        self._ended(event.job_hash, Status(StatusCode.OK if event.status == "done" else StatusCode.ERROR), counts)

    def _ended(self, job_hash: str, status: Status, attributes: Mapping[str, AttributeValue]) -> None:
        job = self._jobs.pop(job_hash, None)
        if job is not None:
            span, _ = job
            span.set_attributes(attributes)
            span.set_status(status)
            span.end()

    def end(self) -> None:
        """End what is open: attempts that were broken off, jobs that were stopped."""
        for span in (*self._calls.values(), *(span for span, _ in self._jobs.values())):
            span.set_status(StatusCode.ERROR, "stopped")
            span.end()
        self._calls.clear()
        self._jobs.clear()


def operation_of(path: str) -> str:
    """`gen_ai.operation.name` of a provider's path."""
    return "embeddings" if "embed" in path else "chat"


@lru_cache(maxsize=256)
def _server(base_url: str) -> Mapping[str, AttributeValue]:
    parts = urlsplit(base_url)
    if not parts.hostname:
        return {}
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return {"server.address": parts.hostname, **({} if port is None else {"server.port": port})}


def _request(body: Mapping[str, object], *, content: bool) -> dict[str, AttributeValue]:
    options = body.get("options")  # Ollama's place for parameters
    stated = {**body, **options} if isinstance(options, Mapping) else body
    told: dict[str, AttributeValue] = {
        _PARAMETERS[name]: value
        for name, value in stated.items()
        if name in _PARAMETERS and isinstance(value, int | float) and not isinstance(value, bool)
    }
    if content and (asked := body.get("messages") or body.get("input")):
        told["gen_ai.input.messages"] = json.dumps(_messages(asked), ensure_ascii=False, default=str)
    return told


def _messages(asked: object) -> list[object]:
    """Messages as the conventions write them: a role, and parts."""
    messages = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    return [
        {"role": each.get("role", "user"), "parts": _parts(each.get("content"))} if isinstance(each, dict) else each
        for each in messages
    ]


def _parts(content: object) -> object:
    return content if isinstance(content, list) else [{"type": "text", "content": content}]


def _output(event: CallRecorded) -> str:
    text = event.output if isinstance(event.output, str) else json.dumps(event.output, ensure_ascii=False, default=str)
    message = {"role": "assistant", "parts": _parts(text), "finish_reason": event.finish_reason or ""}
    return json.dumps([message], ensure_ascii=False)


def _add_failure(span: Span, event: CallFailed) -> None:
    attributes: dict[str, AttributeValue] = {"error.type": event.error, "llm_jobs.attempt.latency_s": event.latency_s}
    if event.http_status is not None:
        attributes["http.response.status_code"] = event.http_status
    if event.retry_in_s is not None:
        attributes["llm_jobs.attempt.retry_in_s"] = event.retry_in_s
    span.add_event("llm_jobs.attempt_failed", attributes)


@contextmanager
def traced(*, share: float, content: bool, endpoint: str | None = None) -> Iterator[Callable[[Event], None]]:
    """Export spans over OTLP/HTTP while the block runs; what is open at its end is ended and sent.

    `endpoint`: where traces go; None: what `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` say,
    else port 4318 of this machine.
    """
    # The detector comes last: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word.
    resource = Resource.create({SERVICE_NAME: SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=endpoint)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    spans = Spans(provider.get_tracer(SERVICE), share=share, content=content)
    try:
        yield spans
    finally:
        spans.end()
        _shut_down(provider, exporter)


def _shut_down(provider: TracerProvider, exporter: OTLPSpanExporter) -> None:
    """Send what is left. A receiver that is not there is tried again for a while, but nobody waits long for that."""
    alarm = threading.Timer(MOST_CLOSING_S, exporter.shutdown)
    alarm.daemon = True
    alarm.start()
    provider.shutdown()
    alarm.cancel()
