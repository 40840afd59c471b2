"""Timesteps that cover the noise scale evenly, in the place of those that the host's model draws.

    t = floor(T * frac(u + k * 0.6180339887))      k = 0, 1, 2, ... counts the images of the run's life

Any stretch of consecutive images has its timesteps spread over [0, T), where independent draws leave gaps and clusters
(the additive recurrence with the golden ratio; Weyl 1916). The host's model still draws its own, which are thrown away, so that
every later random number is what it would have been.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from lib_lrsched.optimizer.step_hook import to_device
from lib_lrsched.training.callback import ESSENTIAL, Callback, Training, Update
from lib_lrsched.training.loss_seam import Batch, check_seen, timesteps_of

GOLDEN = 0.6180339887


def spread(u: float, first: int, count: int, timesteps: int) -> list[int]:
    """The timesteps of ``count`` images of which the first is the ``first`` of its run.

    >>> spread(0.0, 0, 5, 1000)
    [0, 618, 236, 854, 472]
    """
    return [int(timesteps * ((u + k * GOLDEN) % 1.0)) for k in range(first, first + count)]


class SpreadTimesteps(Callback):
    """See the module. u and k are part of a snapshot."""

    on_failure = ESSENTIAL

    def __init__(self) -> None:
        self._timesteps = 0
        self._u: float | None = None
        self._done = 0  # images of the updates that were made
        self._since = 0  # and of the micro-batches since: they come again where the training breaks off here

    def on_start(self, session: Training) -> None:
        check_seen(session.host.shared.sd_model)
        self._timesteps = timesteps_of(session.host.shared.sd_model)
        if self._u is None:
            self._u = _drawn()

    def before_forward(self, batch: Batch) -> None:
        assert self._u is not None, "the training has started"
        count = len(batch.timesteps)
        found = spread(self._u, self._done + self._since, count, self._timesteps)
        self._since += count
        batch.timesteps = to_device(torch.tensor(found), batch.timesteps.device)

    def after_step(self) -> None:
        self._done, self._since = self._done + self._since, 0

    def on_update(self, update: Update) -> None:  # noqa: ARG002
        self.after_step()  # GradScaler may have skipped the optimizer's step

    def state_dict(self) -> dict[str, Any]:
        return {"spread": None if self._u is None else {"u": self._u, "images": self._done}}

    def load_state_dict(self, parts: Mapping[str, Any]) -> None:
        part = parts.get("spread")
        if part is None:
            return
        u, images = (part.get("u"), part.get("images")) if isinstance(part, dict) else (None, None)
        if not (isinstance(u, float) and 0.0 <= u < 1.0 and type(images) is int and images >= 0):
            raise ValueError("the evenly spread timesteps start over: what was saved of them is damaged")
        self._u, self._done = u, images


def _drawn() -> float:
    """From the state of torch's generator, which is not moved: the same seed gives the same timesteps."""
    state = torch.get_rng_state().numpy().tobytes()
    return int.from_bytes(hashlib.sha256(state).digest()[:6], "big") / 2.0**48
