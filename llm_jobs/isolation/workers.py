"""Users' code kept up: subprocesses that answer one message after the other, as JSON lines.

A worker is started when it is first asked, gets an environment without the parent's secrets and its own process group,
and is killed when an answer takes too long, is too large, or when its workers are closed. Another takes its place for
the next message. What it prints goes nowhere but into the reason that is told when it dies.

This module belongs to one event loop; it does not know what the messages mean.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from llm_jobs.errors import CallTimeout, TransientError
from llm_jobs.isolation.subprocesses import passed_environment

MOST_LINE_BYTES = 64 * 1024 * 1024
MOST_KINDS = 16  # of workers that are kept up; the one that was asked longest ago makes room
_TAIL_BYTES = 2000
_READ_BYTES = 65536
_START_S = 30.0
_PROGRAM = Path(__file__).with_name("worker_program.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerKind:
    """What a worker is: `setup` is the first line that it gets, one of JSON, and the same for all of its kind."""

    setup: bytes
    folder: Path  # where it runs
    memory_mb: int


class Workers:
    """Workers by kind, at most `at_once` of each. Close them."""

    def __init__(self, *, environment: Mapping[str, str], at_once: int = 1) -> None:
        self._environment = passed_environment(environment)
        self._at_once = at_once
        self._pools: OrderedDict[WorkerKind, _Pool] = OrderedDict()

    async def ask(self, kind: WorkerKind, message: bytes, *, timeout_s: float) -> bytes:
        """The line that a worker of `kind` answers to a line. Waiting for a free worker does not count as time.

        Raises CallTimeout, and TransientError where it died or said what is no line.
        """
        if kind not in self._pools:
            await self._make_room()
        pool = self._pools.get(kind)
        if pool is None:
            pool = self._pools[kind] = _Pool(kind, self._environment, self._at_once)
        self._pools.move_to_end(kind)
        return await pool.ask(message, timeout_s)  # busy from here on, and so not made room of

    async def aclose(self) -> None:
        """Kill every worker."""
        pools = list(self._pools.values())
        self._pools.clear()
        for pool in pools:
            await pool.aclose()

    async def _make_room(self) -> None:
        for kind, pool in list(self._pools.items()):
            if len(self._pools) < MOST_KINDS:
                return
            if not pool.is_busy and self._pools.get(kind) is pool:
                del self._pools[kind]
                await pool.aclose()


class _Pool:
    def __init__(self, kind: WorkerKind, environment: Mapping[str, str], at_once: int) -> None:
        self._kind = kind
        self._environment = environment
        self._free: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._turns = asyncio.Semaphore(at_once)
        self._waiting = 0

    @property
    def is_busy(self) -> bool:
        return bool(self._busy or self._waiting)

    async def ask(self, message: bytes, timeout_s: float) -> bytes:
        self._waiting += 1
        try:
            async with self._turns:
                return await self._ask(message, timeout_s)
        finally:
            self._waiting -= 1

    async def aclose(self) -> None:
        for worker in [*self._free, *self._busy]:
            await worker.aclose()
        self._free.clear()

    async def _ask(self, message: bytes, timeout_s: float) -> bytes:
        worker = self._free.pop() if self._free else await self._started()
        self._busy.add(worker)
        is_well = False
        try:
            async with asyncio.timeout(timeout_s):
                answer = await worker.ask(message)
            is_well = not worker.has_ended
            return answer
        except TimeoutError:
            raise CallTimeout(f"the code did not end within {timeout_s:g} s and was killed") from None
        finally:
            self._busy.discard(worker)
            if is_well:
                self._free.append(worker)
            else:
                await worker.aclose()

    async def _started(self) -> _Worker:
        worker = await _Worker.start(self._kind, self._environment)
        try:
            async with asyncio.timeout(_START_S):
                await worker.ask(self._kind.setup)
        except BaseException as error:
            await worker.aclose()
            if isinstance(error, TimeoutError):
                raise CallTimeout(f"the code was not loaded within {_START_S:g} s") from None
            raise
        return worker


class _Worker:
    def __init__(self, process: Process) -> None:
        self._process = process
        self._tail = b""
        self._reading = asyncio.get_running_loop().create_task(self._read_complaints())

    @classmethod
    async def start(cls, kind: WorkerKind, environment: Mapping[str, str]) -> _Worker:
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-E", "-s", "-B", str(_PROGRAM), str(kind.memory_mb)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=kind.folder,
                env=dict(environment),
                limit=MOST_LINE_BYTES,
                start_new_session=True,
            )
        )

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    async def ask(self, line: bytes) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError, ConnectionResetError):  # it is told below that it died
            self._process.stdin.write(line + b"\n")
            await self._process.stdin.drain()
        try:
            answer = await self._process.stdout.readline()
        except ValueError:
            raise TransientError(f"the code answered more than {MOST_LINE_BYTES // 1024**2} MiB") from None
        if not answer.endswith(b"\n"):
            raise TransientError(await self._why_it_ended())
        return answer

    async def aclose(self) -> None:
        """Kill it with all that it has started, and reap it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.shield(self._process.wait())
        await asyncio.shield(self._reading)
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def _why_it_ended(self) -> str:
        status = await self._process.wait()
        await self._reading
        how = f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
        last = self._tail.decode("utf-8", "replace").strip().splitlines()
        return f"the code's process {how}" + (f": {last[-1]}" if last else "")

    async def _read_complaints(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(_READ_BYTES):
            self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
