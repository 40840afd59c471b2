"""The rate and the clip threshold of each update, applied exactly: the two schedulers and the optimizer's step hook."""

from __future__ import annotations

from typing import Any

from lib_lrsched.optimizer import step_hook
from lib_lrsched.training.callback import ESSENTIAL, Callback, Training, Update
from lib_lrsched.training.schedulers import ClipScheduler, RateScheduler

COMPARED_EVERY = 8
"""What clipping by value leaves of many tensors is measured this often: it takes as long as all else that the hook does."""


class RateAndClip(Callback):
    """What stands in for the host's schedulers, and the hook in which gradients are clipped and measured."""

    on_failure = ESSENTIAL

    def __init__(self, session: Training) -> None:
        self._session = session
        self.scheduler: RateScheduler | None = None
        self.clip: ClipScheduler | None = None
        self.hook: step_hook.StepHook | None = None

    def construct_rate(self, step: int) -> RateScheduler:
        """What the host gets for its rate."""
        self.scheduler = RateScheduler(self._session.run, step, self._session.attach, self._session.reporter.say)
        return self.scheduler

    def construct_clip(self, step: int) -> ClipScheduler:
        """What the host gets for its clip threshold."""
        self.clip = ClipScheduler(self._session.run, step)
        return self.clip

    def attach(self, optimizer: Any) -> None:
        """The optimizer of the loop is known."""
        if self.hook is not None:
            self.hook.remove()
        told = step_hook.Told(self._session.before_clip, self._session.before_step, self._session.after_step, self._failed)
        self.hook = step_hook.StepHook(optimizer, self._limit, told, self._is_compared)

    def take(self, step: int, loss: float) -> Update:
        """The update that was made, as its optimizer saw it."""
        assert self.hook is not None, "an update was made without apply()"
        rate, norm, clipped = self.hook.take()
        was_skipped = rate is None
        rate = step_hook.read_rate(self.hook.optimizer) if rate is None else rate
        return Update(step, loss, rate, norm, was_skipped, clipped=clipped)

    def stop(self) -> None:
        """The loop ends before its next update."""
        if self.scheduler is not None:
            self.scheduler.stopped = True

    def let_go(self) -> None:
        """The loop is over: the hook goes off the optimizer."""
        if self.hook is not None:
            self.hook.remove()
        self.hook = None

    def _failed(self, error: Exception) -> None:
        """An update without its clip is another training: what is raised ends the loop, and what was trained is saved."""
        self._session.reporter.failed(error)
        self._session.give_up("the rate or the clip threshold could not be applied, so training was stopped; "
                              "the traceback is on the console")

    def _is_compared(self, count: int) -> bool:
        return count == 1 or (self.scheduler is not None and self.scheduler.step_number % COMPARED_EVERY == 0)

    def _limit(self) -> tuple[str, float] | None:
        run = self._session.run
        if run.planned.clip_plan is None or not run.exact_clip or self.scheduler is None:
            return None
        threshold = run.planned.clip_at(self.scheduler.step_number)
        return None if threshold is None else (run.request.clip_mode, threshold)
