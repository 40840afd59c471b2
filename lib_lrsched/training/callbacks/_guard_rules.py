"""Whether a run has gone wrong: pure, floats in, a reason or nothing out.

What is looked at after every update: its loss, the norm of its gradients, whether GradScaler skipped it. The state is
a value that is passed in and returned, so that a resumed run judges as if there had been no break.

The loss of one update says little: it depends on a timestep drawn at random, and the rarest timesteps have losses a hundred
times the usual. What tells an explosion from one of those is that it stays. So a loss counts as too high

    alone           where it is far beyond the highest of those before it: factor^2 times, and more while those are few
    in a row        where IN_A_ROW of them are each ``factor`` times the highest of those before them
    as a whole      where the last RISEN are all among the highest fifth of those before them, and their middle is ``factor``
                    times the middle of those: so a slow growth is seen, though none of its losses is far above the last

The rule for a whole level is one of ranks: by chance alone it holds as rarely for every distribution of the losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from math import isfinite, sqrt
from statistics import median
from typing import Any, NamedTuple

RECENT = 200
"""Losses of this many updates are what a new one is compared with."""

LEAST = 20
"""Fewer losses than this say nothing about what is usual."""

MANY = 60
"""As long as there are fewer losses, the rarest timesteps may not have come up yet: one loss alone has to be higher by as much."""

IN_A_ROW = 3
"""An unlucky timestep is followed by another now and then, hardly ever by two."""

RISEN, RISING, GAP = 12, 4, 30
"""So many losses show that the level has risen, and so many that it may. What is usual is read from losses that are at least
GAP updates older than those, where there are enough: a slow growth would else become usual while it lasts."""


class Limits(NamedTuple):
    """When to step in.

    ``loss_factor``: losses this many times the usual ones are no accident of a hard image or an unlucky timestep, see the
    module; 0 leaves them alone. ``skipped``: updates in a row that GradScaler may skip; it skips a few at the start of
    every run while it looks for its scale. ``rate_factor``: what the rate is multiplied by at each rescue.
    ``rescues``: after this many the run is stopped at its last good state.
    """

    loss_factor: float = 10.0
    skipped: int = 20
    rate_factor: float = 0.5
    rescues: int = 3


class State(NamedTuple):
    """The recent losses, the oldest first; updates skipped in a row; rescues so far.

    ``is_usual``: the newest losses are known to be no higher than usual as a whole. It follows from the losses.
    """

    losses: tuple[float, ...] = ()
    skipped: int = 0
    rescues: int = 0
    is_usual: bool = False


def judge(state: State, limits: Limits, loss: float, norm: float | None, was_skipped: bool) -> tuple[State, str]:
    """The state after an update, and why the run needs a rescue: empty where it needs none.

    Args:
        norm: of the gradients, or None where it is not known.
        was_skipped: GradScaler left the weights as they were, so that neither loss nor norm has done any harm.

    >>> state = State(losses=(0.1,) * 20)
    >>> judge(state, Limits(), 29.0, 0.5, False)[1]
    ''
    >>> judge(state, Limits(), 31.0, 0.5, False)[1]
    'the loss is 31, more than 300 times the highest of the last 20, 0.1'
    >>> for loss in (1.1, 1.2, 1.3):
    ...     state, reason = judge(state, Limits(), loss, 0.5, False)
    >>> reason
    'the last 3 losses, 1.1 and more, are more than 10 times the highest of the 20 before them, 0.1'
    >>> judge(state, Limits(), 0.1, float("nan"), False)[1]
    'the gradients contain NaN or infinity'
    """
    losses = state.losses
    if was_skipped:
        skipped = state.skipped + 1
        if not limits.skipped or skipped < limits.skipped:
            return state._replace(skipped=skipped), ""
        return state._replace(skipped=0), f"GradScaler skipped {skipped} updates in a row: their gradients overflowed"
    if state.skipped:
        state = state._replace(skipped=0)
    if not isfinite(loss):
        return state, f"the loss is {loss}"
    if norm is not None and not isfinite(norm):
        return state, "the gradients contain NaN or infinity"
    losses = losses[1 - RECENT :] + (loss,)  # noqa: RUF005 the other way copies once more
    is_usual = _is_usual(losses)
    if limits.loss_factor:
        concerned, reason = _too_high(losses, limits.loss_factor, is_usual)
        if reason:  # what comes after the rescue is not compared with them
            return state._replace(losses=losses[:-concerned], is_usual=False), reason
    return State(losses, 0, state.rescues, is_usual), ""


def is_doubtful(state: State, limits: Limits) -> bool:
    """Whether the newest losses may be the beginning of an explosion: the weights are not to be called good then."""
    losses, factor = state.losses, limits.loss_factor
    if not factor or len(losses) <= LEAST:
        return False
    is_high = losses[-1] > factor * losses[-2] and losses[-1] > factor * max(losses[:-1])
    is_in_row = len(losses) > LEAST + 1 and losses[-1] > factor * losses[-3] and (
        min(losses[-2:]) > factor * losses[-3] and min(losses[-2:]) > factor * max(losses[:-2]))
    return is_high or is_in_row or (not state.is_usual and _risen(losses, RISING, sqrt(factor)) is not None)


def _too_high(losses: tuple[float, ...], factor: float, is_usual: bool) -> tuple[int, str]:
    """How many of the newest losses are too high, and what to say of them; 0 and nothing where they are as usual."""
    before = len(losses) - 1
    # What is not far above the loss before it is not far above the highest: 200 of them are looked at when it matters.
    alone = max(factor * factor, factor) * max(MANY / before, 1.0) if before else 0.0
    if before >= LEAST and losses[-1] > alone * losses[-2] and losses[-1] > alone * (highest := max(losses[:-1])) > 0.0:
        return 1, f"the loss is {losses[-1]:g}, more than {alone:g} times the highest of the last {before}, {highest:g}"
    before = len(losses) - IN_A_ROW
    if before >= LEAST and losses[-1] > factor * losses[before - 1] and (least := min(losses[-IN_A_ROW:])) > (
            factor * losses[before - 1]) and least > factor * (highest := max(losses[:before])) > 0.0:
        return IN_A_ROW, (f"the last {IN_A_ROW} losses, {least:g} and more, are more than {factor:g} times the highest of the "
                          f"{before} before them, {highest:g}")
    middles = None if is_usual else _risen(losses, RISEN, factor)
    if middles is None:
        return 0, ""
    return RISEN, (f"the losses have risen: the median of the last {RISEN} is {middles[0]:g}, more than {factor:g} times that of "
                   f"those before, {middles[1]:g}")


def _is_usual(losses: tuple[float, ...]) -> bool:
    """Whether of the usual losses so many are as high as the least of the newest that _risen finds nothing for RISING nor RISEN."""
    before = len(losses) - RISING
    if before - RISEN + RISING < LEAST:
        return False
    least, above = min(losses[before:]), max(LEAST, before - GAP) // 5
    for loss in islice(losses, max(LEAST, before - RISEN + RISING - GAP)):  # as a rule it ends after some 40
        if loss >= least:
            above -= 1
            if above < 0:
                return True
    return False


def _risen(losses: tuple[float, ...], count: int, factor: float) -> tuple[float, float] | None:
    """The middle of the last ``count`` losses and that of the usual ones, where it is ``factor`` times as high."""
    before = len(losses) - count
    if before < LEAST:
        return None
    usual = max(LEAST, before - GAP)
    least, above = min(losses[before:]), usual // 5
    for loss in islice(losses, usual):
        if loss >= least:
            above -= 1
            if above < 0:
                return None
    now, then = median(losses[before:]), median(losses[:usual])
    return (now, then) if now > factor * then > 0.0 else None


def state_dict(state: State) -> dict[str, Any]:
    """As plain values."""
    return {"losses": list(state.losses), "skipped": state.skipped, "rescues": state.rescues}


def load_state_dict(parts: Mapping[str, Any]) -> State:
    """The state in the parts.

    Raises:
        ValueError: no such state.
    """
    losses, skipped, rescues = parts.get("losses"), parts.get("skipped"), parts.get("rescues")
    if not isinstance(losses, list) or len(losses) > RECENT or not all(isinstance(x, float) and isfinite(x) for x in losses):
        raise ValueError(f"expected at most {RECENT} finite losses")
    if type(skipped) is not int or type(rescues) is not int or min(skipped, rescues) < 0:
        raise ValueError("expected counts of skipped updates and of rescues")
    return State(tuple(losses), skipped, rescues)
