"""``repeat(count, item, ...)``: its items one after the other, ``count`` times.

The items are laid out once; a step finds its pass by whole-number division, so the cost of a
million passes is that of one.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor, isfinite
from typing import Any, NamedTuple

import numpy as np

from .arguments import SOME_LENGTH, build, check_arguments, match
from .curves import FAR, Curve, Steps, Values
from .errors import short
from .pieces import Pieces
from .schedule import boundary
from .shapes import Built
from .syntax import Arg, Call, Item, Quantity, Span
from .times import Clock, is_minus_one, rate, time

EXAMPLE = "repeat(3, cosine(0.005, 1e-5):100)"


class _Opening(NamedTuple):
    """What depends on the rate before: the steps of the innermost first item, and its curve. All that follows does not."""

    length: int
    curve: Curve


class _Repeat(NamedTuple):
    """A repeat for a rate before, and the steps that its passes take."""

    built: Built
    steps: int
    opening: _Opening


class _Laid(NamedTuple):
    """An item within one pass."""

    start: int
    built: Built
    steps: int
    opening: _Opening


Known = dict[tuple[Span, int | None, float | None], _Repeat]
"""What inner repeats came to, by place, length and rate before: each pass would build them again, and they nest."""


def build_repeat(call: Call, length: int | None, before: float | None, clock: Clock) -> tuple[Built, int]:
    """The curve of a repeat and the number of steps that its passes take.

    Args:
        length: the steps of its segment, or None where no end was written.
        before: the rate that the segment before leaves, or None.
    """
    found = _build(call, length, before, clock, {})
    return found.built, found.steps


def _build(call: Call, length: int | None, before: float | None, clock: Clock, known: Known) -> _Repeat:
    key = call.span, length, before
    if key not in known:
        known[key] = _build_anew(call, length, before, clock, known)
    return known[key]


def _build_anew(call: Call, length: int | None, before: float | None, clock: Clock, known: Known) -> _Repeat:
    count, items = _arguments(call, clock)
    first = _lay_pass(items, length, before, clock, known)
    again = first
    if first[-1].built.exit is not None and _takes_over(items[0][0], clock):
        again = _lay_pass(items, length, first[-1].built.exit, clock, known)
    per_pass = first[-1].start + first[-1].steps
    steps = floor(count * per_pass + Fraction(1, 2))
    if steps == 0:
        clock.fail("this repeat comes to 0 steps", call.span)
    if length is not None and steps < length:
        clock.fail(f"the passes take {steps} steps and its segment has {length}; raise the count or leave out the end", call.span)
    opening = None if again is first else first[0].opening
    curve = _curve([(one.start, one.built.values) for one in again], per_pass, opening)
    momentum = None
    if any(one.built.momentum for one in first):
        momentum = _curve([(one.start, one.built.momentum or float("nan")) for one in first], per_pass)
    return _Repeat(Built(curve, first[-1].built.exit, momentum), steps, first[0].opening)


def _curve(parts: list[tuple[int, Any]], per_pass: int, opening: _Opening | None = None) -> Curve:
    """The passes, and in their place at the very start what begins at the rate before."""
    passes = Pieces(*zip(*parts))
    whole = min(per_pass, FAR)

    def later(j: Steps) -> Values:
        r = j - (j // whole) * whole
        return passes(np.arange(whole))[r] if isinstance(j, np.ndarray) and j.size > whole else passes(r)

    if opening is None:
        return later
    length, begin = opening

    def curve(j: Steps) -> Values:
        if not isinstance(j, np.ndarray):
            return begin(j) if j < length else later(j)
        begins = j < length
        if not begins.any():
            return later(j)
        values = np.empty(j.shape)
        values[begins] = begin(j[begins])
        values[~begins] = later(j[~begins])
        return values

    return curve


def _arguments(call: Call, clock: Clock) -> tuple[Fraction, list[tuple[Any, Quantity | None, Span]]]:
    """The count, and (value, end, span) of each item."""
    args = list(call.args)
    if len(args) < 2 or args[0].name not in (None, "count"):
        clock.fail(f"repeat takes a count and at least one item, as in {EXAMPLE}", call.span)
    count = _count(args[0], clock)
    items: list[tuple[Any, Quantity | None, Span]] = []
    for arg in args[1:]:
        if arg.name is not None:
            clock.fail(f"repeat has no `{arg.name}`; it takes a count and items, as in {EXAMPLE}", arg.span)
        value, end = (arg.value.value, arg.value.end) if isinstance(arg.value, Item) else (arg.value, None)
        if not isinstance(value, (Quantity, Call)):
            clock.fail(f"expected an item such as 1e-3:50, found `{short(value.text)}`", value.span)
        items.append((value, end, arg.span))
    return count, items


def _count(arg: Arg, clock: Clock) -> Fraction:
    value = arg.value
    if not isinstance(value, Quantity) or value.unit:
        clock.fail(f"repeat starts with a count, as in {EXAMPLE}", value.span)
    number = float(value.text)
    if not isfinite(number) or not 0 < number < 1e15:
        clock.fail(f"a count is above 0 and below 1e15; given was {value.text}", value.span)
    return Fraction(value.text.replace("_", ""))


def _lay_pass(items: list[tuple[Any, Quantity | None, Span]], length: int | None, before: float | None,
              clock: Clock, known: Known) -> list[_Laid]:
    laid: list[_Laid] = []
    start = 0
    for value, end, span in items:
        steps = None if end is None else _duration(end, length, clock)
        if isinstance(value, Call) and value.name == "repeat":
            inner = _build(value, steps, before, clock, known)
            built, opening = inner.built, inner.opening
            steps = inner.steps if steps is None else steps
        elif steps is None:
            clock.fail("inside repeat every item has an end, its duration, such as 1e-3:50", span)
        else:
            built = _inner(value, steps, before, clock)
            opening = _Opening(steps, built.values)
        _check_finite(built, steps, span, clock)
        laid.append(_Laid(start, built, steps, opening._replace(length=min(opening.length, steps))))
        start, before = start + steps, built.exit
    return laid


class Inner(NamedTuple):
    """An item of a repeat's first pass: where it starts, its steps, the rate before it, and its length where one is written."""

    value: Quantity | Call
    start: int
    steps: int
    before: float | None
    length: int | None


def first_pass(call: Call, length: int | None, before: float | None, clock: Clock) -> list[Inner]:
    """The items of a repeat that was planned, for who looks at them one by one; steps count from the repeat's start."""
    _, items = _arguments(call, clock)
    laid = _lay_pass(items, length, before, clock, {})
    rates = [before, *(one.built.exit for one in laid)]
    return [
        Inner(value, one.start, one.steps, rate, None if end is None else one.steps)
        for (value, end, _), one, rate in zip(items, laid, rates)
    ]


def _takes_over(value: Quantity | Call, clock: Clock) -> bool:
    """Whether an item starts at the rate that the one before it leaves."""
    if isinstance(value, Quantity):
        return False
    if value.name == "repeat":
        return _takes_over(_arguments(value, clock)[1][0][0], clock)
    shape, given = match(value, clock)
    return shape.joins and "a" not in given


def _inner(value: Quantity | Call, steps: int, before: float | None, clock: Clock) -> Built:
    if isinstance(value, Quantity):
        v = rate(value, clock)
        return Built(lambda j: np.full(j.shape, v) if isinstance(j, np.ndarray) else np.float64(v), v)
    if value.name == "plateau":
        clock.fail("plateau looks at the run and cannot stand inside repeat", value.name_span)
    return build(value, steps, before, clock)[0]


def _duration(end: Quantity, length: int | None, clock: Clock) -> int:
    if is_minus_one(end):
        clock.fail("inside repeat every item has an end of its own; -1 has no meaning here", end.span)
    if length is None and end.unit == "%":
        time(end, clock, None)
    relative = end._replace(relative=True)
    inner = Clock(clock.source, length if length is not None else 1, clock.steps_per_epoch, clock.images_per_step)
    return boundary(relative, 0, inner)


def _check_finite(built: Built, steps: int, span: Span, clock: Clock) -> None:
    if not is_finite(built, steps - 1):
        clock.fail("this rate grows beyond every number within its segment", span)


def is_finite(built: Built, last: int) -> bool:
    """Whether the curve has a finite value at every step from 0 to ``last``."""
    last = min(last, FAR)
    if built.largest is not None and not isfinite(built.largest(last)):
        return False
    with np.errstate(all="ignore"):
        return isfinite(float(built.values(np.int64(0)))) and isfinite(float(built.values(np.int64(last))))


def check_form(call: Call, clock: Clock) -> None:
    """Refuse what is wrong in any segment, for a repeat that is never reached."""
    _, items = _arguments(call, clock)
    for value, end, _ in items:
        if end is not None:
            _duration(end, SOME_LENGTH, clock)
        if isinstance(value, Quantity):
            rate(value, clock)
        elif value.name == "repeat":
            check_form(value, clock)
        else:
            check_arguments(value, clock)
