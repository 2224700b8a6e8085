"""A status, its headers and its text become one class, one wait and one message."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from llm_jobs.errors import PermanentError, RateLimited, TransientError
from llm_jobs.providers.failures import failure_of, retry_after_s
from llm_jobs.providers.secrets import Scrubber

NOTHING = Scrubber(())


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
    ],
)
def test_the_wait_that_a_server_asks_for(headers: Mapping[str, str], wait_s: float | None) -> None:
    assert retry_after_s(headers) == wait_s


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"error": {"message": "bad model", "code": "x"}}', "bad model"),
        (b'{"error": "bad model"}', "bad model"),
        (b'{"message": "bad model"}', "bad model"),
        (b'{"detail": "bad model"}', "bad model"),
        (b'{"detail": [{"loc": ["body"], "msg": "bad model"}]}', '"msg":"bad model"'),
        (b'{"type": "error", "error": {"type": "invalid_request_error", "message": "bad model"}}', "bad model"),
        (b"bad model\n", "bad model"),
        (b"\xff\xfe bad model", "bad model"),
        (b"", "(no text)"),
    ],
)
def test_a_message_tells_what_the_server_said(raw: bytes, said: str) -> None:
    failure = failure_of(status=422, headers={}, raw=raw, where="https://a.example", scrubber=NOTHING)
    assert type(failure) is PermanentError
    assert failure.http_status == 422
    assert str(failure).startswith("https://a.example answered 422: ")
    assert said in str(failure)


def test_a_long_message_is_cut_and_a_nested_key_removed() -> None:
    raw = b'{"error": {"message": "{\\"key\\": \\"sk-\\\\u0061bcdefgh\\"} ' + b"x" * 10_000 + b'"}}'
    scrubber = Scrubber(["sk-abcdefgh"])
    failure = failure_of(status=400, headers={}, raw=raw, where="https://a.example", scrubber=scrubber)
    assert len(str(failure)) < 700
    assert "[removed secret]" in str(failure)


def test_an_account_without_credit_is_not_asked_again() -> None:
    raw = b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}'
    failure = failure_of(status=429, headers={}, raw=raw, where="https://a.example", scrubber=NOTHING)
    assert type(failure) is PermanentError
    assert "add credit" in str(failure)


def test_a_refusal_carries_what_the_server_counts_and_no_other_header() -> None:
    counts = {"x-ratelimit-remaining-requests": "0", "anthropic-ratelimit-tokens-reset": "2026-10-21T07:28:00Z"}
    headers = {**counts, "retry-after": "3", "set-cookie": "a=b"}
    failure = failure_of(status=429, headers=headers, raw=b"", where="https://a.example", scrubber=NOTHING)
    assert isinstance(failure, RateLimited)
    assert (failure.wait_s, failure.counts) == (3.0, counts)


@pytest.mark.parametrize(("status", "remedy"), [(401, "key"), (403, "key"), (404, "base URL"), (302, "redirects")])
def test_common_mistakes_come_with_a_remedy(status: int, remedy: str) -> None:
    failure = failure_of(status=status, headers={}, raw=b"no", where="https://a.example", scrubber=NOTHING)
    assert remedy in str(failure)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 524, 529, 599])
def test_a_server_in_trouble_may_recover(status: int) -> None:
    failure = failure_of(status=status, headers={}, raw=b"", where="https://a.example", scrubber=NOTHING)
    assert type(failure) is TransientError


def test_a_wait_turns_an_overload_into_a_limit() -> None:
    failure = failure_of(status=503, headers={"retry-after": "2"}, raw=b"", where="https://a.example", scrubber=NOTHING)
    assert isinstance(failure, RateLimited)
    assert (failure.wait_s, failure.http_status) == (2.0, 503)
