"""An asynchronous stream consumed by blocking code: its event loop runs in a thread of its own.

So that it works everywhere: in a script, in a notebook with a running loop, in a Dagster step. A stream waits where it
is some items ahead of its reader. Closing the iterator cancels the stream and waits until it has recorded what was
answered.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

AHEAD = 8  # items that nobody has read yet

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _End(Generic[Item]):
    error: BaseException | None


def consume(stream: Callable[[], AsyncGenerator[Item, None]]) -> Iterator[Item]:
    """What `stream()` yields, in order; what it raises is raised here."""
    items: queue.SimpleQueue[Item | _End[Item]] = queue.SimpleQueue()
    started: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = queue.SimpleQueue()

    room = asyncio.Semaphore(AHEAD)

    async def pour() -> None:
        task = asyncio.current_task()
        assert task is not None
        started.put((asyncio.get_running_loop(), task))
        async with aclosing(stream()) as made:
            async for item in made:
                await room.acquire()
                items.put(item)

    def work() -> None:
        error: BaseException | None = None
        try:
            asyncio.run(pour())
        except BaseException as raised:  # noqa: BLE001 - carried to the consumer's thread and raised there
            error = raised
        items.put(_End(error))

    thread = threading.Thread(target=work, name="llm-jobs-loop", daemon=True)
    thread.start()
    loop, task = started.get()

    def tell(call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(call)

    try:
        while not isinstance(item := items.get(), _End):
            tell(room.release)
            yield item
        if item.error is not None:
            raise item.error
    finally:
        tell(task.cancel)
        thread.join()
