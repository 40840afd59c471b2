"""The chart's points that can be dragged, and what dragging them writes: boundaries, and rates at the points where a
parameter is the rate.

A point that two items share, such as the end of a warm-up and the start of the fall after it, moves both. Items inside a
repeat have their points in its first pass; a rate that is moved there moves in every pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import NamedTuple

from lib_lrsched.errors import RequestError
from lib_lrsched.schedule.ends import boundary
from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.rates import rate_text
from lib_lrsched.schedule.segments import Segment
from lib_lrsched.schedule.units import Clock

from .edits import Draft, is_written, set_end, set_param
from .outline import Path, given_values
from .text_edits import Change

MOST_SEGMENTS = 40
"""With more of them nobody could hit a point."""

MOST_DIGITS = 4
"""Digits after the point of a percentage or an epoch; what needs more is written in steps."""


class Boundary(NamedTuple):
    """An item's end: it is at ``step``, and can be anywhere from ``low`` to ``high`` within the run.

    ``most`` is the last step where it can be if the run is no limit, since the items after it need room before a written end of
    theirs; None where there is none. A text can end an item after the run's last step: so can ``step``.
    """

    item: Path
    step: int
    low: int
    high: int
    most: int | None


class Point(NamedTuple):
    """A place where ``rate`` is the value of a parameter: the rate at ``step``, or the one that is reached there from the left."""

    item: Path
    param: str
    step: int
    rate: float


class Handle(NamedTuple):
    """A point, and the parameters that it moves: its own, and those that it is joined to."""

    point: Point
    moves: tuple[tuple[Path, str], ...]


# Boundaries -----------------------------------------------------------------------------------


def boundaries_of(plan: Plan) -> list[Boundary]:
    """The written ends of the items that run."""
    if len(plan.segments) > MOST_SEGMENTS:
        return []
    return [_boundary(plan, i) for i, s in enumerate(plan.segments) if is_written(s.item.end)]


def _boundary(plan: Plan, number: int) -> Boundary:
    segment, later = plan.segments[number], plan.segments[number + 1 :]
    high = plan.total_steps - 1 if later else plan.total_steps
    fixed = next((s for s in later if _is_absolute(s)), None)
    room = _room_behind(plan) if fixed is None else fixed.stop - fixed.start
    most = None if room is None else segment.stop + room - 1  # what lies between moves along
    return Boundary((number,), segment.stop, segment.start + 1, high if most is None else min(high, most), most)


def _is_absolute(segment: Segment) -> bool:
    end = segment.item.end
    return end is not None and is_written(end) and not end.relative


def _room_behind(plan: Plan) -> int | None:
    """The steps of the first item after the run whose written end is absolute; None where there is none."""
    if plan.segments[-1].open:
        return None
    clock = Clock(plan.text, plan.total_steps, plan.steps_per_epoch, plan.images_per_step)
    start = plan.segments[-1].stop
    for item in plan.tree.items[len(plan.segments) :]:
        if item.end is None or not is_written(item.end):
            return None
        stop = boundary(item.end, start, clock)
        if not item.end.relative:
            return stop - start
        start = stop
    return None


def move_boundary(old: Draft, path: Path, step: int) -> list[Change]:
    """Writes an item's end as ``step``, in the unit that it had where that is short, else in steps.

    After the run's end no share of it is written: it would move on with the max steps that the text then needs.
    """
    plan, segment = old.plan(), _segment(old.plan(), path)
    end = segment.item.end
    if end is None or not is_written(end):
        raise RequestError("this segment has no written end to move")
    steps = step - segment.start if end.relative else step
    is_share = end.unit == "%" and step > plan.total_steps
    text = (None if is_share else time_text(steps, end.unit, plan)) or str(steps)
    return set_end(old, path, ("+" if end.relative else "") + text)


def change_unit(old: Draft, path: Path, unit: str, *, relative: bool) -> list[Change]:
    """Writes an item's end in another unit; the step at which it ends stays, where the unit can say it."""
    plan, segment = old.plan(), _segment(old.plan(), path)
    steps = segment.stop - segment.start if relative else segment.stop
    text = time_text(steps, unit, plan)
    if text is None:
        unknown = {"ep": plan.steps_per_epoch, "img": plan.images_per_step}.get(unit, 1) is None
        why = "the data set's size is not known" if unknown else f"that takes more than {MOST_DIGITS} digits"
        raise RequestError(f"{steps} steps cannot be written in {unit}: {why}")
    return set_end(old, path, ("+" if relative else "") + text)


def time_text(steps: int, unit: str, plan: Plan) -> str | None:
    """The shortest text that comes to so many steps; None where the unit has none.

    >>> from lib_lrsched.schedule.plan import plan
    >>> run = plan("1", total_steps=2000, steps_per_epoch=24, images_per_step=2)
    >>> [time_text(233, unit, run) for unit in ("", "%", "ep", "img")]
    ['233', '11.65%', '9.7ep', '466img']
    """
    if not unit:
        return str(steps)
    if unit == "img":
        return None if plan.images_per_step is None else f"{steps * plan.images_per_step}img"
    if unit == "ep" and plan.steps_per_epoch is None:
        return None
    scale = Fraction(plan.total_steps, 100) if unit == "%" else Fraction(plan.steps_per_epoch or 1)
    for digits in range(MOST_DIGITS + 1):
        amount = Fraction(round(steps / scale * 10**digits), 10**digits)
        if amount > 0 and floor(amount * scale + Fraction(1, 2)) == steps:
            return f"{_decimal(amount, digits)}{unit}"
    return None


def _decimal(amount: Fraction, digits: int) -> str:
    """A number of so many decimals at most, exactly."""
    whole, rest = divmod(round(amount * 10**digits), 10**digits)
    return f"{whole}.{rest:0{digits}}" if digits else str(whole)


def _segment(plan: Plan, path: Path) -> Segment:
    if len(path) != 1:
        raise RequestError("inside a repeat an end is a duration; write it in the text or in the form")
    if not 0 <= path[0] < len(plan.segments):
        raise RequestError("this segment does not run: it starts after the end, or after a segment without one")
    return plan.segments[path[0]]


# Rates ----------------------------------------------------------------------------------------


def set_rate(old: Draft, path: Path, param: str, rate: float) -> list[Change]:
    """Writes a dragged rate, three digits of it, into the point's parameter and those that it is joined to."""
    handles = handles_of(old.plan())
    handle = next((h for h in handles if (path, param) in h.moves), None)
    if handle is None:
        raise RequestError(f"segment {list(path)} has no point for `{param}`")
    return [change for item, name in handle.moves for change in set_param(old, item, name, rate_text(rate))]


def handles_of(plan: Plan) -> list[Handle]:
    """The points that can be dragged up and down, from left to right."""
    if len(plan.segments) > MOST_SEGMENTS:
        return []
    rows = [_Row(one, _points(one, plan.text)) for one in _stretches(plan)]
    groups = {(p.item, p.param): {(p.item, p.param)} for row in rows for p in row.points}
    doubled = set()
    for row, following in pairwise(rows):
        joint = _joint(row, following)
        if joint is not None:
            before, after = joint
            doubled.add(before)
            _unite(groups, (before.item, before.param), (after.item, after.param))
    return [Handle(p, tuple(sorted(groups[p.item, p.param]))) for row in rows for p in row.points if p not in doubled]


def label_of(plan: Plan, point: Point) -> str:
    """What the form calls the parameter that a point moves."""
    segment = plan.segments[point.item[0]]
    for number in point.item[1:]:
        assert segment.passes is not None
        segment = segment.passes.first[number]
    return next(p.label for p in segment.entry.params if p.name == point.param)


class _Stretch(NamedTuple):
    """A segment, counted from step ``start`` of the run and trained as far as ``stop``, and where its item stands."""

    path: Path
    segment: Segment
    start: int
    stop: int


class _Row(NamedTuple):
    stretch: _Stretch
    points: list[Point]


def _stretches(plan: Plan) -> list[_Stretch]:
    """The segments that are trained, from left to right; where they are not too many, a repeat's own in its place."""
    whole = [_Stretch((i,), s, s.start, min(s.stop, plan.stop)) for i, s in enumerate(plan.segments)]
    opened = [inner for one in whole for inner in _opened(one)]
    return opened if len(opened) <= MOST_SEGMENTS else whole


def _opened(one: _Stretch) -> Iterator[_Stretch]:
    if one.segment.passes is None:
        yield one
        return
    for number, inner in enumerate(one.segment.passes.first):
        start = one.start + inner.start
        if start < one.stop:
            yield from _opened(_Stretch((*one.path, number), inner, start, min(one.start + inner.stop, one.stop)))


def _unite(groups: dict[tuple[Path, str], set[tuple[Path, str]]], one: tuple[Path, str], other: tuple[Path, str]) -> None:
    whole = groups[one] | groups[other]
    groups.update(dict.fromkeys(whole, whole))


def _joint(before: _Row, after: _Row) -> tuple[Point, Point] | None:
    """The last point of an item and the first one of the next, where they are one to the eye and no step between phases."""
    if not before.points or not after.points or before.stretch.segment.shape == after.stretch.segment.shape == "constant":
        return None
    last, first, stop = before.points[-1], after.points[0], after.stretch.start
    return (last, first) if last.step >= stop - 1 and first.step == stop and last.rate == first.rate else None


def _points(one: _Stretch, source: str) -> list[Point]:
    segment, trained = one.segment, one.stop - one.start
    inherited = {"a"} - set(given_values(segment.item.value, source))
    return [
        Point(one.path, name, one.start + j, segment.values[name])
        for name, j in segment.entry.handles(segment.values, segment.length, trained)
        if name not in inherited and (j < trained or j == segment.length <= trained)
    ]
