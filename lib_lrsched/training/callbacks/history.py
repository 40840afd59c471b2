"""The numbers of each update go into the run's history; and it is said where gradients are 0 or the rate is not the planned one."""

from __future__ import annotations

from math import isclose, isfinite

from lib_lrsched.storage.history_row import left, rounded
from lib_lrsched.training.callback import Callback, Outcome, Training, Update
from lib_lrsched.training.no_gradient import NOTHING, ZeroGradients, why_cut


class RecordHistory(Callback):
    """Records an update when its gradient norm has arrived: on CUDA one update later."""

    def __init__(self, session: Training) -> None:
        self._session = session
        self._waiting: Update | None = None
        self._skipped = 0
        self._is_rate_told = False
        self._why_cut = ""  # of the last update, if its clip threshold leaves nothing
        self._has_gradient = False  # the last update, before clipping
        self._zero_gradients = ZeroGradients()

    def on_update(self, update: Update) -> None:
        late = self._flush()
        if update.was_skipped:
            self._skipped += 1
            if self._skipped == 1:
                self._session.run.note(f"update {update.step} was skipped by GradScaler: its gradients overflowed", "skipped")
        self._waiting = update
        measured = left(update.progress, update.baseline_loss, update.measured.get("validation"))
        self._session.run.look(update.step, update.loss, measured)
        self._compare_rates(update)
        if update.norm is None or not update.norm.is_pinned():
            late = self._flush()
        update.late_norm = late

    def flush(self) -> None:
        """Record the update that waits for its norm."""
        self._flush()

    def on_end(self, outcome: Outcome) -> None:  # noqa: ARG002 however it ended
        if self._skipped > 1:
            self._session.run.note(f"{self._skipped} updates were skipped by GradScaler: their gradients overflowed", "skipped")

    def _flush(self) -> float | None:
        """Record the update whose norm was still on its way; gives that norm."""
        update, self._waiting = self._waiting, None
        if update is None:
            return None
        number = None if update.norm is None else float(update.norm)
        share = None if number is None or update.clipped is None else update.clipped.share(number)
        self._session.run.record(update.step, update.rate, update.loss, number, baseline_loss=update.baseline_loss,
                                 progress=update.progress, clip_share=None if share is None else rounded(share), **update.measured)
        if number is not None:
            self._look_for_gradient(update.step, number)
        return number

    @property
    def has_had_gradient(self) -> bool:
        """Whether any update has had one."""
        return self._zero_gradients.has_moved

    def why_nothing_learned(self) -> str:
        """Where no update had a gradient: that nothing was learned, and why; else empty."""
        return self._zero_gradients.message(self._why_no_gradient())

    def _why_no_gradient(self) -> str:
        """Why the last update had none: first of all the clip threshold, where it leaves nothing."""
        if self._why_cut and self._has_gradient:
            return self._why_cut
        return " ".join(filter(None, (self._why_cut, self._session.trainee.why_no_gradient())))

    def _look_for_gradient(self, step: int, norm: float) -> None:
        threshold = self._session.run.planned.clip_at(step)
        is_cut = threshold is not None and threshold < NOTHING
        self._why_cut = why_cut(threshold) if threshold is not None and is_cut else ""
        self._has_gradient = norm != 0.0
        if self._zero_gradients.look(0.0 if is_cut else norm):
            self._session.reporter.tell(self._zero_gradients.warning(self._why_no_gradient()))

    def _compare_rates(self, update: Update) -> None:
        """Once: what the optimizer held is not what the scheduler has written for it."""
        expected = self._session.run.expected_rate * update.rate_factor
        if update.rate == expected or self._is_rate_told or not isfinite(expected) or isclose(update.rate, expected, rel_tol=1e-6):
            return
        self._is_rate_told = True
        self._session.reporter.tell(f"update {update.step} used rate {update.rate:g}, but the schedule has {expected:g}. Something "
                                    "else, such as another extension, changed it; the history has both")
