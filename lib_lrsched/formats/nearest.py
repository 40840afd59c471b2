"""The nearest of another program's schedules, where none is exact, and how far it is from the plan.

Near means: at every update within a few percent of a rate that the plan has there or at most two updates before or after, and
within a few percent of all rates together. What is farther is refused, with the distance.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from .export_result import same, short

SHIFT = 2
"""Updates: a warm-up from 0 is one late, DeepSpeed's two."""

PART = 0.05
"""Relative, beside the shift. Above the plan's own rate it is a part of the highest one: a single update that is far too high
ruins what was trained, one that is too low is lost."""

ALL_TOGETHER = 0.03
"""Of the sum of the plan's rates: where they jump up and down, a shift by one update is far."""


class HasRates(Protocol):
    @property
    def rates(self) -> np.ndarray: ...


Found = TypeVar("Found", bound=HasRates)


class Deviation(NamedTuple):
    """Where and how much rates differ from the plan's.

    ``differing`` steps differ, the first of them ``first``, the last ``last``. ``share`` is the largest difference as a part of the
    plan's highest rate, at step ``worst``, where ``rate`` stands in the place of ``planned``. ``relative`` is the largest one as
    a part of the plan's rate at the same step, ``relative_at``. ``starts_at_0``: the first rate is 0, and the plan's is not.
    """

    differing: int
    first: int
    last: int
    share: float
    worst: int
    rate: float
    planned: float
    relative: float
    relative_at: int
    starts_at_0: bool


def deviation(rates: np.ndarray, values: np.ndarray) -> Deviation:
    """Compare two float64 [N] that are not the same everywhere."""
    away = np.abs(rates - values)
    parts = np.divide(away, values, out=np.zeros_like(away), where=values > 0.0)
    differ = np.flatnonzero(~same(rates, values))
    worst, relative_at = _largest(away), _largest(parts)
    return Deviation(
        len(differ), int(differ[0]), int(differ[-1]), float(away[worst] / values.max()), worst,
        float(rates[worst]), float(values[worst]), float(parts[relative_at]), relative_at, bool(rates[0] == 0.0 < values[0]),
    )  # fmt: skip


def _largest(parts: np.ndarray) -> int:
    """The first step that has the largest but for rounding."""
    return int(np.flatnonzero(parts >= parts.max() * (1.0 - 1e-9))[0])


def is_near(rates: np.ndarray, values: np.ndarray) -> bool:
    """Whether ``rates`` follow ``values``, both float64 [N]. Before the first update the rate counts as 0."""
    around = np.concatenate((np.zeros(SHIFT), values, np.full(SHIFT, values[-1])))
    low = high = values
    for shift in range(2 * SHIFT + 1):
        moved = around[shift : shift + len(values)]
        low, high = np.minimum(low, moved), np.maximum(high, moved)
    dust = 1e-14 * values.max()
    if not np.all((rates >= low * (1.0 - PART) - dust) & (rates <= high * (1.0 + PART) + dust)):
        return False
    if np.any(rates > values * (1.0 + PART) + PART * values.max()):
        return False
    if np.any(rates[values == 0.0] > dust):  # nothing is to be trained there
        return False
    return float(np.abs(rates - values).sum()) <= ALL_TOGETHER * float(values.sum())


def nearest(candidates: Iterable[Found], values: np.ndarray) -> tuple[Found | None, Deviation | None]:
    """The candidate that follows the plan best, with its distance; of those that are equally near, to a few digits, the first.

    Without one that is near: None, and the distance of the one that is least far away, or None where nothing can be compared.
    """
    best: tuple[tuple[bool, float, float], Found, Deviation] | None = None
    for candidate in candidates:
        if not np.all(np.isfinite(candidate.rates)) or not values.max() > 0.0:
            continue
        found = deviation(candidate.rates, values)
        together = float(np.abs(candidate.rates - values).sum() / values.sum())
        order = (not is_near(candidate.rates, values), round(found.share, 3), round(together, 2))
        if best is None or order < best[0]:
            best = order, candidate, found
    if best is None:
        return None, None
    (is_far, *_), candidate, found = best
    return (None if is_far else candidate), found


def said(found: Deviation, values: np.ndarray, program: str) -> str:
    """The deviation as the note of an export says it."""
    where = f"{found.differing} of {len(values)} steps differ ({found.first} to {found.last})"
    if found.differing == 1:
        where = f"step {found.first} alone differs"
    if found.starts_at_0:
        where = f"{program} has a rate of 0 in the first update; {where}"
    relative = f" and {_percent(found.relative)} of the plan's own"
    if found.relative_at != found.worst:
        relative = f"; relative to the plan's own rate at most {_percent(found.relative)}, at step {found.relative_at}"
    return (f"the nearest form, not exact: {where}; at most by {_instead(found)}, {_percent(found.share)} of the highest rate"
            f"{relative}; with PlanLR it is exact there too")


def _percent(part: float) -> str:
    return f"{part:.2%}" if part >= 1e-4 else f"{100.0 * part:.1g}%"


def how_far(found: Deviation | None) -> str:
    """The same for a refusal."""
    if found is None:
        return ""
    return f"; the nearest is off by {_instead(found)}, {found.share:.0%} of the highest rate"


def _instead(found: Deviation) -> str:
    """Both rates, with as many digits as tell them apart."""
    for digits in range(2, 17):
        rate, planned = (short(float(f"{one:.{digits}e}")) for one in (found.rate, found.planned))
        if rate != planned:
            break
    return f"{short(float(f'{abs(found.rate - found.planned):.2e}'))} ({rate} in the place of {planned} at step {found.worst})"
