"""What a vendor's response headers say about its own count of our quota.

OpenAI: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, resets as spans such as `6m0s` or `120ms`
(platform.openai.com/docs/guides/rate-limits). Anthropic: `anthropic-ratelimit-{requests,tokens,input-tokens,
output-tokens}-{limit,remaining,reset}`, resets as RFC 3339 times (docs.anthropic.com/en/api/rate-limits).
`Retry-After` as seconds or as a date (RFC 9110, 10.2.3), and `retry-after-ms`, which OpenAI's own clients read first.

Pure: the time is an argument. A value that cannot be read counts as not said; a header never fails a call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from llm_jobs.limits.base import LONGEST_PAUSE_S, Observed, Told

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")
_SPAN_UNITS_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def observed(headers: Mapping[str, str], *, now_ns: int) -> Observed | None:
    """What `headers` say, or None where they say nothing. Names are in lower case, or the mapping ignores case.
    `now_ns`: the wall clock, for times that are stated as dates."""
    retry_after_s = retry_after(headers, now_ns=now_ns)
    requests = _openai(headers, "requests") or _anthropic(headers, "requests", now_ns)
    tokens = _openai(headers, "tokens") or _anthropic(headers, "tokens", now_ns)
    input_tokens = _anthropic(headers, "input-tokens", now_ns)
    output_tokens = _anthropic(headers, "output-tokens", now_ns)
    if retry_after_s is None and not (requests or tokens or input_tokens or output_tokens):
        return None
    return Observed(
        requests=requests,
        tokens=tokens,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        retry_after_s=retry_after_s,
    )


def retry_after(headers: Mapping[str, str], *, now_ns: int) -> float | None:
    """The seconds that the server asks to wait; None where it does not, 0 for a date that is past."""
    thousandths = _number(headers.get("retry-after-ms"))
    if thousandths is not None:
        return min(LONGEST_PAUSE_S, thousandths / 1000)
    stated = headers.get("retry-after")
    if stated is None:
        return None
    seconds = _number(stated)
    if seconds is None:
        try:
            seconds = _until(parsedate_to_datetime(stated), now_ns)
        except ValueError:
            return None
    return min(LONGEST_PAUSE_S, seconds)


def span_s(text: str) -> float | None:
    """Seconds of a span as OpenAI writes it: `1s`, `6m0s`, `120ms`, `1h2m3.5s`, or a bare number of seconds."""
    text = text.strip()
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return _number(text)
    return min(LONGEST_PAUSE_S, sum(float(number) * _SPAN_UNITS_S[unit] for number, unit in parts))


def _openai(headers: Mapping[str, str], what: str) -> Told | None:
    reset = headers.get(f"x-ratelimit-reset-{what}")
    remaining, limit = headers.get(f"x-ratelimit-remaining-{what}"), headers.get(f"x-ratelimit-limit-{what}")
    return _told(remaining, limit, None if reset is None else span_s(reset))


def _anthropic(headers: Mapping[str, str], what: str, now_ns: int) -> Told | None:
    prefix = f"anthropic-ratelimit-{what}"
    try:
        reset_s = _until(datetime.fromisoformat(headers.get(f"{prefix}-reset", "")), now_ns)
    except ValueError:
        return None
    return _told(headers.get(f"{prefix}-remaining"), headers.get(f"{prefix}-limit"), reset_s)


def _told(remaining_text: str | None, limit_text: str | None, reset_s: float | None) -> Told | None:
    """Without the limit nothing is assumed to come back before the reset."""
    remaining, limit = _number(remaining_text), _number(limit_text)
    if remaining is None or reset_s is None:
        return None
    return Told(remaining=int(remaining), limit=int(remaining if limit is None else limit), reset_s=reset_s)


def _until(moment: datetime, now_ns: int) -> float:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(LONGEST_PAUSE_S, max(0.0, moment.timestamp() - now_ns / 1e9))


def _number(text: str | None) -> float | None:
    """A plain number that is not negative and not absurd."""
    if text is None or not re.fullmatch(r"\s*\d{1,15}(\.\d{0,9})?\s*", text, re.ASCII):
        return None
    return float(text)
