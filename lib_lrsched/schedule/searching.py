"""Texts and plans that look for a rate: range tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lib_lrsched.errors import ScheduleError
from lib_lrsched.language.parser import parse
from lib_lrsched.language.tree import Call

from .plan import Plan
from .segments import Segment
from .shapes import RANGE_TEST, SHAPES


def is_search(text: str) -> bool:
    """Whether a range test is the whole text.

    >>> is_search("range_test(1e-5, 0.1):300"), is_search("range_test(1e-5, 0.1):300, 1e-3"), is_search("range_test(")
    (True, False, False)
    """
    if not has_search(text):
        return False
    try:
        items = parse(text).items
    except ScheduleError:
        return False
    value = items[0].value
    return len(items) == 1 and isinstance(value, Call) and value.name in SHAPES and SHAPES[value.name].is_search


def has_search(text: str) -> bool:
    """Whether a range test may be in a text: it names one."""
    return RANGE_TEST.name in text


def searches(plan: Plan) -> Iterator[tuple[int, int]]:
    """The steps [start, stop) of a plan's range tests; of those in a repeat, of the first pass."""
    for start, stop in _searches(plan.segments, 0):
        if start < plan.stop:
            yield start, min(stop, plan.stop)


def _searches(segments: Sequence[Segment], offset: int) -> Iterator[tuple[int, int]]:
    for segment in segments:
        if segment.entry.is_search:
            yield offset + segment.start, offset + segment.stop
        elif segment.passes is not None:
            yield from _searches(segment.passes.first, offset + segment.start)
