"""The order of a run's batches: what the host's sampler draws, held so that it can be resumed mid-epoch.

The host's loop asks a data loader, which asks this in place of the host's GroupedBatchSampler:

    iter(loader)                      torch draws a base seed
    first next                        the sampler shuffles and draws the epoch's batches
    each next                         the data set draws, for tags and latents
    next number max_steps_per_epoch   fetched, with its draws, and not trained on

A run that resumes in the middle of an epoch does what is left of this, draw for draw, and ends where the epoch would
have ended: the host counts the batches of the rest from 0 again, and would train on the one too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Where a run stands in its data: the groups as they are shuffled now, the epoch's batches, how many are taken."""

    groups: list[list[int]]
    batches: list[list[int]]
    taken: int


@dataclass
class Hooks:
    """What the order calls: when the first batch of a resumed run is about to be drawn, and before every later fetch."""

    resume: Callable[[], None]
    before_fetch: Callable[[], None]
    draw_base_seed: Callable[[], None]


class Batches:
    """In place of the host's GroupedBatchSampler ``inner``; yields what it yields.

    Args:
        data: the data set; its lists in ``groups`` are shuffled in place by every epoch.
        rest: where the run stood when it was broken off, or None for an epoch of its own.
    """

    def __init__(self, inner: Any, data: Any, hooks: Hooks, rest: Place | None = None) -> None:
        self._inner = inner
        self._data = data
        self._hooks = hooks
        self._rest = rest
        self._is_first = True
        self._batches: list[list[int]] = []
        self._groups: list[list[int]] = []
        self._taken = self._until = 0

    def __len__(self) -> int:
        return len(self._inner)

    def place(self) -> Place:
        """Where the run stands now. Its lists are never changed: every epoch has its own."""
        return Place(self._groups, self._batches, self._taken)

    @property
    def is_epoch_over(self) -> bool:
        """Whether the loop has all batches of the epoch that it trains on: a next one is drawn, but for the one too many."""
        return self._taken >= self._until

    def __iter__(self) -> Iterator[list[int]]:
        is_first, self._is_first = self._is_first, False
        self._until = self._trained_per_epoch()
        if is_first:
            rest, self._rest = self._rest, None
            if rest is not None:
                self._restore(rest)
            self._hooks.resume()
            if rest is not None:
                is_middle = rest.taken < self._until
                yield from self._hand_out(self._until)
                self._fetch_one_too_many(self._until)
                if is_middle:
                    return
                # It stood at the very end of an epoch. The loop's next pass is the one that has just begun.
                self._hooks.draw_base_seed()
        self._batches, self._taken = list(self._inner), 0
        self._groups = [list(group) for group in self._data.groups]
        yield from self._hand_out(len(self._batches))

    def _hand_out(self, until: int) -> Iterator[list[int]]:
        while self._taken < until:
            batch = self._batches[self._taken]
            self._taken += 1
            yield batch
            self._hooks.before_fetch()

    def _trained_per_epoch(self) -> int:
        """Micro-batches of an epoch that are trained on; the rest fills no update."""
        batches = len(self._inner)
        return batches - batches % int(self._data.gradient_step)

    def _fetch_one_too_many(self, number: int) -> None:
        for index in self._batches[number] if number < len(self._batches) else ():
            self._data[index]

    def _restore(self, rest: Place) -> None:
        for group, order in zip(self._data.groups, rest.groups, strict=True):
            group[:] = order
        self._groups = [list(group) for group in rest.groups]
        self._batches, self._taken = [list(batch) for batch in rest.batches], rest.taken


def place_state_dict(place: Place) -> dict[str, Any]:
    """As plain values."""
    return {"groups": place.groups, "batches": place.batches, "taken": place.taken}


def load_place_state_dict(parts: Any, data: Any, batches: int) -> Place:
    """The place in the parts, if it is one in this data set with that many batches per epoch.

    Raises:
        ValueError: says what does not fit.
    """
    if not isinstance(parts, dict) or set(parts) != {"groups", "batches", "taken"}:
        raise ValueError("the place in the epoch lacks the fields groups, batches and taken")
    groups, chosen, taken = parts["groups"], parts["batches"], parts["taken"]
    if not (_is_lists(groups) and _is_lists(chosen) and type(taken) is int):
        raise ValueError("the place in the epoch is not lists of image numbers")
    if [sorted(group) for group in groups] != [sorted(group) for group in data.groups]:
        raise ValueError("the images form different groups by size")
    known = {index for group in groups for index in group}
    size = int(data.batch_size)
    if len(chosen) != batches or not 0 < taken <= batches or not all(set(one) <= known and len(one) == size for one in chosen):
        raise ValueError("the epoch has different batches")
    if taken % int(data.gradient_step):
        raise ValueError("it was saved in the middle of an update")
    return Place(groups, chosen, taken)


def _is_lists(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, list) and all(type(n) is int for n in one) for one in value)
