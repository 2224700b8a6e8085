"""What vendors' headers say: their own examples, and whatever else a server may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.limits.base import Observed, Told
from llm_jobs.limits.headers import observed, retry_after, span_s

NOON_NS = 1_795_262_400_000_000_000  # 2026-11-21T12:00:00Z

# The example of OpenAI's guide to rate limits.
OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-reset-tokens": "6m0s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-11-21T12:00:01Z",
    "anthropic-ratelimit-input-tokens-limit": "50000",
    "anthropic-ratelimit-input-tokens-remaining": "30000",
    "anthropic-ratelimit-input-tokens-reset": "2026-11-21T12:00:24Z",
    "anthropic-ratelimit-output-tokens-limit": "10000",
    "anthropic-ratelimit-output-tokens-remaining": "0",
    "anthropic-ratelimit-output-tokens-reset": "2026-11-21T13:01:00+01:00",
    "anthropic-ratelimit-tokens-limit": "60000",
    "anthropic-ratelimit-tokens-remaining": "30000",
    "anthropic-ratelimit-tokens-reset": "2026-11-21T12:00:30Z",
}


def test_openai() -> None:
    assert observed(OPENAI, now_ns=NOON_NS) == Observed(
        requests=Told(remaining=59, limit=60, reset_s=1.0),
        tokens=Told(remaining=149_984, limit=150_000, reset_s=360.0),
    )


def test_anthropic() -> None:
    assert observed(ANTHROPIC, now_ns=NOON_NS) == Observed(
        requests=Told(remaining=49, limit=50, reset_s=1.0),
        tokens=Told(remaining=30_000, limit=60_000, reset_s=30.0),
        input_tokens=Told(remaining=30_000, limit=50_000, reset_s=24.0),
        output_tokens=Told(remaining=0, limit=10_000, reset_s=60.0),
    )


def test_headers_that_say_nothing_are_none() -> None:
    assert observed({"content-type": "application/json"}, now_ns=NOON_NS) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("120ms", 0.12),
        ("1h2m3.5s", 3723.5),
        ("2d", 172_800.0),
        ("8.64s", 8.64),
        ("500µs", 0.0005),
        ("7", 7.0),
        ("", None),
        ("soon", None),
        ("6m and a bit", None),
        ("-1s", None),
        ("nan", None),
        ("1e9", None),
    ],
)
def test_a_span(text: str, seconds: float | None) -> None:
    assert span_s(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "17"}, 17.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Sat, 21 Nov 2026 12:01:30 GMT"}, 90.0),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "-3"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now_ns=NOON_NS) == seconds


def test_retry_after_is_part_of_what_is_observed() -> None:
    assert observed({"retry-after": "2"}, now_ns=NOON_NS) == Observed(retry_after_s=2.0)


@given(st.sampled_from([OPENAI, ANTHROPIC]), st.data())
def test_no_value_makes_it_fail_and_none_makes_it_promise_what_is_not_there(
    headers: dict[str, str], data: st.DataObject
) -> None:
    spoilt = dict(headers) | {"retry-after": data.draw(st.text(max_size=20))}
    spoilt[data.draw(st.sampled_from(sorted(headers)))] = data.draw(st.text(max_size=30) | st.just("9" * 400))
    seen = observed(spoilt, now_ns=NOON_NS)
    assert seen is not None
    for told in (seen.requests, seen.tokens, seen.input_tokens, seen.output_tokens):
        assert told is None or (told.remaining >= 0 and 0 <= told.reset_s < 1e7)
