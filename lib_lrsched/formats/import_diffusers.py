"""The rules of diffusers' get_piecewise_constant_schedule as schedule texts."""

from __future__ import annotations

from decimal import Decimal, DecimalException
from math import isfinite

from .export_result import short, tidy
from .import_result import Imported, ImportFormatError, brief


def from_diffusers(text: str, base: float | None = None) -> Imported:
    """``step_rules`` of get_piecewise_constant_schedule: ``multiplier:step`` with absolute ends, and a bare last multiplier.

    (Its docstring describes the numbers as durations; its code compares them with the step.)
    """
    if base is None:
        raise ImportFormatError("diffusers' rules are multipliers: give the optimizer's rate as the base rate")
    *rules, last = (rule.strip() for rule in text.split(","))
    if ":" in last:
        raise ImportFormatError(f"diffusers needs a bare multiplier at the end; the last one is `{brief(last)}`")
    steps: dict[int, str] = {}
    for rule in rules:
        multiple, *ends = rule.split(":")
        if len(ends) != 1:
            raise ImportFormatError(f"expected multiplier:step, such as 0.1:20, got `{brief(rule)}`")
        steps[steps_of(ends[0], rule)] = multiple.strip()
    items = [f"{_product(steps[step], base)}:{step}" for step in sorted(steps) if step > 0]
    return Imported(", ".join([*items, _product(last, base)]), None, "")


def _product(multiple: str, base: float) -> str:
    """The product of the decimal numbers as they are written, to 15 digits: 0.1 of 0.003 is 0.0003."""
    try:
        value = float(Decimal(multiple) * Decimal(short(base)))
    except DecimalException:  # not a number, or one beyond what Decimal holds
        value = -1.0
    if not isfinite(value) or value < 0:
        raise ImportFormatError(f"expected a multiplier, a finite number of 0 or more, got `{brief(multiple)}`")
    return short(tidy(value))


def steps_of(text: str, item: str) -> int:
    """The end of an item."""
    try:
        return int(text)
    except ValueError:
        raise ImportFormatError(f"`{brief(item)}`: expected a whole number of steps, got `{brief(text)}`") from None
