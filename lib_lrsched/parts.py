"""A plan with its parameter values: what exporters read that say a shape in other words.

A plan keeps curves, not numbers. Here the items are matched with their parameters again, by the functions that built the
plan, and a repeat is opened into the items of its first pass and of every later one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .arguments import build
from .plan import Plan
from .schedule import Segment, lay_out
from .syntax import Arg, Call, Item, Quantity, Schedule, Span
from .times import Clock


class Part(NamedTuple):
    """Steps ``[start, stop)``: a shape with its values by parameter name, over ``length`` steps (the n of the formulas).

    ``start`` is counted from the start of the run, within a repeat from the start of the pass.
    """

    start: int
    stop: int
    length: int
    shape: str
    values: Mapping[str, Any]
    span: Span
    passes: Passes | None = None


class Passes(NamedTuple):
    """The items of a repeat: in its first pass, and in the later ones, where the first item may start elsewhere."""

    length: int
    first: tuple[Part, ...]
    again: tuple[Part, ...]


def parts_of(plan: Plan) -> tuple[Part, ...]:
    """The plan's segments with their values."""
    clock = Clock(plan.tree.source, plan.total_steps, plan.steps_per_epoch, plan.images_per_step)
    return _parts(plan.segments, None, clock)


def _parts(segments: Sequence[Segment], before: float | None, clock: Clock) -> tuple[Part, ...]:
    found = []
    for segment in segments:
        found.append(_part(segment, before, clock))
        before = segment.exit
    return tuple(found)


def _part(segment: Segment, before: float | None, clock: Clock) -> Part:
    start, stop, length, item = segment.start, segment.stop, segment.length, segment.item
    if isinstance(item.value, Quantity):
        return Part(start, stop, length, "constant", {"v": segment.value}, item.span)
    if item.value.name == "repeat":
        inner = clock.total_steps if item.end is None else length
        passes = _open(item.value, before, Clock(clock.source, inner, clock.steps_per_epoch, clock.images_per_step))
        return Part(start, stop, length, "repeat", {}, item.span, passes)
    _, values = build(item.value, length, before, clock)
    return Part(start, stop, length, segment.shape, values, item.span)


def _open(call: Call, before: float | None, clock: Clock) -> Passes:
    """``clock.total_steps`` is the repeat's own length: percent is of that in here."""
    items = tuple(_as_item(arg) for arg in call.args[1:])
    first, exit_rate = _pass(items, before, clock)
    again, _ = _pass(items, exit_rate, clock)
    return Passes(first[-1].stop, first, again)


def _pass(items: tuple[Item, ...], before: float | None, clock: Clock) -> tuple[tuple[Part, ...], float | None]:
    """One pass from step 0. A constant before it hands over the rate, as the planner knows no other way."""
    lead = () if before is None else (_constant_step(before),)
    segments, _ = lay_out(Schedule((*lead, *items), clock.source, ()), clock)
    shift = len(lead)
    moved = [s._replace(start=s.start - shift, stop=s.stop - shift) for s in segments[shift:]]
    return _parts(moved, before, clock), segments[-1].exit


def _constant_step(rate: float) -> Item:
    nowhere = (0, 0)
    return Item(Quantity(repr(rate), "", False, nowhere), Quantity("1", "", True, nowhere), nowhere)


def _as_item(arg: Arg) -> Item:
    """An item of a repeat with its end as the duration that it is there."""
    if isinstance(arg.value, Item):
        end = None if arg.value.end is None else arg.value.end._replace(relative=True)
        return arg.value._replace(end=end)
    assert isinstance(arg.value, Call)
    return Item(arg.value, None, arg.span)
