"""The numbers of each update go into the run's history; and it is said where none of them had a gradient."""

from __future__ import annotations

from lib_lrsched.training.callback import Callback, Outcome, Training, Update
from lib_lrsched.training.no_gradient import ZeroGradients


class RecordHistory(Callback):
    """Records an update when its gradient norm has arrived: on CUDA one update later."""

    def __init__(self, session: Training) -> None:
        self._session = session
        self._waiting: Update | None = None
        self._skipped = 0
        self.zero_gradients = ZeroGradients()

    def on_update(self, update: Update) -> None:
        late = self._flush()
        if update.was_skipped:
            self._skipped += 1
            if self._skipped == 1:
                self._session.run.note(f"update {update.step} was skipped by GradScaler: its gradients overflowed", "skipped")
        self._waiting = update
        self._session.run.look(update.step, update.loss)
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
        self._session.run.record(update.step, update.rate, update.loss, number, baseline_loss=update.baseline_loss,
                                 progress=update.progress)
        if number is not None and self.zero_gradients.look(number):
            why = self._session.trainee.why_no_gradient()
            self._session.reporter.tell(f"nothing has been learned so far: no update had a gradient. {why}")
        return number
