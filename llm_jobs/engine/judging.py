"""What an attempt came to: an answer that is a success, an answer that is none, or a failure. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_jobs.engine.calls import Call
from llm_jobs.errors import CallError, CallTimeout, PermanentError, RateLimited
from llm_jobs.ledger.base import Facts, OutcomeStatus
from llm_jobs.providers.base import Reply

NOTHING_PAID: Mapping[str, Any] = {"prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 0.0}


def judge(call: Call, reply: Reply) -> tuple[OutcomeStatus, str | None]:
    """The status of an answer, and why it is no success. Truncated, refused and malformed answers are none."""
    if reply.status != "succeeded":
        return reply.status, f"the answer is {reply.status} (finish reason {reply.finish_reason})"
    if call.check is not None:
        try:
            call.check(reply.output)
        except ValueError as error:
            return "invalid", str(error)
        except RecursionError:
            return "invalid", "the answer is nested too deeply to be read"
    return "succeeded", None


def facts_of_reply(call: Call, reply: Reply, latency_s: float) -> Facts:
    status, error = judge(call, reply)
    usage = reply.usage
    return Facts(
        status=status,
        model_answered=reply.model,
        finish_reason=reply.finish_reason,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost_usd=call.price(usage),
        latency_s=latency_s,
        error=error,
    )


def defect(call: Call, error: BaseException) -> PermanentError:
    """What a provider raises that no provider should: it concerns the call that met it alone."""
    return PermanentError(f"the provider {call.provider.kind} failed with {type(error).__name__}, a defect")


def facts_of_failure(error: CallError, latency_s: float) -> Facts:
    return Facts(
        status=_status_of(error),
        latency_s=latency_s,
        http_status=error.http_status,
        error_class=type(error).__name__,
        error=str(error),
        **({} if error.was_sent else NOTHING_PAID),
    )


def facts_of_refusal(error: CallError) -> Facts:
    """Of a call that was not sent, and that others may be sent for."""
    return Facts(status="cancelled", error_class=type(error).__name__, error=str(error))


def _status_of(error: CallError) -> OutcomeStatus:
    if isinstance(error, RateLimited):
        return "rate_limited"
    return "timed_out" if isinstance(error, CallTimeout) else "failed"
