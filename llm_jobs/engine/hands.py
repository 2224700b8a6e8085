"""A thread that works for one event loop: an executor for `run_in_executor` that costs the loop little.

A `ThreadPoolExecutor` makes a future, a condition and a second future that follows the first for each piece of work:
20 to 50 µs of a commit. Here a queue leads to the thread, and one callback back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

_Work = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], "asyncio.Future[Any]"]


class Hand(Executor):
    """One thread of the loop that runs, and for that loop alone. It does what it was given before it ends."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._given: SimpleQueue[_Work | None] = SimpleQueue()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
        """The loop's own future of what `work` returns, which `run_in_executor` passes on as it is."""
        if self._ended:
            raise RuntimeError(f"the thread {self._thread.name} takes no more work")
        answer = self._loop.create_future()
        self._given.put((work, args, named, answer))
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._ended = True
        self._given.put(None)
        if wait:
            self._thread.join()

    def _work(self) -> None:
        while (given := self._given.get()) is not None:
            work, args, named, answer = given
            tell: Callable[[asyncio.Future[Any], Any], None] = _answered
            try:
                told = work(*args, **named)
            except BaseException as error:  # noqa: BLE001 - told to who gave the work, whatever it is
                tell, told = _failed, error
            with suppress(RuntimeError):  # the loop is closed: there is nobody to tell
                self._loop.call_soon_threadsafe(tell, answer, told)
            del given, work, args, named, answer, told  # while it waits it holds nothing of what is done


def _answered(answer: asyncio.Future[Any], told: Any) -> None:
    if not answer.done():  # nobody has given it up
        answer.set_result(told)


def _failed(answer: asyncio.Future[Any], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
