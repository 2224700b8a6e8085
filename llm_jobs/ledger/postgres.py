"""The ledger in PostgreSQL, for many machines."""

from __future__ import annotations

from sqlalchemy import URL

from llm_jobs.clock import Clock
from llm_jobs.errors import SetupError
from llm_jobs.ledger.sqlite import SqliteLedger


class PostgresLedger(SqliteLedger):
    def __init__(self, url: URL, *, clock: Clock, owner_timeout_s: float) -> None:
        raise SetupError("PostgreSQL is not built in")
