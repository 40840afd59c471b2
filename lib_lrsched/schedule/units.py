"""Numbers as they were written to numbers as they are meant: rates, and times in steps, percent, epochs and images."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor, isfinite
from typing import NoReturn

from lib_lrsched.errors import ScheduleError
from lib_lrsched.language.tree import Quantity, Span

FURTHEST = 10**40
"""No number of 40 characters counts more steps; a float still holds it."""


@dataclass(frozen=True)
class Clock:
    """What a time is measured against.

    Args:
        source: the text, for errors.
        total_steps: the run's max steps.
        steps_per_epoch: updates in one pass over the data set, or None where it is not known.
        images_per_step: images in one update (batch size times accumulation), or None.
    """

    source: str
    total_steps: int
    steps_per_epoch: int | None = None
    images_per_step: int | None = None

    def fail(self, message: str, span: Span, fix: str | None = None) -> NoReturn:
        raise ScheduleError(message, self.source, span, fix)


def is_minus_one(end: Quantity) -> bool:
    """Whether the end is the host's word for the end of the run, in any of int()'s spellings."""
    if end.unit or end.relative or end.text[0] != "-":
        return False
    try:
        return int(end.text) == -1
    except ValueError:
        return False


def rate(value: Quantity, clock: Clock) -> float:
    """A finite float, 0 or more."""
    number = float(value.text)
    if value.unit or not isfinite(number) or number < 0:
        given = ("+" if value.relative else "") + value.text + value.unit
        clock.fail(f"a rate is a finite number, 0 or more, got {given}", value.span)
    return number


def time(value: Quantity, clock: Clock, whole: int | None) -> int:
    """A number of steps. ``whole`` is what percent is of; None where it is not known.

    A fraction rounds half up; what rounds to 0 without being 0 is refused.
    """
    if not value.unit:
        return integer(value, clock)
    amount = float(value.text)
    if not isfinite(amount) or amount <= 0:
        clock.fail(f"a time is a finite number above 0, got {value.text}{value.unit}", value.span)
    if value.unit == "img":
        integer(value, clock)
    steps = floor(_exact(value.text) * _scale(value, clock, whole) + Fraction(1, 2))
    if steps > FURTHEST:
        clock.fail(f"{value.text}{value.unit} exceeds the longest possible run", value.span)
    if steps == 0:
        clock.fail(f"{value.text}{value.unit} comes to 0 steps; a time is 1 step or more", value.span)
    return steps


def _exact(text: str) -> Fraction:
    """The decimal number as written. Fraction() reads no underscores before Python 3.11."""
    return Fraction(text.replace("_", ""))


def _scale(value: Quantity, clock: Clock, whole: int | None) -> Fraction:
    """Steps in one unit."""
    if value.unit == "%":
        if whole is None:
            clock.fail("percent is of the repeat's own segment here; give the repeat an end", value.span)
        return Fraction(whole, 100)
    if value.unit == "ep":
        if clock.steps_per_epoch is None:
            error = ScheduleError("epochs need the data set's size: say how many images there are", clock.source, value.span)
            error.needs = "images"
            raise error
        return Fraction(clock.steps_per_epoch)
    if clock.images_per_step is None:
        clock.fail("img needs the number of images per step: batch size times accumulation", value.span)
    return Fraction(1, clock.images_per_step)


def integer(value: Quantity, clock: Clock) -> int:
    try:
        return int(value.text)
    except ValueError:
        number = float(value.text)
        hint = f"; did you mean {number:.0f}?" if 1 <= number < 1e15 and number == round(number) else ""
        clock.fail(f"steps are counted in whole numbers, got {value.text}{hint}", value.span)


