"""Curves one after the other, evaluated for any steps at once.

The cost is that of the curves that are asked, not of how many there are: a text of thousands of
phases is a table look-up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np

from .curves import FAR, Curve, Steps, Values


class Pieces:
    """Piece ``i`` covers ``[starts[i], starts[i + 1])`` and is a number or a curve of j = k - starts[i].

    Args:
        starts: rising whole numbers; the first is 0.
        parts: a float (NaN for nothing) or a curve for each start.
    """

    def __init__(self, starts: Sequence[int], parts: Sequence[float | Curve]) -> None:
        self._starts = [min(start, FAR) for start in starts]
        self._bounds = np.array([*self._starts, FAR], dtype=np.int64)
        self._parts: list[Any] = list(parts)
        self._table = np.array([part if isinstance(part, float) else np.nan for part in parts], dtype=np.float64)
        self._curved = [i for i, part in enumerate(parts) if not isinstance(part, float)]

    def __call__(self, k: Steps) -> Values:
        if not isinstance(k, np.ndarray):
            i = bisect_right(self._starts, k) - 1
            part: Any = self._parts[i]
            return part if isinstance(part, float) else part(k - self._starts[i])
        if k.size and not self._curved and len(self._table) == 1:
            return np.full(k.shape, self._table[0])
        flat = k.ravel()
        if flat.size > 1 and self._curved and not bool(np.all(flat[1:] >= flat[:-1])):
            order = np.argsort(flat, kind="stable")
            values = np.empty(flat.shape)
            values[order] = self._rising(flat[order])
        else:
            values = self._rising(flat)
        return values.reshape(k.shape)

    def _rising(self, k: np.ndarray) -> np.ndarray:
        """``k`` int64 [N], not falling -> float64 [N]."""
        if len(self._table) == 1 and self._curved:
            return np.array(self._parts[0](k), dtype=np.float64)
        values = self._table[np.searchsorted(self._bounds[1:-1], k, "right")]
        if not self._curved:
            return values
        cuts = np.searchsorted(k, self._bounds)
        for i in self._curved:
            first, last = cuts[i], cuts[i + 1]
            if first < last:
                values[first:last] = self._parts[i](k[first:last] - self._starts[i])
        return values
