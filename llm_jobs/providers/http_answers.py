"""What came back, as an answer or as a classified error, without secrets. Pure.

Invariant: nothing leaves here that a `Scrubber` has not searched; no error tells what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping

from llm_jobs.errors import CallError, CallTimeout, PermanentError, TransientError
from llm_jobs.providers.base import Answered
from llm_jobs.providers.failures import failure_of
from llm_jobs.providers.http_connection import Heard, TooLarge
from llm_jobs.providers.http_content import Inflated, Torn, UnknownCoding, decoded
from llm_jobs.providers.http_pool import CONNECT_S, ConnectTimeout, NotConnected, Untrusted
from llm_jobs.providers.secrets import Scrubber

_SEARCHED_AT_ONCE_BYTES = 64 * 1024
_SHOWN_CHARACTERS = 300


def judged(heard: Heard, *, where: str, scrubber: Scrubber, largest_bytes: int) -> Answered | CallError:
    """What a whole answer of `where` is. `largest_bytes`: of a body after its encodings."""
    status, fields, body = heard
    told = b"\0".join((*fields, *fields.values()))  # neither can hold a zero byte
    # One search for the head and a short body together: most answers hold nothing.
    clean = len(body) < _SEARCHED_AT_ONCE_BYTES and not scrubber.suspicious(b"\0".join((told, body)))
    headers = _headers(told if clean else scrubber.raw(told), len(fields))
    if "content-encoding" in headers or "transfer-encoding" in headers:
        decoded = _decoded(heard, headers, where, largest_bytes)
        if isinstance(decoded, CallError):
            return decoded
        clean, body = clean and decoded is body, decoded
    raw = body if clean else scrubber.raw(body)
    if not 200 <= status < 300:
        return failure_of(status=status, headers=headers, raw=raw, where=where, scrubber=scrubber)
    if headers.get("content-type", "").startswith("text/event-stream"):
        return PermanentError(f"{where} streams its answers unasked; choose another endpoint or operation")
    return Answered(raw=raw, headers=headers)


def _headers(told: bytes, count: int) -> dict[str, str]:
    """The headers of an answer, their names in lower case, from all names and then all values."""
    texts = told.decode("utf-8", "surrogateescape").split("\0")
    return {name.lower(): value.strip() for name, value in zip(texts, texts[count:], strict=False)} if count else {}


def _decoded(heard: Heard, headers: Mapping[str, str], where: str, largest_bytes: int) -> bytes | CallError:
    """The body without encodings. Where a failure's cannot be undone, the failure is told without its text."""
    try:
        if headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise UnknownCoding
        return decoded(heard.body, headers.get("content-encoding", ""), limit=largest_bytes)
    except (Torn, Inflated, UnknownCoding) as error:
        return b"" if heard.status >= 300 else _undecodable(error, where)


def _undecodable(error: Exception, where: str) -> CallError:
    if isinstance(error, Torn):
        return TransientError(f"the compressed answer of {where} is not whole")
    if isinstance(error, Inflated):
        return _too_large(where, str(error))
    return PermanentError(f"{where} encodes its answers in a way that was not asked for; choose another endpoint")


def unanswered(error: Exception, *, where: str, scrubber: Scrubber) -> CallError:
    """Why no whole answer of `where` came."""
    told = scrubber.text(str(error))[:_SHOWN_CHARACTERS]
    match error:
        case Untrusted():
            return PermanentError(f"{where} has no certificate that can be trusted; set SSL_CERT_FILE to its authority")
        case NotConnected():
            return TransientError(f"no connection to {where}: {told}", was_sent=False)
        case ConnectTimeout():
            return CallTimeout(f"{where} took no connection within {CONNECT_S:g} s", was_sent=False)
        case TooLarge():
            return _too_large(where, told)
    return TransientError(f"the connection to {where} broke off before the whole answer: {told}")


def _too_large(where: str, told: str) -> PermanentError:
    return PermanentError(f"{where} answers with {told}; ask for less at once")
