"""The rows of the benchmarks' tables, and when a goal counts as met: see bench.py."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

SURE = 0.9
"""The true median lies between the ends that are looked at with at least this probability."""

OK, MISSED, OPEN = "ok", "MISSED", "not decided"


class Clock:
    """What all benchmarks read: the clock on the wall, or with ``--cpu`` the processor time of this process."""

    read: Callable[[], float] = staticmethod(time.perf_counter)


class Goal(NamedTuple):
    """A ratio that is to be at most, or at least, so much."""

    limit: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"

    def verdict(self, ratios: Sequence[float]) -> str:
        """Of measurements of one ratio: decided where both ends of what its median may be lie on one side.

        >>> Goal(2.0).verdict([1.0, 1.1, 1.2, 1.3, 1.9]), Goal(2.0).verdict([1.0, 1.1, 1.2, 1.3, 2.1])
        ('ok', 'not decided')
        >>> Goal(2.0).verdict([2.1, 2.2, 2.3, 2.4, 2.5]), Goal(2.0, at_least=True).verdict([2.1])
        ('MISSED', 'ok')
        """
        met = {(end >= self.limit if self.at_least else end <= self.limit) for end in ends(ratios)}
        return OPEN if len(met) > 1 else OK if met.pop() else MISSED


def ends(ratios: Sequence[float]) -> tuple[float, float]:
    """Between which the true median lies with probability SURE, whatever the noise; of few measurements the outermost.

    >>> ends([5.0, 1.0, 2.0, 3.0, 4.0]), ends(range(15))
    ((1.0, 5.0), (3, 11))
    """
    held, count, cut = sorted(ratios), len(ratios), 0
    while 2 * (cut + 1) < count and 1 - 2 * sum(math.comb(count, k) for k in range(cut + 2)) / 2**count >= SURE:
        cut += 1
    return held[cut], held[count - 1 - cut]


class Line(NamedTuple):
    """One row: a measurement, perhaps against a reference, perhaps with a goal for their ratio.

    ``ratios`` are those of the rounds in which both were measured by turns.
    """

    what: str
    measured: float
    unit: str
    reference: float | None = None
    reference_name: str = ""
    ratios: Sequence[float] = ()
    goal: Goal | None = None

    @property
    def verdict(self) -> str:
        return "" if self.goal is None else self.goal.verdict(self.ratios)

    @property
    def ratio(self) -> str:
        """The median, and its ends where they are known."""
        if not self.ratios:
            return ""
        low, high = ends(self.ratios)
        return f"{statistics.median(self.ratios):.3g}x" + (f" ({low:.3g} to {high:.3g})" if len(self.ratios) > 1 else "")

    def __str__(self) -> str:
        reference = "" if self.reference is None else f"{self.reference:.4g} {self.unit} {self.reference_name}"
        goal = "" if self.goal is None else str(self.goal)
        measured = f"{self.measured:.4g} {self.unit}"
        return f"{self.what:<50} {measured:>12}  {reference:<34} {self.ratio:<22} {goal:<8} {self.verdict}".rstrip()

    def as_goal(self) -> str:
        """Its row in the table of the goals."""
        against = f"{self.what}, against {self.reference_name}" if self.reference_name else self.what
        return f"{against:<88} {self.ratio:<22} {self.goal!s:<8} {self.verdict}"


class Pairs(NamedTuple):
    """Two measurements, made by turns, so that both see the same state of the machine."""

    ours: list[float]
    reference: list[float]

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.reference)]

    def line(self, what: str, unit: str, scale: float, reference_name: str, goal: Goal | None = None) -> Line:
        """The row with the medians of both; ``scale`` units are a second."""
        ours, reference = (statistics.median(one) * scale for one in self)
        return Line(what, ours, unit, reference, reference_name, self.ratios, goal)


def seconds(action: Callable[[], Any], count: int = 1) -> float:
    """One measurement: seconds for one of ``count`` calls."""
    begin = Clock.read()
    for _ in range(count):
        action()
    return (Clock.read() - begin) / count


def median(action: Callable[[], Any], repeats: int = 7, count: int = 1) -> float:
    action()
    return statistics.median(seconds(action, count) for _ in range(repeats))


def in_turn(ours: Callable[[], float], reference: Callable[[], float], repeats: int) -> Pairs:
    """Two measurements by turns, after one of each that does not count."""
    ours(), reference()
    found = [(ours(), reference()) for _ in range(repeats)]
    return Pairs([a for a, _ in found], [b for _, b in found])
