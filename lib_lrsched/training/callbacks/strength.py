"""How strong an embedding is: the norm of its vectors, their distance from what the run started from, and their mean |v|.

They are those of the weights before the update, as its loss is. Nothing that is trained depends on them. A hypernetwork has none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib_lrsched.optimizer.step_hook import to_cpu
from lib_lrsched.storage.history_row import rounded
from lib_lrsched.training.callback import Callback, Training, Update
from lib_lrsched.training.loss_seam import Batch


class Strength(Callback):
    """Measures every update, on the device."""

    def __init__(self, session: Training) -> None:
        self._session = session
        self._step = -1
        self._measured: Tensor | None = None  # on the CPU, of update _step; see measure()
        self._size = 1

    def after_forward(self, batch: Batch) -> None:  # noqa: ARG002 the weights alone matter
        step = self._session.trainee.step
        if step == self._step:
            return  # another micro-batch of the same update
        self._step, self._measured = step, None
        vectors = self._session.trainee.vectors()
        if vectors is None:
            return
        start = self._session.start
        self._size = vectors.numel()
        # The loop reads its own loss next, which waits for the device: then the copy is there too.
        self._measured = to_cpu(measure(vectors.detach().float(), None if start is None else start[0].float()))

    def on_update(self, update: Update) -> None:
        measured, self._measured = self._measured, None
        if measured is None or update.step != self._step:
            return
        total, norm, *distance = measured.tolist()
        update.measured |= {
            "vector_norm": rounded(norm), "vector_distance": rounded(distance[0]) if distance else None,
            "vector_mean_abs": rounded(total / self._size),
        }  # fmt: skip


def measure(vectors: Tensor, start: Tensor | None) -> Tensor:
    """The sum of |v|, the largest norm and, where the start is known, the largest distance from it.

    Args:
        vectors, start: float32 [n, width], on one device.

    Returns:
        float32 [2] or [3], on that device.

    >>> measure(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([[3.0, 3.0], [0.0, -1.0]])).tolist()
    [8.0, 5.0, 2.0]
    """
    both = vectors.unsqueeze(0) if start is None else torch.stack((vectors, vectors - start))
    return torch.cat((torch.linalg.vector_norm(vectors, 1).reshape(1), torch.linalg.vector_norm(both, dim=2).amax(1)))
