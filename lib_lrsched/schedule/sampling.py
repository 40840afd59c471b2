"""A curve of any length as at most N points, with its extremes and boundaries kept exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .plan import Plan

WHOLE = 2_000_000
"""Up to this many steps every one is evaluated; beyond it the extremes are searched on a grid first."""


def sample_steps(plan: Plan, limit: int, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Steps that show the curve -> rising int64 [M], M <= limit (16 or more).

    Both sides of each boundary are among them while these are at most half of ``limit``, and so are the
    lowest and the highest step of each of the buckets that share the rest.
    """
    stop = plan.stop if stop is None else min(stop, plan.stop)
    if stop - start <= limit:
        return np.arange(start, stop, dtype=np.int64)
    kept = _sides(plan.boundaries, start, stop)
    if len(kept) > limit // 2:
        kept = np.array([start, stop - 1], dtype=np.int64)
    buckets = max(1, (limit - len(kept)) // 2)
    return np.unique(np.concatenate([kept, _extremes(plan, start, stop, buckets)]))


def _sides(boundaries: Sequence[int], start: int, stop: int) -> np.ndarray:
    inner = np.array([b for b in boundaries if start < b < stop], dtype=np.int64)
    return np.unique(np.concatenate([inner - 1, inner, np.array([start, stop - 1], dtype=np.int64)]))


def _extremes(plan: Plan, start: int, stop: int, buckets: int) -> np.ndarray:
    stride = -(-(stop - start) // WHOLE)
    steps = np.arange(start, stop, stride, dtype=np.int64)
    values = plan.values(steps)
    size = -(-len(steps) // buckets)
    full = len(steps) // size * size
    rows = values[:full].reshape(-1, size)
    base = np.arange(0, full, size)
    lowest, highest = base + rows.argmin(axis=1), base + rows.argmax(axis=1)
    if full < len(steps):
        lowest = np.append(lowest, full + values[full:].argmin())
        highest = np.append(highest, full + values[full:].argmax())
    if stride > 1:
        lows = _refine(plan, steps[lowest], stride, (start, stop), np.argmin)
        highs = _refine(plan, steps[highest], stride, (start, stop), np.argmax)
        return np.concatenate([lows, highs])
    return steps[np.concatenate([lowest, highest])]


def _refine(plan: Plan, picked: np.ndarray, stride: int, within: tuple[int, int], best: Callable[..., np.ndarray]) -> np.ndarray:
    """Move each picked step to the extreme among its neighbours that the grid left out."""
    nearest_first = np.array(sorted(range(1 - stride, stride), key=abs))
    around = np.clip(picked[:, None] + nearest_first, within[0], within[1] - 1)
    return around[np.arange(len(picked)), best(plan.values(around), axis=1)]
