"""What every exporter gives back, how it refuses, and what most of them cannot say."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from lib_lrsched.language.tree import Span
from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.segments import Segment

MOST_STEPS = 10_000_000
"""Exporters look at every step of a plan; beyond this that would take minutes and gigabytes."""

LARGEST = 1e100
"""No training survives such a rate; up to it no product or square here overflows."""


class Exported(NamedTuple):
    """A schedule in another program's words.

    ``note`` says in plain words what the text leaves to the reader; ``worst_error`` is the largest relative difference
    from the plan, 0.0 where the format says exactly what the plan says.
    """

    text: str
    note: str
    worst_error: float = 0.0


class ExportError(ValueError):
    """A plan that a format cannot say. ``span`` is the item's place in the plan's text, or None for the whole."""

    def __init__(self, message: str, span: Span | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.span = span


def all_values(plan: Plan) -> np.ndarray:
    """The plan at every step that is trained -> float64 [stop].

    Raises:
        ExportError: there are more steps than an exporter looks at, or a rate that their arithmetic overflows with.
    """
    if plan.stop > MOST_STEPS:
        raise ExportError(f"an export looks at every step, at most {MOST_STEPS} of them; this plan has {plan.stop}")
    values = plan.values(np.arange(plan.stop))
    if values.max() > LARGEST:
        raise ExportError(f"an export takes rates up to {LARGEST:g}; this plan has {values.max():g}")
    return values


def refuse_feedback(plan: Plan, program: str) -> None:
    """Raise ExportError where a rate of the plan depends on the loss."""
    for segment in plan.feedback:
        raise ExportError(f"`{segment.shape}` looks at the loss, and {program} cannot", segment.item.span)


def refuse_momentum(plan: Plan, program: str) -> None:
    """Raise ExportError where the plan drives momentum too."""
    segment = first_with_momentum(plan)
    if segment is not None:
        raise ExportError(
            f"`{segment.shape}` drives momentum too, and {program} cannot; write `cycle_momentum=no` to export the rate alone",
            segment.item.span,
        )


def first_with_momentum(plan: Plan) -> Segment | None:
    """The first segment that drives momentum."""
    return next((segment for segment in plan.segments if segment.momentum is not None), None)


def shape_names(plan: Plan, most: int = 4) -> str:
    """The shapes of a plan in order, for a message: ``warmup, cosine``."""
    names = [segment.shape for segment in plan.segments]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def short(number: float) -> str:
    """The shortest text that reads back as this very float, without the zeros that repr() pads exponents with.

    >>> short(1e-05), short(0.005), short(2.0), short(0.0)
    ('1e-5', '0.005', '2', '0')
    """
    text = re.sub(r"e([+-])0*", lambda match: "e-" if match[1] == "-" else "e", repr(float(number)))
    return text.removesuffix(".0")


def tidy(number: float) -> float:
    """A product or quotient without the dust of its last bit: 15 digits."""
    return float(f"{number:.15g}")


def same(rates: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where two float64 [N] are the same but for rounding, bool [N]. Near 0 a cosine has rounding of its height."""
    with np.errstate(invalid="ignore"):
        return np.abs(rates - values) <= 1e-9 * values + 1e-14 * values.max()
