"""``import_text(text, kind)``: other programs' schedules as schedule texts.

What has no exact text is an error that names the place and the reason. Every text that comes out can be read and planned.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from math import isfinite

from .errors import ScheduleError
from .exported import short, tidy
from .import_deepspeed import from_deepspeed
from .import_kohya import from_kohya
from .imported import Imported, ImportFormatError
from .plan import plan

__all__ = ["KINDS", "ImportFormatError", "Imported", "import_text"]


def import_text(text: str, kind: str, *, base: float | None = None) -> Imported:
    """A schedule of another program as a schedule text.

    Args:
        text: a WebUI string ("a1111"), ``step_rules`` ("diffusers"), a JSON configuration or its scheduler section
            ("deepspeed"), or arguments of sd-scripts ("kohya").
        kind: one of KINDS.
        base: the optimizer's rate, which diffusers' multipliers need, and DeepSpeed's WarmupCosineLR without an optimizer
            section.

    Raises:
        ImportFormatError: the text is not of this kind, or it cannot be said exactly.

    >>> import_text("1:10,0.1:20,0.01", "diffusers", base=0.005).text
    '0.005:10, 0.0005:20, 5e-5'
    """
    if kind not in KINDS:
        raise ImportFormatError(f"no format `{kind}`; there are {', '.join(KINDS)}")
    if base is not None and not (isfinite(base) and base > 0):
        raise ImportFormatError(f"the base rate is a finite number above 0; given was {base:g}")
    found = KINDS[kind](text, base)
    try:
        plan(found.text, total_steps=found.total_steps or 1)
    except ScheduleError as error:
        raise ImportFormatError(f"this comes to `{found.text}`, which cannot be planned: {error.message}") from error
    return found


# The WebUI's string ---------------------------------------------------------------------------


def from_a1111(text: str, base: float | None = None) -> Imported:
    """A WebUI string with the meaning that it has there for a run from step 0.

    The WebUI takes ``:+50`` for 50, skips items that end at 0 or below, takes an item of three parts for an open one, and
    reads nothing after an open one. Steps that do not rise have no exact text: there the item's length depends on how
    often it is asked.
    """
    if base is not None:
        raise ImportFormatError("a1111 strings have absolute rates: leave out the base rate")
    items: list[str] = []
    left: list[str] = []
    last = 0
    given = [item.strip() for item in text.split(",") if item.strip()]
    for number, item in enumerate(given):
        rate, *ends = (part.strip() for part in item.split(":"))
        end = _end(ends[0], item) if len(ends) == 1 else -1
        if end == -1:
            items.append(_rate(rate, item))
            left += [f"`{after}` never runs" for after in given[number + 1 :]]
            left += [f"`{item}` was an open end there"] if len(ends) > 1 else []
            break
        if end <= 0:
            left.append(f"`{item}` never runs")
            continue
        if end <= last:
            raise ImportFormatError(
                f"`{item}` ends at {end}, not after the item before it ({last}); how long the WebUI keeps it is a matter of chance"
            )
        items.append(f"{_rate(rate, item)}:{end}")
        last = end
    if not items:
        raise ImportFormatError("no item that would run; expected rates with the steps where they end, such as 0.005:100, 1e-3")
    return Imported(", ".join(items), None, "; ".join(left))


def _rate(text: str, item: str) -> str:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not isfinite(value) or value < 0:
        raise ImportFormatError(f"`{item}`: expected a rate, a finite number of 0 or more, given was `{text}`")
    return text


def _end(text: str, item: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ImportFormatError(f"`{item}`: expected a whole number of steps, given was `{text}`") from None


# diffusers ------------------------------------------------------------------------------------


def from_diffusers(text: str, base: float | None = None) -> Imported:
    """``step_rules`` of get_piecewise_constant_schedule: ``multiplier:step`` with absolute ends, and a bare last multiplier.

    (Its docstring describes the numbers as durations; its code compares them with the step.)
    """
    if base is None:
        raise ImportFormatError("diffusers' rules are multipliers: give the optimizer's rate as the base rate")
    *rules, last = (rule.strip() for rule in text.split(","))
    if ":" in last:
        raise ImportFormatError(f"diffusers wants a bare multiplier at the end; the last one is `{last}`")
    steps: dict[int, str] = {}
    for rule in rules:
        multiple, *ends = rule.split(":")
        if len(ends) != 1:
            raise ImportFormatError(f"expected multiplier:step, such as 0.1:20, given was `{rule}`")
        steps[_end(ends[0], rule)] = multiple.strip()
    items = [f"{_product(steps[step], base)}:{step}" for step in sorted(steps) if step > 0]
    return Imported(", ".join([*items, _product(last, base)]), None, "")


def _product(multiple: str, base: float) -> str:
    """The product of the decimal numbers as they are written, to 15 digits: 0.1 of 0.003 is 0.0003."""
    try:
        value = Decimal(multiple) * Decimal(short(base))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise ImportFormatError(f"expected a multiplier, a finite number of 0 or more, given was `{multiple}`")
    return short(tidy(float(value)))


KINDS: dict[str, Callable[[str, float | None], Imported]] = {
    "a1111": from_a1111, "diffusers": from_diffusers, "deepspeed": from_deepspeed, "kohya": from_kohya,
}  # fmt: skip
"""Each format's reader, which takes the text and the base rate."""
