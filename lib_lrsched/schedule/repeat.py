"""``repeat(count, item, ...)``: its items one after the other, ``count`` times.

The items are laid out once; a step finds its pass by whole-number division, so the cost of a
million passes is that of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import floor, isfinite
from typing import Any, NamedTuple

import numpy as np

from lib_lrsched.errors import short
from lib_lrsched.language.tree import Arg, Call, Item, Quantity, Span

from .arguments import SOME_LENGTH, build, check_arguments, match
from .curves import FAR, Curve, Steps, Values, constant_curve
from .ends import boundary
from .segments import Passes, Piecewise, Segment, joined
from .shapes import REPEAT, SHAPES, Built
from .units import Clock, is_minus_one, rate, time


class _Opening(NamedTuple):
    """What depends on the rate before: the steps of the innermost first item, and its curve. All that follows does not."""

    length: int
    curve: Curve


class Repeat(NamedTuple):
    """A repeat for a rate before: its values, its curve, the steps that its passes take, and the segments in them."""

    values: Mapping[str, Any]
    built: Built
    steps: int
    passes: Passes
    opening: _Opening


class _Laid(NamedTuple):
    """The segments of one pass, and the opening of the first of them."""

    segments: tuple[Segment, ...]
    opening: _Opening


Known = dict[tuple[Span, int | None, float | None], Repeat]
"""What inner repeats came to, by place, length and rate before: each pass would build them again, and they nest."""


def build_repeat(call: Call, length: int | None, before: float | None, clock: Clock) -> Repeat:
    """A repeat with its curve.

    Args:
        length: the steps of its segment, or None where no end was written.
        before: the rate that the segment before leaves, or None.
    """
    return _build(call, length, before, clock, {})


def _build(call: Call, length: int | None, before: float | None, clock: Clock, known: Known) -> Repeat:
    key = call.span, length, before
    if key not in known:
        known[key] = _build_anew(call, length, before, clock, known)
    return known[key]


def _build_anew(call: Call, length: int | None, before: float | None, clock: Clock, known: Known) -> Repeat:
    count, items = _arguments(call, clock)
    first = _lay_pass(items, length, before, clock, known)
    again, last = first, first.segments[-1]
    if last.exit is not None and _takes_over(items[0].value, clock):
        again = _lay_pass(items, length, last.exit, clock, known)
    steps = floor(count * last.stop + Fraction(1, 2))
    if steps == 0:
        clock.fail("this repeat comes to 0 steps", call.span)
    if length is not None and steps < length:
        clock.fail(f"the passes take {steps} steps and its segment has {length}; raise the count or leave out the end", call.span)
    rate, _ = joined(again.segments)
    _, momentum = joined(first.segments)
    curve = _curve(rate, last.stop, None if again is first else first.opening)
    built = Built(curve, last.exit, None if momentum is None else _curve(momentum, last.stop))
    return Repeat({"count": count}, built, steps, Passes(last.stop, first.segments, again.segments), first.opening)


def _curve(one_pass: Piecewise, per_pass: int, opening: _Opening | None = None) -> Curve:
    """The passes, and in their place at the very start what begins at the rate before."""
    whole = min(per_pass, FAR)

    def later(j: Steps) -> Values:
        r = j - (j // whole) * whole
        return one_pass(np.arange(whole))[r] if isinstance(j, np.ndarray) and j.size > whole else one_pass(r)

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


def _arguments(call: Call, clock: Clock) -> tuple[Fraction, list[Item]]:
    """The count, and the items, whose ends are durations."""
    args = list(call.args)
    if len(args) < 2 or args[0].name not in (None, "count"):
        clock.fail(f"repeat takes a count and at least one segment, as in {REPEAT.example}", call.span)
    count = _count(args[0], clock)
    items: list[Item] = []
    for arg in args[1:]:
        if arg.name is not None:
            clock.fail(f"repeat has no `{arg.name}`; it takes a count and segments, as in {REPEAT.example}", arg.span)
        value, end = (arg.value.value, arg.value.end) if isinstance(arg.value, Item) else (arg.value, None)
        if not isinstance(value, (Quantity, Call)):
            clock.fail(f"expected a segment such as 1e-3:50, got `{short(value.text)}`", value.span)
        items.append(Item(value, end, arg.span))
    return count, items


def _count(arg: Arg, clock: Clock) -> Fraction:
    value = arg.value
    if not isinstance(value, Quantity) or value.unit:
        clock.fail(f"repeat starts with a count, as in {REPEAT.example}", value.span)
    number = float(value.text)
    if not isfinite(number) or not 0 < number < 1e15:
        clock.fail(f"a count is above 0 and below 1e15, got {value.text}", value.span)
    return Fraction(value.text.replace("_", ""))


def _lay_pass(items: list[Item], length: int | None, before: float | None, clock: Clock, known: Known) -> _Laid:
    laid: list[Segment] = []
    opening, start = None, 0
    for item in items:
        segment, begin = _inner(item, start, length, before, clock, known)
        opening = opening or begin
        laid.append(segment)
        start, before = segment.stop, segment.exit
    assert opening is not None
    return _Laid(tuple(laid), opening)


def _inner(
    item: Item, start: int, length: int | None, before: float | None, clock: Clock, known: Known
) -> tuple[Segment, _Opening]:
    """One segment of a pass of a repeat of so many steps, and what of it depends on the rate before."""
    value, steps = item.value, None if item.end is None else _duration(item.end, length, clock)
    if isinstance(value, Call) and value.name == "repeat":
        found = _build(value, steps, before, clock, known)
        steps = found.steps if steps is None else steps
        segment = Segment(start, start + steps, steps, item, "repeat", found.values, found.built, passes=found.passes)
        opening = found.opening._replace(length=min(found.opening.length, steps))
    elif steps is None:
        clock.fail("inside repeat every segment has an end, its duration, such as 1e-3:50", item.span)
    elif isinstance(value, Quantity):
        v = rate(value, clock)
        segment = Segment(start, start + steps, steps, item, "constant", {"v": v}, None)
        opening = _Opening(steps, constant_curve(v))
    else:
        _check_no_feedback(value, clock)
        built, values = build(value, steps, before, clock)
        segment = Segment(start, start + steps, steps, item, value.name, values, built)
        opening = _Opening(steps, built.curve)
    if segment.built is not None and not is_finite(segment.built, steps - 1):
        clock.fail("this rate overflows within its segment", item.span)
    return segment, opening


def _check_no_feedback(call: Call, clock: Clock) -> None:
    if call.name in SHAPES and SHAPES[call.name].is_feedback:
        clock.fail(f"{call.name} looks at the run and cannot stand inside repeat", call.name_span)


def _takes_over(value: Quantity | Call, clock: Clock) -> bool:
    """Whether an item starts at the rate that the one before it leaves."""
    if isinstance(value, Quantity):
        return False
    if value.name == "repeat":
        return _takes_over(_arguments(value, clock)[1][0].value, clock)
    shape, given = match(value, clock)
    return shape.joins and "a" not in given


def _duration(end: Quantity, length: int | None, clock: Clock) -> int:
    if is_minus_one(end):
        clock.fail("inside repeat every segment has an end of its own; -1 has no meaning here", end.span)
    if length is None and end.unit == "%":
        time(end, clock, None)
    inner = Clock(clock.source, length if length is not None else 1, clock.steps_per_epoch, clock.images_per_step)
    return boundary(end._replace(relative=True), 0, inner)


def is_finite(built: Built, last: int) -> bool:
    """Whether the curve has a finite value at every step from 0 to ``last``."""
    last = min(last, FAR)
    if built.largest is not None and not isfinite(built.largest(last)):
        return False
    with np.errstate(all="ignore"):
        return isfinite(float(built.curve(np.int64(0)))) and isfinite(float(built.curve(np.int64(last))))


def check_form(call: Call, clock: Clock) -> None:
    """Refuse what is wrong in any segment, for a repeat that is never reached."""
    _, items = _arguments(call, clock)
    for item in items:
        value = item.value
        if item.end is not None:
            _duration(item.end, SOME_LENGTH, clock)
        if isinstance(value, Quantity):
            rate(value, clock)
        elif value.name == "repeat":
            check_form(value, clock)
        else:
            check_arguments(value, clock)
