"""The range test of a run, from its history: progress over rate, and what is suggested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import Any, NamedTuple

from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.segments import Segment
from lib_lrsched.storage.history import History
from lib_lrsched.storage.run_state import Leg, RunState
from lib_lrsched.storage.stretching import planned_before

from ._range_rules import Answer, Pair, judge

MOST_ROWS = 1_000_000
"""Of a history, which holds fewer in memory."""

NOT_MEASURED = "progress was not measured: it is switched off, or the run's events say why"


class RangeTest(NamedTuple):
    """What a run's range test says.

    Attributes:
        answer: points, suggestion and reason.
        is_alone: it is the whole text, so that what was trained was put back.
    """

    answer: Answer
    is_alone: bool

    def to_json(self) -> dict[str, Any]:
        points, suggested, why = self.answer
        return {"points": [list(point) for point in points], "suggested": suggested, "why": why}


def range_test_of(state: RunState, history: History) -> RangeTest | None:
    """The newest range test of which an update was made; None where there is none that can be planned."""
    for leg, stop in reversed(list(_with_ends(state.legs))):
        made = None if "range_test" not in leg.rate_text.lower() else planned_before(leg)
        if made is None:
            continue
        for start, end in reversed(list(searches(made))):
            first, last = max(leg.start_step, leg.origin + start), min(stop, leg.origin + end)
            pairs = _pairs(history, first, last) if first < last else []
            if pairs:
                return RangeTest(_answer(pairs), is_rehearsal(made))
    return None


def is_rehearsal(plan: Plan) -> bool:
    """Whether a range test is the whole text."""
    return len(plan.tree.items) == 1 and plan.segments[0].entry.is_search


def searches(plan: Plan) -> Iterator[tuple[int, int]]:
    """The steps [start, stop) of range tests; of those in a repeat, of the first pass."""
    for start, stop in _searches(plan.segments, 0):
        if start < plan.stop:
            yield start, min(stop, plan.stop)


def _searches(segments: Sequence[Segment], offset: int) -> Iterator[tuple[int, int]]:
    for segment in segments:
        if segment.entry.is_search:
            yield offset + segment.start, offset + segment.stop
        elif segment.passes is not None:
            yield from _searches(segment.passes.first, offset + segment.start)


def _with_ends(legs: Sequence[Leg]) -> Iterable[tuple[Leg, float]]:
    """Each leg, and the step at which the next one begins."""
    ends = [*(after.start_step for _, after in pairwise(legs)), inf]
    return zip(legs, ends, strict=True)


def _pairs(history: History, first: int, stop: float) -> list[Pair]:
    points = history.since(first, MOST_ROWS)
    rows = zip(points["step"], points["actual"], points["loss"], points["baseline_loss"], strict=True)
    return [Pair(rate, loss, before) for step, rate, loss, before in rows if step < stop and rate is not None]


def _answer(pairs: Sequence[Pair]) -> Answer:
    if all(pair.baseline is None for pair in pairs):
        return Answer((), None, NOT_MEASURED)
    return judge(pairs)
