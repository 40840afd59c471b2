"""What would go wrong with a training because of the numbers in its fields."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import NamedTuple

from .images import count_in_time
from .preflight_case import ERROR, WARNING, Case, Finding

WITHIN_S = 0.5
"""So long an answer waits for a number of images; the next question continues where this one was."""


class Number(NamedTuple):
    """What a field is called, what it takes, and whether only whole numbers."""

    label: str
    low: float
    high: float | None = None
    is_whole: bool = True

    def holds(self, value: str | float) -> bool:
        try:
            value = float(value)
        except (ValueError, OverflowError):
            return False
        if not isfinite(value):
            return False
        return value >= self.low and (self.high is None or value <= self.high) and (not self.is_whole or value == int(value))

    @property
    def expected(self) -> str:
        what = "a whole number" if self.is_whole else "a number"
        return f"{what} from {self.low:g}" if self.high is None else f"{what} from {self.low:g} to {self.high:g}"


NUMBERS = {
    "steps": Number("Max steps", 1),
    "batch_size": Number("Batch size", 1),
    "gradient_step": Number("Gradient accumulation steps", 1),
    "training_width": Number("Width", 1),
    "training_height": Number("Height", 1),
    "create_image_every": Number("Save an image every N steps", 0),
    "save_model_every": Number("Save a copy every N steps", 0),
    "save_embedding_every": Number("Save a copy every N steps", 0),
    "save_hypernetwork_every": Number("Save a copy every N steps", 0),
    "tag_drop_out": Number("Drop out tags when creating prompts", 0, 1, is_whole=False),
}
"""By the host's names of its inputs."""


def numbers(case: Case) -> Iterator[Finding]:
    """A field that is empty, or holds what is no such number; what was not sent is not looked at."""
    for name, number in NUMBERS.items():
        value = case.inputs.get(name, 1)
        if not isinstance(value, (str, int, float, type(None))) or (value is not None and number.holds(value)):
            continue
        got = f", not {value!r:.40}" if value not in (None, "") else ""
        yield Finding(ERROR, name, f"{number.label}: {number.expected}{got}")


def larger_than_the_set(case: Case) -> Iterator[Finding]:
    """The host lowers the batch to the images of the set, and accumulation to the batches of an epoch, silently."""
    folder, batch, accumulate = case.path("data_root"), case.whole("batch_size"), case.whole("gradient_step") or 1
    if not folder or batch * accumulate <= 1:
        return
    count = count_in_time(folder, case.host.read_image, WITHIN_S)
    if not count:
        return
    has = f"the data set has {count} image{'' if count == 1 else 's'}"
    if batch > count:
        yield Finding(WARNING, "batch_size", f"{has}, so a batch size of {batch} is taken as {count}")
    most = count // min(batch, count)
    if accumulate > most:
        batches = f"{most} batch{'' if most == 1 else 'es'}"
        yield Finding(WARNING, "gradient_step", f"{has}, which is {batches} of {min(batch, count)}, so gradient accumulation of "
                                                f"{accumulate} steps is taken as {most}")
