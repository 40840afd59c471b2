"""How pictures, batch size and accumulation become updates and epochs, with the host's caps."""

from __future__ import annotations

from typing import NamedTuple


class Counts(NamedTuple):
    """The numbers that a data set of the host ends up with. ``steps_per_epoch`` is None without pictures."""

    batch: int
    accumulate: int
    steps_per_epoch: int | None
    images_per_step: int


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
