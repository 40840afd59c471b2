"""Steps in where a run has gone wrong: back to the last good state, a lower rate from there on, and at last a stop.

`guard` judges; the keeper has the state. The step goes on counting: updates that were undone stay in the history, as
what happened, and the host's counters are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from . import guard_rules
from .run import TrainingRun
from .settings import Settings
from .snapshots import Keeper

NOT_THE_RATE = ("it happened in the first update from weights that are good. Look for an image or a prompt that gives NaN, or for "
                'a model that overflows in half precision: start the WebUI with --no-half, or switch on "Upcast cross attention '
                'layer to float32" in its settings')
"""What to do where the numbers are not finite and no update has changed the weights."""


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
        self._limits = guard_rules.Limits(settings.guard_loss, rate_factor=settings.guard_factor, rescues=settings.guard_rescues)
        self._state = guard_rules.State()
        self._made = 0  # updates since the training began or went back
        self.has_diverged = False  # in a range test
        self.stopped = ""
        self.acted = False  # in the update just looked at
        self.take_up()

    def take_up(self) -> None:
        """Goes on judging where the run broke off."""
        keeper, run = self._keeper, self._run
        if keeper.bundle is not None and keeper.bundle.parts["guard"] is not None and run.goes_on:
            try:
                self._state = guard_rules.from_parts(keeper.bundle.parts["guard"])
            except ValueError as error:
                keeper.messages.append(f"the guard starts anew: {error}")

    def look(self, step: int, loss: float, norm: float | None, *, was_skipped: bool) -> bool | None:
        """After update number ``step`` (0-based); whether nothing speaks against the weights as they are now.

        None where nothing speaks for them either: GradScaler skipped the update, for gradients that may overflow because
        its scale is too high, or because the weights are ruined.
        """
        self.acted = False
        if self.has_diverged and self._run.is_range_test(step):
            return False
        self.has_diverged = False
        self._state, reason = guard_rules.judge(self._state, self._limits, loss, norm, was_skipped)
        if reason:
            if not self._is_on or self.stopped:
                return False
            if self._run.is_range_test(step):
                self._let_diverge(step, reason)
            else:
                self._rescue(step, reason, is_finite=isfinite(loss) and (norm is None or isfinite(norm)) and not was_skipped)
            return False
        if was_skipped:
            return None if isfinite(loss) else False
        self._made += 1
        return None if guard_rules.is_doubtful(self._state, self._limits) else True

    def to_parts(self) -> Mapping[str, Any]:
        """For the bundle."""
        return guard_rules.to_parts(self._state)

    def _let_diverge(self, step: int, reason: str) -> None:
        """What a range test is made for: it is left to run its course, and nothing it does from here on counts as good."""
        self.has_diverged = True
        message = f"update {step}: {reason}. The range test has come to a rate at which training diverges, "
        message += f"{self._run.rate_at(step):g}; it is left to run its course"
        self._run.note(message, "diverged")
        self._say(f"LR Schedule: {message}")

    def _rescue(self, step: int, reason: str, *, is_finite: bool) -> None:
        # The loss of an update is that of the weights before it. Where no update lies before it, no rate has had a part in it.
        is_rate = is_finite or self._made > 0
        good = self._keeper.roll_back()
        self._made = 0
        self.acted = True
        run, limits = self._run, self._limits
        self._state = self._state._replace(rescues=self._state.rescues + 1)
        back = f"update {step}: {reason}. Back to the state after update {good}"
        if self._state.rescues > limits.rescues:
            advice = "Train again at a lower rate" if is_rate else f"A lower rate would not help: {NOT_THE_RATE}"
            self.stopped = f"{back}, and stopped: {limits.rescues} rescues did not help. {advice}"
            self._stop()
            self._tell(self.stopped)
            return
        run.lower(run.multiplier * limits.rate_factor)
        cause = "" if is_rate else f". The rate may not be the cause: {NOT_THE_RATE}"
        self._tell(f"{back}; from here on the rate is the planned one times {run.multiplier:g}{cause}")

    def _tell(self, message: str) -> None:
        self._run.note(message, "rescue")
        self._say(f"LR Schedule: {message}")
