"""A house whose jobs are asked in batches of a test server, and a clock that can be set forward."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from llm_jobs.clock import Clock, WallClock
from llm_jobs.events import Event, Listener, ignore
from llm_jobs.ledger.base import LedgerAudit
from llm_jobs.ledger.batch_records import BatchState
from llm_jobs.operations.batches_poll import Polled, poll_batches
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.services import Services
from llm_jobs_tests.cli.house import House, job
from llm_jobs_tests.servers.batches import BatchServer

MODELS = {"openai": "openai/m", "anthropic": "anthropic/m"}


class Later:
    """The wall clock, so many seconds ahead."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds = 0.0

    def now_ns(self) -> int:
        return self._clock.now_ns() + int(self.seconds * 1e9)


@dataclass
class BatchHouse:
    """Jobs of one home folder, a server for their batches, and what was told while they ran."""

    house: House
    server: BatchServer
    vendor: str = "openai"
    clock: Later = field(default_factory=lambda: Later(WallClock()))
    told: list[Event] = field(default_factory=list)

    @classmethod
    def at(cls, folder: Path, server: BatchServer, vendor: str) -> BatchHouse:
        folder.mkdir(parents=True, exist_ok=True)
        return cls(house=House(folder, variables(server)), server=server, vendor=vendor)

    @contextmanager
    def services(self) -> Iterator[Services]:
        with self.house.entry.open_services() as services:
            yield replace(services, clock=self.clock)

    def submit(
        self, questions: Sequence[str], *, name: str = "asked", mode: str = "batch", model: str = "", **members: Any
    ) -> str:
        """Submit a job that asks these questions; returns its hash."""
        rows = [{"text": question} for question in questions]
        document = job(name, rows, text="{{ text }}", mode=mode, **members)
        document["job"]["model"] = model or MODELS[self.vendor]
        [accepted] = self.house.accept(self.house.write(f"{name}.yaml", document))
        return accepted.hash

    def run(self, job_hash: str) -> JobReport:
        with self.services() as services:
            [report] = run_jobs(services, [job_hash], listener=self.listener)
        return report

    @property
    def listener(self) -> Listener:
        return self.told.append

    def poll(self, *, most_calls: int | None = None) -> Sequence[Polled]:
        with self.services() as services:
            return asyncio.run(poll_batches(services, emit=ignore, most_calls=most_calls))

    def batches(self) -> Sequence[BatchState]:
        with self.services() as services:
            return services.ledger.batches()

    def audit(self) -> LedgerAudit:
        with self.services() as services:
            return services.ledger.audit()

    def rows(self, report: JobReport) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(report.result).to_pylist()
        return rows


def variables(server: BatchServer) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "sk-batch-openai-key",
        "OPENAI_BASE_URL": server.openai_url,
        "ANTHROPIC_API_KEY": "sk-batch-anthropic-key",
        "ANTHROPIC_BASE_URL": server.url,
    }


def statuses(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["llm_status"] for row in rows]
