"""Grouped commits: everything that waits to be recorded or claimed goes to the ledger in one transaction.

Where the ledger keeps a journal an outcome is written there as it comes, which no kill undoes, and commits may wait for
more of them. Invariant: an outcome is passed on, and a call is granted, only after the transaction that holds it is
committed. One transaction is under way at a time, in an executor; all other state belongs to the loop, which looks up
by itself what is near (`nearness`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from llm_jobs.engine.nearness import Nearness
from llm_jobs.ledger.base import Answer, Exchange, Ledger, Outcome, Want

# A transaction costs some 250 µs whatever it holds: at 2,000 calls/s one carries 40 calls of each kind.
COMMIT_WINDOW_S = 0.02
# Where something is waited for and few things wait, or where a kill would lose them: then one carries ten.
SHORT_WINDOW_S = 0.005
FEW = 16
OUTCOMES_AT_ONCE = 14  # so many do not wait for the short window where a kill would lose them
KEPT_AT_ONCE = 8  # outcomes, of a burst that comes in one turn of the loop
LOOK_UP_BATCH = 500
HEARTBEAT_S = 15.0

Recorded = Callable[[], None]
Decided = Callable[[Exchange], None]
Found = Callable[[Answer | None], None]
_Look = tuple[str, bool]  # a call hash, and whether answers that are no success are wanted too


class Recorder:
    """The loop's side of the ledger. `broken` is set to the error once the ledger fails, or something else that nothing
    works without: then nothing is claimed any more, and a ledger that still works keeps the outcomes that come."""

    def __init__(self, ledger: Ledger, owner_id: int, *, writer: Executor, reader: Executor) -> None:
        self._ledger = ledger
        self._owner_id = owner_id
        self._writer = writer
        self._reader = reader
        self._journal = ledger.journal(owner_id)
        self._loop = asyncio.get_running_loop()
        self._outcomes: list[tuple[Outcome, Recorded]] = []
        self._unkept: list[Outcome] = []  # of those, what is not in the journal yet
        self._wants: list[tuple[Want, Decided]] = []
        self._look_ups: list[tuple[_Look, Found]] = []
        self._nearness = Nearness(is_local=ledger.is_local)
        self._committing = False
        self._scheduled: asyncio.TimerHandle | None = None  # the next commit
        self._hurried = False  # that commit is after the short window
        self._awaited = False  # somebody has little else to do until then
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
        """Commit `outcome`, then call `recorded`. `awaited`: there is little else to do until then."""
        self._awaited |= awaited
        self._outcomes.append((outcome, recorded))
        self.at_risk += 1
        if self._journal is not None:
            self._keep_soon(outcome)
        elif len(self._outcomes) >= OUTCOMES_AT_ONCE:
            self._commit()
        self._schedule()

    def _keep_soon(self, outcome: Outcome) -> None:
        if not self._unkept:
            self._loop.call_soon(self._keep)
        self._unkept.append(outcome)
        if len(self._unkept) >= KEPT_AT_ONCE:
            self._keep()

    def _keep(self) -> None:
        """Have what came in this turn of the loop survive a kill."""
        outcomes, self._unkept = self._unkept, []
        if self._journal is not None and outcomes:
            self.tell(self._journal.keep, outcomes)
            self.at_risk -= len(outcomes)

    def want(self, want: Want, decided: Decided, *, awaited: bool = True) -> None:
        """Ask for the claim and the intent of a call; `decided` receives the exchange that holds the decision.
        Unless it is a retry, an answer that was cut off is an answer to it."""
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
        # A commit under way is waited for in any case: the journal that it empties is not to be taken up meanwhile.
        while self._busy() or (self._outcomes and not self._unusable):
            self._commit()
            await self._idle.wait()
        self._keep()  # what cannot be committed
        self.broken.cancel()
        try:
            if not self._unusable:
                await self._loop.run_in_executor(self._writer, self._ledger.close_owner, self._owner_id)
        finally:
            if self._journal is not None:
                self._journal.leave() if self._unusable else self._journal.remove()

    def _schedule(self) -> None:
        """Commit when the window since the last commit is over."""
        is_short = self._awaited or self._journal is None
        if self._committing or (self._scheduled and (self._hurried or not is_short)):
            return
        if self._scheduled:
            self._scheduled.cancel()
        self._hurried = is_short
        window_s = SHORT_WINDOW_S if is_short else COMMIT_WINDOW_S
        self._scheduled = self._loop.call_at(self._last_commit_s + window_s, self._due)

    def _due(self) -> None:
        """The window is over. Where many wait by now the whole one counts: they would come to a commit of their own."""
        due_s = self._last_commit_s + COMMIT_WINDOW_S
        waiting = len(self._outcomes) + len(self._wants)
        if self._journal is not None and waiting > FEW and self._loop.time() < due_s:
            self._scheduled = self._loop.call_at(due_s, self._commit)
        else:
            self._commit()

    def _commit(self) -> None:
        if self._scheduled:
            self._scheduled.cancel()
            self._scheduled = None
        self._keep()
        if self.broken.done():
            self._wants.clear()
        if self._committing or self._unusable or not (self._outcomes or self._wants):
            return
        outcomes, self._outcomes = self._outcomes, []
        wants, self._wants = self._wants, []
        self._committing = True
        self._awaited = False
        self._idle.clear()
        self._last_commit_s = self._loop.time()
        if self._journal is not None:
            self._journal.begin_commit()
        future = self._loop.run_in_executor(
            self._writer, self._exchange, [outcome for outcome, _ in outcomes], [want for want, _ in wants]
        )
        future.add_done_callback(lambda done: self._exchanged(done, outcomes, wants))

    def _exchange(self, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        try:
            found = self._cut_off([want.call_hash for want in wants if not want.held])
        except Exception:
            self._ledger.exchange(self._owner_id, outcomes=outcomes, wants=())  # they are paid
            raise
        if found:
            wants = [want for want in wants if want.held or want.call_hash not in found]
        exchange = self._ledger.exchange(self._owner_id, outcomes=outcomes, wants=wants)
        return replace(exchange, answered={**exchange.answered, **found}) if found else exchange

    def _cut_off(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        """What an exchange does not find: the answers that were cut off, or the whole ones that were recorded since."""
        cut_off = self._ledger.truncated(call_hashes) if call_hashes else {}
        return {**cut_off, **self._ledger.look_up(list(cut_off))} if cut_off else {}

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
        if self._journal is None:
            self.at_risk -= len(outcomes)
        else:
            self.tell(self._journal.end_commit)
        exchange = done.result()
        for _, recorded in outcomes:
            self.tell(recorded)
        for _, decided in wants:
            self.tell(decided, exchange)
        self.tell(self.safe)
        if self._outcomes or self._wants:
            self._schedule()

    def _read(self) -> None:
        if self._closing:
            return
        most_here = self._nearness.most(self._loop.time())
        size = most_here or LOOK_UP_BATCH
        batch, self._look_ups = self._look_ups[:size], self._look_ups[size:]
        if most_here:
            self._read_here(batch)
            return
        self._reading = True
        self._idle.clear()
        future = self._loop.run_in_executor(self._reader, self._find, [look for look, _ in batch])
        future.add_done_callback(lambda done: self._found(done, batch))

    def _read_here(self, batch: Sequence[tuple[_Look, Found]]) -> None:
        begun_s = self._loop.time()
        try:
            answers = self._find([look for look, _ in batch])
        except Exception as error:  # noqa: BLE001 - told to everybody, as that of the thread
            self._fail(error)
            return
        now_s = self._loop.time()
        self._nearness.took(len(batch), now_s - begun_s, now_s)
        self._tell_found(answers, batch)

    def _find(self, looks: Sequence[_Look]) -> Sequence[Answer | None]:
        """The answer to each call; where there is none, the answer that was cut off, or that is no success."""
        answers = self._ledger.look_up([call_hash for call_hash, _ in looks])
        cut_off = [call_hash for call_hash, back in looks if call_hash not in answers and not back]
        ended = [call_hash for call_hash, back in looks if call_hash not in answers and back]
        truncated = self._ledger.truncated(cut_off) if cut_off else {}
        unsuccessful = self._ledger.unsuccessful(ended) if ended else {}
        return [
            answers.get(call_hash) or (unsuccessful if back else truncated).get(call_hash) for call_hash, back in looks
        ]

    def _found(self, done: asyncio.Future[Sequence[Answer | None]], batch: Sequence[tuple[_Look, Found]]) -> None:
        self._reading = False
        self._stand_by()
        if not self._failed(done):
            self._tell_found(done.result(), batch)

    def _tell_found(self, answers: Sequence[Answer | None], batch: Sequence[tuple[_Look, Found]]) -> None:
        for (_, found), answer in zip(batch, answers, strict=True):
            self.tell(found, answer)
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
        return self._committing or self._reading

    def _failed(self, done: asyncio.Future[Any]) -> bool:
        error = done.exception() if not done.cancelled() else asyncio.CancelledError()
        if error is not None:
            self._fail(error)
        return error is not None

    def _fail(self, error: BaseException) -> None:
        self._unusable = True
        self.give_up(error)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            beat = self._loop.run_in_executor(self._reader, self._ledger.heartbeat, self._owner_id)
            await asyncio.wait([beat])
            if self._failed(beat):
                return
