"""How much of the loss is gone: what is trained against what its run started from, on the same batch and the same noise.

    L = the loss of an update, B = that of what the run started from, with the same latents, timesteps, noise and prompts
    progress = 1 - sum(L) / sum(B) over the measured ones among the last WINDOW updates

The loss by itself shows the timestep that was drawn, not what was learned. A measured update costs one more pass without gradient.
Nothing that is trained depends on it: weights are the same bits with and without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lib_lrsched.optimizer.step_hook import to_cpu
from lib_lrsched.storage.history_row import PROGRESS_WINDOW as WINDOW
from lib_lrsched.training.callback import Callback, Training, Update
from lib_lrsched.training.loss_seam import Batch


class Measured(NamedTuple):
    """One update: 0-based step, its loss, and the baseline's under the same noise."""

    step: int
    loss: float
    baseline: float


def share(measured: Sequence[Measured]) -> float | None:
    """The share of the loss that is gone: 0.3 for thirty percent, negative where it is worse than nothing; None for no data.

    >>> share([Measured(0, 0.5, 1.0), Measured(8, 1.0, 1.0)])
    0.25
    """
    total = sum(one.baseline for one in measured)
    return 1.0 - sum(one.loss for one in measured) / total if total > 0 else None


class Progress(Callback):
    """Measures every ``every`` updates, and each update of a range test; 0 for never."""

    starts_over_in_rehearsal = True  # a range test is compared with what it starts from itself

    def __init__(self, session: Training, every: int) -> None:
        self._session = session
        self._every = every
        self._is_on = self._is_due = False
        self._window: tuple[Measured, ...] = ()
        self._step = -1
        self._pairs: list[Tensor] = []  # of the micro-batches of update _step: float32 [2], loss and baseline, on the CPU

    def on_start(self, session: Training) -> None:
        self._is_on = self._every > 0 and session.can_compare

    def before_forward(self, batch: Batch) -> None:
        step = self._session.trainee.step
        if step != self._step:
            self._step, self._pairs = step, []
            self._is_due = self._is_on and (step % self._every == 0 or self._session.run.planned.is_range_test(step))
        batch.keeps_noise = batch.keeps_noise or self._is_due

    def after_forward(self, batch: Batch) -> None:
        if not self._is_due or batch.noise is None:
            return
        assert batch.loss is not None, "it has passed"
        before = self._session.baseline_loss(batch)
        if before is None:
            return
        # The loop reads its own loss next, which waits for the device: then the copy is there too.
        self._pairs.append(to_cpu(torch.stack([batch.loss.float(), before.float()])))

    def on_update(self, update: Update) -> None:
        pairs, self._pairs = self._pairs, []
        if self._window and self._window[0].step <= update.step - WINDOW:  # steps rise
            self._window = tuple(one for one in self._window if one.step > update.step - WINDOW)
        if pairs and update.step == self._step:
            loss, before = (float(mean) for mean in torch.stack(pairs).double().mean(0))
            if isfinite(loss) and isfinite(before):
                self._window = (*self._window, Measured(update.step, loss, before))
                update.baseline_loss = before
        update.progress = share(self._window)

    def on_rollback(self, parts: Mapping[str, Any]) -> None:
        """What was measured since is that of weights that are gone."""
        self._window = _window(parts.get("progress")) or ()

    def state_dict(self) -> dict[str, Any]:
        return {"progress": {"window": [list(one) for one in self._window]}}

    def load_state_dict(self, parts: Mapping[str, Any]) -> None:
        if parts.get("progress") is None:
            return
        window = _window(parts["progress"])
        if window is None:
            raise ValueError("progress: its window starts over, because what was saved of it is damaged")
        self._window = window


def _window(part: Any) -> tuple[Measured, ...] | None:
    """What state_dict() gave; None for anything else."""
    rows = part.get("window") if isinstance(part, dict) else None
    if not isinstance(rows, list) or len(rows) > WINDOW:
        return None
    found = []
    for row in rows:
        if not isinstance(row, list) or len(row) != 3 or type(row[0]) is not int:
            return None
        if not all(isinstance(number, float) and isfinite(number) for number in row[1:]):
            return None
        found.append(Measured(*row))
    return tuple(found)
