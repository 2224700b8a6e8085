"""Forecasts hold as often as they say, for any distribution that answers have, and are wide where little is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest

from llm_jobs.operations.counterparts import Counterparts
from llm_jobs.operations.forecasts import (
    MOST_SAMPLES,
    NOTHING,
    Asked,
    Interval,
    Learned,
    input_interval,
    output_interval,
)

TRIES = 400
DISTRIBUTIONS: dict[str, Callable[[Random], int]] = {
    "log-normal": lambda random: round(60 * math.exp(random.gauss(0, 0.7))) + 1,
    "a few long ones": lambda random: 900 if random.random() < 0.1 else random.randint(20, 40),
    "one word": lambda random: random.choice([1, 1, 1, 2]),
    "even": lambda random: random.randint(1, 500),
}


def learned(sizes_and_tokens: list[tuple[int, int, int]], **members: object) -> Learned:
    made = Learned(**members)  # type: ignore[arg-type]
    for size, inputs, outputs in sizes_and_tokens:
        made.learn(size, inputs, outputs, None)
    return made


@pytest.mark.parametrize("draw", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize(("known", "calls"), [(8, 1), (30, 5), (30, 100), (500, 20), (2_000, 2_000)])
def test_output_tokens_lie_in_the_interval_nine_times_in_ten(
    draw: Callable[[Random], int], known: int, calls: int
) -> None:
    random = Random(known * calls)
    tries = 60 if calls >= 2_000 else TRIES
    within = 0
    for _ in range(tries):
        taught = learned([(100, 25, draw(random)) for _ in range(known)])
        found = output_interval(Asked(calls=calls, request_bytes=100 * calls), taught, None)
        within += found.low <= sum(draw(random) for _ in range(calls)) <= found.high
    assert within / tries >= 0.85


def test_input_tokens_follow_the_bytes_of_the_requests() -> None:
    random = Random(1)
    points = [(size, 20 + size // 4 + random.randint(-2, 2), 5) for size in random.sample(range(200, 4_000), 100)]
    found = input_interval(Asked(calls=50, request_bytes=50 * 2_000), learned(points))
    assert found.low <= 50 * 520 <= found.high
    assert (found.high - found.low) / found.expected < 0.1


def test_the_less_is_known_the_wider_the_interval() -> None:
    asked = Asked(calls=20, request_bytes=2_000, output_limit=5_000)
    points = [(100, 25, 50 + at % 20) for at in range(40)]
    widths = [output_interval(asked, learned(points, basis=basis), None).high for basis in ("same", "family", "model")]
    unknown = output_interval(asked, None, None)
    assert sorted(widths) == widths
    assert widths[-1] < unknown.high == 20 * 5_000
    assert unknown.low == 20


def test_no_answer_is_longer_than_its_limit() -> None:
    points = [(100, 25, 500)] * 40
    assert output_interval(Asked(calls=10, request_bytes=1_000, output_limit=100), learned(points), None).high == 1_000
    assert output_interval(Asked(calls=10, request_bytes=1_000), None, 200).high == 2_000


def test_nothing_asked_is_nothing() -> None:
    assert output_interval(Asked(), None, None) == input_interval(Asked(), None) == NOTHING


def test_the_sum_of_independent_parts_is_narrower_than_its_parts_together() -> None:
    part = Interval(low=8, expected=10, high=14)
    total = part + part
    assert (total.expected, total.low, total.high) == (20, 20 - math.hypot(2, 2), 20 + math.hypot(4, 4))
    assert part + NOTHING == part
    assert part.times(2) == Interval(low=16, expected=20, high=28)


def test_what_is_learned_is_bounded_and_the_same_each_time() -> None:
    points = [(100, 25, at) for at in range(MOST_SAMPLES * 2)]
    first, second = learned(points), learned(points)
    assert len(first.samples) == MOST_SAMPLES
    assert first.samples == second.samples
    assert sum(tokens for _, _, tokens in first.samples) / MOST_SAMPLES == pytest.approx(MOST_SAMPLES, rel=0.05)


def test_rows_are_the_same_whatever_format_they_were_read_from() -> None:
    other = Counterparts([{"text": "a", "n": "1", "gone": None}, {"text": "b", "n": "2"}], ["n", "text"])
    assert other.has({"n": 1, "text": "a"})
    assert other.has({"n": 2.0, "text": "b"})
    assert not other.has({"n": 3, "text": "b"})
    assert other.gone == 0


def test_a_row_is_known_by_its_key() -> None:
    other = Counterparts([{"id": 1, "text": "a"}, {"id": 2, "text": "b"}], ["id", "text"])
    assert other.has_key({"id": 1, "text": "changed"})
    assert not other.has_key({"id": 3, "text": "a"})
    assert other.gone == 1
    assert Counterparts([{"id": 1}], ["text"]).key is None
