"""The states in memory that a run can go back to: which have proved good, and which is on trial.

The loss of an update is computed with the weights before it. A new state is therefore on trial until the next update has
succeeded; an update that GradScaler skipped proves nothing. A state with a NaN or an infinity is never restored. A small state is
checked where it lies, and the result is read one update later, when the loop has waited for the device anyway. A large state is
checked on the CPU, and only when it is needed, since the check takes half as long as the copy.
"""

from __future__ import annotations

from torch import Tensor

from lib_lrsched.optimizer.codec import finite_flags, is_finite
from lib_lrsched.optimizer.step_hook import to_cpu

from .snapshot import Snapshot

KEPT = 2


class GoodStates:
    """Of one training; the newest KEPT that proved good are held."""

    def __init__(self) -> None:
        self._proved: list[Snapshot] = []
        self._on_trial: tuple[Snapshot, Tensor | bool] | None = None
        self._gone_back_to: Snapshot | None = None

    @property
    def newest(self) -> Snapshot | None:
        """The newest that nothing speaks against."""
        return self._proved[-1] if self._proved else None

    @property
    def newest_whole(self) -> Snapshot:
        """The newest without a NaN or an infinity, on trial or not: for a broken-off update, which is no sign of harm."""
        assert self._proved, "an update was made without apply()"
        found = [*self._proved, *([self._on_trial[0]] if self._on_trial else [])]
        return next((snapshot for snapshot in reversed(found) if _is_whole(snapshot)), found[0])

    def begin(self, snapshot: Snapshot) -> None:
        """What the training starts from."""
        self._proved, self._on_trial, self._gone_back_to = [snapshot], None, None

    def offer(self, snapshot: Snapshot, *, is_looked_at: bool) -> None:
        """A state that may turn out to be good. ``is_looked_at``: it is small, and is looked through now."""
        self._on_trial = snapshot, _flags(snapshot) if is_looked_at else True

    def settle(self, *, is_good: bool) -> None:
        """The update after the state on trial, if there is one, came out well or did not."""
        if self._on_trial is None:
            return
        (snapshot, flags), self._on_trial = self._on_trial, None
        if is_good and (flags is True or (isinstance(flags, Tensor) and bool(flags.all()))):
            self._proved = [*self._proved, snapshot][-KEPT:]

    def back(self) -> Snapshot:
        """The one to go back to; where going back to it did not help, the one before it."""
        assert self._proved, "an update was made without apply()"
        while len(self._proved) > 1 and (self._gone_back_to is self._proved[-1] or not _is_whole(self._proved[-1])):
            self._proved.pop()
        self._on_trial, self._gone_back_to = None, self._proved[-1]
        return self._proved[-1]


def _flags(snapshot: Snapshot) -> Tensor | bool:
    """Whether it is finite: on a device an answer that is on its way."""
    if snapshot.trained[0].is_cpu:
        return _is_whole(snapshot)
    return to_cpu(finite_flags([snapshot.parts["trained"], snapshot.parts["optimizer"]], snapshot.trained[0].device))


def _is_whole(snapshot: Snapshot) -> bool:
    return is_finite([snapshot.parts["trained"], snapshot.parts["optimizer"]])
