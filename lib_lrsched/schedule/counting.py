"""How pictures, batch size and accumulation become updates and epochs, with the host's caps."""

from __future__ import annotations

import re
from typing import NamedTuple

_COUNTED_TIME = re.compile(r"[\d.]\s*(ep|img)\b")


class Counts(NamedTuple):
    """The numbers that a data set of the host ends up with. ``steps_per_epoch`` is None without pictures."""

    batch: int
    accumulate: int
    steps_per_epoch: int | None
    images_per_step: int


def needs_pictures(text: str) -> bool:
    """Whether a schedule has a time in epochs or pictures, for which the number of pictures must be known.

    >>> needs_pictures("0.005:3ep, 1e-3"), needs_pictures("0.005:300, 1e-3")
    (True, False)
    """
    return _COUNTED_TIME.search(text) is not None


def count_steps(pictures: int | None, batch: int, accumulate: int) -> Counts:
    """Batch and accumulation are capped as the host's PersonalizedBase caps them.

    Args:
        pictures: pictures that decode, 1 or more, or None where that is not known.
        batch: batch size as typed, 1 or more.
        accumulate: gradient accumulation steps as typed, 1 or more.

    >>> count_steps(12, 5, 1)
    Counts(batch=5, accumulate=1, steps_per_epoch=2, images_per_step=5)
    >>> count_steps(3, 8, 4)
    Counts(batch=3, accumulate=1, steps_per_epoch=1, images_per_step=3)
    """
    if pictures is None:
        return Counts(batch, accumulate, None, batch * accumulate)
    batch = min(batch, pictures)
    accumulate = min(accumulate, pictures // batch)
    return Counts(batch, accumulate, pictures // batch // accumulate, batch * accumulate)
