"""Tree and run to segments: what each item means at which steps.

Here texts become numbers: ends become absolute boundaries, arguments become parameter values,
and everything that cannot be is a ScheduleError at its place. Nothing is evaluated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .arguments import build, check_arguments
from .parser import parse
from .shapes import Built
from .suggest import replaced
from .syntax import Item, Quantity, Schedule, unparse
from .times import Clock, is_minus_one, rate, time


class Segment(NamedTuple):
    """Steps ``[start, stop)`` of a run. ``length`` is the n of the shapes, from the written end.

    ``value`` is the rate of a plain number, else None; ``built`` has the curve of anything else.
    ``open`` says that no end was written. ``feedback`` has a plateau's parameters.
    """

    start: int
    stop: int
    length: int
    item: Item
    shape: str
    value: float | None
    built: Built | None
    open: bool = False
    feedback: Mapping[str, Any] | None = None

    @property
    def exit(self) -> float | None:
        """The rate that the next segment can start from."""
        return self.value if self.built is None else self.built.exit


def lay_out(tree: Schedule, clock: Clock) -> tuple[list[Segment], int]:
    """The segments in order, and the number of items that belong to them.

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
    return segments, len(segments)


def _segment(item: Item, start: int, before: float | None, clock: Clock) -> Segment:
    value, end = item.value, item.end
    is_open = end is None or is_minus_one(end)
    stop = max(clock.total_steps, start) if is_open else boundary(end, start, clock)  # type: ignore[arg-type]
    if isinstance(value, Quantity):
        return Segment(start, stop, stop - start, item, "constant", rate(value, clock), None, is_open)
    if value.name == "repeat":
        from .repeat import build_repeat

        built, natural = build_repeat(value, None if is_open else stop - start, before, clock)
        if end is not None and is_open:
            clock.fail("repeat ends after its passes; leave out the :-1", end.span)
        if is_open:
            stop = start + natural
        return Segment(start, stop, stop - start, item, "repeat", None, built)
    length = stop - start
    if is_open and length == 0:
        _check_unreached(item, clock)
        return Segment(start, stop, 0, item, value.name, 0.0, None, True)
    built, values = build(value, length, before, clock)
    feedback = values if value.name == "plateau" else None
    return Segment(start, stop, length, item, value.name, None, built, is_open, feedback)


def boundary(end: Quantity, start: int, clock: Clock) -> int:
    """The absolute step of an end; it has to lie after ``start``."""
    steps = _end_steps(end, clock)
    stop = start + steps if end.relative else steps
    if stop <= start:
        clock.fail(f"boundaries must rise: this one is at {stop}, the one before it at {start}", end.span)
    return stop


def _end_steps(end: Quantity, clock: Clock) -> int:
    if not end.unit and not end.text.isdigit() and _is_a_rate(end):
        _check_order(end, clock)
    steps = time(end, clock, clock.total_steps)
    if steps < 1:
        clock.fail(f"an end is 1 or more, or -1 for the end of the run; given was {end.text}", end.span)
    return steps


def _check_order(end: Quantity, clock: Clock) -> None:
    """Refuse ``100:0.005``: a rate stands before its end. All items that were written so are turned round."""
    wrong = [item for item in parse(clock.source).items if _is_turned_round(item)]
    mine = next((item for item in wrong if item.end is not None and item.end.span == end.span), None)
    if mine is None:
        return
    fix = clock.source
    for item in reversed(wrong):
        fix = replaced(fix, item.span, _turned(item))
    clock.fail(f"the wrong way round: a rate stands before its end; did you mean `{_turned(mine)}`?", mine.span, fix)


def _is_turned_round(item: Item) -> bool:
    value, end = item.value, item.end
    if not isinstance(value, Quantity) or end is None or end.unit:
        return False
    return value.text.isdigit() and int(value.text) > 0 and _is_a_rate(end)


def _is_a_rate(end: Quantity) -> bool:
    return 0 < float(end.text) < 1


def _turned(item: Item) -> str:
    assert item.end is not None
    return f"{unparse(item.end._replace(relative=False))}:{unparse(item.value)}"


def _check_unreached(item: Item, clock: Clock) -> None:
    """Complain about an item that never runs as far as that needs no length."""
    if isinstance(item.value, Quantity):
        rate(item.value, clock)
    elif item.value.name == "repeat":
        from .repeat import check_form

        check_form(item.value, clock)
    else:
        check_arguments(item.value, clock)
    if item.end is not None and not is_minus_one(item.end):
        _end_steps(item.end, clock)
