"""What the losses of a trial's candidates say: progress, its interval, which is better, where the best rate lies.

All candidates see the same batches, timesteps and noise, so that differences are paired. The baseline is the loss of what the
trial started from, under the same noise. Numbers in, numbers out.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite, log10, sqrt
from typing import NamedTuple

GRID = tuple(10.0 ** (k / 2) for k in range(-4, 5))
"""Factors of the highest rate: half decades from 0.01 to 100."""

STEP = 0.5
"""Of the grid, in decades."""

FURTHEST = 4
"""So many half decades the grid grows to each side, where the best lies at its edge."""

WARMUP = 5
"""Updates over which a constant candidate rises to its rate: the first updates of a real schedule are mostly its warm-up."""

FEWEST = 8
"""With fewer updates nothing can be told."""

BAD = -0.5
"""Progress of a rate that is too high."""

LOOK, RUINED = 6, 3.0
"""A candidate ends early where its last so many losses are together so many times those of nothing."""

CURVE = 16
"""So many updates at most are in one point of a candidate's curve."""

Z = 1.6449
"""The 95 % quantile of the normal distribution."""


class Course(NamedTuple):
    """One candidate: the loss of each of its updates, and the number of the update at which it was ended early, from 1."""

    losses: tuple[float, ...]
    stopped_at: int | None = None


class Share(NamedTuple):
    """The share of the loss that is gone, and its 90 % interval."""

    progress: float
    low: float
    high: float


class Point(NamedTuple):
    """A rate that was tried, and its progress; None where it ended early."""

    rate: float
    progress: float | None


def warmed(rate: float, update: int) -> float:
    """The rate of a constant candidate at an update, from 0.

    >>> [warmed(0.5, k) for k in (0, 3, 4, 40)]
    [0.1, 0.4, 0.5, 0.5]
    """
    return rate * min(1.0, (update + 1) / WARMUP)


def is_ruined(losses: Sequence[float], baseline: Sequence[float]) -> bool:
    """Whether a candidate need not continue: not finite, or far worse than nothing."""
    if losses and not isfinite(losses[-1]):
        return True
    if len(losses) < LOOK:
        return False
    return sum(losses[-LOOK:]) > RUINED * sum(baseline[len(losses) - LOOK : len(losses)])


def second_half(numbers: Sequence[float]) -> Sequence[float]:
    """Of a trial's updates: what is judged.

    >>> second_half([1.0, 2.0, 3.0, 4.0, 5.0])
    [3.0, 4.0, 5.0]
    """
    return numbers[len(numbers) // 2 :]


def share(course: Course, baseline: Sequence[float]) -> Share | None:
    """Progress over the second half, with the interval of a ratio of two sums; None where it ended early.

    >>> share(Course((9.0, 9.0, 0.5, 1.0)), [9.0, 9.0, 1.0, 2.0])
    Share(progress=0.5, low=0.5, high=0.5)
    """
    if course.stopped_at is not None:
        return None
    losses, before = second_half(course.losses), second_half(baseline)
    if not sum(before) > 0:
        return Share(0.0, 0.0, 0.0)
    ratio, error = ratio_of(losses, before)
    width = error * t_quantile(len(before) - 1) if error else 0.0
    return Share(1.0 - ratio, 1.0 - ratio - width, 1.0 - ratio + width)


def ratio_of(losses: Sequence[float], before: Sequence[float]) -> tuple[float, float]:
    """What is left of the losses before, whose sum is above 0: a ratio of two sums, and its standard error.

    >>> ratio_of([0.5, 1.0], [1.0, 2.0])
    (0.5, 0.0)
    """
    total, count = sum(before), len(before)
    ratio = sum(losses) / total
    rest = sum((loss - ratio * base) ** 2 for loss, base in zip(losses, before, strict=True))
    return ratio, sqrt(rest * count / (count - 1)) / total if count > 1 else inf


def curve(losses: Sequence[float], baseline: Sequence[float]) -> list[tuple[int, float | None]]:
    """The share of the loss that is gone over the last CURVE updates, at each update, from 1; None where that is NaN or infinite.

    >>> curve((9.0, 1.0), [9.0, 2.0])
    [(1, 0.0), (2, 0.09090909090909094)]
    """
    found: list[tuple[int, float | None]] = []
    for update in range(1, len(losses) + 1):
        window = slice(max(0, update - CURVE), update)
        total = sum(baseline[window])
        gone = 1.0 - sum(losses[window]) / total if total > 0 else 0.0
        found.append((update, gone if isfinite(gone) else None))
    return found


def is_better(one: Course, other: Course) -> bool:
    """Whether the first is clearly better: 95 % of the paired differences' distribution, over the second half."""
    if one.stopped_at is not None or other.stopped_at is not None:
        return one.stopped_at is None
    gains = [b - a for a, b in zip(second_half(one.losses), second_half(other.losses), strict=True)]
    count = len(gains)
    if count < 2:
        return False
    mean = sum(gains) / count
    error = sqrt(sum((gain - mean) ** 2 for gain in gains) / (count - 1) / count)
    return mean > error * t_quantile(count - 1)


def t_quantile(freedom: int) -> float:
    """The 95 % quantile of Student's distribution (Abramowitz and Stegun 26.7.5), within 2 % from three degrees of freedom.

    >>> round(t_quantile(10), 2), round(t_quantile(23), 2)
    (1.81, 1.71)
    """
    if freedom < 1:
        return inf
    first = (Z**3 + Z) / 4
    second = (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96
    return Z + first / freedom + second / freedom**2


def best_of(points: Sequence[Point]) -> int | None:
    """Which candidate has gained most; None where all ended early."""
    there = [i for i, point in enumerate(points) if point.progress is not None]
    return max(there, key=lambda i: points[i].progress or 0.0, default=None)


def next_factor(factors: Sequence[float], points: Sequence[Point], grown: tuple[int, int]) -> float | None:
    """The factor by which the grid grows, where the best of it lies at its edge; None where it need not, or has grown enough.

    Args:
        factors: rising, and the points of them.
        grown: by how many it has grown below and above.
    """
    best = best_of(points)
    if best in (None, 0) and grown[0] < FURTHEST:  # where all were ruined the best lies below too
        return factors[0] / 10**STEP
    if best == len(points) - 1 and grown[1] < FURTHEST:
        return factors[-1] * 10**STEP
    return None


def peak_of(points: Sequence[Point]) -> float | None:
    """The best rate: the vertex of the parabola in log rate through the best and its neighbours.

    It lies at least half a step of the grid below the first that is far worse than nothing. None where all ended early.

    >>> round(peak_of([Point(0.01, 0.1), Point(0.1, 0.3), Point(1.0, 0.1)]), 6)
    0.1
    >>> round(peak_of([Point(0.01, 0.1), Point(0.1, 0.3), Point(1.0, 0.2)]), 6)
    0.14678
    >>> round(peak_of([Point(0.01, 0.1), Point(0.0316228, 0.3), Point(0.1, None)]), 4)
    0.0224
    """
    best = best_of(points)
    if best is None:
        return None
    place = log10(points[best].rate) if best in (0, len(points) - 1) else _vertex(points[best - 1 : best + 2])
    bad = next((point.rate for point in points if _height(point) <= BAD), None)
    if bad is not None:
        place = min(place, log10(bad) - STEP / 2)
    return 10.0**place  # type: ignore[no-any-return]


def _height(point: Point) -> float:
    return BAD if point.progress is None else max(point.progress, BAD)


def _vertex(three: Sequence[Point]) -> float:
    """In decades; between the outer two, since the middle one is the highest."""
    (x0, y0), (x1, y1), (x2, y2) = ((log10(point.rate), _height(point)) for point in three)
    left, right = (y1 - y0) / (x1 - x0), (y1 - y2) / (x2 - x1)
    if left + right <= 0:
        return x1
    # The slope is left in the middle of the left interval, and -right in that of the right one.
    low, high = (x0 + x1) / 2, (x1 + x2) / 2
    return low + (high - low) * left / (left + right)
