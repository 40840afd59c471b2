"""Shapes that look at the loss or what else is measured: their state goes in and comes out, and nothing else remembers anything.

The state is a pure function of the plan and of the numbers so far, so a resumed run rebuilds it from its history, to the
last bit. What is looked at:

    loss         the running average of the loss, at every ``every``-th update
    progress     sum(L) / sum(B), the share of the loss that is left: where it was measured, ``every`` updates after the last look
    validation   the same of the fixed set, where there was a look at it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, isfinite, nan
from typing import Any, NamedTuple

from lib_lrsched.errors import ScheduleError

from . import running_average
from .plan import Plan
from .segments import Segment


class Plateau(NamedTuple):
    """State of one plateau: its rate now, the best loss, looks without a better one, looks still to rest."""

    rate: float
    best: float = inf
    bad: int = 0
    resting: int = 0
    cuts: int = 0


class Watch(NamedTuple):
    """The running average of the loss with its weight, and the plateau of the segment that starts at ``start``.

    ``looked`` is the step of its last look at something else than the loss; -1 before the first.
    """

    mean: float = 0.0
    weight: float = 0.0
    start: int = -1
    plateau: Plateau = Plateau(nan)
    looked: int = -1


Measured = Mapping[str, float | None]
"""What an update measured beside its loss, by what a shape may watch; None or left out for nothing new."""


def look(state: Plateau, loss: float, values: Mapping[str, Any]) -> Plateau:
    """One look at the loss, as torch's ReduceLROnPlateau does it for a loss that should fall.

    Better is below best (1 - threshold), or best - threshold with mode abs; NaN is never better. When ``patience`` looks in
    a row were not better, the next one that is not cuts the rate. Unlike torch, a cut of less than 1e-8 is made too: rates of
    hypernetworks are that small.

    >>> values = dict(factor=0.5, patience=1, threshold=0.0, mode="rel", cooldown=0, min=0.0)
    >>> state = Plateau(0.1)
    >>> for loss in (1.0, 1.0, 1.0): state = look(state, loss, values)
    >>> state.rate, state.cuts
    (0.05, 1)
    """
    threshold = values["threshold"]
    bar = state.best * (1.0 - threshold) if values["mode"] == "rel" else state.best - threshold
    better = loss < bar
    bad = 0 if better or state.resting else state.bad + 1
    best = loss if better else state.best
    resting = max(state.resting - 1, 0)
    if bad <= values["patience"]:
        return state._replace(best=best, bad=bad, resting=resting)
    rate = max(state.rate * values["factor"], min(values["min"], state.rate))
    return Plateau(rate, best, 0, values["cooldown"], state.cuts + (rate < state.rate))


def advance(watch: Watch, segment: Segment | None, step: int, loss: float, measured: Measured = {}) -> Watch:  # noqa: B006 read only
    """Take in the loss of one update, and what else was measured; ``segment`` is the plateau in which it lies, or None."""
    mean, weight = running_average.add(watch.mean, watch.weight, loss)
    if segment is None or not segment.entry.is_feedback:
        return watch._replace(mean=mean, weight=weight)
    values = segment.values
    plateau, looked = (watch.plateau, watch.looked) if watch.start == segment.start else (Plateau(values["v"]), -1)
    if values["watch"] == "loss":
        if (step - segment.start + 1) % values["every"] == 0:
            plateau = look(plateau, mean / weight if isfinite(loss) else nan, values)
        return Watch(mean, weight, segment.start, plateau)
    new = measured.get(values["watch"])
    if new is not None and (looked < 0 or step - looked >= values["every"]):
        plateau, looked = look(plateau, new, values), step
    return Watch(mean, weight, segment.start, plateau, looked)


def watched(plan: Plan) -> set[str]:
    """What the plan's shapes look at."""
    return {segment.values["watch"] for segment in plan.feedback}


def refuse_feedback(plan: Plan) -> None:
    """For values that nothing watches, such as a clip threshold.

    Raises:
        ScheduleError: the plan has a shape that looks at the loss.
    """
    for segment in plan.feedback:
        message = f"{segment.shape} looks at the loss and lowers a learning rate; a threshold cannot follow it"
        raise ScheduleError(message, plan.text, segment.item.span)


def replay(plan: Plan, updates: Iterable[tuple[int, float] | tuple[int, float, Measured]]) -> Watch:
    """The state after updates in rising order: the step, the loss, and what else was measured."""
    watch = Watch()
    for step, *seen in updates:
        watch = advance(watch, segment_at(plan, step), step, *seen)
    return watch


def segment_at(plan: Plan, step: int) -> Segment | None:
    """The feedback segment in which a step lies, or None."""
    return next((segment for segment in plan.feedback if segment.start <= step < segment.stop), None)


def rate_at(watch: Watch, segment: Segment) -> float:
    """The rate in force at the next update of a feedback segment."""
    return watch.plateau.rate if watch.start == segment.start else segment.values["v"]


def load_state_dict(parts: Any) -> Watch | None:
    """A Watch from the tuples that it is made of, as it comes back from a file.

    Raises:
        ValueError: no such state.
    """
    if parts is None:
        return None
    kinds = [float, float, int, tuple, int]  # without the last of an earlier version
    if not isinstance(parts, tuple) or [type(one) for one in parts] not in (kinds, kinds[:-1]):
        raise ValueError("expected mean, weight, start, plateau and the last look")
    plateau = parts[3]
    if [type(one) for one in plateau] != [float, float, int, int, int]:
        raise ValueError("expected rate, best, bad, resting and cuts")
    return Watch(parts[0], parts[1], parts[2], Plateau(*plateau), parts[4] if len(parts) > 4 else -1)
