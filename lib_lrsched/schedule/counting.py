"""How images, batch size and accumulation become updates and epochs, with the host's caps."""

from __future__ import annotations

import re
from typing import NamedTuple

_COUNTED_TIME = re.compile(r"[\d.]\s*(ep|img)\b")


class Counts(NamedTuple):
    """The numbers that a data set of the host ends up with. ``steps_per_epoch`` is None without images."""

    batch: int
    accumulate: int
    steps_per_epoch: int | None
    images_per_step: int


def needs_images(text: str) -> bool:
    """Whether a schedule has a time in epochs or images, for which the number of images must be known.

    >>> needs_images("0.005:3ep, 1e-3"), needs_images("0.005:300, 1e-3")
    (True, False)
    """
    return _COUNTED_TIME.search(text) is not None


def count_steps(images: int | None, batch: int, accumulate: int) -> Counts:
    """Batch and accumulation are capped as the host's PersonalizedBase caps them.

    Args:
        images: images that decode, 1 or more, or None where that is not known.
        batch: batch size as typed, 1 or more.
        accumulate: gradient accumulation steps as typed, 1 or more.

    >>> count_steps(12, 5, 1)
    Counts(batch=5, accumulate=1, steps_per_epoch=2, images_per_step=5)
    >>> count_steps(3, 8, 4)
    Counts(batch=3, accumulate=1, steps_per_epoch=1, images_per_step=3)
    """
    if images is None:
        return Counts(batch, accumulate, None, batch * accumulate)
    batch = min(batch, images)
    accumulate = min(accumulate, images // batch)
    return Counts(batch, accumulate, images // batch // accumulate, batch * accumulate)
