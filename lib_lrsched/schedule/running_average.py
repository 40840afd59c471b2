"""The running average of a loss: exponential, and freed of its start at 0 by dividing by what an average of ones would be.

The state is two numbers, ``total`` and ``weight``; the average is ``total / weight``. A value that is NaN or infinity leaves
both where they are.
"""

from __future__ import annotations

from math import isfinite, nan

import numpy as np
from numpy.typing import NDArray

SMOOTHING = 0.98
"""Decay of the average: it looks back over about 50 updates."""

Floats = NDArray[np.float64]


def add(total: float, weight: float, value: float, smoothing: float = SMOOTHING) -> tuple[float, float]:
    """Total and weight after one more value; ``smoothing`` is what is kept of those before it.

    >>> total, weight = add(*add(0.0, 0.0, 0.25), 0.5)
    >>> round(total / weight, 6), round(weight, 6)
    (0.376263, 0.0396)
    >>> add(total, weight, float("nan")) == (total, weight)
    True
    """
    if not isfinite(value):
        return total, weight
    return smoothing * total + (1.0 - smoothing) * value, smoothing * weight + (1.0 - smoothing)


def total_of(mean: float, weight: float) -> float:
    """The total that gives this average."""
    return 0.0 if weight == 0.0 else mean * weight


def mean_of(total: float, weight: float) -> float:
    """The average; NaN before the first value."""
    return nan if weight == 0.0 else total / weight


def means_after_each(mean: float, weight: float, values: Floats, smoothing: float = SMOOTHING) -> tuple[Floats, Floats]:
    """Average and weight after each of the values, float64 [n] each, as ``add`` makes them but for rounding."""
    finite = np.isfinite(values)
    taken = values if finite.all() else values[finite]
    totals = _decayed(taken, total_of(mean, weight), smoothing)
    weights = 1.0 - (1.0 - weight) * smoothing ** np.arange(1.0, len(taken) + 1.0)
    if len(taken) == len(values):
        return totals / weights, weights
    at = np.cumsum(finite)  # a value that is not finite leaves the average where it is
    return np.concatenate([[mean], totals / weights])[at], np.concatenate([[weight], weights])[at]


def _decayed(values: Floats, start: float, smoothing: float) -> Floats:
    """The totals t = smoothing * t + (1 - smoothing) * value after each value, from `start` on; float64 [n]."""
    width = min(128, max(1, len(values)))
    count = -(-len(values) // width)
    padded = np.zeros(count * width)
    padded[: len(values)] = values
    powers = smoothing ** np.arange(width + 1.0)
    lag = np.arange(width)[:, None] - np.arange(width)
    totals = padded.reshape(count, width) @ np.where(lag >= 0, powers[np.abs(lag)], 0.0).T * (1.0 - smoothing)
    for block in totals:
        block += start * powers[1:]
        start = block[-1]
    return totals.reshape(-1)[: len(values)]
