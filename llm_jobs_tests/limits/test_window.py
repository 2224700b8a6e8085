"""Throughput of a window, by Little's law, by tokens where they explain latency, and never more than was counted."""

from __future__ import annotations

from random import Random

import pytest

from llm_jobs.limits.window import Window


def filled(answers: list[tuple[float, int | None]], *, in_flight: int, elapsed_s: float) -> Window:
    window = Window()
    window.start(100.0)
    for number, (latency_s, tokens) in enumerate(answers, 1):
        window.answer(100.0 + elapsed_s * number / len(answers), in_flight, latency_s, tokens)
    return window


def test_throughput_is_calls_in_flight_over_mean_latency() -> None:
    window = filled([(2.0, None), (4.0, None)] * 10, in_flight=30, elapsed_s=2.0)
    assert window.mean_in_flight() == pytest.approx(30)
    assert window.throughput() == pytest.approx(10)


def test_a_client_that_is_slower_than_its_server_answers_no_more_than_was_counted() -> None:
    window = filled([(0.1, None)] * 40, in_flight=10, elapsed_s=4.0)
    assert window.throughput() == pytest.approx((40 + 10) / 4)


def test_failures_are_no_throughput() -> None:
    window = filled([(1.0, None)] * 10, in_flight=10, elapsed_s=1.0)
    window.failures = 30
    assert window.throughput() == pytest.approx(10 / 4)


def test_nothing_is_said_of_nothing() -> None:
    assert Window().throughput() == 0
    assert filled([(1.0, None)] * 3, in_flight=3, elapsed_s=1.0).throughput() == 0
    assert filled([(0.0, None)] * 9, in_flight=3, elapsed_s=1.0).throughput() == 0


def test_tokens_make_it_steady_where_they_explain_latency_and_do_no_harm_where_not() -> None:
    def spread(*, explains: bool) -> tuple[float, float]:
        random, found = Random(5), []
        window = filled([(1.0, 100)] * 50, in_flight=10, elapsed_s=5.0)
        for _ in range(60):
            window.start(window.last_s)
            for _ in range(50):
                tokens = int(random.paretovariate(1.5) * 33)
                latency_s = tokens / 100 if explains else 0.9 + 0.2 * random.random()
                window.answer(window.last_s + latency_s / 10, 10, latency_s, tokens)
            found.append(window.throughput())
        return min(found), max(found)

    assert spread(explains=True) == pytest.approx((10, 10), rel=0.01)
    assert spread(explains=False) == pytest.approx((10, 10), rel=0.1)
