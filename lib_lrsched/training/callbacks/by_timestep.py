"""What depends on an update's timesteps: a factor of its rate, and a weight of each image's loss.

Both are schedule texts over the timesteps, see schedule/by_timestep.py. At batch size 1 the two differ with Adam, which divides a
constant factor of the gradient out again, but not one of the rate.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib_lrsched.optimizer.step_hook import to_cpu
from lib_lrsched.schedule.by_timestep import factors, normalized, plan_factors
from lib_lrsched.storage.history_row import rounded
from lib_lrsched.training.callback import ESSENTIAL, Callback, Training, Update
from lib_lrsched.training.loss_seam import Batch, check_seen, timesteps_of


class RateByTimestep(Callback):
    """Multiplies the rate of an update by the mean factor of its images, those of all its micro-batches."""

    on_failure = ESSENTIAL

    def __init__(self, session: Training, text: str) -> None:
        self._session = session
        self._text = text
        self._factors: list[float] = []
        self._step = -1
        self._timesteps: list[Tensor] = []  # of the micro-batches of update _step, on the CPU
        self._factor: float | None = None  # of the optimizer's last step

    def on_start(self, session: Training) -> None:
        model = session.host.shared.sd_model
        check_seen(model)
        self._factors = factors(plan_factors(self._text, timesteps_of(model)))

    def before_forward(self, batch: Batch) -> None:  # noqa: ARG002
        step = self._session.trainee.step
        if step != self._step:
            self._step, self._timesteps = step, []

    def after_forward(self, batch: Batch) -> None:
        self._timesteps.append(to_cpu(batch.timesteps))  # there when the loop has read its loss, and so at the optimizer's step

    def before_clip(self) -> None:
        found = [self._factors[t] for part in self._timesteps for t in part.tolist()]
        self._factor = sum(found) / len(found)
        for group in self._session.optimizer.param_groups:
            group["lr"] *= self._factor  # the scheduler writes it anew for every micro-batch

    def on_update(self, update: Update) -> None:
        factor, self._factor = self._factor, None
        if factor is not None:
            update.rate_factor, update.measured["rate_factor"] = factor, rounded(factor)


class LossByTimestep(Callback):
    """Multiplies each image's loss by the weight of its timestep; the mean of the weights over all timesteps is 1."""

    on_failure = ESSENTIAL

    def __init__(self, text: str) -> None:
        self._text = text
        self._weights: list[float] = []
        self._there: Tensor | None = None  # the same, float32 [T], on the batches' device

    def on_start(self, session: Training) -> None:
        model = session.host.shared.sd_model
        check_seen(model)
        self._weights = normalized(factors(plan_factors(self._text, timesteps_of(model))))

    def before_forward(self, batch: Batch) -> None:
        if self._there is None or self._there.device != batch.timesteps.device:
            self._there = torch.tensor(self._weights, dtype=torch.float32, device=batch.timesteps.device)
        batch.keeps_sample_losses, batch.loss_weights = True, self._there[batch.timesteps]

    def after_forward(self, batch: Batch) -> None:
        if batch.sample_losses is None:
            raise RuntimeError("the model's get_loss gave no loss of each number: it cannot be weighted by timestep")
