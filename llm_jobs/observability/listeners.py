"""The one place that builds listeners from what is switched on. What is off is not imported and costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from llm_jobs.errors import SetupError
from llm_jobs.events import Listener, broadcast
from llm_jobs.observability.telemetry import Telemetry

Scrub = Callable[[str], str]


@contextmanager
def listening(telemetry: Telemetry, *, scrub: Scrub) -> Iterator[Listener]:
    """One listener for everything that is switched on, while the block runs. At its end counts are pushed once more
    and spans are sent. `scrub` removes secrets from texts that others wrote.

    Raises SetupError where spans are asked for and OpenTelemetry is not installed.
    """
    with ExitStack() as stack:
        listeners: list[Listener] = []
        if telemetry.log is not None:
            from llm_jobs.observability.logs import logged

            listeners.append(stack.enter_context(logged(telemetry.log, level=telemetry.log_level, scrub=scrub)))
        if telemetry.counts:
            listeners.append(_counting(telemetry, stack))
        if telemetry.trace_share:
            listeners.append(_tracing(telemetry, telemetry.trace_share, stack))
        yield broadcast(*listeners)


def _counting(telemetry: Telemetry, stack: ExitStack) -> Listener:
    # prometheus_client takes a tenth of a second to import.
    from llm_jobs.observability.counts import Counts
    from llm_jobs.observability.exposing import pushed, scraped
    from llm_jobs.observability.metrics import registry_of

    counts = Counts()
    registry = registry_of(counts)
    if telemetry.metrics_ports is not None:
        stack.enter_context(scraped(registry, address=telemetry.metrics_address, ports=telemetry.metrics_ports))
    if telemetry.push_url is not None:
        stack.enter_context(pushed(registry, url=telemetry.push_url, every_s=telemetry.push_every_s))
    return counts


def _tracing(telemetry: Telemetry, share: float, stack: ExitStack) -> Listener:
    # OpenTelemetry is an extra, and takes two tenths of a second to import.
    try:
        from llm_jobs.observability.spans import traced
    except ModuleNotFoundError as error:
        raise SetupError(
            f"LLM_JOBS_TRACE_SHARE asks for spans and {error.name} is not installed: pip install 'llm-jobs[otel]'"
        ) from None
    return stack.enter_context(traced(share=share, content=telemetry.trace_content))
