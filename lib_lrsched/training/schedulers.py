"""What takes the place of the host's LearnRateScheduler in its two loops.

The loops construct it twice, first for the rate and then for the clip threshold, and read ``learn_rate``,
``end_step`` and ``finished`` of it, call ``step`` and ``apply``. It has the host's interface and asks a TrainingRun.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lib_lrsched.optimizer import step_hook

from .run import TrainingRun


class RateScheduler:
    """The rate: written to every param group at every call of ``apply``, whatever the optimizer held."""

    def __init__(self, run: TrainingRun, initial_step: int, attach: Callable[[Any], None], say: Callable[[str], None]) -> None:
        self._run = run
        self._attach = attach
        self._say = say
        self._optimizer: Any = None
        self._has_warned = False
        self.stopped = False  # the guard ends the training before its next update
        self.finished = run.planned.is_over(initial_step)
        self.learn_rate = 0.0 if self.finished else run.planned.rate_at(initial_step)
        self.end_step = run.planned.end_of_segment(initial_step)
        self.step_number = initial_step
        self.verbose = True

    def step(self, step_number: int) -> bool:
        """Move to an update; whether another segment has begun since the last call."""
        self.step_number = step_number
        if self.stopped or self._run.planned.is_over(step_number):
            self.finished = True
            return False
        self.learn_rate = self._run.planned.rate_at(step_number)
        if step_number < self.end_step:
            return False
        self.end_step = self._run.planned.end_of_segment(step_number)
        return True

    def apply(self, optimizer: Any, step_number: int) -> None:
        """Write the rate of this update. Called on every micro-batch, and once more at the end of the run."""
        is_new_segment = self.step(step_number)
        if self.finished:
            return
        if self._optimizer is not optimizer:
            self._optimizer = optimizer
            self._attach(optimizer)
        step_hook.write_rate(optimizer, self.learn_rate)
        if self._run.planned.drives_momentum:
            self._apply_momentum(optimizer, self._run.planned.momentum_at(step_number))
        if is_new_segment:
            self._say(f"Step {step_number}: the rate is {self.learn_rate:g}; the next segment begins at step {self.end_step}")

    def _apply_momentum(self, optimizer: Any, momentum: float | None) -> None:
        if momentum is None:
            step_hook.restore_momentum(optimizer)
        elif not step_hook.write_momentum(optimizer, momentum):
            self._warn_no_momentum(optimizer)

    def _warn_no_momentum(self, optimizer: Any) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        message = f"{type(optimizer).__name__} has neither betas nor momentum: only the rate follows the schedule"
        self._run.note(message)
        self._say(f"LR Schedule: {message}")


class ClipScheduler:
    """The clip threshold as the loop sees it.

    With exact clipping the loop gets infinity, with which torch's two clip functions leave finite gradients as they are to
    the bit, and the true threshold is applied in the optimizer's step pre-hook. Else it gets the plan's value.
    """

    def __init__(self, run: TrainingRun, initial_step: int) -> None:
        self._run = run
        self.finished = False
        self.end_step = run.planned.stop
        self.verbose = False
        self.learn_rate = 0.0
        self.step(initial_step)

    def step(self, step_number: int) -> bool:
        """Move to an update."""
        threshold = self._run.planned.clip_at(step_number)
        assert threshold is not None, "the host clips, the run has no clip plan"
        self.learn_rate = float("inf") if self._run.exact_clip else threshold
        return False

    def apply(self, optimizer: Any, step_number: int) -> None:  # noqa: ARG002 the host's signature
        """The loops never call this for the clip schedule; it must not touch a rate."""
        self.step(step_number)
