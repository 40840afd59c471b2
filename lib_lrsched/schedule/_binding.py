"""Tree and run to segments: what each item means at which steps.

Here texts become numbers: ends become absolute boundaries, arguments become parameter values,
and everything that cannot be is a ScheduleError at its place. Nothing is evaluated here.
"""

from __future__ import annotations

from lib_lrsched.language.tree import Item, Quantity, Schedule

from .arguments import build, check_arguments
from .ends import boundary, end_steps
from .repeat import build_repeat, check_form
from .segments import Segment
from .units import Clock, is_minus_one, rate


def lay_out(tree: Schedule, clock: Clock) -> list[Segment]:
    """The segments in order, one for each of the first items.

    Items after an open-ended one are checked and left out. Segments that start after the end
    of the run are kept; a plan never asks them.
    """
    segments: list[Segment] = []
    start = 0
    before: float | None = None
    for item in tree.items:
        if segments and segments[-1].open:
            _check_unreached(item, clock)
            continue
        segment = _segment(item, start, before, clock)
        segments.append(segment)
        start, before = segment.stop, segment.exit
    return segments


def _segment(item: Item, start: int, before: float | None, clock: Clock) -> Segment:
    value, end = item.value, item.end
    is_open = end is None or is_minus_one(end)
    stop = max(clock.total_steps, start) if is_open else boundary(end, start, clock)  # type: ignore[arg-type]
    if isinstance(value, Quantity):
        return Segment(start, stop, stop - start, item, "constant", {"v": rate(value, clock)}, None, is_open)
    if value.name == "repeat":
        found = build_repeat(value, None if is_open else stop - start, before, clock)
        if end is not None and is_open:
            clock.fail("repeat ends after its passes; leave out the :-1", end.span)
        if is_open:
            stop = start + found.steps
        return Segment(start, stop, stop - start, item, "repeat", found.values, found.built, passes=found.passes)
    length = stop - start
    if is_open and length == 0:
        _check_unreached(item, clock)
        return Segment(start, stop, 0, item, value.name, {}, None, True)
    built, values = build(value, length, before, clock)
    return Segment(start, stop, length, item, value.name, values, built, is_open)


def _check_unreached(item: Item, clock: Clock) -> None:
    """Complain about an item that never runs as far as that needs no length."""
    if isinstance(item.value, Quantity):
        rate(item.value, clock)
    elif item.value.name == "repeat":
        check_form(item.value, clock)
    else:
        check_arguments(item.value, clock)
    if item.end is not None and not is_minus_one(item.end):
        end_steps(item.end, clock)
