"""Grouped commits: everything that waits to be recorded or claimed goes to the ledger in one transaction.

A kill does not undo what is committed, nor a power cut what is synced. Commits wait for no sync, so that little is at
risk of a kill. Invariant: an outcome is passed on, and a call is granted, only after the transaction that holds it is
committed and synced. One transaction and one sync are under way at a time, each in an executor; all other state
belongs to the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

from llm_jobs.ledger.base import Answer, Exchange, Ledger, Outcome, Want

# A kill undoes what came within this; at 2,000 calls/s one commit carries eight calls.
COMMIT_WINDOW_S = 0.005
# How long what is committed may wait for its sync where it is not waited for.
SYNC_WINDOW_S = 0.025
OUTCOMES_AT_ONCE = 14  # so many do not wait for the window: answers sometimes come in bursts
LOOK_UP_BATCH = 500
HEARTBEAT_S = 15.0

Recorded = Callable[[], None]
Decided = Callable[[Exchange], None]
Found = Callable[[Answer | None], None]
_Committed = tuple[Sequence[tuple[Outcome, Recorded]], Sequence[tuple[Want, Decided]], Exchange]
_Look = tuple[str, bool]  # a call hash, and whether answers that are no success are wanted too


class Recorder:
    """The loop's side of the ledger. `broken` is set to the error once the ledger fails, or something else that nothing
    works without: then nothing is claimed any more, and a ledger that still works keeps the outcomes that come."""

    def __init__(self, ledger: Ledger, owner_id: int, *, writer: Executor, syncer: Executor, reader: Executor) -> None:
        self._ledger = ledger
        self._owner_id = owner_id
        self._writer = writer
        self._syncer = syncer
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._outcomes: list[tuple[Outcome, Recorded]] = []
        self._wants: list[tuple[Want, Decided]] = []
        self._look_ups: list[tuple[_Look, Found]] = []
        self._committed: list[_Committed] = []  # not synced yet, so nobody was told
        self._committing = False
        self._scheduled = False
        self._syncing = False
        self._awaited = False  # somebody has nothing else to do until the next sync
        self._looking = False
        self._reading = False
        self._closing = False
        self._unusable = False  # the ledger failed
        self._last_commit_s = float("-inf")
        self._idle = asyncio.Event()
        self._idle.set()
        self.at_risk = 0  # outcomes that a kill would lose
        self.safe: Callable[[], None] = lambda: None  # called after each commit
        self.broken: asyncio.Future[None] = self._loop.create_future()
        self._heartbeat = self._loop.create_task(self._beat())

    def record(self, outcome: Outcome, recorded: Recorded, *, awaited: bool = True) -> None:
        """Commit and sync `outcome`, then call `recorded`. `awaited`: there is little else to do until then."""
        self._awaited |= awaited
        self._outcomes.append((outcome, recorded))
        self.at_risk += 1
        if len(self._outcomes) >= OUTCOMES_AT_ONCE:
            self._commit()
        else:
            self._schedule()

    def want(self, want: Want, decided: Decided, *, awaited: bool = True) -> None:
        """Ask for the claim and the intent of a call; `decided` receives the exchange that holds the decision."""
        if not self._closing:
            self._awaited |= awaited
            self._wants.append((want, decided))
            self._schedule()

    def look_up(self, call_hash: str, found: Found) -> None:
        """Read the recorded answer to a call, if there is one; takes no lock. An answer that was cut off is told too:
        the same request would be cut off again."""
        self._look((call_hash, False), found)

    def look_back(self, call_hash: str, found: Found) -> None:
        """The same, and of a call without an answer the newest that is no success, whatever its status."""
        self._look((call_hash, True), found)

    def _look(self, look: _Look, found: Found) -> None:
        self._look_ups.append((look, found))
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._read)

    async def aclose(self) -> None:
        """Commit the outcomes that wait, then stop. Nothing is claimed or looked up any more."""
        self._closing = True
        self._wants.clear()
        self._heartbeat.cancel()
        while not self._unusable and (self._outcomes or self._committed or self._busy()):
            self._awaited = True
            self._commit()
            self._sync()
            await self._idle.wait()
        if not self._unusable:
            await self._loop.run_in_executor(self._writer, self._ledger.close_owner, self._owner_id)
        self.broken.cancel()

    def _schedule(self) -> None:
        if self._scheduled or self._committing:
            return
        self._scheduled = True
        wait_s = self._last_commit_s + COMMIT_WINDOW_S - self._loop.time()
        if wait_s > 0:
            self._loop.call_later(wait_s, self._commit)
        else:
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._scheduled = False
        if self.broken.done():
            self._wants.clear()
        if self._committing or self._unusable or not (self._outcomes or self._wants):
            return
        outcomes, self._outcomes = self._outcomes, []
        wants, self._wants = self._wants, []
        self._committing = True
        self._idle.clear()
        self._last_commit_s = self._loop.time()
        future = self._loop.run_in_executor(
            self._writer, self._exchange, [outcome for outcome, _ in outcomes], [want for want, _ in wants]
        )
        future.add_done_callback(lambda done: self._exchanged(done, outcomes, wants))

    def _exchange(self, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        return self._ledger.exchange(self._owner_id, outcomes=outcomes, wants=wants)

    def _exchanged(
        self,
        done: asyncio.Future[Exchange],
        outcomes: Sequence[tuple[Outcome, Recorded]],
        wants: Sequence[tuple[Want, Decided]],
    ) -> None:
        self._committing = False
        self._stand_by()
        if self._failed(done):
            return
        self.at_risk -= len(outcomes)
        self._committed.append((outcomes, wants, done.result()))
        if done.result().synced:
            self._tell_committed(len(self._committed))
        elif not self._syncing:
            self._sync_soon()
        self.tell(self.safe)
        if self._outcomes or self._wants:
            self._schedule()

    def _sync_soon(self) -> None:
        if self._awaited:
            self._sync()
        elif len(self._committed) == 1:
            self._loop.call_later(SYNC_WINDOW_S, self._sync)

    def _sync(self) -> None:
        if self._syncing or self._unusable or not self._committed:
            return
        self._syncing = True
        self._awaited &= bool(self._outcomes or self._wants or self._committing)  # this sync is too early for those
        self._idle.clear()
        future = self._loop.run_in_executor(self._syncer, self._ledger.sync)
        future.add_done_callback(partial(self._synced, len(self._committed)))

    def _synced(self, exchanges: int, done: asyncio.Future[None]) -> None:
        self._syncing = False
        self._stand_by()
        if self._failed(done):
            return
        self._tell_committed(exchanges)
        if self._committed:
            self._loop.call_later(0 if self._awaited else SYNC_WINDOW_S, self._sync)

    def _tell_committed(self, exchanges: int) -> None:
        told, self._committed = self._committed[:exchanges], self._committed[exchanges:]
        for outcomes, wants, exchange in told:
            for _, recorded in outcomes:
                self.tell(recorded)
            for _, decided in wants:
                self.tell(decided, exchange)

    def _read(self) -> None:
        if self._closing:
            return
        self._reading = True
        self._idle.clear()
        batch, self._look_ups = self._look_ups[:LOOK_UP_BATCH], self._look_ups[LOOK_UP_BATCH:]
        future = self._loop.run_in_executor(self._reader, self._find, [look for look, _ in batch])
        future.add_done_callback(lambda done: self._found(done, batch))

    def _find(self, looks: Sequence[_Look]) -> Mapping[_Look, Answer]:
        """The answers that exist; of calls without one, the answer that was cut off, or that is no success."""
        answers = self._ledger.look_up([call_hash for call_hash, _ in looks])
        missing = [look for look in looks if look[0] not in answers]
        cut_off = [call_hash for call_hash, back in missing if not back]
        ended = [call_hash for call_hash, back in missing if back]
        found = {(call_hash, back): answers[call_hash] for call_hash, back in looks if call_hash in answers}
        if cut_off:
            found |= {(call_hash, False): answer for call_hash, answer in self._ledger.truncated(cut_off).items()}
        if ended:
            found |= {(call_hash, True): answer for call_hash, answer in self._ledger.unsuccessful(ended).items()}
        return found

    def _found(self, done: asyncio.Future[Mapping[_Look, Answer]], batch: Sequence[tuple[_Look, Found]]) -> None:
        self._reading = False
        self._stand_by()
        if self._failed(done):
            return
        answers = done.result()
        for look, found in batch:
            self.tell(found, answers.get(look))
        self._looking = bool(self._look_ups)
        if self._looking:
            self._loop.call_soon(self._read)

    def tell(self, listener: Callable[..., None], *told: object) -> None:
        """Call `listener`, of which nothing is expected to go wrong: what does ends everything."""
        try:
            listener(*told)
        except Exception as error:  # noqa: BLE001 - a defect: the loop would log it, and the job wait for ever
            self.give_up(error)

    def give_up(self, error: BaseException) -> None:
        """Nothing works any more, and `error` is why."""
        if not self.broken.done():
            self.broken.set_exception(error)

    def _stand_by(self) -> None:
        if not self._busy():
            self._idle.set()

    def _busy(self) -> bool:
        return self._committing or self._syncing or self._reading

    def _failed(self, done: asyncio.Future[Any]) -> bool:
        error = done.exception() if not done.cancelled() else asyncio.CancelledError()
        if error is not None:
            self._unusable = True
            self.give_up(error)
        return error is not None

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            beat = self._loop.run_in_executor(self._reader, self._ledger.heartbeat, self._owner_id)
            await asyncio.wait([beat])
            if self._failed(beat):
                return
