"""When a failed attempt is repeated, and when not."""

from __future__ import annotations

from random import Random

import pytest

from llm_jobs.engine.retry import RetryPolicy
from llm_jobs.errors import CallError, CallTimeout, PermanentError, RateLimited, TransientError

POLICY = RetryPolicy(max_retries=3, base_s=1.0, cap_s=5.0)


@pytest.mark.parametrize(
    ("error", "failures", "rate_limits", "is_repeated"),
    [
        (PermanentError("no"), 1, 0, False),
        (TransientError("no"), 3, 0, True),
        (TransientError("no"), 4, 0, False),
        (CallTimeout("no"), 1, 0, True),
        (RateLimited("no", wait_s=1), 0, 30, True),
        (RateLimited("no", wait_s=1), 0, 31, False),
    ],
)
def test_the_class_of_an_error_decides(error: CallError, failures: int, rate_limits: int, is_repeated: bool) -> None:
    delay_s = POLICY.delay_s(error, failures=failures, rate_limits=rate_limits, random=Random(1))
    assert (delay_s is not None) == is_repeated


@pytest.mark.parametrize(("failures", "most_s"), [(1, 1.0), (2, 2.0), (3, 4.0)])
def test_backoff_doubles_and_is_fully_jittered(failures: int, most_s: float) -> None:
    random = Random(3)
    delays = [
        POLICY.delay_s(TransientError("x"), failures=failures, rate_limits=0, random=random) or 0.0 for _ in range(400)
    ]
    assert max(delays) <= most_s
    assert max(delays) > 0.9 * most_s
    assert min(delays) < 0.1 * most_s


def test_a_wait_that_the_server_asks_for_is_kept_in_full() -> None:
    error = RateLimited("later", wait_s=120.0)
    delay_s = POLICY.delay_s(error, failures=0, rate_limits=1, random=Random(1))
    assert delay_s is not None
    assert 120.0 <= delay_s <= 121.0


def test_a_job_without_retries_does_not_repeat_rate_limits_either() -> None:
    policy = RetryPolicy(max_retries=0)
    assert policy.delay_s(RateLimited("x", wait_s=1), failures=0, rate_limits=1, random=Random(1)) is None
