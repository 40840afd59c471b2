"""What other max steps do to the rate of a run that has begun: an open end, or one in percent, stretches with them.

Pure: two plans of the same text, the one that was trained by and the one that takes its place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lib_lrsched.errors import ScheduleError
from lib_lrsched.language.tree import Item, Quantity
from lib_lrsched.schedule.plan import Plan, plan
from lib_lrsched.schedule.rates import RELATIVE
from lib_lrsched.schedule.sampling import sample_steps

from .run_state import Leg

POINTS = 512


class Stretch(NamedTuple):
    """The rate jumps where the run resumes. Steps are those of the run's life.

    Attributes:
        step: the update that comes next, and ``now`` its rate.
        old_step: the update whose planned rate was ``before``: the same one, or the last of a plan that had come to its end.
        why: what is another number than it was.
        fixed: the text with absolute ends, which keeps the rates that were planned; None where there is none.
    """

    step: int
    now: float
    old_step: int
    before: float
    why: str
    fixed: str | None

    def message(self, what: str = "the rate") -> str:
        """Both values, the cause and the options."""
        if self.old_step == self.step:
            values = f"{what} at step {self.step} was planned as {self.before:g} and is now {self.now:g}"
        else:
            values = f"{what} was {self.before:g} at step {self.old_step} and is now {self.now:g} at step {self.step}"
        keep = "" if self.fixed is None else f"write absolute ends, `{self.fixed}`; "
        return (f"{values}: {self.why}, and the schedule stretches with that. Options: {keep}restart the schedule over the "
                "remaining steps, or write a new one from here")


def planned_before(leg: Leg) -> Plan | None:
    """The plan that a leg was trained by; None for a text of another version of the planner."""
    try:
        return plan(leg.rate_text, total_steps=leg.total_steps - leg.origin, steps_per_epoch=leg.steps_per_epoch,
                    images_per_step=leg.images_per_step)
    except (ScheduleError, ValueError):
        return None


def has_same_past(then: Plan, made: Plan, own: int) -> bool:
    """Whether the new plan has the same rates as the old one at the steps before ``own``."""
    stop = min(own, then.stop, made.stop)
    if stop <= 0:
        return True
    steps = np.unique(np.concatenate([sample_steps(one, POINTS, 0, stop) for one in (then, made)]))
    return bool(np.allclose(then.values(steps), made.values(steps), rtol=RELATIVE, atol=0.0))


def find_stretch(then: Plan, made: Plan, step: int, origin: int) -> Stretch | None:
    """What happens to the rate at ``step``, where a run resumes with the text that it had; None where nothing does.

    Args:
        then: the plan of its last leg.
        made: the plan of the training that comes.
        origin: the step of the run's life at which both begin.

    >>> text = "cosine(0.005, 1e-5)"
    >>> print(find_stretch(plan(text, total_steps=10), plan(text, total_steps=20), 10, 0).fixed)
    cosine(0.005, 1e-5):10, 0.000132
    """
    own = step - origin
    if own <= 0 or own >= made.stop:
        return None
    is_over = own >= then.stop
    old = then.stop - 1 if is_over else own
    before, now = then.value(old), made.value(own)
    if abs(before - now) <= RELATIVE * max(before, now) or (is_over and has_same_past(then, made, own)):
        return None
    return Stretch(step, now, origin + old, before, _why(then, made, origin), None if origin else _fixed(then, made))


def _why(then: Plan, made: Plan, origin: int) -> str:
    if then.total_steps != made.total_steps:
        return f"max steps was {origin + then.total_steps} and is now {origin + made.total_steps}"
    if then.steps_per_epoch != made.steps_per_epoch:
        return f"an epoch was {then.steps_per_epoch} updates and is now {made.steps_per_epoch}"
    if then.images_per_step != made.images_per_step:
        return f"an update was {then.images_per_step} images and is now {made.images_per_step}"
    return "another version planned it"


def with_absolute_ends(made: Plan) -> str | None:
    """The plan's text with every end as an absolute step, so that other max steps change nothing; None where there is none.

    >>> with_absolute_ends(plan("warmup(1):5%, cosine(0)", total_steps=100))
    'warmup(1):5, cosine(0):100'
    """
    return _fixed(made, made)


def _fixed(then: Plan, made: Plan) -> str | None:
    """The old plan's text with every end that stretches as an absolute step, and its last rate from its end on."""
    ends = [_absolute(segment.item, segment.stop) for segment in then.segments]
    text = ", ".join(then.text[segment.item.value.span[0] : segment.item.value.span[1]] + end
                     for segment, end in zip(then.segments, ends, strict=True))
    if then.segments[-1].stop < made.total_steps:
        text += f", {then.value(then.stop - 1):.3g}"
    try:
        fixed = plan(text, total_steps=made.total_steps, steps_per_epoch=made.steps_per_epoch, images_per_step=made.images_per_step)
    except ScheduleError:
        return None
    return text if fixed.stop >= then.stop and has_same_past(then, fixed, then.stop) else None


def _absolute(item: Item, stop: int) -> str:
    return f":{stop}" if item.end is None or not _is_kept(item.end) else f":{item.end.text}"


def _is_kept(end: Quantity) -> bool:
    return not end.unit and not end.relative and not end.text.startswith("-")
