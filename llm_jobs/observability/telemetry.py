"""Which telemetry is switched on, read from the environment by entry points only. Nothing is on unless it is asked for.

Headers that exporters send (`OTEL_EXPORTER_OTLP_HEADERS`) may hold keys: they stay in the environment, where the
exporter looks them up itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from llm_jobs.errors import SetupError

LogFormat = Literal["json", "text"]
LOG_FORMATS: tuple[LogFormat, ...] = ("json", "text")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOOPBACK = "127.0.0.1"
PUSH_EVERY_S = 15.0
HIGHEST_PORT = 65_535


@dataclass(frozen=True, kw_only=True, slots=True)
class Telemetry:
    """What is told to whom. None: to nobody."""

    metrics_ports: range | None = None  # the first free one is taken
    metrics_address: str = LOOPBACK
    push_url: str | None = None
    push_every_s: float = PUSH_EVERY_S
    log: LogFormat | None = None
    log_level: str = "info"
    trace_share: float | None = None  # of the calls, 0 to 1
    trace_content: bool = False  # may prompts and answers be in spans

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Telemetry:
        """From `LLM_JOBS_METRICS_PORT` (a port, or a range such as 9464-9479 for several processes),
        `LLM_JOBS_METRICS_ADDRESS`, `LLM_JOBS_METRICS_PUSH_URL`, `LLM_JOBS_METRICS_PUSH_EVERY_S`, `LLM_JOBS_LOG`,
        `LLM_JOBS_LOG_LEVEL`, `LLM_JOBS_TRACE_SHARE` and `LLM_JOBS_TRACE_CONTENT`. Raises SetupError."""
        get = environment.get
        return cls(
            metrics_ports=_ports(get("LLM_JOBS_METRICS_PORT")),
            metrics_address=get("LLM_JOBS_METRICS_ADDRESS") or LOOPBACK,
            push_url=get("LLM_JOBS_METRICS_PUSH_URL") or None,
            push_every_s=_number("LLM_JOBS_METRICS_PUSH_EVERY_S", get("LLM_JOBS_METRICS_PUSH_EVERY_S"), most=86_400.0)
            or PUSH_EVERY_S,
            log=_log_format(get("LLM_JOBS_LOG")),
            log_level=_choice("LLM_JOBS_LOG_LEVEL", get("LLM_JOBS_LOG_LEVEL") or "info", LOG_LEVELS),
            trace_share=_number("LLM_JOBS_TRACE_SHARE", get("LLM_JOBS_TRACE_SHARE"), most=1.0),
            trace_content=get("LLM_JOBS_TRACE_CONTENT", "off") == "on",
        )

    @property
    def counts(self) -> bool:
        """Whether anybody reads metrics."""
        return self.metrics_ports is not None or self.push_url is not None


def _ports(stated: str | None) -> range | None:
    if not stated:
        return None
    first, _, last = stated.partition("-")
    try:
        ports = range(int(first), int(last or first) + 1)
    except ValueError:
        ports = range(0)
    if not ports or ports[0] < 0 or ports[-1] > HIGHEST_PORT:
        raise SetupError(
            f"LLM_JOBS_METRICS_PORT is {stated!r}; it is a port such as 9464, or a range such as 9464-9479 for several "
            "processes on one machine"
        )
    return ports


def _number(name: str, stated: str | None, *, most: float) -> float | None:
    if not stated:
        return None
    try:
        number = float(stated)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= most:
        raise SetupError(f"{name} is {stated!r}; it is a number from 0 to {most:g}")
    return number


def _log_format(stated: str | None) -> LogFormat | None:
    if not stated:
        return None
    _choice("LLM_JOBS_LOG", stated, LOG_FORMATS)
    return "json" if stated == "json" else "text"


def _choice(name: str, stated: str, choices: tuple[str, ...]) -> str:
    if stated not in choices:
        raise SetupError(f"{name} is {stated!r}; it is one of {', '.join(choices)}")
    return stated
