"""The host's own schedule of constant rates, with all its leniency: what our scheduler takes the place of.

Written to behave as `modules/textual_inversion/learn_schedule.py` of v1.7 to v1.10.1 does.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from lib_lrsched.practice import shared

if TYPE_CHECKING:
    from torch.optim import Optimizer


class Phase(NamedTuple):
    """A constant rate until end_step, exclusive."""

    rate: float
    end_step: int


class LearnRateScheduler:
    """Reads a text such as `0.005:100, 1e-4:1000, 1e-5`; knows the rate of the current phase.

    `learn_rate` and `end_step` are the current phase's; `finished` becomes true at the first step past the last.
    Raises ValueError for a text that it cannot read, and when no phase is left after cur_step.
    """

    def __init__(self, learn_rate: str, max_steps: int, cur_step: int = 0, verbose: bool = True) -> None:
        self._phases = iter(read_phases(learn_rate, max_steps, cur_step))
        self.learn_rate, self.end_step = next(self._phases)
        self.verbose = verbose
        self.finished = False
        self._announce()

    def step(self, step_number: int) -> bool:
        """Moves on by at most one phase; True when that changed the rate."""
        if step_number < self.end_step:
            return False
        following = next(self._phases, None)
        if following is None:
            self.finished = True
            return False
        self.learn_rate, self.end_step = following
        return True

    def apply(self, optimizer: Optimizer, step_number: int) -> None:
        """As step; writes the rate to every param group, but only where a new phase begins."""
        if not self.step(step_number):
            return
        self._announce()
        for group in optimizer.param_groups:
            group["lr"] = self.learn_rate

    def _announce(self) -> None:
        if self.verbose:
            shared.say(f"Learning rate {self.learn_rate} up to step {self.end_step}")


def read_phases(text: str, max_steps: int, cur_step: int) -> list[Phase]:
    """The phases that end after cur_step, cut at max_steps. Raises ValueError where there is none."""
    try:
        phases = list(_phases(text.split(","), max_steps, cur_step))
    except ValueError as error:
        raise _invalid() from error
    if not phases:
        raise _invalid()
    return phases


def _phases(items: list[str], max_steps: int, cur_step: int) -> Iterator[Phase]:
    for item in filter(str.strip, items):
        rate, *ends = item.split(":")
        # A third part makes the host take the item for a bare rate.
        end = int(ends[0]) if len(ends) == 1 else None
        if end is None or (end == -1 and cur_step >= end):
            yield Phase(float(rate), max_steps)
            return  # nothing after an open end is read
        if end <= cur_step:
            continue  # over already; its rate is not even looked at
        yield Phase(float(rate), min(end, max_steps))
        if end > max_steps:
            return


def _invalid() -> ValueError:
    return ValueError(
        "Invalid learning rate schedule: expected one rate, or rates with the steps where they end, "
        'such as "0.005:100, 1e-4:1000, 1e-5"; at least one has to end after the step the run starts from'
    )
