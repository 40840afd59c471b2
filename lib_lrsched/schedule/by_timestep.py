"""A schedule text over the timesteps of the noise in place of the steps of a run: one factor for each t in [0, T).

The language is that of a rate. ``%`` is of T, ends are timesteps, and what counts updates or looks at them has no meaning.
"""

from __future__ import annotations

from lib_lrsched.errors import ScheduleError

from .counting import needs_images
from .lints import JUMPS, LENGTH, STOPS, Lint
from .plan import Plan, plan

TIMESTEPS = 1000
"""Of every Stable Diffusion model, and of the practice model."""


def plan_factors(text: str, timesteps: int = TIMESTEPS) -> Plan:
    """The plan of a text whose steps are timesteps; ``factors`` has its values.

    Raises:
        ScheduleError: the text cannot be planned, does not reach the last timestep, or is 0 at all of them.
    """
    if needs_images(text):
        raise ScheduleError("there are no epochs and no images here: end a segment at a timestep or with %", text, (0, len(text)))
    made = plan(text, total_steps=timesteps)
    for segment in made.segments:
        if segment.entry.is_feedback or segment.entry.is_search:
            message = f"{segment.shape} follows the updates of a run; here a factor depends on the timestep alone"
            raise ScheduleError(message, text, segment.item.span)
    if made.stop < timesteps:
        message = f"expected a factor for each timestep from 0 to {timesteps - 1}, but the text ends at {made.stop}: "
        fix = next((warning.fix for warning in made.warnings if warning.message.startswith(STOPS)), None)
        raise ScheduleError(message + "give a factor for the rest", text, made.segments[-1].item.span, fix)
    if not any(factors(made)):
        raise ScheduleError("the factor is 0 at every timestep: nothing would be trained", text, (0, len(text)))
    return made


def factors(made: Plan) -> list[float]:
    """The factor at each timestep.

    >>> factors(plan_factors("2:50%, 1", 4))
    [2.0, 2.0, 1.0, 1.0]
    """
    found: list[float] = made.values(range(made.stop)).tolist()
    return found


def trouble(text: str) -> str:
    """What is wrong with a text of a factor by timestep; empty where nothing is, or where there is none.

    >>> trouble("1:300, 2"), trouble("")
    ('', '')
    """
    try:
        if text.strip():
            plan_factors(text)
    except ScheduleError as error:
        return error.message
    return ""


def normalized(values: list[float]) -> list[float]:
    """The same with a mean of 1. Not all of them are 0.

    >>> normalized([1.0, 3.0])
    [0.5, 1.5]
    """
    mean = sum(values) / len(values)
    return [value / mean for value in values]


def warnings_of(made: Plan) -> tuple[Lint, ...]:
    """Those that concern factors: a jump costs nothing here, and the end is an error already."""
    return tuple(warning for warning in made.warnings if not warning.message.startswith((JUMPS, STOPS, LENGTH)))
