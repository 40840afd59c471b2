"""``import_text(text, kind)``: other programs' schedules as schedule texts.

What has no exact text is an error that names the place and the reason. Every text that comes out can be read and planned.
"""

from __future__ import annotations

from math import isfinite

from lib_lrsched.errors import ScheduleError
from lib_lrsched.schedule.plan import plan

from .import_result import Imported, ImportFormatError, brief
from .registry import IMPORTERS, load

__all__ = ["ImportFormatError", "Imported", "import_text"]


def import_text(text: str, kind: str, *, base: float | None = None, steps_per_epoch: int | None = None) -> Imported:
    """A schedule of another program as a schedule text.

    Args:
        text: a WebUI string ("a1111"), ``step_rules`` ("diffusers"), a JSON configuration or its scheduler section
            ("deepspeed"), arguments of sd-scripts, as a command line, as its TOML file or as the settings that kohya_ss saves
            ("kohya"), or OneTrainer's configuration ("onetrainer").
        kind: one of IMPORTERS.
        base: the optimizer's rate, which diffusers' multipliers need, and DeepSpeed's WarmupCosineLR without an optimizer
            section.
        steps_per_epoch: updates of an epoch, which sd-scripts' --max_train_epochs needs; OneTrainer's steps are batches.

    Raises:
        ImportFormatError: the text is not of this kind, or it cannot be said exactly.

    >>> import_text("1:10,0.1:20,0.01", "diffusers", base=0.005).text
    '0.005:10, 0.0005:20, 5e-5'
    """
    if kind not in IMPORTERS:
        raise ImportFormatError(f"no format `{brief(kind)}`; there are {', '.join(IMPORTERS)}")
    if base is not None and not (isfinite(base) and base > 0):
        raise ImportFormatError(f"expected a finite number above 0 as the base rate, got {base:g}")
    if steps_per_epoch is not None and steps_per_epoch < 1:
        raise ImportFormatError(f"expected a whole number from 1 as the steps per epoch, got {steps_per_epoch}")
    text = text.removeprefix("\ufeff")  # some editors write this mark before everything else
    importer = IMPORTERS[kind]
    options = {name: value for name, value in (("base", base), ("steps_per_epoch", steps_per_epoch)) if value is not None}
    for name in options:
        if name in importer.refuses:
            raise ImportFormatError(importer.refuses[name])
    found: Imported = load(importer)(text, **{name: value for name, value in options.items() if name in importer.takes})
    try:
        plan(found.text, total_steps=found.total_steps or 1)
    except ScheduleError as error:
        raise ImportFormatError(f"this comes to `{brief(found.text)}`, which cannot be planned: {error.message}") from error
    return found
