"""Facts of a call as the engine tells them, with what a test does not care about filled in."""

from __future__ import annotations

from llm_jobs.events import CallFailed, CallRecorded, CallSent

JOB = "a" * 32
CALL = "b" * 32
MODEL = "small"
PROMPT = "Name a colour."
ANSWER = "Blue."


def sent(call_hash: str = CALL, *, job_hash: str = JOB, model: str = MODEL, attempt: int = 1) -> CallSent:
    body = {"model": model, "temperature": 0.5, "messages": [{"role": "user", "content": PROMPT}]}
    return CallSent(
        call_hash, job_hash, model, "openai", attempt, "http://127.0.0.1:8000/v1", "/chat/completions", body
    )


def recorded(
    status: str = "succeeded",
    prompt_tokens: int | None = 10,
    completion_tokens: int | None = 5,
    cost_usd: float | None = 0.5,
    *,
    call_hash: str = CALL,
    job_hash: str = JOB,
    model: str = MODEL,
    cached_tokens: int | None = None,
    reasoning_tokens: int | None = None,
    latency_s: float | None = 0.2,
    error: str | None = None,
) -> CallRecorded:
    return CallRecorded(
        call_hash,
        job_hash,
        model,
        "openai",
        status,
        prompt_tokens,
        completion_tokens,
        cached_tokens,
        reasoning_tokens,
        cost_usd,
        latency_s,
        1,
        f"{model}-2026",
        "stop" if status == "succeeded" else None,
        error,
        ANSWER if status == "succeeded" else None,
    )


def failed(
    error: str = "RateLimited",
    *,
    call_hash: str = CALL,
    job_hash: str = JOB,
    model: str = MODEL,
    http_status: int | None = 429,
    retry_in_s: float | None = 1.0,
) -> CallFailed:
    return CallFailed(call_hash, job_hash, model, error, http_status, 0.1, retry_in_s)
