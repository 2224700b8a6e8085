"""Messages on their way: sent by threads of their own, so that no job waits for a mail server, and none fails with it.

Each message is tried four times within some 15 s. What then has not left is told in the log and dropped: an alert that
comes an hour late helps nobody, and what it says is in the ledger.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from llm_jobs.documents.watched import Channel
from llm_jobs.errors import MessageNotSent, MessageRefused
from llm_jobs.observability.channels import Send
from llm_jobs.observability.messages import Message

LOG = logging.getLogger(__name__)
PAUSES_S = (1.0, 3.0, 9.0)  # between attempts
PATIENCE_S = 15.0  # that the end of a run waits for messages under way
LAST_WORDS_S = 0.5
THREADS = 2
MOST_WAITING = 1000
May = Callable[[Channel], bool]


def always(channel: Channel) -> bool:
    """What nobody else sends may leave."""
    return True


class Outbox:
    """Sends what it is given, from any thread. Closing waits for what is under way, `patience_s` at most."""

    def __init__(
        self,
        send: Send,
        *,
        pauses_s: Sequence[float] = PAUSES_S,
        patience_s: float = PATIENCE_S,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        """`pause` waits so many seconds and says whether there is no time left; None: on the wall clock."""
        self._send = send
        self._pauses_s = pauses_s
        self._patience_s = patience_s
        self._closing = threading.Event()
        self._pause = pause or self._closing.wait
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="messages")
        self._under_way: set[Future[None]] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, message: Message, channels: Sequence[Channel], *, may: May = always) -> None:
        """Have `message` sent over each of `channels`, if it `may` when its turn comes; returns at once."""
        for channel in channels:
            with self._lock:
                if len(self._under_way) >= MOST_WAITING:
                    LOG.error("not sent by %s, too many messages wait: %s", channel.action, message.subject)
                    continue
                future = self._threads.submit(self._deliver, message, channel, may)
                self._under_way.add(future)
            future.add_done_callback(self._landed)

    def _landed(self, future: Future[None]) -> None:
        with self._lock:
            self._under_way.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            LOG.error("a message met a defect", exc_info=error)

    def close(self) -> None:
        """Wait for what is under way, then give up on what still is."""
        with self._lock:
            under_way = set(self._under_way)
        wait(under_way, timeout=self._patience_s)
        self._closing.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        wait(under_way, timeout=LAST_WORDS_S)  # what paused has ended, and says so
        if lost := sum(future.cancelled() for future in under_way):
            LOG.error("%d messages were not sent: the run is over", lost)

    def _deliver(self, message: Message, channel: Channel, may: May) -> None:
        if not may(channel):
            LOG.info("another process sends by %s: %s", channel.action, message.subject)
            return
        for number, pause_s in enumerate((*self._pauses_s, None), 1):
            try:
                self._send(message, channel)
            except MessageNotSent as error:
                if pause_s is None or isinstance(error, MessageRefused) or self._pause(pause_s):
                    LOG.error(
                        "not sent by %s after %d attempts: %s: %s", channel.action, number, message.subject, error
                    )
                    return
            else:
                LOG.info("sent by %s: %s", channel.action, message.subject)
                return
