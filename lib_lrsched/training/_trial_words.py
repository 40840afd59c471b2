"""What a trial suggests, and why, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import NamedTuple

from lib_lrsched.editing.scaling import scaled
from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.sampling import sample_steps
from lib_lrsched.storage.trial_store import MOST_UPDATES

from ._trial_rules import FEWEST, Course, Point, best_of, is_better, peak_of

DECAYED = 0.5
"""A schedule whose last rate is below this share of its highest one has a decay."""


class Row(NamedTuple):
    """One candidate, as it is shown and stored; the numbers are None for one that ended early.

    Attributes:
        factor: of the text's highest rate; None in a comparison.
        progress, low, high: the share of the loss that is gone over the second half of its updates, and the 90 % interval, which
            is None where that half is one update.
        stopped_at: the update, from 1, at which it was ended; None where it was not.
    """

    text: str
    factor: float | None
    progress: float | None
    low: float | None
    high: float | None
    stopped_at: int | None


class Answer(NamedTuple):
    """What is suggested, or None where that cannot be told; and why."""

    suggested: str | None
    why: str


def judge_rates(plan: Plan, rows: Sequence[Row], courses: Sequence[Course], points: Sequence[Point]) -> Answer:
    """The finder's answer.

    Args:
        rows, courses, points: of the candidates, by rising rate.
    """
    best = best_of(points)
    if best is None:
        return Answer(None, f"every rate diverged, down to {points[0].rate:.2g}: the images or the model may be the reason")
    unclear = _unclear(rows, courses, best)
    if unclear:
        return Answer(None, unclear)
    peak = peak_of(points)
    assert peak is not None, "one of them did not end early"
    top = float(plan.values(sample_steps(plan, 2000)).max())
    suggested = scaled(plan.text, two_digits(peak) / top)
    said = (_gain(two_digits(peak), points[best], rows[best]), _too_high(points[best:]), _edge(points, best), _decay(plan, top))
    return Answer(suggested, "".join(said))


def judge_texts(rows: Sequence[Row], courses: Sequence[Course], steps: int, updates: int) -> Answer:
    """The answer of a comparison."""
    how = f"each schedule was compressed from {steps} to {updates} updates" if steps != updates else f"each had {updates} updates"
    best = best_of([Point(0.0, row.progress) for row in rows])
    if best is None:
        return Answer(None, f"every schedule diverged; {how}")
    unclear = _unclear(rows, courses, best)
    if unclear:
        return Answer(None, f"{unclear}; {how}")
    others = [i for i in range(len(rows)) if i != best and not is_better(courses[best], courses[i])]
    if others:
        names = ", ".join(f"`{rows[i].text}`" for i in others)
        return Answer(None, f"`{rows[best].text}` and {names} cannot be told apart on the same noise; {how}")
    return Answer(rows[best].text, f"`{rows[best].text}` gains most: {_percent(rows[best])}; {how}")


def two_digits(rate: float) -> float:
    """
    >>> two_digits(0.014932), two_digits(3.26e-05)
    (0.015, 3.3e-05)
    """
    return round(rate, 1 - floor(log10(rate)))


def _unclear(rows: Sequence[Row], courses: Sequence[Course], best: int) -> str:
    """Why nothing can be told; empty where something can."""
    updates = len(courses[best].losses)
    if updates < FEWEST:
        made = "1 update is" if updates == 1 else f"{updates} updates are"
        return f"{made} too few: at least {FEWEST} are needed, 48 are usual"
    low = rows[best].low
    if low is None or low <= 0:
        found = f"nothing learned more than the noise explains in {updates} updates (the best: {_percent(rows[best])})"
        return f"{found}{_more(updates)}"
    if not any(is_better(courses[best], course) for i, course in enumerate(courses) if i != best):
        return f"the candidates cannot be told apart in {updates} updates{_more(updates)}"
    return ""


def _more(updates: int) -> str:
    """A larger number of updates to try, or nothing at the maximum."""
    return f": try {min(2 * updates, MOST_UPDATES)}" if updates < MOST_UPDATES else ""


def _percent(row: Row) -> str:
    assert row.progress is not None, "it did not end early"
    if row.low is None or row.high is None:
        return f"{100 * row.progress:.2g} % of the loss is gone"
    noise = f"{100 * row.low:.2g} to {100 * row.high:.2g} with the noise of the draws"
    return f"{100 * row.progress:.2g} % of the loss is gone, {noise}"


def _gain(peak: float, point: Point, row: Row) -> str:
    return f"the best highest rate is about {peak:g}: with {point.rate:.2g}, {_percent(row)}"


def _too_high(points: Sequence[Point]) -> str:
    """Of the rates from the best one on."""
    bad = next((point for point in points if point.progress is None or point.progress < 0), None)
    if bad is None:
        return ""
    return f"; {bad.rate:.2g} {'diverges' if bad.progress is None else 'does harm'}"


def _edge(points: Sequence[Point], best: int) -> str:
    if best not in (0, len(points) - 1):
        return ""
    return f"; it lies at the edge of what was tried, {'lower' if best == 0 else 'higher'} ones may be better"


def _decay(plan: Plan, top: float) -> str:
    if plan.feedback or plan.value(plan.stop - 1) < DECAYED * top:
        return ""
    return "; the schedule holds its rate to the end, and a decay would make it safer"
