"""Steps in where a run has gone wrong: back to the last good state, a lower rate from there on, and at last a stop.

`_guard_rules` judges; the session restores the state. The step count continues: updates that were undone stay in the history, as
what happened, and the host's counters are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from lib_lrsched.training.callback import Callback, Training, Update
from lib_lrsched.training.loss_seam import Batch

from . import _band_rules, _guard_rules

NOT_THE_RATE = ("it happened in the first update from good weights. Look for an image or a prompt that produces NaN, or for "
                'a model that overflows in half precision: start the WebUI with --no-half, or switch on "Upcast cross attention '
                'layer to float32" in its settings')
"""What to do where the numbers are not finite and no update has changed the weights."""


class Guard(Callback):
    """Looks at every update of one training."""

    def __init__(self, session: Training) -> None:
        settings = session.host.settings()
        self._session = session
        self._is_on = settings.guard
        self._limits = _guard_rules.Limits(settings.guard_loss, rate_factor=settings.guard_factor, rescues=settings.guard_rescues)
        self._state = _guard_rules.State()
        self._bands = self._first_bands = _band_rules.Bands(is_armed=session.trainee.needs_baseline)
        self._compares = False
        self._compared: list[tuple[float, float]] = []  # (loss, start's loss) of the micro-batches since the last update
        self._made = 0  # updates since the training began or went back
        self.has_diverged = False  # in a range test
        self.stopped = ""

    def before_forward(self, batch: Batch) -> None:
        self._compares = self._is_on and not self.has_diverged and self._session.can_compare
        batch.keeps_noise = batch.keeps_noise or self._compares

    def after_forward(self, batch: Batch) -> None:
        """A loss that is high in its band of timesteps is compared with the start's at once, on the same noise."""
        if not self._compares or not batch.samples or not _band_rules.is_high(self._bands, batch.samples):
            return
        assert batch.loss is not None, "it has passed"
        before = self._session.baseline_loss(batch)
        if before is not None:
            self._compared.append((float(batch.loss), float(before)))

    def on_update(self, update: Update) -> None:
        """Whether nothing speaks against the weights as they are now.

        None where nothing speaks for them either: GradScaler skipped the update, for gradients that may overflow because
        its scale is too high, or because the weights are ruined.
        """
        update.is_good = self._look(update)

    def _look(self, update: Update) -> bool | None:
        step, loss, norm, planned = update.step, update.loss, update.late_norm, self._session.run.planned
        if self.has_diverged and planned.is_range_test(step):
            return False
        self.has_diverged = False
        self._state, reason = _guard_rules.judge(self._state, self._limits, loss, norm, update.was_skipped)
        reason = self._look_at_bands(update) or reason
        if reason:
            if not self._is_on or self.stopped:
                return False
            if planned.is_range_test(step):
                self._let_diverge(step, reason)
            else:
                is_finite = isfinite(loss) and (norm is None or isfinite(norm)) and not update.was_skipped
                self._rescue(step, reason, is_finite=is_finite)
                update.must_save = True
            return False
        if update.was_skipped:
            return None if isfinite(loss) else False
        self._made += 1
        return None if self._bands.is_suspicious or _guard_rules.is_doubtful(self._state, self._limits) else True

    def _look_at_bands(self, update: Update) -> str:
        """Why the update is far worse than what the run started from; empty where it is not, or was not compared."""
        compared, self._compared = self._compared, []
        count = len(compared)
        pair = (sum(loss for loss, _ in compared) / count, sum(before for _, before in compared) / count) if count else None
        self._bands, reason = _band_rules.judge(self._bands, pair, self._limits.loss_factor)
        self._bands = _band_rules.learned(self._bands, () if reason else update.samples)
        return reason

    def on_rollback(self, parts: Mapping[str, Any]) -> None:
        """What was usual before the weights that are gone is usual again."""
        self._bands = self._bands_of(parts["guard"] or {})

    def state_dict(self) -> dict[str, Any]:
        return {"guard": {**_guard_rules.state_dict(self._state), "bands": _band_rules.state_dict(self._bands)}}

    def load_state_dict(self, parts: Mapping[str, Any]) -> None:
        """Continues to judge where the run broke off, unless another schedule begins."""
        if parts["guard"] is None or not self._session.run.planned.continues:
            return
        try:
            state, bands = _guard_rules.load_state_dict(parts["guard"]), self._bands_of(parts["guard"])
        except ValueError as error:
            self._session.not_exact(f"the guard starts over: {error}")
        else:
            self._state, self._bands = state, bands

    def _bands_of(self, part: Mapping[str, Any]) -> _band_rules.Bands:
        """A snapshot of an earlier version has none."""
        return self._first_bands if part.get("bands") is None else _band_rules.load_state_dict(part["bands"])

    def _let_diverge(self, step: int, reason: str) -> None:
        """What a range test is made for: it is left to run its course, and nothing it does from here on counts as good."""
        self.has_diverged = True
        message = f"update {step}: {reason}. The range test reached a rate at which training diverges, "
        message += f"{self._session.run.planned.rate_at(step):g}; it runs to its end"
        self._session.reporter.tell(message, "diverged")

    def _rescue(self, step: int, reason: str, *, is_finite: bool) -> None:
        # The loss of an update is that of the weights before it. Where no update lies before it, no rate has had a part in it.
        is_rate = is_finite or self._made > 0
        good = self._session.roll_back()
        self._made = 0
        run, limits = self._session.run, self._limits
        self._state = self._state._replace(rescues=self._state.rescues + 1)
        back = f"update {step}: {reason}. Restored the state after update {good}"
        if self._state.rescues > limits.rescues:
            advice = "Train again at a lower rate" if is_rate else f"A lower rate would not help: {NOT_THE_RATE}"
            self.stopped = f"{back}; stopped, after {limits.rescues} rescues without success. {advice}"
            self._session.stop()
            self._tell(self.stopped)
            return
        run.lower(run.planned.multiplier * limits.rate_factor)
        cause = "" if is_rate else f". The rate may not be the cause: {NOT_THE_RATE}"
        self._tell(f"{back}; from here on the rate is the planned one times {run.planned.multiplier:g}{cause}")

    def _tell(self, message: str) -> None:
        self._session.reporter.tell(message, "rescue")
