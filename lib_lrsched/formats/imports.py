"""``import_text(text, kind)``: other programs' schedules as schedule texts.

What has no exact text is an error that names the place and the reason. Every text that comes out can be read and planned.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from lib_lrsched.errors import ScheduleError
from lib_lrsched.schedule.plan import plan

from .import_deepspeed import from_deepspeed
from .import_diffusers import from_diffusers, steps_of
from .import_kohya import from_kohya
from .import_onetrainer import from_onetrainer
from .import_result import Imported, ImportFormatError, brief

__all__ = ["KINDS", "ImportFormatError", "Imported", "import_text"]


def import_text(text: str, kind: str, *, base: float | None = None, steps_per_epoch: int | None = None) -> Imported:
    """A schedule of another program as a schedule text.

    Args:
        text: a WebUI string ("a1111"), ``step_rules`` ("diffusers"), a JSON configuration or its scheduler section
            ("deepspeed"), arguments of sd-scripts, as a command line, as its TOML file or as the settings that kohya_ss saves
            ("kohya"), or OneTrainer's configuration ("onetrainer").
        kind: one of KINDS.
        base: the optimizer's rate, which diffusers' multipliers need, and DeepSpeed's WarmupCosineLR without an optimizer
            section.
        steps_per_epoch: updates of an epoch, which sd-scripts' --max_train_epochs needs; OneTrainer's steps are batches.

    Raises:
        ImportFormatError: the text is not of this kind, or it cannot be said exactly.

    >>> import_text("1:10,0.1:20,0.01", "diffusers", base=0.005).text
    '0.005:10, 0.0005:20, 5e-5'
    """
    if kind not in KINDS:
        raise ImportFormatError(f"no format `{brief(kind)}`; there are {', '.join(KINDS)}")
    if base is not None and not (isfinite(base) and base > 0):
        raise ImportFormatError(f"expected a finite number above 0 as the base rate, got {base:g}")
    if steps_per_epoch is not None and steps_per_epoch < 1:
        raise ImportFormatError(f"expected a whole number from 1 as the steps per epoch, got {steps_per_epoch}")
    text = text.removeprefix("\ufeff")  # some editors write this mark before everything else
    counts_epochs = WITH_EPOCHS.get(kind)
    found = KINDS[kind](text, base) if counts_epochs is None else counts_epochs(text, base, steps_per_epoch)
    try:
        plan(found.text, total_steps=found.total_steps or 1)
    except ScheduleError as error:
        raise ImportFormatError(f"this comes to `{brief(found.text)}`, which cannot be planned: {error.message}") from error
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


KINDS: dict[str, Callable[[str, float | None], Imported]] = {
    "a1111": from_a1111, "diffusers": from_diffusers, "deepspeed": from_deepspeed, "kohya": from_kohya,
    "onetrainer": from_onetrainer,
}  # fmt: skip
"""Each format's reader, which takes the text and the base rate."""

WITH_EPOCHS: dict[str, Callable[[str, float | None, int | None], Imported]] = {
    "kohya": from_kohya, "onetrainer": from_onetrainer,
}  # fmt: skip
"""Those that take the steps per epoch too."""
