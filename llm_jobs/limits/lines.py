"""Who waits, in which order: first in, first out within a line, turn by turn between the lines of a class, hot before
cold, and of ten that are served one is cold while cold waits.

A line is one job's. Everything here belongs to one event loop and costs the same however many wait.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from llm_jobs.events import WaitReason
from llm_jobs.limits.base import HOT_PER_COLD, Cost, Run

if TYPE_CHECKING:
    from llm_jobs.limits.limiter import Permit

Priority = Literal["hot", "cold"]
PRIORITIES: tuple[Priority, Priority] = ("hot", "cold")
UNBOUNDED: Mapping[Priority, int] = {"hot": 1, "cold": 1}


class Line:
    """One job's place in every queue that its calls wait in. Setting `priority` moves what waits at once."""

    __slots__ = ("_priority", "_queues")

    def __init__(self, priority: Priority = "cold") -> None:
        self._priority: Priority = priority
        self._queues: set[Queue] = set()

    @property
    def priority(self) -> Priority:
        return self._priority

    @priority.setter
    def priority(self, priority: Priority) -> None:
        before, self._priority = self._priority, priority
        if before != priority:
            for queue in self._queues:
                queue.move(self, before)


@dataclass(slots=True, eq=False)
class Waiter:
    cost: Cost
    line: Line
    granted: asyncio.Future[Permit]
    tell: Callable[[WaitReason], None] | None = None  # hears what it waits for


Waiters = OrderedDict[Waiter, None]


class Queue:
    """What waits for one limiter."""

    def __init__(self) -> None:
        self._classes: dict[Priority, OrderedDict[Line, Waiters]] = {"hot": OrderedDict(), "cold": OrderedDict()}
        self._waiting: dict[Priority, int] = {"hot": 0, "cold": 0}
        self._hot_run = 0

    def __len__(self) -> int:
        return self._waiting["hot"] + self._waiting["cold"]

    def __iter__(self) -> Iterator[Waiter]:
        for lines in self._classes.values():
            for waiters in lines.values():
                yield from waiters

    def waiting(self, priority: Priority) -> int:
        return self._waiting[priority]

    def is_before(self, priority: Priority) -> bool:
        """Does anything wait that goes before a newcomer of this class?"""
        return self._waiting["hot"] > 0 or (priority == "cold" and self._waiting["cold"] > 0)

    def push(self, waiter: Waiter, *, first: bool = False) -> None:
        line = waiter.line
        waiters = self._classes[line.priority].setdefault(line, OrderedDict())
        waiters[waiter] = None
        if first:
            waiters.move_to_end(waiter, last=False)
            self._classes[line.priority].move_to_end(line, last=False)
        line._queues.add(self)
        self._waiting[line.priority] += 1

    def remove(self, waiter: Waiter) -> bool:
        """Take a waiter out; False where it is not here any more."""
        lines = self._classes[waiter.line.priority]
        waiters = lines.get(waiter.line)
        if waiters is None or waiter not in waiters:
            return False
        del waiters[waiter]
        self._waiting[waiter.line.priority] -= 1
        if not waiters:
            del lines[waiter.line]
            waiter.line._queues.discard(self)
        return True

    def move(self, line: Line, before: Priority) -> None:
        """The line has another priority than when its calls were put here; they go behind those who are there."""
        waiters = self._classes[before].pop(line)
        self._classes[line.priority][line] = waiters
        self._waiting[before] -= len(waiters)
        self._waiting[line.priority] += len(waiters)

    def listed(self, priority: Priority, most: int) -> list[Waiter]:
        """The next `most` of a class in the order that they are served in."""
        turns = [iter(waiters) for waiters in islice(self._classes[priority].values(), most)]
        found: list[Waiter] = []
        while turns and len(found) < most:
            going = []
            for turn in turns:
                waiter = next(turn, None)
                if waiter is not None:
                    found.append(waiter)
                    going.append(turn)
            turns = going
        return found[:most]

    def runs(self, priority: Priority, most: int) -> tuple[Run, ...]:
        """What `listed` gives, as the store is told it: calls in a row that cost the same are one entry."""
        runs: list[list[int]] = []
        for waiter in self.listed(priority, most):
            cost = waiter.cost
            if runs and runs[-1][1] == cost.input_tokens and runs[-1][2] == cost.output_tokens:
                runs[-1][0] += 1
            else:
                runs.append([1, cost.input_tokens, cost.output_tokens])
        return tuple((count, of_input, of_output) for count, of_input, of_output in runs)

    def head(self, priority: Priority) -> Waiter | None:
        for waiters in self._classes[priority].values():
            return next(iter(waiters))
        return None

    def next(self, most: Mapping[Priority, int] = UNBOUNDED) -> Waiter | None:
        """The next of all, of the classes of which `most` is above 0."""
        first: Priority = "cold" if self._hot_run >= HOT_PER_COLD else "hot"
        for priority in (first, *PRIORITIES):
            if self._waiting[priority] and most[priority] > 0:
                return self.head(priority)
        return None

    def served(self, waiter: Waiter) -> None:
        """`waiter` got what it waited for: it goes, and its line to the end of its class."""
        priority = waiter.line.priority
        lines = self._classes[priority]
        self.remove(waiter)
        if waiter.line in lines:
            lines.move_to_end(waiter.line)
        if priority == "cold" or not self._waiting["cold"]:
            self._hot_run = 0
        else:
            self._hot_run += 1
