"""How a run goes on with a stored one: which of the ways was chosen, and what that means for the schedule.

    continue   the plan goes on where it was; where the text is another one, that is "new"
    new        the text in the field, at absolute steps of the run's life, from here on
    restart    the text from its beginning, over the steps that are left
    file       nothing of a stored run: the file is trained on as it is, as a new run
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .run_state import Leg, RunState

WAYS = ("continue", "new", "restart", "file")

SAID = {
    "start": "starts",
    "continue": "goes on",
    "new": "goes on with a new schedule from here",
    "restart": "goes on and restarts the schedule over the remaining steps",
}


@dataclass(frozen=True)
class Resumption:
    """What a run is to go on with.

    Attributes:
        way: one of WAYS.
        state: the stored run that knows the thing that is trained, or None.
        step: where it goes on, if a bundle says that; None leaves it to the host's file.
        watch: the bundle's state of shapes that look at the loss, or None to rebuild it from the history.
        multiplier: what the guard has come to multiply the planned rate by.
        messages: what the user should know of how this was found.
    """

    way: str = "continue"
    state: RunState | None = None
    step: int | None = None
    watch: Any = None
    multiplier: float = 1.0
    messages: tuple[str, ...] = field(default=())


def mode_of(way: str, last: Leg | None, rate_text: str) -> str:
    """The mode of the leg that begins, as it is written down and shown."""
    if way == "restart":
        return "restart"
    if last is None:
        return "start"
    return "new" if way == "new" or rate_text.strip() != last.rate_text.strip() else "continue"


def origin_of(mode: str, last: Leg | None, initial_step: int) -> int:
    """The step of the run's life at which the text's own step 0 lies."""
    if mode == "restart":
        return initial_step
    return last.origin if mode == "continue" and last is not None else 0
