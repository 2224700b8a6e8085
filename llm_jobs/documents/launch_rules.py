"""When a job starts, frozen: what submits it, what must hold, what must be done before. Never identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

OnPartial = Literal["run", "wait"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    """What submits a recurring document anew. `at`: the glob of the files, or the path of the endpoint."""

    type: Literal["file_created", "webhook"]
    at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeWindow:
    """The job starts from `start_s` on and before `end_s`, in seconds since local midnight as clocks there show them;
    over midnight where the end is the earlier one."""

    start_s: int
    end_s: int
    timezone: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DataAvailable:
    """The job starts once the first value of the query `check` is at least `threshold`."""

    check: str
    threshold: int
    connection: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchRules:
    """`depends_on` are names or hashes of jobs; one of them that ended with failed rows counts as done where
    `on_partial` is `run`."""

    triggers: tuple[Trigger, ...] = ()
    windows: tuple[TimeWindow, ...] = ()
    data: tuple[DataAvailable, ...] = ()
    depends_on: tuple[str, ...] = ()
    on_partial: OnPartial = "wait"

    @property
    def has_conditions(self) -> bool:
        return bool(self.windows or self.data)


NO_RULES = LaunchRules()


def launch_rules_from(members: Mapping[str, Any] | None) -> LaunchRules:
    """The rules as the JSON of a frozen job holds them; None where it was frozen before there were any."""
    if members is None:
        return NO_RULES
    return LaunchRules(
        triggers=tuple(Trigger(**trigger) for trigger in members["triggers"]),
        windows=tuple(TimeWindow(**window) for window in members["windows"]),
        data=tuple(DataAvailable(**data) for data in members["data"]),
        depends_on=tuple(members["depends_on"]),
        on_partial=members["on_partial"],
    )
