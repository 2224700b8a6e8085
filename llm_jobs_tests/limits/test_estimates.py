"""What is learned of tokens: near the true quantile, bounded, and after a change of the model's ways."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.limits.estimates import LEAST_SAMPLES, REFRESHED_AFTER, LearnedQuantile, LearnedTokens


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
def test_a_quantile_is_at_most_a_twelfth_above_the_true_one(seed: int, quantile: float) -> None:
    random = Random(seed)
    values = [random.lognormvariate(4, 1) for _ in range(2_000)]
    learned = LearnedQuantile(quantile)
    for value in values:
        learned.learn(value)
    ordered = sorted(values)
    told = learned.value() or 0  # as of one of the last 32 observations
    assert ordered[int(quantile * len(values)) - REFRESHED_AFTER] <= told <= 1.09 * ordered[int(quantile * len(values))]


@given(st.lists(st.floats(0, 1e12), min_size=LEAST_SAMPLES, max_size=200))
def test_whatever_is_learned_the_quantile_lies_among_it(values: list[float]) -> None:
    learned = LearnedQuantile(0.9)
    for value in values:
        learned.learn(value)
    told = learned.value()
    assert told is not None
    assert min(min(values), 1e9) * 0.9 <= told <= max(*values, 1e-6) * 1.1 + 1e-5


def test_before_enough_was_seen_the_callers_limit_stands() -> None:
    learned = LearnedTokens(unlimited_output_tokens=700)
    for _ in range(LEAST_SAMPLES - 1):
        learned.learn(300, input_tokens=75, output_tokens=5)
    assert learned.estimate(300, 200) == (100, 200)
    assert learned.estimate(300, None) == (100, 700)
    learned.learn(300, input_tokens=75, output_tokens=5)
    assert learned.estimate(300, 200).output_tokens == 6
    assert 75 <= learned.estimate(300, 200).input_tokens <= 82


def test_a_limit_stands_above_what_was_learned() -> None:
    learned = LearnedTokens()
    for _ in range(100):
        learned.learn(300, input_tokens=75, output_tokens=500)
    assert learned.estimate(300, 20).output_tokens == 20


def test_a_model_that_changes_is_followed_within_two_thousand_answers() -> None:
    learned = LearnedTokens()
    for tokens, count in ((1_000, 20_000), (10, 20_000)):
        for _ in range(count):
            learned.learn(400, input_tokens=100, output_tokens=tokens)
    assert learned.estimate(400, None).output_tokens < 20


def test_memory_is_bounded_whatever_is_learned() -> None:
    random = Random(1)
    learned = LearnedQuantile()
    for _ in range(20_000):
        learned.learn(random.lognormvariate(0, 12))
    assert len(learned._buckets) < 500


def test_what_is_not_stated_teaches_nothing() -> None:
    learned = LearnedTokens()
    for _ in range(100):
        learned.learn(400, input_tokens=None, output_tokens=None)
        learned.learn(0, input_tokens=5, output_tokens=None)
    assert learned.estimate(300, 55) == (100, 55)


@pytest.mark.parametrize("quantile", [0, 1, -0.5])
def test_a_quantile_that_is_none_is_refused(quantile: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        LearnedQuantile(quantile)


def test_the_same_answers_teach_the_same() -> None:
    def taught() -> tuple[int, int]:
        random, learned = Random(7), LearnedTokens()
        for _ in range(5_000):
            learned.learn(400, input_tokens=random.randint(80, 120), output_tokens=random.randint(1, 900))
        return learned.estimate(400, None)

    assert taught() == taught()
