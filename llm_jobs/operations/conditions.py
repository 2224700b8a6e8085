"""What gates the launch of a job: windows of time, and data that has to be there. Evaluated anew at each look, and told
in a sentence. A job that has started is not stopped by them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_jobs.documents.connections import resolve_connection
from llm_jobs.documents.launch_rules import DataAvailable, LaunchRules
from llm_jobs.documents.windows import in_words, is_open, opens_at
from llm_jobs.errors import LlmJobsError, SetupError
from llm_jobs.operations.services import Services

BUDGET_S = 20.0  # of one look at many jobs; what is left is checked at the next


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A condition that does not hold."""

    kind: str  # window | data
    reason: str


@dataclass(slots=True)
class Conditions:
    """One look at the conditions of many jobs: each query is asked once, for `BUDGET_S` seconds in all."""

    services: Services
    _asked: dict[DataAvailable, str | None] = field(default_factory=dict)
    _began_ns: int = 0

    def gate(self, rules: LaunchRules) -> Gate | None:
        """The first condition that does not hold, windows first, for they cost nothing. None: all hold."""
        closed = closed_window(self.services, rules)
        if closed is not None:
            return closed
        reasons = (self._missing(data) for data in rules.data)
        return next((Gate(kind="data", reason=reason) for reason in reasons if reason is not None), None)

    def _missing(self, data: DataAvailable) -> str | None:
        now_ns = self.services.clock.now_ns()
        self._began_ns = self._began_ns or now_ns
        if data not in self._asked:
            if now_ns - self._began_ns > BUDGET_S * 1e9:
                return "its data is checked at the next look: the checks of other jobs took long"
            self._asked[data] = _missing(self.services, data)
        return self._asked[data]


def closed_window(services: Services, rules: LaunchRules) -> Gate | None:
    """The first window that is closed now."""
    now_ns = services.clock.now_ns()
    for window in rules.windows:
        if not is_open(window, now_ns):
            opening = opens_at(window, now_ns).isoformat(sep=" ", timespec="minutes")
            return Gate(kind="window", reason=f"it starts within {in_words(window)} only, next at {opening}")
    return None


def check_connections(services: Services, rules: LaunchRules) -> None:
    """Raise SetupError where a condition names a connection that is not there. Connects to nothing."""
    for data in rules.data:
        _url(services, data)


def _missing(services: Services, data: DataAvailable) -> str | None:
    from llm_jobs.sources.counting import first_number  # SQLAlchemy takes 0.1 s to import, for conditions on data only

    try:
        found = first_number(_url(services, data), data.check)
    except LlmJobsError as error:
        return str(error)
    if found >= data.threshold:
        return None
    return f"{data.check!r} gives {found:,} of the {data.threshold:,} that it waits for"


def _url(services: Services, data: DataAvailable) -> str:
    settings = services.settings
    try:
        return resolve_connection(
            data.connection,
            environment=services.environment,
            home=settings.home,
            allowed_hosts=settings.allowed_hosts,
            roots=settings.allowed_roots,
        )
    except SetupError as error:
        raise SetupError(f"the condition {data.check!r}: {error}") from None
