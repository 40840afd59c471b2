"""Plans as constant phases: the WebUI's own strings, and the piecewise rules of diffusers.

A curve becomes the fewest phases that stay within a relative error at every step. The set of rates that suit a step
is an interval; walking from the left and closing a phase only when the intervals have no point in common any more is
optimal, because a phase that starts later can always be closed later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.segments import Segment

from .export_result import Exported, ExportError, all_values, refuse_feedback, refuse_momentum, short

DEFAULT_ERROR = 0.02
"""Relative; a learning rate is rarely known better than this."""

LONG = 8
"""A rate that takes more characters is rounded within the error, as one that stands for several rates is."""

TINIEST = 1e-300


class Phase(NamedTuple):
    """The rate ``text`` up to step ``stop``, exclusive. ``worst`` is its largest relative difference from the plan."""

    text: str
    stop: int
    worst: float


def fewest_phases(values: np.ndarray, error: float) -> list[Phase]:
    """Constant phases that differ from ``values`` by at most ``error`` times the value, as few as there can be.

    Args:
        values: rates, finite, 0 or more, float64 [N]; N is 1 or more.
        error: relative, from 0 (exact) to below 1. A rate of 0 is met by a phase of 0 alone.

    >>> import numpy as np
    >>> [phase[:2] for phase in fewest_phases(np.array([1.0, 0.9, 0.5, 0.0]), 0.1)]
    [('0.947', 2), ('0.5', 3), ('0', 4)]
    """
    starts = np.concatenate(([0], np.flatnonzero(np.diff(values)) + 1))
    stops = np.append(starts[1:], len(values)).tolist()
    levels = values[starts].tolist()
    return [_phase(min(levels[i:j]), max(levels[i:j]), stops[j - 1], error) for i, j in _groups(levels, error)]


def _groups(levels: list[float], error: float) -> Iterator[tuple[int, int]]:
    """Longest stretches [i, j) of levels that one rate suits, from the left."""
    first, low, high = 0, 0.0, float("inf")
    for i, level in enumerate(levels):
        least, most = _suiting(level, error)
        low, high = max(low, least), min(high, most)
        if low > high:
            yield first, i
            first, low, high = i, least, most
    yield first, len(levels)


def _suiting(level: float, error: float) -> tuple[float, float]:
    """The rates that suit a level. The tiniest levels are met exactly: floats there are too coarse for a part of them."""
    return (level, level) if level < TINIEST else (level * (1.0 - error), level * (1.0 + error))


def _phase(least: float, most: float, stop: int, error: float) -> Phase:
    if least == most and (error == 0.0 or least < TINIEST or len(short(least)) <= LONG):
        return Phase(short(least), stop, 0.0)
    # The harmonic mean is as far above the smallest rate as it is below the largest, relatively.
    rate = _shortest(2.0 * least * (most / (least + most)), most * (1.0 - error), least * (1.0 + error))
    return Phase(short(rate), stop, max(rate / least - 1.0, 1.0 - rate / most))


def _shortest(rate: float, low: float, high: float) -> float:
    """``rate`` rounded to three digits, or to as few more as keep it in [low, high]."""
    for digits in range(2, 17):
        rounded = float(f"{rate:.{digits}e}")
        if low <= rounded <= high:
            return rounded
    return min(max(rate, low), high)


# The WebUI's string ---------------------------------------------------------------------------


def to_a1111(plan: Plan, error: float | None = None) -> Exported:
    """A string for the WebUI's own field, such as ``0.005:100, 1e-3:1000, 1e-5``.

    The last phase has no end, so that a run with the plan's max steps makes exactly as many updates: after a last end
    that equals max steps the WebUI would stop as well, but with items after it, it makes one update more. A plan that
    stops early keeps its end.

    Args:
        error: largest relative difference at any step, 2 % when it is None.

    Raises:
        ExportError: the plan looks at the loss or drives momentum.
    """
    allowed = _checked(DEFAULT_ERROR if error is None else error)
    refuse_feedback(plan, "the WebUI without this extension")
    refuse_momentum(plan, "the WebUI without this extension")
    phases = fewest_phases(all_values(plan), allowed)
    items = [f"{phase.text}:{phase.stop}" for phase in phases]
    if plan.stop == plan.total_steps:
        items[-1] = phases[-1].text
    worst = max(phase.worst for phase in phases)
    note = f"{_count(len(phases), 'segment')} for max steps {plan.total_steps}; {_accuracy(worst)}"
    return Exported(", ".join(items), note, worst)


# diffusers ------------------------------------------------------------------------------------


def to_diffusers(plan: Plan, error: float | None = None, base: float | None = None) -> Exported:
    """``step_rules`` of diffusers' get_piecewise_constant_schedule: multipliers of a base rate with absolute ends.

    Args:
        error: None for exact phases only; a relative error lets curves be said in phases too.
        base: the optimizer's rate; the first rate above 0 when it is None.

    Raises:
        ExportError: a curve without ``error``, a plateau, momentum, or a plan of zeros without ``base``.
    """
    refuse_feedback(plan, "diffusers")
    refuse_momentum(plan, "diffusers")
    if error is None:
        for segment in plan.segments:
            _refuse_curve(segment)
    values = all_values(plan)
    phases = fewest_phases(values, _checked(error or 0.0))
    unit = _base(values, base)
    rules = [f"{_multiple(phase.text, unit)}:{phase.stop}" for phase in phases[:-1]]
    rules.append(_multiple(phases[-1].text, unit))
    worst = max(phase.worst for phase in phases)
    note = f"multipliers of the optimizer's rate, which is {short(unit)}; train {_count(plan.stop, 'update')}; {_accuracy(worst)}"
    return Exported(",".join(rules), note, worst)


def is_phases(segment: Segment) -> bool:
    """Whether a segment is constant phases by itself, as a repeat of such segments is."""
    if segment.passes is None:
        return segment.entry.is_phases
    return all(map(is_phases, (*segment.passes.first, *segment.passes.again)))


def _refuse_curve(segment: Segment) -> None:
    if segment.passes is not None:
        for inner in (*segment.passes.first, *segment.passes.again):
            _refuse_curve(inner)
    elif not is_phases(segment):
        raise ExportError(
            f"`{segment.shape}` is a curve, and diffusers has constant segments only; give an error such as 2% to approximate it "
            "with constant segments",
            segment.item.span,
        )


def _base(values: np.ndarray, base: float | None) -> float:
    if base is not None:
        if not 0.0 < base < float("inf"):
            raise ExportError(f"expected a finite number above 0 as the base rate, got {base:g}")
        return base
    above = np.flatnonzero(values)
    if not len(above):
        raise ExportError("every rate of this plan is 0: multipliers need a base rate, give one")
    return float(values[above[0]])


def _multiple(rate: str, unit: float) -> str:
    """The shortest multiplier whose product with ``unit`` is the rate to 15 digits."""
    exact = float(rate) / unit
    for digits in range(17):
        rounded = float(f"{exact:.{digits}e}")
        if abs(rounded * unit - float(rate)) <= 1e-15 * float(rate):
            return short(rounded)
    if not abs(exact * unit - float(rate)) <= 1e-14 * float(rate):
        raise ExportError(f"no multiplier makes {rate} of the base rate {short(unit)}; give one that is nearer")
    return short(exact)


def _checked(error: float) -> float:
    if not 0.0 <= error < 1.0:
        raise ExportError(f"expected an error from 0 to below 1, such as 0.02 or 2%, got {error:g}")
    return error


def _accuracy(worst: float) -> str:
    return "exact at every step" if worst == 0.0 else f"at most {worst:.2%} from the plan at any step"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
