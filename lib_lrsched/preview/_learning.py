"""Whether a run learns, in words: what its measured progress says beyond its noise.

The progress of one window is noisy: with few measured updates in it by ten points and more. So every statement here is a test.
Windows that do not overlap are compared, and the noise of a window is estimated from the pairs of losses in the newest ones:
from how far each loss lies from its baseline times the share that is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lib_lrsched.storage.history import Compared
from lib_lrsched.storage.history_row import PROGRESS_WINDOW as WINDOW

FEWEST_PAIRS = 4
"""With fewer measured updates nothing is said."""

NOISE_WINDOWS = 8
"""The noise is estimated over this many of the newest windows: it grows while a run moves away from where it started."""

MOST_WINDOWS = 400
"""Of a longer run the newest ones are compared."""

CLEARLY = 2.5
"""So many standard errors from 0, and something was learned, or it is worse than at the start."""

TOO_SMALL = 1e-3
"""A share below this is nothing, however sure it is: pairs that hardly differ have hardly any noise."""

FELL = 3.0
"""So many standard errors below an earlier level, and it is falling."""

ROSE, SLOWER = 1.0, 2.0
"""A stretch gains nothing where its slope is at most so many standard errors above 0, and so many below most of the pace before."""

NOTHING = ("nothing is learned yet", "nothing was learned")

NO_NOTE = "progress was off, or the run is of a version without it"

Floats = NDArray[np.float64]


class Learning(NamedTuple):
    """What is known of a run's progress.

    Attributes:
        said: in words; never empty.
        share: of the loss that is gone, 0.3 for thirty percent; over as many windows as it takes to tell it from 0, four at most.
            None where too little was measured.
        error: its standard error.
    """

    said: str
    share: float | None = None
    error: float | None = None


def learning(compared: Compared, looks: Sequence[tuple[int, float]] = (), *, last_step: int | None, is_over: bool,
             why_not: str = "") -> Learning:
    """What a run's progress and its validation say.

    Args:
        compared: its measured updates.
        looks: of validation: updates made, and the share of the loss that was gone.
        last_step: its newest update, None before the first; measurements may have ended before it.
        is_over: it is not being trained now.
        why_not: why nothing was measured, where the run's log says so.
    """
    found = progress(compared, last_step=last_step, is_over=is_over, why_not=why_not)
    if not looks:
        return found
    said = f"progress: {found.said}" if found.share is None else found.said
    said = "progress is within its noise" if said in NOTHING else said
    return found._replace(said=f"{said}; {_looks_in_words(looks)}")


def progress(compared: Compared, *, last_step: int | None, is_over: bool, why_not: str) -> Learning:
    """The same of progress alone."""
    pairs = compared.steps[np.isfinite(compared.baselines)]
    if not len(pairs):
        return Learning(_not_measured(last_step, is_over=is_over, why_not=why_not))
    if len(pairs) < FEWEST_PAIRS:
        return Learning(_too_few(pairs, is_over=is_over))
    steps, shares = windows(compared)
    noise = window_noise(compared)
    share, error = _level(shares, noise)
    said = _level_in_words(share, error, is_over=is_over)
    if share > max(CLEARLY * error, TOO_SMALL):
        said += _trend_in_words(steps, shares, noise)
    if last_step is not None and last_step - steps[-1] >= WINDOW:
        said = f"measured up to step {int(pairs[-1]):,}: {said}"
    return Learning(said, share, error if isfinite(error) else None)


def windows(compared: Compared) -> tuple[Floats, Floats]:
    """Windows that do not overlap, back from the newest and returned in rising order: their last steps, and progress."""
    back = ((compared.steps[-1] - compared.steps) // WINDOW)[::-1]
    chosen = (len(back) - 1 - np.unique(back, return_index=True)[1][:MOST_WINDOWS])[::-1]
    return compared.steps[chosen], compared.progress[chosen]


def window_noise(compared: Compared) -> float:
    """The standard error of the progress of one window, over the newest ones, and over FEWEST_PAIRS pairs at least."""
    pairs = np.flatnonzero(np.isfinite(compared.baselines))
    newest = pairs[compared.steps[pairs] > compared.steps[-1] - NOISE_WINDOWS * WINDOW]
    newest = newest if len(newest) >= FEWEST_PAIRS else pairs[-FEWEST_PAIRS:]
    losses, baselines = compared.losses[newest], compared.baselines[newest]
    if len(losses) < 2:
        return inf
    left = losses.sum() / baselines.sum()
    per_window = min(len(losses), max(1.0, len(losses) * WINDOW / (compared.steps[-1] - compared.steps[newest[0]] + 1)))
    return float(np.std(losses - left * baselines, ddof=1) / (sqrt(per_window) * baselines.mean()))


def _level(shares: Floats, noise: float) -> tuple[float, float]:
    """Share and standard error over the fewest of the newest windows that are clearly not 0; else over the newest four."""
    for count in (1, 2, 4):
        newest = shares[-count:]
        share, error = float(newest.mean()), noise / sqrt(len(newest))
        if abs(share) > CLEARLY * error:
            break
    return share, error


def has_fallen(shares: Floats, noise: float) -> int | None:
    """The end (exclusive) of the stretch of windows that was clearly better than the newest, or None."""
    width = max(2, len(shares) // 8)
    if len(shares) < 2 * width:
        return None
    means = np.convolve(shares, np.full(width, 1 / width), mode="valid")
    best = int(means[:-width].argmax())
    return best + width if means[best] - means[-1] > FELL * noise * sqrt(2 / width) else None


def gained_nothing(steps: Floats, shares: Floats, noise: float) -> int:
    """For how many updates, 100 or more, nothing was gained; 0 where it still gains or cannot be told.

    A stretch is flat where its slope is within the noise of 0, it begins at its own level, and continuing at the earlier pace can
    be ruled out: little data is no standstill. The longest such stretch counts.
    """
    found = 0
    for count in range(3, len(shares)):
        tail, x = shares[-count:], np.arange(count) - (count - 1) / 2
        spread = float(x @ x)
        slope, error = float(x @ tail) / spread, noise / sqrt(spread)
        centre = (steps[-1] + steps[-count]) / 2 / WINDOW
        pace = float(tail.mean()) / centre
        is_level = slope <= ROSE * error and tail[0] >= tail.mean() - noise
        if is_level and slope + SLOWER * error < 0.75 * pace:
            found = int(steps[-1] - steps[-count])
    return found


# In words ---------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """A share with two digits that say something: 38 %, 7.3 %, 0.42 %."""
    size = abs(100 * share)
    return f"{100 * share:.{0 if size >= 9.95 else 1 if size >= 0.995 else 2}f} %"


def _level_in_words(share: float, error: float, *, is_over: bool) -> str:
    if abs(share) <= max(CLEARLY * error, TOO_SMALL):
        return NOTHING[is_over]
    if share < 0:
        above = f"{percent(-share)} above it" if share > -1 else f"{1 - share:.3g} times as high"
        return f"worse than at the start: the loss is {above}, on the same noise"
    return f"{percent(share)} of the loss is gone, on the same noise"


def _looks_in_words(looks: Sequence[tuple[int, float]]) -> str:
    """The newest look of validation, and the best where that is another."""
    last, best = looks[-1], max(looks, key=lambda look: look[1])
    said = f"validation: {percent(last[1])} gone"
    return said if last[1] == best[1] else f"{said}, at best {percent(best[1])} after update {best[0]:,}"


def _trend_in_words(steps: Floats, shares: Floats, noise: float) -> str:
    fallen = has_fallen(shares, noise)
    if fallen is not None:
        width = max(2, len(shares) // 8)
        return f"; falling: it was {percent(float(shares[fallen - width : fallen].mean()))} at step {int(steps[fallen - 1]):,}"
    flat = gained_nothing(steps, shares, noise)
    return f"; nothing gained for the last {flat:,} updates" if flat else ""


def _not_measured(last_step: int | None, *, is_over: bool, why_not: str) -> str:
    if why_not:
        return f"not measured: {why_not}"
    if not is_over and (last_step is None or last_step < WINDOW):
        return "not measured yet"
    return f"not measured: {NO_NOTE}"


def _too_few(pairs: Floats, *, is_over: bool) -> str:
    if is_over:
        return "too few updates were measured to say whether it learned"
    if len(pairs) == 1:
        return "measured once so far"
    every = int(pairs[-1] - pairs[-2])
    first = int(pairs[-1]) + (FEWEST_PAIRS - len(pairs)) * every + 1
    return f"measured every {every} updates; first numbers after {first} updates"
