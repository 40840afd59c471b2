"""Steps in where a run has gone wrong: back to the last good state, a lower rate from there on, and at last a stop.

`guard` judges; the keeper has the state. The step goes on counting: updates that were undone stay in the history, as
what happened, and the host's counters are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from . import guard
from .keeper import Keeper
from .run import TrainingRun
from .settings import Settings


class Rescuer:
    """Looks at every update of one training.

    Args:
        stop: ends the host's loop before its next update.
        say: tells the user.
    """

    def __init__(self, run: TrainingRun, keeper: Keeper, settings: Settings, stop: Callable[[], None],
                 say: Callable[[str], None]) -> None:
        self._run, self._keeper, self._stop, self._say = run, keeper, stop, say
        self._is_on = settings.guard
        self._limits = guard.Limits(settings.guard_loss, rate_factor=settings.guard_factor, rescues=settings.guard_rescues)
        self._state = guard.State()
        self.stopped = ""
        self.acted = False  # in the update just looked at
        self.take_up()

    def take_up(self) -> None:
        """Goes on judging where the run broke off."""
        keeper, run = self._keeper, self._run
        if keeper.bundle is not None and keeper.bundle.parts["guard"] is not None and run.goes_on:
            try:
                self._state = guard.from_parts(keeper.bundle.parts["guard"])
            except ValueError as error:
                keeper.messages.append(f"the guard starts anew: {error}")

    def look(self, step: int, loss: float, norm: float | None, *, was_skipped: bool) -> bool | None:
        """After update number ``step`` (0-based); whether nothing speaks against the weights as they are now.

        None where nothing speaks for them either: GradScaler skipped the update, for gradients that may overflow because
        its scale is too high, or because the weights are ruined.
        """
        self.acted = False
        self._state, reason = guard.judge(self._state, self._limits, loss, norm, was_skipped)
        if not reason:
            return True if not was_skipped else None if isfinite(loss) else False
        if self._is_on and not self.stopped:
            self._rescue(step, reason)
        return False

    def to_parts(self) -> Mapping[str, Any]:
        """For the bundle."""
        return guard.to_parts(self._state)

    def _rescue(self, step: int, reason: str) -> None:
        good = self._keeper.roll_back()
        self.acted = True
        run, limits = self._run, self._limits
        self._state = self._state._replace(rescues=self._state.rescues + 1)
        back = f"update {step}: {reason}. Back to the state after update {good}"
        if self._state.rescues > limits.rescues:
            self.stopped = f"{back}, and stopped: {limits.rescues} rescues did not help. Train again at a lower rate"
            self._stop()
            self._tell(self.stopped)
            return
        run.lower(run.multiplier * limits.rate_factor)
        self._tell(f"{back}; from here on the rate is the planned one times {run.multiplier:g}")

    def _tell(self, message: str) -> None:
        self._run.note(message, "rescue")
        self._say(f"LR Schedule: {message}")
