"""Whether a run has gone wrong: pure, floats in, a reason or nothing out.

What is looked at after every update: its loss, the norm of its gradients, whether GradScaler skipped it. The state is
a value that is passed in and returned, so that a resumed run goes on judging as if there had been no break.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

RECENT = 200
"""Losses of this many updates are what a new one is compared with."""

LEAST = 20
"""Fewer losses than this say nothing about what is usual."""


class Limits(NamedTuple):
    """When to step in.

    ``loss_factor``: a loss this many times the highest of the recent ones is no accident of a hard picture or an unlucky
    timestep; 0 leaves it alone. ``skipped``: updates in a row that GradScaler may skip; it skips a few at the start of
    every run while it looks for its scale. ``rate_factor``: what the rate is multiplied by at each rescue.
    ``rescues``: after this many the run is stopped at its last good state.
    """

    loss_factor: float = 10.0
    skipped: int = 20
    rate_factor: float = 0.5
    rescues: int = 3


class State(NamedTuple):
    """The recent losses, the oldest first; updates skipped in a row; rescues so far."""

    losses: tuple[float, ...] = ()
    skipped: int = 0
    rescues: int = 0


def judge(state: State, limits: Limits, loss: float, norm: float | None, was_skipped: bool) -> tuple[State, str]:
    """The state after an update, and why the run needs a rescue: empty where it needs none.

    Args:
        norm: of the gradients, or None where it is not known.
        was_skipped: GradScaler left the weights as they were, so that neither loss nor norm has done any harm.

    >>> state = State(losses=(0.1,) * 20)
    >>> judge(state, Limits(), 0.9, 0.5, False)[1]
    ''
    >>> judge(state, Limits(), 1.1, 0.5, False)[1]
    'the loss is 1.1, more than 10 times the highest of the last 20, 0.1'
    >>> judge(state, Limits(), 0.1, float("nan"), False)[1]
    'the gradients are not finite'
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
        return state, "the gradients are not finite"
    # A loss that is not far above the last one is not far above the highest: 200 of them are looked at when it matters.
    if limits.loss_factor and len(losses) >= LEAST and loss > limits.loss_factor * losses[-1]:
        highest = max(losses)
        if loss > limits.loss_factor * highest:
            reason = f"the loss is {loss:g}, more than {limits.loss_factor:g} times the highest of the last {len(losses)}, "
            return state, f"{reason}{highest:g}"
    return State((*losses[1 - RECENT :], loss), 0, state.rescues), ""


def to_parts(state: State) -> dict[str, Any]:
    """As plain values."""
    return {"losses": list(state.losses), "skipped": state.skipped, "rescues": state.rescues}


def from_parts(parts: Mapping[str, Any]) -> State:
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
