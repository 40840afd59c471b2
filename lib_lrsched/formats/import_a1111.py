"""The WebUI's own string as a schedule text."""

from __future__ import annotations

from math import isfinite

from .import_diffusers import steps_of
from .import_result import Imported, ImportFormatError, brief


def from_a1111(text: str) -> Imported:
    """A WebUI string with the meaning that it has there for a run from step 0.

    The WebUI takes ``:+50`` for 50, skips items that end at 0 or below, takes an item of three parts for an open one, and
    reads nothing after an open one. Steps that do not rise have no exact text: there the item's length depends on how
    often it is asked.
    """
    items: list[str] = []
    left: list[str] = []
    last = 0
    given = [item.strip() for item in text.split(",") if item.strip()]
    for number, item in enumerate(given):
        rate, *ends = (part.strip() for part in item.split(":"))
        end = steps_of(ends[0], item) if len(ends) == 1 else -1
        if end == -1:
            items.append(_rate(rate, item))
            left += [f"`{brief(after)}` never runs" for after in given[number + 1 :]]
            left += [f"`{brief(item)}` was an open end there"] if len(ends) > 1 else []
            break
        if end <= 0:
            left.append(f"`{brief(item)}` never runs")
            continue
        if end <= last:
            raise ImportFormatError(
                f"`{brief(item)}` ends at {brief(str(end))}, not after the segment before it ({brief(str(last))}); "
                "how long the WebUI keeps it is undefined"
            )
        items.append(f"{_rate(rate, item)}:{end}")
        last = end
    if not items:
        raise ImportFormatError("no segment that would run; expected rates with the steps where they end, such as 0.005:100, 1e-3")
    return Imported(", ".join(items), None, "; ".join(left))


def _rate(text: str, item: str) -> str:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not isfinite(value) or value < 0:
        raise ImportFormatError(f"`{brief(item)}`: expected a rate, a finite number of 0 or more, got `{brief(text)}`")
    return text
