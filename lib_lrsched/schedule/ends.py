"""Ends of items to absolute steps."""

from __future__ import annotations

from lib_lrsched.language.parser import parse
from lib_lrsched.language.suggest import replaced
from lib_lrsched.language.tree import Item, Quantity, unparse

from .units import Clock, time


def boundary(end: Quantity, start: int, clock: Clock) -> int:
    """The absolute step of an end; it has to lie after ``start``."""
    steps = end_steps(end, clock)
    stop = start + steps if end.relative else steps
    if stop <= start:
        clock.fail(f"boundaries must rise: this one is at {stop}, the one before it at {start}", end.span)
    return stop


def end_steps(end: Quantity, clock: Clock) -> int:
    """The steps that an end names, whether they count from the run's start or from the item's."""
    if not end.unit and not end.text.isdigit() and _is_a_rate(end):
        _check_order(end, clock)
    steps = time(end, clock, clock.total_steps)
    if steps < 1:
        clock.fail(f"an end is 1 or more, or -1 for the end of the run, got {end.text}", end.span)
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
