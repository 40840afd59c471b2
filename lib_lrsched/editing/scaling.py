"""A schedule text with every rate multiplied by one factor; all else in it stands as it stood."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from lib_lrsched.errors import RequestError
from lib_lrsched.language.tree import Call, Item, Quantity, Span, Word
from lib_lrsched.schedule.arguments import SOME_LENGTH, match
from lib_lrsched.schedule.other_names import read
from lib_lrsched.schedule.rates import rate_text
from lib_lrsched.schedule.repeat import check_form
from lib_lrsched.schedule.units import Clock

from .text_edits import Change, apply


def scaled(text: str, factor: float) -> str:
    """The text with its rates times ``factor``, three digits of each.

    Raises:
        ScheduleError: the text cannot be read, or a shape's arguments do not fit it.
        RequestError: a rate would leave what a float holds.

    >>> scaled("warmup(0.5):5%, cosine(0.5, 1e-3)  # mine", 0.03)
    'warmup(0.015):5%, cosine(0.015, 3e-5)  # mine'
    """
    if factor == 1.0:
        return text
    clock = Clock(text, SOME_LENGTH, 1, 1)  # a run in which every time can be said
    spans = [span for item in read(text).items for span in _rates(item.value, clock)]
    return apply(text, [Change(*span, _times(text[slice(*span)], factor)) for span in spans])


def _times(written: str, factor: float) -> str:
    rate = float(written) * factor
    if not isfinite(rate) or (rate == 0.0 and float(written) != 0.0):
        raise RequestError(f"the rate {written} times {factor:g} is not a number that can be trained with")
    return rate_text(rate)


def _rates(value: Quantity | Word | Call | Item, clock: Clock) -> Iterator[Span]:
    """The spans of the rates in a value, those within a repeat as well."""
    if isinstance(value, Item):
        yield from _rates(value.value, clock)
    elif isinstance(value, Quantity):
        yield value.span
    elif isinstance(value, Call) and value.name == "repeat":
        check_form(value, clock)
        for arg in value.args[1:]:
            yield from _rates(arg.value, clock)
    elif isinstance(value, Call):
        shape, given = match(value, clock)
        are_rates = {param.name for param in shape.params if param.kind == "rate"}
        yield from (arg.value.span for name, arg in given.items() if name in are_rates)
