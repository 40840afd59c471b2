"""Losses by band of timestep: what is usual in each, and whether an update is far worse than what the run started from.

Pure: floats in, values out. A state is passed in and returned, so that a resumed run judges as if there had been no break.

The loss of an update depends on its timestep first. In its own band most losses lie close together, but a ruined embedding's are
only some 5 to 20 times the usual, and one healthy loss in a hundred is as high. So a loss that is high in its band decides nothing:
it calls for a comparison under the same noise with what the run started from. That comparison has no such noise. Over 2,400
updates of the practice model at healthy rates, single losses were at most 1.8 times the start's, eight in a row at most 1.04 times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, sqrt
from statistics import median
from typing import Any, NamedTuple

BANDS = 4

KEPT = 50
"""So many of the newest losses of a band say what is usual there."""

LEAST, LEAST_OF_ALL = 5, 8
"""With fewer losses in a band those of all bands are taken; with fewer of these nothing is usual yet."""

HIGH = 3.0
"""A loss this many times the median of its band is looked into: about one in twenty of a healthy run."""

WATCHED = 8
"""So many updates in a row are compared before a suspicion is dropped or confirmed."""

CALM = 1.3
"""Over the last CALM_OVER comparisons no more than this many times the start's loss: the suspicion was wrong."""
CALM_OVER = 3

ALIKE = 0.01
"""A hypernetwork that begins as nothing gives the start's loss but for this share: what is worse later has become worse."""


class Sample(NamedTuple):
    """One image of an update: the band of its timestep, and its loss."""

    band: int
    loss: float


class Bands(NamedTuple):
    """What is usual, and what is suspected.

    Attributes:
        losses: the newest of each band.
        compared: the (loss, start's loss) of the updates compared in a row, the oldest first.
        is_armed: what is trained has been about as good as the start, so that it can have become far worse. An embedding begins as
            the start; a hypernetwork may begin with random layers, far worse than the model without it.
    """

    losses: tuple[tuple[float, ...], ...] = ((),) * BANDS
    compared: tuple[tuple[float, float], ...] = ()
    is_armed: bool = True

    @property
    def is_suspicious(self) -> bool:
        """Whether the updates compared so far speak against the weights."""
        return self.is_armed and bool(self.compared)


def band_of(timestep: int, num_timesteps: int) -> int:
    """The band 0 to 3 of a timestep in [0, num_timesteps): of 1000, 0 is 0-249.

    >>> [band_of(t, 1000) for t in (0, 249, 250, 999)]
    [0, 0, 1, 3]
    """
    return min(BANDS - 1, timestep * BANDS // num_timesteps)


def is_high(state: Bands, samples: Sequence[Sample]) -> bool:
    """Whether an update is to be compared with the start: its samples' losses are high in their bands, or a suspicion stands.

    As long as nothing is usual yet, every one is.
    """
    if state.compared:
        return True
    everything = [loss for band in state.losses for loss in band]
    if len(everything) < LEAST_OF_ALL:
        return True
    usual = (median(own if len(own := state.losses[one.band]) >= LEAST else everything) for one in samples)
    return sum(one.loss for one in samples) > HIGH * sum(usual)


def learned(state: Bands, samples: Sequence[Sample]) -> Bands:
    """The state with an update's losses; while a suspicion stands they are not taken for usual."""
    if not samples or state.is_suspicious:
        return state
    losses = list(state.losses)
    for one in samples:
        if isfinite(one.loss):
            losses[one.band] = (*losses[one.band][1 - KEPT :], one.loss)
    return state._replace(losses=tuple(losses))


def judge(state: Bands, compared: tuple[float, float] | None, factor: float) -> tuple[Bands, str]:
    """The state after an update, and why it needs a rescue; empty where it needs none.

    Args:
        compared: the losses of the update and of the start under the same noise; None where they were not compared.
        factor: the guard's; sqrt(factor) times the start's loss condemns a single update, 0 none at all.

    >>> state, reason = judge(Bands(), (0.5, 0.1), 10.0)
    >>> reason
    'on the same noise the loss is 5 times that of what the run started from'
    >>> judge(Bands(), (0.11, 0.1), 10.0)
    (Bands(losses=((), (), (), ()), compared=(), is_armed=True), '')
    """
    if compared is None or not all(map(isfinite, compared)) or not factor:
        return (state._replace(compared=()) if state.compared else state), ""
    pairs = (*state.compared, compared)[-WATCHED:]
    if not state.is_armed:
        return _perhaps_armed(state, pairs), ""
    for count, limit in ((1, sqrt(factor)), (3, 2.0), (WATCHED, 1.5)):
        if len(pairs) >= count and (times := _times(pairs[-count:])) > max(limit, 1.5):
            over = "" if count == 1 else f" over the last {count} updates"
            return state._replace(compared=()), (f"on the same noise the loss{over} is {times:.3g} times that of what the run "
                                                 "started from")
    is_calm = _times(pairs[-CALM_OVER:]) <= CALM and (len(pairs) >= CALM_OVER or not state.compared)
    return state._replace(compared=() if is_calm or len(pairs) >= WATCHED else pairs), ""


def _perhaps_armed(state: Bands, pairs: tuple[tuple[float, float], ...]) -> Bands:
    """After a whole watch that was calm; at once where the first update of all gives the start's loss."""
    is_first = len(pairs) == 1 and not any(state.losses)
    is_whole = len(pairs) >= WATCHED
    is_armed = (is_first and abs(_times(pairs) - 1.0) <= ALIKE) or (is_whole and _times(pairs) <= CALM)
    return state._replace(is_armed=is_armed, compared=() if is_armed or is_whole else pairs)


def _times(pairs: Sequence[tuple[float, float]]) -> float:
    start = sum(before for _, before in pairs)
    return sum(loss for loss, _ in pairs) / start if start > 0 else 0.0


def state_dict(state: Bands) -> dict[str, Any]:
    """As plain values."""
    return {"losses": [list(band) for band in state.losses], "compared": [list(pair) for pair in state.compared],
            "is_armed": state.is_armed}


def load_state_dict(parts: Any) -> Bands:
    """The state in the parts.

    Raises:
        ValueError: no such state.
    """
    parts = parts if isinstance(parts, Mapping) else {}
    losses, compared, is_armed = parts.get("losses"), parts.get("compared"), parts.get("is_armed")
    if not isinstance(losses, list) or len(losses) != BANDS or not all(_are_numbers(band, KEPT) for band in losses):
        raise ValueError(f"expected at most {KEPT} finite losses in each of {BANDS} bands")
    if not isinstance(compared, list) or len(compared) > WATCHED or not all(_are_numbers(p, 2) and len(p) == 2 for p in compared):
        raise ValueError(f"expected at most {WATCHED} pairs of losses")
    if not isinstance(is_armed, bool):
        raise ValueError("expected true or false for is_armed")  # noqa: TRY004 of what was read
    return Bands(tuple(map(tuple, losses)), tuple((pair[0], pair[1]) for pair in compared), is_armed)


def _are_numbers(value: Any, most: int) -> bool:
    return isinstance(value, list) and len(value) <= most and all(isinstance(x, float) and isfinite(x) for x in value)
