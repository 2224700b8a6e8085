"""Rows in, completed rows out, in input order, with a bounded number of rows open.

Each row walks through the job's steps on its own: the answer of one step is a column for the next, and row 7 may be
in step 3 while row 9 is in step 1. A row that fails ends there, with a status and a reason; its neighbours go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.table_sources import INPUT_ERROR
from llm_jobs.engine.caller import Caller
from llm_jobs.engine.calls import Call, Lane, Settled
from llm_jobs.engine.failing import FALLBACK, Failing
from llm_jobs.engine.following import Asked, FollowedStep, said_before
from llm_jobs.engine.recency import LookUp, look_back
from llm_jobs.engine.steps import PreparedStep, Row
from llm_jobs.errors import RowError
from llm_jobs.events import Listener, RowCompleted, wants
from llm_jobs.ledger.base import Answer

ROWS_PER_WAKE = 256  # completed rows are handed on by the hundreds, so that waking costs nothing per row
ROWS_PER_TURN = 32  # rendered between two looks at the network: about a millisecond, or answers would wait for it
OPEN_ROWS = 16_384  # one slow row holds back the rows behind it; this many may pile up before reading pauses
LEAST_UNDONE_ROWS = 1024
UNDONE_ROWS_PER_CALL = 8
INCOMPLETE = "incomplete"  # of a group: it was made, and lacks rows that failed
DROPPED = "dropped"  # a filter left the row out: it is no row of the result
# What travels in a row beside its columns, whose names begin otherwise.
CARRIED = "\0carried"  # status and error of a row that failed in the table before: it is not asked
MISSING = "\0missing"  # how many rows of a group failed in the table before
STOOD_IN = "\0stood in"  # what stands in the place of an answer in the table before, and why


@dataclass(kw_only=True, slots=True, eq=False)
class OpenRow:
    """A row under way, and what it became. `status` is `succeeded` or says why not; None while it is open."""

    values: dict[str, JsonValue]  # input columns and the outputs so far
    sample: int
    settled: list[Settled] = field(default_factory=list)  # every call that was asked about it, in order
    model: str | None = None  # the model that was asked last, by its name in the catalogue
    model_reason: str | None = None  # why this one, where several may answer
    status: str | None = None
    error: str | None = None
    stood_in: list[str] = field(default_factory=list)  # where a fallback value stands in, and why


class RowStream:
    """Drives the rows of one job through its steps."""

    def __init__(
        self,
        *,
        steps: Sequence[PreparedStep],
        samples: int,
        caller: Caller,
        lane: Lane,
        emit: Listener,
        stops_at_bad_rows: bool = False,
        look_up: LookUp | None = None,
        failing: Failing | None = None,
        look_ahead: Callable[[Sequence[Row]], None] | None = None,
    ) -> None:
        """`stops_at_bad_rows`: a row that cannot be asked ends the job with its RowError. `look_up` finds what was said
        before to the calls of steps with rules or an ordered list of models, successes and others. `failing` says
        what rows that fail do to the job; without it they do nothing. `look_ahead` is given rows before they are
        rendered, in a thread: what it reads is not waited for in the event loop."""
        self._look_up = look_up
        self._stops_at_bad_rows = stops_at_bad_rows
        self._failing = failing
        self._look_ahead = look_ahead
        self._failure: BaseException | None = None
        self._steps = steps
        self._samples = samples
        self._caller = caller
        self._lane = lane
        self._emit = emit
        self._tells_rows = wants(emit, RowCompleted)
        self._undone_limit = max(LEAST_UNDONE_ROWS, UNDONE_ROWS_PER_CALL * lane.concurrency)
        self._open: deque[OpenRow] = deque()
        self._undone = 0
        self._fresh = 0  # completed since the last waking
        self._wake = asyncio.Event()

    async def complete(self, rows: Iterator[Row], broken: asyncio.Future[None]) -> AsyncGenerator[list[OpenRow], None]:
        """Completed rows in input order, some hundreds at a time. Raises what `broken` holds as soon as it does."""
        broken.add_done_callback(self._woken)
        more = True
        try:
            while more or self._open:
                while more and self._reads_on():
                    turn = list(islice(rows, ROWS_PER_TURN))
                    if self._look_ahead is not None:
                        await asyncio.to_thread(self._look_ahead, turn)
                    more = self._feed(turn)
                    await asyncio.sleep(0)
                if self._undone and self._fresh < ROWS_PER_WAKE:
                    await self._wake.wait()
                if broken.done():
                    await broken
                if self._failure is not None:
                    raise self._failure
                self._wake.clear()
                self._fresh = 0
                if done := self._drain():
                    yield done
        finally:
            broken.remove_done_callback(self._woken)  # it outlives this job, and would keep all of it
            if self._undone:
                self._caller.close_lane(self._lane)  # nobody reads what would be paid for

    def _woken(self, _: object) -> None:
        self._wake.set()

    def _reads_on(self) -> bool:
        is_room = len(self._open) < OPEN_ROWS and self._undone < self._undone_limit
        # What has come to its end is handed on first: rows that all are answered already would pile up.
        return is_room and self._fresh < ROWS_PER_WAKE and self._failure is None

    def _feed(self, turn: Sequence[Row]) -> bool:
        for row in turn:
            for sample in range(self._samples):
                self._begin(dict(row), sample)
        return len(turn) == ROWS_PER_TURN

    def _begin(self, values: dict[str, JsonValue], sample: int) -> None:
        unread = values.pop(INPUT_ERROR, None)
        row = OpenRow(values=values, sample=sample)
        self._open.append(row)
        self._undone += 1
        if unread is None:
            self._ask(row, 0)
        else:
            self._close_row(row, "invalid_input", str(unread))

    def _ask(self, row: OpenRow, index: int) -> None:
        if index == 0 or self._look_ahead is None:  # what the first step reads was looked at when the row was read
            self._ask_now(row, index)
            return
        looking = asyncio.get_running_loop().run_in_executor(None, self._look_ahead, [dict(row.values)])
        looking.add_done_callback(partial(self._looked, row, index))

    def _looked(self, row: OpenRow, index: int, looked: asyncio.Future[None]) -> None:
        try:
            looked.result()
            self._ask_now(row, index)
        except Exception as error:  # noqa: BLE001 - a defect: the loop would log it, and the job wait for ever
            self._failure = error
            self._wake.set()

    def _ask_now(self, row: OpenRow, index: int) -> None:
        if self._lane.closed:
            self._stop(row, index, "cancelled", f"not asked: {self._why_closed()}")
            return
        step = self._steps[index]
        try:
            if isinstance(step, FollowedStep):
                self._ask_followed(row, index, step)
                return
            call = step.call(row.values, row.sample)
        except RowError as error:
            self._refuse(row, index, error)
            return
        self._note_model(row, index, step.step.model.name, None)
        if call.recency is None or self._look_up is None:
            self._ask_call(row, index, call)
        else:
            look_back(call, self._look_up, lambda call, _: self._ask_call(row, index, call))

    def _ask_call(self, row: OpenRow, index: int, call: Call) -> None:
        self._caller.ask(call, self._lane, partial(self._answered, row, index))

    def _refuse(self, row: OpenRow, index: int, error: RowError) -> None:
        if self._stops_at_bad_rows and self._failure is None:
            self._failure = error
            self._wake.set()
        self._stop(row, index, "invalid_input", str(error))

    def _ask_followed(self, row: OpenRow, index: int, step: FollowedStep) -> None:
        """Where any model's recorded answer will do, nothing is asked again because another is preferred now. Raises
        RowError."""
        if self._look_up is None or not step.takes_any:
            self._follow(row, index, step, step.begin(row.values, row.sample))
            return
        candidates = step.candidates(row.values, row.sample)
        found: dict[int, Asked | None] = {}

        def note(place: int, call: Call, answer: Answer | None) -> None:
            found[place] = _with_call(candidates[place], call) if _succeeded(answer) else None
            if len(found) == len(candidates):
                known = (asked for each in range(len(candidates)) if (asked := found[each]) is not None)
                self._follow(row, index, step, next(known, None) or step.begin(row.values, row.sample))

        for place, asked in enumerate(candidates):
            look_back(asked.call, self._look_up, partial(note, place))

    def _follow(self, row: OpenRow, index: int, step: FollowedStep, asked: Asked) -> None:
        """Ask, or go on from what was said before: a row whose chain of calls ended well is not asked again."""
        self._note_model(row, index, asked.asked_of, asked.reason)
        if self._look_up is None or not (step.has_rules or asked.call.recency):
            self._send(row, index, step, asked)
            return

        def looked_back(call: Call, answer: Answer | None) -> None:
            self._looked_back(row, index, step, _with_call(asked, call), answer)

        look_back(asked.call, self._look_up, looked_back)

    def _looked_back(self, row: OpenRow, index: int, step: FollowedStep, asked: Asked, answer: Answer | None) -> None:
        settled = None if answer is None or _succeeded(answer) else said_before(asked.call, answer)
        if settled is None or not self._goes_on(row, index, step, asked, settled):
            self._send(row, index, step, asked)

    def _send(self, row: OpenRow, index: int, step: FollowedStep, asked: Asked) -> None:
        self._caller.ask(asked.call, self._lane, partial(self._followed, row, index, step, asked))

    def _followed(self, row: OpenRow, index: int, step: FollowedStep, asked: Asked, settled: Settled) -> None:
        if not self._goes_on(row, index, step, asked, settled):
            self._answered(row, index, settled)

    def _goes_on(self, row: OpenRow, index: int, step: FollowedStep, asked: Asked, settled: Settled) -> bool:
        """Whether another call follows, which then is asked."""
        if settled.facts.status == "succeeded" or self._lane.closed:
            return False
        known = {each.call_hash for each in row.settled} | {settled.call_hash}
        try:
            after = step.follow_up(asked, settled)
        except RowError:
            return False
        if after is None or after.call.call_hash in known:
            return False
        self._keep(row, index, self._caller.taken(asked.call, self._lane, settled))
        self._follow(row, index, step, after)
        return True

    def _answered(self, row: OpenRow, index: int, settled: Settled) -> None:
        self._keep(row, index, settled)
        if settled.reply is not None:
            self._take(row, self._steps[index], settled.facts.status, settled.reply.output)
        if settled.facts.status == "succeeded" or self._stands_in(row, index, settled):
            self._went(row, index)
        else:
            self._stop(row, index, settled.facts.status, self._error_of(settled))

    def _stands_in(self, row: OpenRow, index: int, settled: Settled) -> bool:
        """Whether a value takes the place of an answer that failed, which then is done."""
        if self._failing is None or settled.facts.status == "cancelled":
            return False
        name = self._steps[index].step.name
        columns = self._failing.stand_in(name)
        if columns is None:
            return False
        row.values.update(columns)
        row.stood_in.append(f"the fallback value stands in for {name} ({settled.facts.status}: {settled.facts.error})")
        return True

    def _error_of(self, settled: Settled) -> str | None:
        if settled.facts.status == "cancelled" and self._lane.why_closed is not None:
            return f"not sent: {self._lane.why_closed}"
        return settled.facts.error

    def _why_closed(self) -> str:
        return self._lane.why_closed or "the job was stopped or its time was over"

    def _note_model(self, row: OpenRow, index: int, model: str, reason: str | None) -> None:
        row.model, row.model_reason = model, reason

    def _keep(self, row: OpenRow, index: int, settled: Settled) -> None:
        row.settled.append(settled)

    def _went(self, row: OpenRow, index: int) -> None:
        """A step succeeded: the next one follows."""
        if index + 1 < len(self._steps):
            self._ask(row, index + 1)
        else:
            self._come_through(row)

    def _come_through(self, row: OpenRow) -> None:
        """Every step came to something: an answer, or what stands in for it."""
        if row.stood_in:
            self._finish(row, FALLBACK, "; ".join(row.stood_in))
        else:
            self._finish(row, "succeeded", None)

    def _stop(self, row: OpenRow, index: int, status: str, error: str | None) -> None:
        """A step did not succeed: the row ends with it."""
        self._finish(row, status, error)

    def _take(self, row: OpenRow, step: PreparedStep, status: str, output: JsonValue) -> None:
        """The answer becomes columns; one that is no success is kept as it is where the column can hold it."""
        if status == "succeeded":
            row.values.update(step.outputs.values(output))
        elif not step.declared:
            row.values[step.step.name] = output

    def _finish(self, row: OpenRow, status: str, error: str | None) -> None:
        """A row that was asked has ended: its status may be the one that stops the job."""
        if self._failing is not None and (reason := self._failing.reason_to_stop(status, error)) is not None:
            self._close_lane(reason)
        self._close_row(row, status, error)

    def _close_lane(self, reason: str) -> None:
        """Send no more. What waits is told in a turn of its own: this one is amid a call's end."""
        if not self._lane.closed:
            self._lane.why_closed = reason
            self._lane.closed = True
            asyncio.get_running_loop().call_soon(self._caller.close_lane, self._lane)

    def _close_row(self, row: OpenRow, status: str, error: str | None) -> None:
        row.status = status
        row.error = error
        self._undone -= 1
        self._fresh += 1
        if self._tells_rows:
            reused = all(settled.reused for settled in row.settled)
            self._emit(RowCompleted(self._lane.job_hash, status, reused))
        if not self._undone or self._fresh >= ROWS_PER_WAKE:
            self._wake.set()

    def _drain(self) -> list[OpenRow]:
        done: list[OpenRow] = []
        while self._open and self._open[0].status is not None:
            row = self._open.popleft()
            if row.status != DROPPED:
                done.append(row)
        return done


def _with_call(asked: Asked, call: Call) -> Asked:
    return asked if call is asked.call else replace(asked, call=call)


def _succeeded(answer: Answer | None) -> bool:
    return answer is not None and answer.facts.status == "succeeded"
