"""From what a server said to the class of the error: the one place where a status becomes a decision.

Pure; texts given here have been scrubbed of secrets, and are scrubbed again after their JSON has been decoded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from llm_jobs.errors import CallError, PermanentError, RateLimited, TransientError
from llm_jobs.providers.secrets import Scrubber

_SHOWN_CHARACTERS = 500
_REPEATABLE = frozenset({408, 409, 425})
_OVERLOADED = frozenset({503, 529})
_COUNTS = ("x-ratelimit-", "anthropic-ratelimit-")  # headers
_REMEDIES: Mapping[int, str] = {
    401: "set the key's environment variable; a key goes only to hosts that models.yaml lists for it",
    403: "the key may not use this model; ask its owner, or choose another model",
    404: "check the model's name and the base URL",
}


def failure_of(*, status: int, headers: Mapping[str, str], raw: bytes, where: str, scrubber: Scrubber) -> CallError:
    """The error that an answer with a status outside 200 to 299 stands for. `headers` in lower case."""
    said, code = _message(raw)
    message = f"{where} answered {status}: {scrubber.text(said)[:_SHOWN_CHARACTERS] or '(no text)'}"
    wait_s = retry_after_s(headers)
    if status == 429 and code == "insufficient_quota":
        return PermanentError(f"{message}; add credit to the account, then run the job again", http_status=status)
    if status == 429 or (status in _OVERLOADED and wait_s is not None):
        counts = {name: value for name, value in headers.items() if name.startswith(_COUNTS)}
        return RateLimited(message, wait_s=wait_s, http_status=status, counts=counts)
    if status >= 500 or status in _REPEATABLE:
        return TransientError(message, http_status=status)
    if 300 <= status < 400:
        message = f"{where} redirects ({status}); redirects are not followed, write the final address as the base URL"
        return PermanentError(message, http_status=status)
    remedy = _REMEDIES.get(status)
    return PermanentError(f"{message}; {remedy}" if remedy else message, http_status=status)


def failure_in_answer(error: object) -> CallError:
    """The error that a gateway reported in the body of a 200."""
    members = error if isinstance(error, dict) else {"message": error}
    text = f"the server answered with an error: {str(members.get('message') or members)[:_SHOWN_CHARACTERS]}"
    code = members.get("code")
    if code == 429 or code == "rate_limit_exceeded":
        return RateLimited(text, wait_s=None)
    if isinstance(code, int) and 400 <= code < 500 and code not in _REPEATABLE:
        return PermanentError(text, http_status=code)
    return TransientError(text)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, or Retry-After (RFC 9110) in seconds or as a date.

    A date is measured against the answer's own Date, so that clocks need not agree.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    stated = headers.get("retry-after")
    seconds = _number(stated)
    if seconds is not None or stated is None:
        return seconds
    try:
        until, now = parsedate_to_datetime(stated), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return max(0.0, value) if math.isfinite(value) else None


def _message(raw: bytes) -> tuple[str, object]:
    """What the body of an error says, and its code; vendors and gateways write it in one of a few places."""
    try:
        body: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode("utf-8", "replace").strip(), None
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        said = error.get("message") or error.get("detail") or error
        return said if isinstance(said, str) else orjson.dumps(said).decode(), error.get("code")
    return str(error), None
