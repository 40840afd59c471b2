"""What the losses of a range test say: progress over rate, the rate that suits, and why; or why that cannot be told.

The rate climbs while the weights keep what they have learned, so the best progress comes late, at rates that are too high to train
with for long. What is suggested is where the loss falls fastest: where half of the best progress is made. Numbers in, numbers out.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import NamedTuple

from ._trial_rules import BAD, STEP, ratio_of
from ._trial_words import two_digits

FEWEST = 24
"""With fewer measured updates nothing can be told."""

WINDOWS, NARROWEST = 12, 8
"""Progress is that of a twelfth of the test's updates around a rate, and of eight at least."""

CLEARLY = 3.0
"""So many standard errors, and it is no noise: a dozen windows are looked at, and the best of them is taken."""

TOO_SMALL = 1e-3
"""A share of the loss that is nothing, however sure it is."""

MOST_POINTS = 120
"""Windows that are looked at, which are the points of the curve."""


class Pair(NamedTuple):
    """One update: its rate, its loss, and that of what the run started from, under the same noise. None: it is not finite."""

    rate: float
    loss: float | None
    baseline: float | None


class Answer(NamedTuple):
    """Progress over rate, a rate or None, and the reason.

    Attributes:
        points: (rate, share of the loss that is gone), by rising rate.
    """

    points: tuple[tuple[float, float], ...]
    suggested: float | None
    why: str


class _Window(NamedTuple):
    """Neighbouring updates, as indices [start, stop): the rate in their middle, progress and its standard error."""

    start: int
    stop: int
    rate: float
    progress: float
    error: float


def judge(pairs: Sequence[Pair]) -> Answer:
    """What a range test says.

    Args:
        pairs: its measured updates, in the order in which they were made; those after the loss was not finite may be among them.
    """
    found = _measured(pairs)
    ruined = next((pair.rate for pair in pairs if pair.loss is None or not isfinite(pair.loss)), None)
    if len(found) < FEWEST:
        updates = "1 measured update is" if len(found) == 1 else f"{len(found)} measured updates are"
        return Answer((), None, f"{updates} too few: at least {FEWEST} are needed, 300 are usual")
    windows = _windows(found)
    points = tuple((window.rate, window.progress) for window in windows)
    suggested, why = _suggestion(found, _level(found[0], windows[0]), ruined)
    return Answer(points, suggested, why)


def _suggestion(found: Sequence[Pair], level: float, ruined: float | None) -> tuple[float | None, str]:
    """
    Args:
        level: what the baselines are multiplied by, so that progress begins at 0.
        ruined: the rate at which the loss was not finite.
    """
    scaled = [pair._replace(baseline=level * (pair.baseline or 0.0)) for pair in found]
    windows = _windows(scaled)
    best = max(windows, key=lambda window: window.progress)
    bad = next((window.rate for window in windows if window.progress <= BAD), ruined)
    if not any(window.progress >= max(CLEARLY * window.error, TOO_SMALL) for window in windows):
        worse = "" if bad is None else f" before it does harm, from about {bad:.2g} on: use a lower `from`, or more updates"
        return None, f"nothing was learned at any rate{worse}"
    if not _has_turned(windows, best, bad):
        return None, f"progress was still rising at {found[-1].rate:.2g}, the highest rate reached: use a higher `to`"
    half = _first_half(scaled[: best.stop], best.progress)
    if found[half].rate < windows[0].rate:
        return None, f"it gains most at the lowest rate already, {found[0].rate:.2g}: use a lower `from`"
    # A trial holds its rates, and keeps half a step; here the rate has moved on before the loss shows what it did.
    rate = found[half].rate if bad is None else min(found[half].rate, bad / 10**STEP)
    return two_digits(rate), _reason(two_digits(rate), best, bad)


def _reason(rate: float, best: _Window, bad: float | None) -> str:
    reached = f"half of the best progress, {100 * best.progress:.2g} % of the loss at {best.rate:.2g}, is made there"
    turned = "" if bad is None else f"; from about {bad:.2g} on it is far worse than nothing"
    return f"the loss falls fastest at about {rate:g}: {reached}{turned}"


def _measured(pairs: Sequence[Pair]) -> list[Pair]:
    """Those with both losses, above 0."""
    return [pair for pair in pairs if pair.loss is not None and pair.baseline is not None
            and isfinite(pair.loss) and isfinite(pair.baseline) and pair.baseline > 0 and pair.rate > 0]


def _windows(found: Sequence[Pair]) -> list[_Window]:
    """They overlap; the last one ends with the test."""
    width = max(NARROWEST, len(found) // WINDOWS)
    last = len(found) - width
    every = last // MOST_POINTS + 1
    return [_window(found, start, start + width) for start in (*range(0, last, every), last)]


def _window(found: Sequence[Pair], start: int, stop: int) -> _Window:
    losses = [pair.loss or 0.0 for pair in found[start:stop]]
    before = [pair.baseline or 0.0 for pair in found[start:stop]]
    ratio, error = ratio_of(losses, before)
    return _Window(start, stop, found[(start + stop) // 2].rate, 1.0 - ratio, error)


def _level(start: Pair, first: _Window) -> float:
    """What is left of the loss where the test begins: less than all of it in a run that has learned already.

    The loss of the first update is that of the weights before it: where it is the baseline's, the test began there.
    """
    is_there = abs((start.loss or 0.0) - (start.baseline or 0.0)) <= TOO_SMALL * (start.baseline or 0.0)
    is_clear = abs(first.progress) > max(CLEARLY * first.error, TOO_SMALL) and not is_there
    return 1.0 - first.progress if is_clear and first.progress < 1.0 else 1.0


def _has_turned(windows: Sequence[_Window], best: _Window, bad: float | None) -> bool:
    """Whether progress has clearly fallen below its best."""
    if bad is not None and bad > best.rate:
        return True
    later = (one for one in windows if one.start >= best.stop)
    return any(best.progress - one.progress > CLEARLY * sqrt(best.error**2 + one.error**2) for one in later)


def _first_half(found: Sequence[Pair], best: float) -> int:
    """The update at which half of the best progress is made, on the rising curve that fits best (pool adjacent violators).

    It needs no width to smooth over, and single losses of a hard timestep do not move it.
    """
    blocks: list[tuple[float, float, int]] = []  # loss, baseline, and where it begins
    for place, pair in enumerate(found):
        loss, before, start = pair.loss or 0.0, pair.baseline or 0.0, place
        while blocks and blocks[-1][0] * before < loss * blocks[-1][1]:
            more, base, start = blocks.pop()
            loss, before = loss + more, before + base
        blocks.append((loss, before, start))
    return next((start for loss, before, start in blocks if 1.0 - loss / before >= best / 2), len(found) - 1)
