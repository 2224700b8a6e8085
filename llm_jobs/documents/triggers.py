"""What a user may write about when a job starts: `triggers`, `conditions`, `depends_on` and `on_partial`.

Shapes only. Which keys belong together is checked in `formats.launching`, with the line of each.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from llm_jobs.documents.schedules import check_timezone
from llm_jobs.documents.strict import Model


def _listed(value: Any) -> Any:
    """One name stands for a list of one."""
    return [value] if isinstance(value, str) else value


class TriggerModel(Model):
    """file_created: `path`, a glob.  webhook: `endpoint`, a path such as /trigger/reviews."""

    type: Literal["file_created", "webhook"]
    path: str | None = None
    endpoint: str | None = None


class ConditionModel(Model):
    """data_available: `check`, `threshold`, `connection`.  time_window: `start`, `end`, `timezone`."""

    type: Literal["data_available", "time_window"]
    check: str | None = None
    threshold: Annotated[int, Field(ge=0)] | None = None
    connection: str | None = None
    start: str | None = None
    end: str | None = None
    timezone: Annotated[str, AfterValidator(check_timezone)] | None = None


Triggers = Annotated[list[TriggerModel], Field(min_length=1)]
Conditions = Annotated[list[ConditionModel], Field(min_length=1)]
Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], BeforeValidator(_listed)]
