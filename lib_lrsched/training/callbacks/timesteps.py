"""The timesteps of each update and the losses of its samples: four bands of the noise scale, each smoothed by itself.

The loss of an update shows which timestep was drawn. Within a band losses can be compared: each has a smoothed loss, and a progress
over the samples that were measured. Others find the samples on the batch and on the update.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from lib_lrsched.schedule import running_average
from lib_lrsched.training.callback import Callback, Training, Update
from lib_lrsched.training.loss_seam import Batch, timesteps_of

from ._band_rules import BANDS, Sample, band_of

SMOOTHING = 0.95
"""What a band's averages keep at each of its own samples: about the last 20 count."""


class Average:
    """A running average that looks back over fewer values than the loss's."""

    def __init__(self, total: float = 0.0, weight: float = 0.0) -> None:
        self.total, self.weight = total, weight

    def add(self, value: float) -> None:
        self.total, self.weight = running_average.add(self.total, self.weight, value, SMOOTHING)

    @property
    def value(self) -> float | None:
        return self.total / self.weight if self.weight else None


class TimestepLosses(Callback):
    """Reads timesteps and losses of a batch when it has passed; the loop waits for its loss there anyway."""

    starts_over_in_rehearsal = True  # a range test is compared with what it starts from itself

    def __init__(self, session: Training) -> None:
        self._session = session
        self._step = -1
        self._samples: list[Sample] = []  # of the micro-batches of update _step
        self._compared: list[tuple[Sample, float]] = []  # those that were compared, and the start's loss
        self._losses = [Average() for _ in range(BANDS)]
        self._pairs = [(Average(), Average()) for _ in range(BANDS)]

    def before_forward(self, batch: Batch) -> None:
        batch.keeps_sample_losses = batch.keeps_sample_losses or len(batch.timesteps) > 1
        step = self._session.trainee.step
        if step != self._step:
            self._step, self._samples, self._compared = step, [], []

    def after_forward(self, batch: Batch) -> None:
        assert batch.loss is not None, "it has passed"
        count = len(batch.timesteps)
        columns = [_each(batch.sample_losses, batch.loss, count), batch.timesteps.float()]
        if batch.baseline is not None:
            columns.append(_each(batch.baseline_samples, batch.baseline, count))
        losses, steps, *before = torch.stack(columns).tolist()  # one wait for all
        total = timesteps_of(self._session.host.shared.sd_model)
        batch.samples = [Sample(band_of(int(t), total), loss) for loss, t in zip(losses, steps, strict=True)]
        self._samples += batch.samples
        self._compared += [(one, start) for column in before for one, start in zip(batch.samples, column, strict=True)]

    def on_update(self, update: Update) -> None:
        samples, compared, self._samples, self._compared = self._samples, self._compared, [], []
        if not samples or update.step != self._step:
            return
        update.samples = samples
        for one in samples:
            if isfinite(one.loss):
                self._losses[one.band].add(one.loss)
        for one, start in compared if update.baseline_loss is not None else ():
            if isfinite(one.loss) and isfinite(start):
                self._pairs[one.band][0].add(one.loss)
                self._pairs[one.band][1].add(start)
        update.measured |= self._columns({one.band for one in samples})

    def _columns(self, bands: set[int]) -> dict[str, float | None]:
        found: dict[str, float | None] = {"band": float(*bands) if len(bands) == 1 else None}
        for band in range(BANDS):
            found[f"loss_band_{band}"] = _short(self._losses[band].value)
            loss, before = (average.total for average in self._pairs[band])
            found[f"progress_band_{band}"] = _short(1.0 - loss / before) if before > 0 else None
        return found

    def state_dict(self) -> dict[str, Any]:
        averages = [*self._losses, *(average for pair in self._pairs for average in pair)]
        return {"timesteps": {"averages": [[one.total, one.weight] for one in averages]}}

    def load_state_dict(self, parts: Mapping[str, Any]) -> None:
        part = parts.get("timesteps")
        if part is None:
            return
        rows = part.get("averages") if isinstance(part, dict) else None
        if not isinstance(rows, list) or len(rows) != 3 * BANDS or not all(map(_is_pair, rows)):
            raise ValueError("the smoothed losses of the bands of timesteps start over: what was saved of them is damaged")
        averages = [Average(*row) for row in rows]
        self._losses = averages[:BANDS]
        self._pairs = [(averages[k], averages[k + 1]) for k in range(BANDS, 3 * BANDS, 2)]

    def on_rollback(self, parts: Mapping[str, Any]) -> None:
        """What was smoothed since is that of weights that are gone."""
        self.load_state_dict(parts)


def _each(own: Tensor | None, mean: Tensor, count: int) -> Tensor:
    """The losses float32 [count] of a batch's images; one image's is the batch's, and so is that of a model that does not say."""
    return mean.float().expand(count) if own is None else own.float()


def _is_pair(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 2 and all(isinstance(number, float) and isfinite(number) for number in row)


def _short(value: float | None) -> float | None:
    """As many digits as anybody looks at: every row has these numbers."""
    return None if value is None else float(f"{value:.5g}")
