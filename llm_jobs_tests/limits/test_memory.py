"""The quota of one process: exact in every window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.limits.memory import WINDOW_S, RequestQuota


@given(
    limit=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=200),
)
def test_no_window_of_sixty_seconds_holds_more_starts_than_the_quota(limit: int, gaps: list[float]) -> None:
    quota = RequestQuota(limit)
    now_s, starts = 0.0, []
    for gap in gaps:
        now_s += gap
        starts.append(now_s + quota.reserve(now_s))
    assert starts == sorted(starts)
    for first, later in zip(starts, starts[limit:], strict=False):
        assert later - first >= WINDOW_S - 1e-6


def test_without_a_limit_nothing_waits() -> None:
    assert RequestQuota(None).reserve(5.0) == 0.0


def test_a_quota_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RequestQuota(0)
