"""The counts as Prometheus metrics. Names and labels are a contract with dashboards: docs/telemetry.md lists them.

Numbers are put together when somebody asks for them; counting itself knows nothing of Prometheus, whose own counters
would cost each call some ten microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from llm_jobs.documents.watched import METRICS
from llm_jobs.observability.counts import LATENCY_BOUNDS_S, CallCounts, Counts, Histogram

# Not `job`: that label is the scrape's own, and the gateway's.
_JOB = "llm_job"
_CALLS = (_JOB, "model", "provider")
_BOUNDS = [*map(str, LATENCY_BOUNDS_S), "+Inf"]
_Rows = Iterable[tuple[tuple[str, ...], float]]


def registry_of(counts: Counts) -> CollectorRegistry:
    """A registry of its own that shows `counts` and nothing else."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(CountsCollector(counts))
    return registry


class CountsCollector(Collector):
    """Turns counts into metric families, whenever it is asked."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        calls = [
            ((name, model, each.provider), each)
            for name, job in self._counts.kept()
            for model, each in list(job.models.items())
        ]
        yield from _outcomes(calls)
        yield from _usage(calls)
        yield from _latency(calls)
        yield from _waits(self._counts, calls)
        yield from _models(self._counts)
        yield from _jobs(self._counts)
        yield from _stated(self._counts)


_Calls = list[tuple[tuple[str, str, str], CallCounts]]


def _outcomes(calls: _Calls) -> Iterator[Metric]:
    yield _counter(
        "llm_jobs_calls_total",
        "Calls that ended with an outcome in the ledger, by its status.",
        (*_CALLS, "status"),
        _by(calls, "statuses"),
    )
    yield _counter(
        "llm_jobs_requests_total",
        "Requests handed to the network, every attempt counted, a group of calls as one.",
        _CALLS,
        ((labels, each.sent) for labels, each in calls),
    )
    yield _counter(
        "llm_jobs_retries_total",
        "Failed attempts that are repeated, by the class of the error.",
        (*_CALLS, "error"),
        _by(calls, "retries"),
    )
    yield _counter(
        "llm_jobs_calls_reused_total",
        "Calls that were answered from the ledger and not sent.",
        _CALLS,
        ((labels, each.reused) for labels, each in calls),
    )
    yield _gauge(
        "llm_jobs_calls_in_flight",
        "Calls that are on their way now, each of a group counted.",
        _CALLS,
        ((labels, each.in_flight) for labels, each in calls),
    )


def _usage(calls: _Calls) -> Iterator[Metric]:
    yield _counter(
        "llm_jobs_tokens_total",
        "Tokens as providers counted them. cached is a part of input, reasoning a part of output.",
        (*_CALLS, "kind"),
        (((*labels, kind), count) for labels, each in calls for kind, count in _tokens(each).items()),
    )
    yield _counter(
        "llm_jobs_cost_usd_total",
        "What the calls of this process cost, in US dollars, where the price is known.",
        _CALLS,
        ((labels, each.cost_usd) for labels, each in calls),
    )
    yield _counter(
        "llm_jobs_saved_usd_total",
        "What others paid for the answers reused, in US dollars, where the price was known.",
        _CALLS,
        ((labels, each.saved_usd) for labels, each in calls),
    )
    yield _counter(
        "llm_jobs_calls_unpriced_total",
        "Calls with tokens and without a known price.",
        _CALLS,
        ((labels, each.unpriced) for labels, each in calls),
    )


def _tokens(calls: CallCounts) -> Mapping[str, int]:
    return {
        "input": calls.input_tokens,
        "output": calls.output_tokens,
        "cached": calls.cached_tokens,
        "reasoning": calls.reasoning_tokens,
    }


def _latency(calls: _Calls) -> Iterator[Metric]:
    family = HistogramMetricFamily(
        "llm_jobs_call_latency_seconds", "Time from a request to its answer, of the last attempt.", labels=_CALLS
    )
    for labels, each in calls:
        family.add_metric(labels, _buckets(each.latency), each.latency.total_s)
    yield family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    return list(zip(_BOUNDS, map(float, accumulate(histogram.counts)), strict=True))


def _waits(counts: Counts, calls: _Calls) -> Iterator[Metric]:
    yield _gauge(
        "llm_jobs_calls_waiting",
        "Calls that wait now, by what for: a quota, a pause, another process, a retry, a budget.",
        ("model", "reason"),
        counts.waits.now().items(),
    )
    yield _counter(
        "llm_jobs_quota_waits_total",
        "Calls that had to wait for a quota.",
        (*_CALLS, "reason"),
        _by(calls, "waited"),
    )
    yield _counter(
        "llm_jobs_quota_wait_seconds_total",
        "How long they waited together, in seconds.",
        (*_CALLS, "reason"),
        _by(calls, "waited_s"),
    )


def _models(counts: Counts) -> Iterator[Metric]:
    models = [((name,), model) for name, model in list(counts.models.items())]
    yield _gauge(
        "llm_jobs_concurrency_limit",
        "Calls at once that the model was found to bear.",
        ("model",),
        ((labels, model.limit) for labels, model in models if model.limit is not None),
    )
    yield _counter(
        "llm_jobs_concurrency_changes_total",
        "Changes of that limit, by why.",
        ("model", "phase"),
        (((*labels, phase), n) for labels, model in models for phase, n in list(model.changes.items())),
    )
    yield _counter(
        "llm_jobs_pauses_total",
        "Pauses that the provider asked for.",
        ("model",),
        ((labels, model.pauses) for labels, model in models),
    )
    yield _counter(
        "llm_jobs_cooldowns_total",
        "Times that the model was left out of the choice.",
        ("model",),
        ((labels, model.cooldowns) for labels, model in models),
    )
    yield _counter(
        "llm_jobs_batch_events_total",
        "What happened to vendors' batches: submitted, ended, collected, lost, and the like.",
        ("model", "kind"),
        (((*labels, kind), n) for labels, model in models for kind, n in list(model.batches.items())),
    )


def _jobs(counts: Counts) -> Iterator[Metric]:
    kept = [((name,), job) for name, job in counts.kept()]
    yield _counter(
        "llm_jobs_rows_total",
        "Rows that came to an end, by status.",
        (_JOB, "status"),
        (((*labels, status), n) for labels, job in kept for status, n in list(job.rows.items())),
    )
    yield _counter(
        "llm_jobs_rows_expected_total",
        "Rows of the jobs that started, where their number is known.",
        (_JOB,),
        ((labels, job.rows_expected) for labels, job in kept),
    )
    yield _counter(
        "llm_jobs_budget_reached_total",
        "Times that a cap stopped the job, by what the cap is on.",
        (_JOB, "budget"),
        (((*labels, budget), n) for labels, job in kept for budget, n in list(job.budgets_reached.items())),
    )
    yield _gauge("llm_jobs_jobs_running", "Jobs that run in this process now.", (), [((), counts.running)])
    yield _counter(
        "llm_jobs_jobs_ended_total",
        "Jobs that ended in this process, by how: done, partial, failed, broken.",
        ("status",),
        (((status,), n) for status, n in list(counts.endings.items())),
    )


def _stated(counts: Counts) -> Iterator[Metric]:
    """What documents ask for, of the latest job of each name."""
    kept = [(name, job.stated) for name, job in counts.kept()]
    for metric, meaning in METRICS.items():
        rows = [((name,), stated[metric]) for name, stated in kept if metric in stated]
        if rows:
            yield _gauge(f"llm_jobs_job_{metric}", f"{meaning[0].upper()}{meaning[1:]}.", (_JOB,), rows)


def _by(calls: _Calls, counter: str) -> _Rows:
    return (((*labels, value), n) for labels, each in calls for value, n in list(getattr(each, counter).items()))


def _counter(name: str, text: str, labels: tuple[str, ...], rows: _Rows) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], rows: _Rows) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family
