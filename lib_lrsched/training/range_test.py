"""The range test of a run, from its history: progress over rate, and what is suggested."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf
from typing import Any, NamedTuple

from lib_lrsched.preview import not_measured
from lib_lrsched.schedule.searching import has_search, is_search, searches
from lib_lrsched.storage.history import History
from lib_lrsched.storage.run_state import Leg, RunState
from lib_lrsched.storage.stretching import planned_before

from ._range_rules import Answer, Pair, judge

MOST_ROWS = 1_000_000
"""Of a history, which holds fewer in memory."""

SWITCHED_OFF = "it is switched off"


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
        made = planned_before(leg) if has_search(leg.rate_text) else None
        if made is None:
            continue
        for start, end in reversed(list(searches(made))):
            first, last = max(leg.start_step, leg.origin + start), min(stop, leg.origin + end)
            pairs = _pairs(history, first, last) if first < last else []
            if pairs:
                return RangeTest(_answer(pairs, history, since_s=leg.started_s), is_search(leg.rate_text))
    return None


def _with_ends(legs: Sequence[Leg]) -> Iterable[tuple[Leg, float]]:
    """Each leg, and the step at which the next one begins."""
    ends = [*(after.start_step for _, after in pairwise(legs)), inf]
    return zip(legs, ends, strict=True)


def _pairs(history: History, first: int, stop: float) -> list[Pair]:
    points = history.since(first, MOST_ROWS)
    rows = zip(points["step"], points["actual"], points["loss"], points["baseline_loss"], strict=True)
    return [Pair(rate, loss, before) for step, rate, loss, before in rows if step < stop and rate is not None]


def _answer(pairs: Sequence[Pair], history: History, *, since_s: float) -> Answer:
    """``since_s``: when its leg began, unix time in seconds; an earlier leg's reason is not its own."""
    if all(pair.baseline is None for pair in pairs):
        said = (not_measured.reason(event["message"]) for event in history.events() if event["time_s"] >= since_s)
        why = next(filter(None, said), SWITCHED_OFF)
        return Answer((), None, not_measured.afterwards(why))
    return judge(pairs)
