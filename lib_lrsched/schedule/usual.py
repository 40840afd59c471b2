"""The rates that people train with, in one place, and what is said of a schedule that is far from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .lints import Lint
from .plan import Plan
from .sampling import sample_steps

MANY_POINTS = 2000


class Usual(NamedTuple):
    """The range in words, and the highest rate of a schedule below and above which it is worth a word."""

    words: str
    low: float
    high: float


USUAL = {"embedding": Usual("1e-4 to 0.1", 2e-5, 0.5), "hypernetwork": Usual("1e-6 to 1e-3", 1e-7, 3e-3)}
"""With the default optimizer, AdamW. They lie a hundred times apart, and it is easy to type one's rate into the other's field."""

_A = {"embedding": "an embedding", "hypernetwork": "a hypernetwork"}


def is_nothing(planned: Plan) -> bool:
    """Whether the rate is 0 at every step: at every extreme, to be exact."""
    return not planned.feedback and not _peak(planned)[1]


def unusual_rate(kind: str | None, planned: Plan) -> Lint | None:
    """That the highest rate is far from what this kind is trained with; of no known kind, from what both are.

    None where it is not, where it is 0, and for a search for the rate.

    >>> from .plan import plan
    >>> unusual_rate("embedding", plan("5:10, 0.005", total_steps=100)).message
    'the highest learning rate is 5, far above what an embedding is usually trained with, 1e-4 to 0.1'
    """
    if not (kind is None or kind in USUAL) or any(segment.entry.is_search for segment in planned.segments):
        return None
    step, peak = _peak(planned)
    words = _words(kind, peak) if peak else ""
    if not words:
        return None
    segment = next(segment for segment in planned.segments if segment.start <= step < segment.stop)
    return Lint(f"the highest learning rate is {peak:g}, far {words}", segment.item.value.span)


def _words(kind: str | None, peak: float) -> str:
    far = {one: _far(usual, peak) for one, usual in USUAL.items()}
    if kind is None:
        where = far["embedding"]
        all_words = " and ".join(f"{_A[one]} ({usual.words})" for one, usual in USUAL.items())
        return f"{where} what {all_words} are usually trained with" if all(far.values()) else ""
    (other,) = USUAL.keys() - {kind}
    hint = "" if far[other] else f"; for {_A[other]} it would be usual ({USUAL[other].words})"
    return f"{far[kind]} what {_A[kind]} is usually trained with, {USUAL[kind].words}{hint}" if far[kind] else ""


def _far(usual: Usual, peak: float) -> str:
    return "above" if peak > usual.high else "below" if peak < usual.low else ""


def _peak(planned: Plan) -> tuple[int, float]:
    """The highest rate, and a step with it."""
    steps = sample_steps(planned, MANY_POINTS)
    values = planned.values(steps)
    place = int(np.argmax(values))
    return int(steps[place]), float(values[place])
