"""Holds the L2 norm of each vector of an embedding at most ``times`` its reference, after every update.

    reference of a vector = max(its norm at the run's start, FRESH * sqrt(width))

It is applied within the optimizer's step, as its last act: whatever saves, copies or judges the weights sees them limited, and an
update that was broken off before it is undone as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite, sqrt
from typing import Any

import torch
from torch import Tensor

from lib_lrsched.training.callback import ESSENTIAL, Callback, Training

FRESH = 0.05
"""What |v| is in a fresh embedding, more or less."""

INSIDE = 1.0 - 1e-6
"""A vector that is too long ends this much inside its limit, so that rounding leaves it no longer than that."""


class NormLimit(Callback):
    """See the module; ``times`` is above 0. The references are part of a snapshot."""

    on_failure = ESSENTIAL

    def __init__(self, session: Training, times: float) -> None:
        self._session = session
        self._times = times
        self._references: list[float] | None = None  # one for each vector; in a snapshot too
        self._limits: Tensor | None = None  # float32 [n], on the device of the vectors; None where the limit is off

    def on_start(self, session: Training) -> None:
        vectors = session.trainee.vectors()
        if vectors is None:
            session.reporter.tell("the norm limit is off: a hypernetwork has no vectors")
            return
        if self._references is None or len(self._references) != len(vectors):
            self._references = self._found(session, vectors.detach())
        limits = [self._times * reference for reference in self._references]
        self._limits = torch.tensor(limits, dtype=torch.float32, device=vectors.device)
        session.run.learned("max_norm", self._times)
        low, high = f"{min(limits):.4g}", f"{max(limits):.4g}"
        at_most = low if low == high else f"{low} to {high}"
        session.reporter.tell(f"each vector's norm is limited to {self._times:g} times its norm at the start: {at_most}")

    def after_step(self) -> None:
        vectors = None if self._limits is None else self._session.trainee.vectors()
        if vectors is not None and self._limits is not None:
            with torch.no_grad():
                hold(vectors, self._limits)

    def state_dict(self) -> dict[str, Any]:
        return {"norm_limit": None if self._limits is None else {"references": self._references}}

    def load_state_dict(self, parts: Mapping[str, Any]) -> None:
        part = parts.get("norm_limit")
        if part is None:
            return
        found = part.get("references") if isinstance(part, dict) else None
        if not isinstance(found, list) or not all(isinstance(one, float) and isfinite(one) and one > 0 for one in found):
            raise ValueError("norm limit: the saved reference norms are damaged and are recomputed")
        self._references = found

    def _found(self, session: Training, vectors: Tensor) -> list[float]:
        """From what the run started from; where that is not known, from the vectors as they are now, which is said."""
        start = vectors if session.start is None else session.start[0]
        if session.start is None:
            session.not_exact("what the run started from is not known: the norm is limited to that of the vectors as they are now")
        return references(start.float()).tolist()  # type: ignore[no-any-return]


def references(start: Tensor) -> Tensor:
    """The reference of each vector of ``start``, float32 [n, width].

    >>> references(torch.tensor([[3.0, 4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])).tolist() == [5.0, 0.10000000149011612]
    True
    """
    return torch.linalg.vector_norm(start, dim=1).clamp(min=FRESH * sqrt(start.shape[1]))


def hold(vectors: Tensor, limits: Tensor) -> None:
    """Shorten the vectors [n, width] that are longer than their limits [n], in place; the others keep their bits.

    A second call changes nothing. What is not finite is left to the guard.
    """
    norms = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float32)
    is_long = (norms > limits) & (norms < inf)
    vectors.mul_(torch.where(is_long, limits / norms * INSIDE, 1.0).unsqueeze(1))
