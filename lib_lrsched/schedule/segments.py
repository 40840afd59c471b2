"""Segments, of which a plan is made, and their curves one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lib_lrsched.language.tree import Item

from .curves import FAR, Curve, Steps, Values
from .shapes import ENTRIES, Built, Shape


class Segment(NamedTuple):
    """Steps ``[start, stop)`` of a run, or of a pass of a repeat. ``length`` is the n of the shapes, from the written end.

    ``values`` has the parameter values by name, with defaults and what was left to the segment before worked out.
    ``built`` has the curve; it is None for a plain number, whose rate is the value ``v``.
    ``open`` says that no end was written. ``passes`` has the segments inside a repeat.
    """

    start: int
    stop: int
    length: int
    item: Item
    shape: str
    values: Mapping[str, Any]
    built: Built | None
    open: bool = False
    passes: Passes | None = None

    @property
    def exit(self) -> float | None:
        """The rate that the next segment can start from."""
        return self.values.get("v") if self.built is None else self.built.exit

    @property
    def curve(self) -> float | Curve:
        """What it is made of, for a Piecewise: a number where the rate is written as one."""
        return self.values["v"] if self.built is None else self.built.curve

    @property
    def momentum(self) -> Curve | None:
        """Momentum (Adam's beta1), where the shape drives it."""
        return None if self.built is None else self.built.momentum

    @property
    def entry(self) -> Shape:
        """What is known of its shape."""
        return _BY_NAME[self.shape]


class Passes(NamedTuple):
    """The segments of a repeat, in its first pass and in the later ones, where the first of them may begin at another rate.

    Their steps count from the start of the pass, which takes ``length`` steps.
    """

    length: int
    first: tuple[Segment, ...]
    again: tuple[Segment, ...]


_BY_NAME = {shape.name: shape for shape in ENTRIES}


class Piecewise:
    """Curve ``i`` covers ``[starts[i], starts[i + 1])`` and is a number or a curve of j = k - starts[i].

    The cost is that of the curves that are asked, not of how many there are: a text of thousands of
    phases is a table look-up.

    Args:
        starts: rising whole numbers; the first is 0.
        curves: a float (NaN for nothing) or a curve for each start.
    """

    def __init__(self, starts: Sequence[int], curves: Sequence[float | Curve]) -> None:
        self._starts = [min(start, FAR) for start in starts]
        self._bounds = np.array([*self._starts, FAR], dtype=np.int64)
        self._curves: list[Any] = list(curves)
        self._table = np.array([curve if isinstance(curve, float) else np.nan for curve in curves], dtype=np.float64)
        self._curved = [i for i, curve in enumerate(curves) if not isinstance(curve, float)]

    def __call__(self, k: Steps) -> Values:
        if not isinstance(k, np.ndarray):
            i = bisect_right(self._starts, k) - 1
            curve: Any = self._curves[i]
            return curve if isinstance(curve, float) else curve(k - self._starts[i])
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
            return np.array(self._curves[0](k), dtype=np.float64)
        values = self._table[np.searchsorted(self._bounds[1:-1], k, "right")]
        if not self._curved:
            return values
        cuts = np.searchsorted(k, self._bounds)
        for i in self._curved:
            first, last = cuts[i], cuts[i + 1]
            if first < last:
                values[first:last] = self._curves[i](k[first:last] - self._starts[i])
        return values


def joined(segments: Sequence[Segment]) -> tuple[Piecewise, Piecewise | None]:
    """The rate of segments one after the other, and momentum, NaN where nothing drives it; None where nothing ever does."""
    starts = [segment.start for segment in segments]
    rate = Piecewise(starts, [segment.curve for segment in segments])
    if not any(segment.momentum for segment in segments):
        return rate, None
    return rate, Piecewise(starts, [segment.momentum or float("nan") for segment in segments])
