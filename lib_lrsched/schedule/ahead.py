"""Values of a plan, evaluated for many updates at a time and held ready."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CHUNK = 1024
"""Values are asked of the plan this many steps at a time."""


class Ahead:
    """Values of a plan held ready for the next CHUNK updates.

    Steps are counted from ``origin``, where the plan begins; ``stop`` is the plan's own, as in Plan.
    """

    __slots__ = ("_held", "_last", "_origin", "_start", "_values")

    def __init__(self, values: Callable[[range], NDArray[np.float64]], stop: int, *, origin: int = 0) -> None:
        self._values = values
        self._origin = origin
        self._last = origin + stop - 1
        self._held: list[float] = []
        self._start = 0

    def at(self, step: int) -> float:
        """The value at a step; after the end, the last one."""
        index = step - self._start
        if 0 <= index < len(self._held):
            return self._held[index]
        if step > self._last:
            return self.at(self._last)
        own, after = step - self._origin, min(step + CHUNK, self._last + 1) - self._origin
        self._held, self._start = self._values(range(own, after)).tolist(), step
        return self._held[0]
