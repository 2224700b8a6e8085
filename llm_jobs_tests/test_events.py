"""Who listens hears what it wants, and what nobody hears is not built."""

from __future__ import annotations

from llm_jobs.events import CallAnswered, CallIntended, Event, JobFinished, broadcast, ignore, wants


class Counter:
    """Hears one kind of event."""

    wants = frozenset({CallAnswered})

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.heard.append(event)


def test_a_plain_function_hears_everything_and_ignore_nothing() -> None:
    heard: list[Event] = []
    assert wants(heard.append, CallIntended)
    assert not wants(ignore, CallIntended)


def test_a_listener_is_told_only_what_it_wants() -> None:
    counter = Counter()
    everything: list[Event] = []
    told: list[Event] = [CallIntended("a"), CallAnswered("a"), CallAnswered("b")]
    tell = broadcast(counter, everything.append)
    for event in told:
        tell(event)
    assert counter.heard == told[1:]
    assert everything == told


def test_together_they_want_what_one_of_them_wants() -> None:
    both = broadcast(Counter(), Counter())
    assert wants(both, CallAnswered)
    assert not wants(both, CallIntended)
    heard: list[Event] = []
    assert wants(broadcast(Counter(), heard.append), JobFinished)


def test_listeners_that_hear_nothing_cost_nothing() -> None:
    counter = Counter()
    assert broadcast() is ignore
    assert broadcast(ignore, ignore) is ignore
    assert broadcast(ignore, counter) is counter
