"""Who watches a job: the metrics that it exports, its log, its alerts. Plain frozen values, never identity.

What a user may write of them is in `watching`; who carries them out is `observability` and `operations.watchers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

# What a job can be measured by, for `monitoring.metrics` and in the conditions of alerts. Of one job in one run.
METRICS: Mapping[str, str] = {
    "execution_time": "seconds since the job started",
    "rows": "rows that came to their end",
    "rows_expected": "rows of the job",
    "succeeded": "rows of them that succeeded",
    "failed": "rows of them that did not",
    "success_rate": "succeeded / rows",
    "error_rate": "failed / rows",
    "input_errors": "rows that could not be asked",
    "calls": "calls sent and recorded",
    "prompt_failures": "calls of them that were no success",
    "reused": "calls answered from the ledger",
    "retries": "failed attempts that were repeated",
    "token_usage": "tokens, input and output",
    "input_tokens": "tokens of prompts",
    "output_tokens": "tokens of answers",
    "cost_usd": "dollars that the calls cost; unknown where one has no known price",
    "saved_usd": "dollars that others paid for the answers reused",
    "budget_used": "share of the job's budget that is spent, earlier runs included; 1 is all of it",
    "latency_p50": "seconds from a request to its answer, the median",
    "latency_p95": "the same, the 95th percentile",
    "latency_p99": "the same, the 99th percentile",
    "quota_wait": "seconds that calls waited for a quota, added up",
    "rows_per_minute": "rows per minute since the job started",
}

Action = Literal["email", "slack", "webhook", "log", "default"]
Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """Where a message goes. `url` may be `${NAME}`, filled in when something is sent; `api_key` is a NAME.

    default: where the document names no place: Slack where its webhook is set, else the log.
    """

    action: Action
    recipients: tuple[str, ...] = ()  # of e-mail
    channel: str | None = None  # of Slack
    url: str | None = None  # of a webhook
    api_key: str | None = None  # the variable whose value a webhook gets as a bearer token

    def __str__(self) -> str:
        """How a person knows it: `email admin@example.com`."""
        return " ".join((self.action, *self.recipients, self.channel or ""))[:200].strip()


DEFAULT_CHANNEL = Channel(action="default")


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """A message through `channel` whenever `condition`, an expression over `METRICS`, begins to hold."""

    condition: str
    channel: Channel


@dataclass(frozen=True, kw_only=True, slots=True)
class Monitoring:
    """Metrics by name, and where they are exported: to a scrape where there is no `push_url`."""

    metrics: tuple[str, ...]
    is_exported: bool = True
    push_url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLog:
    """The log of one job. `path`: relative to the folder of logs; None: a file named like the job."""

    level: Level = "info"
    format: Literal["json", "text"] = "json"
    destination: Literal["file", "stdout", "stderr"] = "file"
    path: str | None = None
    rotate: Literal["daily", "size"] | None = None
    content: bool = False  # may prompts and answers stand in it


@dataclass(frozen=True, kw_only=True, slots=True)
class Watching:
    """All of it. `tells_end`: a message when the job ends; `tells_undelivered`: one when a delivery fails."""

    monitoring: Monitoring | None = None
    log: JobLog | None = None
    alerts: tuple[Alert, ...] = ()
    tells_end: bool = False
    tells_undelivered: bool = False

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Where messages go that have no alert of their own: over every channel that an alert names."""
        return tuple(dict.fromkeys(alert.channel for alert in self.alerts)) or (DEFAULT_CHANNEL,)


def watching_from(members: Mapping[str, Any] | None) -> Watching | None:
    """What `dataclasses.asdict` made of a Watching, after JSON."""
    if members is None:
        return None
    monitoring, log = members["monitoring"], members["log"]
    return Watching(
        **{
            **members,
            "monitoring": Monitoring(**{**monitoring, "metrics": tuple(monitoring["metrics"])}) if monitoring else None,
            "log": JobLog(**log) if log else None,
            "alerts": tuple(_alert(each) for each in members["alerts"]),
        }
    )


def _alert(members: Mapping[str, Any]) -> Alert:
    channel = members["channel"]
    return Alert(
        condition=members["condition"],
        channel=Channel(**{**channel, "recipients": tuple(channel["recipients"])}),
    )
