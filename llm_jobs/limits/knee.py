"""The search for the fewest calls in flight that still give the best throughput. Pure: measurements in, a level out.

What was measured of each level (a number of calls in flight, on a geometric grid) is a mean of log throughput with a
weight, the answers it rests on. Throughput is taken to rise with the level up to a knee, and to stay or fall beyond.
Levels that cannot be told from the best are as good as the best, and the least of them is the target: a doubtful low
level is tried, and what is learned there corrects the doubt. How long one measures, and when, is `adaptive`'s.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from math import exp, log, sqrt

STEPS_PER_DOUBLING = 12  # levels 6 % apart: no knee is further than 3 % from one of them
NEAR = 1  # steps: the gap that is left alone beside a peak; twice that below a plateau, three times on it

# In logarithms of throughput and of calls in flight, so that 0.01 is about 1 %
_SAME = 0.015  # throughputs that differ less are the same,
_WORTH = 0.015  # and more calls in flight are worth it where throughput gains more than this share of their gain
_STILL_RISING = 0.06  # the same on the way up: 4 % for twice the calls in flight
_FALLS = 0.05  # a loss beyond the best level that makes it a peak and no plateau
_WORSE = 0.05  # beyond the noise: a measurement of so much less need not go on
_CHANGE = 0.15  # beyond the noise: a level that is off by so much belongs to a server that has changed

_DOUBT = 0.4  # standard errors that a level is given for the benefit of the doubt
_SURE = 128  # answers that a level must rest on before it ends the way up
_FORGOTTEN = 0.99  # what stays of a weight with each measurement of any level
_LONGEST_MEMORY = 12  # measurements that the mean of a level rests on, at most


@dataclass(slots=True)
class Level:
    """What was measured of one level: `mean` of log throughput from `weight` answers, measured `times` times."""

    mean: float
    weight: float
    times: int = 1


@dataclass(slots=True)
class Knee:
    """Measurements of levels by their index on the grid, and what they say. `noise`: variance of one answer."""

    grid: tuple[int, ...]
    levels: dict[int, Level] = field(default_factory=dict)
    noise: float = 0.5
    suspect: int | None = None  # the level whose last measurement contradicted what was known
    changes: int = 0  # times that everything was forgotten

    def record(self, index: int, throughput: float, answers: int, *, probing: bool = False) -> None:
        """Take a measurement of a level. Two in a row that contradict what was known make it forget all the rest.

        `probing`: it was long not measured, so that what is older counts for no more than this measurement.
        """
        value = log(throughput)
        known = self.levels.get(index)
        for other in self.levels.values():
            other.weight *= _FORGOTTEN
        if known is None:
            self.levels[index] = Level(value, answers)
            return
        off = value - known.mean
        variance = 1 / answers + 1 / known.weight
        if abs(off) > max(_CHANGE, 4 * sqrt(self.noise * variance)):
            self._contradicted(index, value, answers)
            return
        self.suspect = None
        self.noise += 0.1 * (min(max(off * off / variance, 0.1), 4.0) - self.noise)
        weight = min(known.weight, (1 if probing else _LONGEST_MEMORY - 1) * answers)
        known.mean += off * answers / (weight + answers)
        known.weight = weight + answers
        known.times += 1

    def _contradicted(self, index: int, value: float, answers: int) -> None:
        if self.suspect != index:
            self.suspect = index
            return
        self.suspect = None
        self.changes += 1
        self.levels = {index: Level(value, answers)}

    def nearest(self, limit: int) -> int:
        """The greatest level of the grid that is at most `limit`."""
        return max(0, bisect_right(self.grid, limit) - 1)

    def forget_above(self, index: int) -> None:
        """Forget what was measured above a level."""
        self.levels = {each: level for each, level in self.levels.items() if each <= index}

    @property
    def best(self) -> int:
        """The level with the highest throughput that is sure."""
        return max(self.levels, key=lambda each: self.levels[each].mean - self._error(self.levels[each]))

    @property
    def target(self) -> int:
        """The level to hold: the best where it is a peak, else the least that is as good, or may be."""
        best = self.best
        if self.falls_beyond():
            return best
        return min(each for each in self.levels if each <= best and self._is_as_good(each, best))

    def unknown(self, *, top: int) -> int | None:
        """The level to measure next, or again, since the knee may lie there; at most `top`. None: enough is known."""
        best, target = self.best, self.target
        for index in (self._upwards(best, top), self._downwards(target), self._between(best, target)):
            if index is not None:
                return index
        return None

    def throughput(self, index: int) -> float:
        """Answers per second at a level; 0 where it was not measured."""
        level = self.levels.get(index)
        return exp(level.mean) if level else 0.0

    def falls_beyond(self) -> bool:
        """Whether more calls in flight than the best number are known to give less."""
        best = self.best
        above = [each for each in self.levels if each > best]
        if not above:
            return False
        doubt = _DOUBT * self._error(self.levels[best], self.levels[min(above)])
        return self._loss(min(above), best) > _FALLS + doubt

    def is_clearly_worse(self, throughput: float, answers: int) -> bool:
        """Whether a measurement under way need not go on."""
        best = self.levels[self.best]
        return log(throughput) < best.mean - _WORSE - 2 * sqrt(self.noise / answers)

    def _upwards(self, best: int, top: int) -> int | None:
        highest = max(self.levels)
        if highest >= top:
            return None
        lower = max((each for each in self.levels if self.grid[each] * 1.4 <= self.grid[highest]), default=None)
        if best != highest and self._loss(highest, best) > _SAME:
            return self._doubtful(best, highest)
        if lower is not None and not self._rises(lower, highest):
            return self._doubtful(lower, highest)
        return min(self.nearest(2 * self.grid[highest]), top)

    def _doubtful(self, low: int, high: int) -> int | None:
        """The level of the two that was measured less, where too little to say that the higher one is no better."""
        if self._loss(high, low) > self._error(self.levels[low], self.levels[high]):
            return None
        least = min(low, high, key=lambda each: self.levels[each].weight)
        return least if self.levels[least].weight < _SURE else None

    def _rises(self, low: int, high: int) -> bool:
        gain = -self._loss(high, low) - _DOUBT * self._error(self.levels[low], self.levels[high])
        return gain >= _STILL_RISING * log(self.grid[high] / self.grid[low])

    def _downwards(self, target: int) -> int | None:
        return self.nearest(self.grid[target] // 2) if 0 < target == min(self.levels) else None

    def _between(self, best: int, target: int) -> int | None:
        """A level in a wide gap: below the target, above the best, or between them.

        The best is measured once more before: by luck it may seem better than it is.
        """
        gap = self._gap(best, target)
        return best if gap is not None and self.levels[best].times < 2 else gap

    def _gap(self, best: int, target: int) -> int | None:
        falls = self.falls_beyond()
        below = max((each for each in self.levels if each < target), default=target)
        above = min((each for each in self.levels if each > best), default=best)
        if self._is_wide(below, target, steps=NEAR if falls else 2 * NEAR):
            return (target + below) // 2
        if self._is_wide(best, above, steps=NEAR if falls else 3 * NEAR):
            return (best + above + 1) // 2
        same = sorted(each for each in self.levels if target <= each <= best)
        wide = ((low + high) // 2 for low, high in pairwise(same) if self._is_wide(low, high, steps=3 * NEAR))
        return next(wide, None)

    def _is_wide(self, low: int, high: int, *, steps: int) -> bool:
        """Whether there is a level between the two and they are further apart than so many steps."""
        return high - low > 1 and self.grid[high] > 2 ** ((steps + 0.5) / STEPS_PER_DOUBLING) * self.grid[low]

    def _is_as_good(self, index: int, best: int) -> bool:
        worth = _SAME + _WORTH * log(self.grid[best] / self.grid[index])
        return self._loss(index, best) <= worth + _DOUBT * self._error(self.levels[index])

    def _loss(self, index: int, than: int) -> float:
        return self.levels[than].mean - self.levels[index].mean

    def _error(self, *levels: Level) -> float:
        return sqrt(self.noise * sum(1 / level.weight for level in levels))


def grid_of(at_least: int, at_most: int) -> tuple[int, ...]:
    """Levels from `at_least` to `at_most`, whole numbers, a twelfth of a doubling apart where that is one."""
    levels = [at_least]
    while levels[-1] < at_most:
        exact = 2 ** (1 / STEPS_PER_DOUBLING) * levels[-1]
        levels.append(min(at_most, max(levels[-1] + 1, round(exact))))
    return tuple(levels)
