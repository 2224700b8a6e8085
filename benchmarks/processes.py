"""Runs one client as a process of its own and takes the operating system's word for what it used."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parent.parent
LIMIT_S = 300.0  # a client that hangs is ended


class ClientFailed(Exception):
    """A client did not answer what it was asked; the message holds the end of what it said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """What one process used from its start to its end. `cpu_s`: user and system, of all its threads."""

    cpu_s: float
    wall_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Server:
    url: str

    def cpu_s(self) -> float:
        """The CPU seconds that the server has used so far."""
        return float(self._stats()["cpu_s"])

    def answered(self) -> int:
        """The calls that the server has answered so far."""
        return int(self._stats()["answered"])

    def arrived_s(self) -> float:
        """When the last call arrived, as `time.monotonic` tells it in every process of the machine."""
        return float(self._stats()["arrived_s"])

    def _stats(self) -> dict[str, float]:
        with urlopen(f"{self.url}/_stats", timeout=30) as response:
            told: dict[str, float] = json.load(response)
        return told


@contextmanager
def model_server(latency_s: float) -> Iterator[Server]:
    """The fast server in a process of its own; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", str(latency_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Server(process.stdout.readline().decode().strip())
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def run(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None, limit_s: float = LIMIT_S
) -> Used:
    """Run `command` to its end, or for `limit_s`; what it prints goes to `log`. Raises ClientFailed."""
    with log.open("wb") as said:
        started_s = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
        status, usage = _waited(process, limit_s)
        wall_s = time.perf_counter() - started_s
    if status != 0:
        raise ClientFailed(log.read_text(encoding="utf-8", errors="replace").strip()[-300:])
    return Used(cpu_s=usage.ru_utime + usage.ru_stime, wall_s=wall_s, peak_mb=usage.ru_maxrss / 1024)


def _waited(process: subprocess.Popen[bytes], limit_s: float) -> tuple[int, resource.struct_rusage]:
    ends_s = time.monotonic() + limit_s
    while True:
        found, status, usage = os.wait4(process.pid, os.WNOHANG)
        if found:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage
        if time.monotonic() > ends_s:
            process.kill()
        time.sleep(0.002)
