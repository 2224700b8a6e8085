"""An event loop whose clock jumps: when every task waits, time goes at once to the next thing that was asked for.

`asyncio.sleep`, timeouts and `loop.time()` keep their meaning and cost nothing. Invariant: time stands still while
work handed to a thread by `run_in_executor` is under way, so such work takes no virtual time. A wait for a socket is
not seen: tests that talk to a real server use `asyncio.run`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Real seconds. A thread that takes longer hangs; a loop that nothing wakes for so long is a deadlock.
THREAD_LIMIT_S = 60.0
DEADLOCK_LIMIT_S = 1.0


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of `coroutine`, run as `asyncio.run` would, on virtual time that starts at 0.

    Raises TimeoutError when every task waits for something that nobody will do.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


class VirtualLoop(asyncio.SelectorEventLoop):
    """The standard loop over a `JumpingSelector`; counts the work that is in threads."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._jumping.in_threads += 1
        future.add_done_callback(self._left_thread)
        return future

    async def shutdown_default_executor(self, *timeout_s: float | None) -> None:
        self._jumping.in_threads += 1
        await super().shutdown_default_executor(*timeout_s)
        self._jumping.in_threads -= 1

    def _left_thread(self, _: asyncio.Future[Any]) -> None:
        self._jumping.in_threads -= 1


class JumpingSelector(selectors.DefaultSelector):
    """Polls; where nothing is ready, adds what it should have waited to its counter."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.in_threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.in_threads:
            return self._wait(THREAD_LIMIT_S, f"work in a thread took over {THREAD_LIMIT_S:.0f} s")
        if timeout is None:
            return self._wait(DEADLOCK_LIMIT_S, "every task waits and nothing is left that could wake one")
        self.now_s += timeout
        return []

    def _wait(self, limit_s: float, complaint: str) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(limit_s)
        if not ready:
            raise TimeoutError(complaint)
        return ready
