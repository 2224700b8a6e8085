"""Spans as a real receiver of the protocol decodes them."""

from __future__ import annotations

import json
import time
from hashlib import sha256

import pytest

from llm_jobs.events import Event, JobBroken, JobFinished, JobStarted
from llm_jobs.observability.spans import MOST_CLOSING_S, operation_of, traced
from llm_jobs_tests.observability.facts import ANSWER, CALL, JOB, MODEL, PROMPT, failed, recorded, sent
from llm_jobs_tests.servers.otlp import Receiver, otlp_receiver
from llm_jobs_tests.servers.prometheus import free_port

STARTED = JobStarted(JOB, "reviews", 4)
DONE = JobFinished(JOB, "reviews", "done", 4, 4, 0, cost_usd=0.5)


def exported(*events: Event, share: float = 1.0, content: bool = False) -> Receiver:
    with otlp_receiver() as receiver:
        with traced(share=share, content=content, endpoint=f"{receiver.url}/v1/traces") as tell:
            for event in events:
                tell(event)
        return receiver


def test_a_call_is_a_client_span_with_the_conventions_names() -> None:
    receiver = exported(STARTED, sent(), recorded(cached_tokens=4, reasoning_tokens=2), DONE)
    [span] = receiver.named(f"chat {MODEL}")
    assert span.kind == 3
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.model": f"{MODEL}-2026",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "server.address": "127.0.0.1",
        "server.port": 8000,
        "llm_jobs.job.hash": JOB,
        "llm_jobs.call.hash": CALL,
        "llm_jobs.call.status": "succeeded",
        "llm_jobs.call.attempts": 1,
        "llm_jobs.call.cost_usd": 0.5,
    }
    assert span.service == "llm-jobs"
    assert span.status == 0
    assert 0 < span.start_ns <= span.end_ns


def test_the_span_of_a_job_is_the_parent_of_its_calls() -> None:
    receiver = exported(STARTED, sent(), recorded(), DONE)
    [job], [call] = receiver.named("llm_jobs.job reviews"), receiver.named(f"chat {MODEL}")
    assert (call.parent_id, call.trace_id) == (job.span_id, job.trace_id)
    assert job.parent_id == b""
    assert job.attributes["llm_jobs.job.status"] == "done"
    assert job.attributes["llm_jobs.job.cost_usd"] == 0.5
    assert job.status == 1


def test_attempts_that_failed_are_events_of_one_span() -> None:
    receiver = exported(STARTED, sent(), failed(), sent(attempt=2), recorded(), DONE)
    [span] = receiver.named(f"chat {MODEL}")
    [(name, attributes)] = span.events
    assert name == "llm_jobs.attempt_failed"
    assert attributes["error.type"] == "RateLimited"
    assert attributes["http.response.status_code"] == 429


def test_what_did_not_succeed_is_an_error_with_its_type() -> None:
    refused = sent("c" * 32), recorded("refused", call_hash="c" * 32)
    timed_out = sent("d" * 32), recorded("timed_out", None, None, None, call_hash="d" * 32, error="CallTimeout")
    broken = JobBroken(JOB, "reviews", "SetupError")
    receiver = exported(STARTED, *refused, *timed_out, broken)
    assert {span.attributes["error.type"] for span in receiver.spans} == {"refused", "CallTimeout", "SetupError"}
    assert {span.status for span in receiver.spans} == {2}


def test_what_is_open_at_the_end_is_sent_as_stopped() -> None:
    receiver = exported(STARTED, sent())
    assert [span.status for span in receiver.spans] == [2, 2]


def test_neither_prompt_nor_answer_leaves_the_process_unless_it_is_asked_for() -> None:
    events: list[Event] = [STARTED, sent(), recorded(), DONE]
    silent = b"".join(exported(*events).bodies)
    assert PROMPT.encode() not in silent
    assert ANSWER.encode() not in silent
    [span] = exported(*events, content=True).named(f"chat {MODEL}")
    [asked] = json.loads(str(span.attributes["gen_ai.input.messages"]))
    [said] = json.loads(str(span.attributes["gen_ai.output.messages"]))
    assert asked == {"role": "user", "parts": [{"type": "text", "content": PROMPT}]}
    assert said == {"role": "assistant", "parts": [{"type": "text", "content": ANSWER}], "finish_reason": "stop"}


def test_the_share_of_calls_is_sampled_by_their_hashes() -> None:
    hashes = [sha256(str(number).encode()).hexdigest()[:32] for number in range(400)]
    events = [event for each in hashes for event in (sent(each), recorded(call_hash=each))]
    sampled = {str(span.attributes["llm_jobs.call.hash"]) for span in exported(*events, share=0.25).spans}
    assert sampled == {each for each in hashes if int(each[:8], 16) < 0.25 * 16**8}
    assert 60 < len(sampled) < 140


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/chat/completions", "chat"),
        ("/responses", "chat"),
        ("/embeddings", "embeddings"),
        ("/api/embed", "embeddings"),
    ],
)
def test_the_operation_is_told_from_the_path(path: str, operation: str) -> None:
    assert operation_of(path) == operation


def test_a_receiver_that_is_not_there_holds_up_nobody_for_long() -> None:
    started_s = time.monotonic()
    with traced(share=1.0, content=False, endpoint=f"http://127.0.0.1:{free_port()}/v1/traces") as tell:
        tell(sent())
        tell(recorded())
    assert time.monotonic() - started_s < MOST_CLOSING_S + 2
