"""The callbacks of a training: independent parts around a small core, called in a fixed order.

    on_data(data, arguments, encode)        the host has made its data set, and its encoders are at hand
    session.begin()                         the host's loop starts
    at the first apply():
        on_start(session)                   what is trained, its optimizer and its data are there
    for each update:
        before_forward(batch)               timesteps and noise may be looked at or replaced; once for each micro-batch
        after_forward(batch)                its loss is there, and its gradient is not yet
        before_clip()                       gradients are there, and nothing has looked at them or at the rate: it may be changed
        before_step(update)                 gradients are there, unscaled: clip, norms
        after_step()                        the weights are new, and the update has not ended: until here it can be undone
        on_update(update)                   the update was made: step, loss, rate, norm, skipped or not
    on_rollback(parts)                      an earlier state has been put back
    before_save(save)                       the host's own file is on the disk, and not in its place yet
    on_save(save)                           the host writes what is trained
    on_image(image)                         the host has saved a preview image
    on_end(outcome)                         however the loop ended
    on_forget()                             nothing more is saved: the tensors that are held can go

A callback knows the session's public face and no other callback: what one has for others it enters there, or on the batch or the
update that passes. To add one: a file in callbacks/, a class with the methods that it needs, a line in Session, and one in
snapshot.PARTS where it has a state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from lib_lrsched.optimizer.step_hook import Clipped
from lib_lrsched.snapshot.data_set import Encode
from lib_lrsched.snapshot.snapshot import optional_parts

from .host import Host
from .loss_seam import Batch
from .reporter import Reporter
from .run import TrainingRun
from .trainee import Trainee

EVENTS = (
    "on_data", "on_start", "before_forward", "after_forward", "before_clip", "before_step", "after_step", "on_update",
    "on_rollback", "before_save", "on_save", "on_image", "on_end", "on_forget",
)

InPlace = Callable[[], AbstractContextManager[None]]
"""Within it other weights stand in the place of what is trained."""

OBSERVER = "observer"
"""A callback that only looks on: when it fails it is switched off, and training continues."""

ESSENTIAL = "essential"
"""A callback without which the training is another one: when it fails the run stops, with a save."""

PERSISTENT = "persistent"
"""A callback that tries again at the next event."""


@dataclass(slots=True)
class Update:
    """One update, as callbacks hear of it.

    Attributes:
        step: 0-based, over the life of what is trained; -1 before the host has counted it.
        loss: of the update, a float.
        rate: that the optimizer held, or would have used where the update was skipped.
        norm: of the unclipped gradients, a float32 scalar on the CPU. On CUDA it may still be on its way: ``late_norm`` is that of
            this update or of the one before, whichever has arrived.
        was_skipped: GradScaler left the weights as they were.
        rate_factor: what the scheduler's rate was multiplied by for this update.
        is_good: nothing speaks against the weights after it; None where nothing speaks for them either.
        must_save: something has happened that a kill must not undo.
        is_best: validation says that no weights before were as good as those after it.
        baseline_loss: of what the run started from, under the same noise; None where it was not measured.
        progress: the share of the loss that is gone over the window that ends here; None where nothing in it was measured.
        clipped: how its gradients were clipped by us; None where they were not.
        samples: its images, see callbacks/timesteps.py.
        measured: what else its row of the history holds, by HistoryRow's columns.
    """

    step: int
    loss: float
    rate: float
    norm: Tensor | None
    was_skipped: bool
    rate_factor: float = 1.0
    late_norm: float | None = None
    is_good: bool | None = True
    must_save: bool = False
    is_best: bool = False
    baseline_loss: float | None = None
    progress: float | None = None
    clipped: Clipped | None = None
    measured: dict[str, float | None] = field(default_factory=dict)
    samples: Sequence[Any] = ()


class Save(NamedTuple):
    """A file that the host has written: after how many updates, whether it is its own file or a copy, and of which object."""

    path: Path
    step: int
    is_main: bool
    host_object: Any


class PreviewImage(NamedTuple):
    """A preview image that the host has saved. ``size`` in pixels, width first; ``holds_embedding``: the embedding is in it."""

    path: Path
    prompt: str
    size: tuple[int, int]
    holds_embedding: bool = False


class Outcome(NamedTuple):
    """How a training ended: "finished", "interrupted" or "failed", and a sentence."""

    state: str
    message: str


class Training(Protocol):
    """The public face of a session: what its callbacks may know and do.

    Attributes:
        initial_step: updates that were made before this training.
        scaler: the loop's GradScaler, or None.
        start: what the run started from, on the device; None where it is not known, or of no use.
        why_not_exact: why a snapshot of this training cannot be resumed exactly; empty where it can.
        is_frozen: nothing but what is trained asks for gradients. The callback that sees to it says so, in on_start.
        other_weights: that are kept beside what is trained; a callback enters them in on_start. Validation measures them for the
            history's column ``validation_NAME``.
    """

    host: Host
    run: TrainingRun
    trainee: Trainee
    reporter: Reporter
    initial_step: int
    optimizer: Any
    scaler: Any
    start: list[Tensor] | None
    why_not_exact: str
    is_frozen: bool
    other_weights: dict[str, InPlace]

    def attach(self, optimizer: Any) -> None:
        """The optimizer of the loop is known: at the first apply()."""

    def before_clip(self) -> None:
        """The optimizer is about to step, and its gradients have not been looked at."""

    def before_step(self) -> None:
        """The optimizer is about to step."""

    def after_step(self) -> None:
        """It has stepped."""

    def baseline_loss(self, batch: Batch) -> Tensor | None:
        """The loss of what the run started from, a float scalar on the device, with the batch's own noise and prompts.

        Worked out once for a batch whose noise is kept; None where it cannot be.
        """

    def sample_losses(self, latents: Tensor, cond: Any, timesteps: Tensor, noise: Tensor) -> Tensor:
        """Each sample's loss, float [B], without gradient; see LossSeam.losses."""

    @property
    def can_compare(self) -> bool:
        """Whether what the run started from is known, and comparing with it has not failed."""

    def not_exact(self, why: str) -> None:
        """The run resumes from what was saved, and is not what it would have been."""

    @property
    def updates_made(self) -> int:
        """The optimizer's own count of its updates in this training."""

    def stop(self) -> None:
        """End the host's loop before its next update."""

    def finish(self, why: str) -> None:
        """End it before its next update, as one that has made all of them."""

    def give_up(self, why: str) -> None:
        """End it as failed: a part has failed without which the training is another one."""

    def roll_back(self) -> int:
        """Restore the last good state in memory; gives its step."""

    def state_dict(self) -> dict[str, Any]:
        """What the callbacks and the trainee add to a snapshot."""


class Callback:
    """One part of a training. Every method has an empty default."""

    on_failure = OBSERVER

    starts_over_in_rehearsal = False
    """Whether a range test that is the whole text begins without what a snapshot has of it."""

    def on_data(self, data: Any, arguments: Mapping[str, Any], encode: Encode) -> None:
        """The host has made its data set, with these arguments; the loop has not begun. ``encode``: by the text encoder."""

    def on_start(self, session: Training) -> None:
        """The first update is about to be made."""

    def before_forward(self, batch: Batch) -> None:
        """A micro-batch is about to pass through the model."""

    def after_forward(self, batch: Batch) -> None:
        """It has passed, and its loss is known."""

    def before_clip(self) -> None:
        """The optimizer is about to step, and its gradients have not been looked at: its rate may be changed."""

    def before_step(self, update: Update) -> None:
        """The optimizer is about to step."""

    def after_step(self) -> None:
        """It has stepped. What is changed now is part of the update; nothing has seen its weights yet."""

    def on_update(self, update: Update) -> None:
        """An update was made."""

    def on_rollback(self, parts: Mapping[str, Any]) -> None:
        """The state with these parts has been put back into what is trained. While the loop runs, the step count continues."""

    def before_save(self, save: Save) -> None:
        """The host's own file is written, and takes its place as soon as this returns."""

    def on_save(self, save: Save) -> None:
        """The host has written what is trained."""

    def on_image(self, image: PreviewImage) -> None:
        """The host has saved a preview image."""

    def on_end(self, outcome: Outcome) -> None:
        """The loop is over."""

    def on_forget(self) -> None:
        """The host has saved for the last time: drop what was trained. Also called for a callback that was switched off."""

    def state_dict(self) -> dict[str, Any]:
        """What of it belongs into a snapshot: parts by their names in snapshot.PARTS, and no others. Its tensors are copied."""
        return {}

    def load_state_dict(self, parts: Mapping[str, Any]) -> None:
        """Resume from what state_dict() gave.

        Raises:
            ValueError: it is not such a state; says what is done instead.
        """


class Callbacks:
    """The callbacks of one training, in their order, and what happens when one fails.

    Args:
        stop: ends the training before its next update, for the reason given.
    """

    def __init__(self, callbacks: Iterable[Callback], reporter: Reporter, stop: Callable[[str], None]) -> None:
        self.active = list(callbacks)
        self._all = tuple(self.active)
        self.failed = ""
        self._reporter = reporter
        self._stop = stop
        self._by_event: dict[str, tuple[tuple[Callback, Callable[..., None]], ...]] = {}
        self._sort()

    def _sort(self) -> None:
        """Who overrides what: an event costs nothing for those that it does not concern."""
        for event in EVENTS:
            default = getattr(Callback, event)
            ones = self._all if event == "on_forget" else self.active
            concerned = (one for one in ones if getattr(type(one), event) is not default)
            self._by_event[event] = tuple((one, getattr(one, event)) for one in concerned)

    def are_told(self, event: str) -> bool:
        """Whether the event concerns any of them."""
        return bool(self._by_event[event])

    def call(self, event: str, *args: Any) -> None:
        """Call one event's method of each."""
        for callback, told in self._by_event[event]:
            try:
                told(*args)
            except Exception as error:  # noqa: BLE001, PERF203 the host swallows what its loop raises, and skips its final save
                self._failed(callback, error)

    def state_dict(self) -> dict[str, Any]:
        """The parts of all of them; a snapshot has None for those of the others."""
        parts: dict[str, Any] = {}
        for callback in self.active:
            own = callback.state_dict()
            unknown = own.keys() - optional_parts().keys()
            assert not unknown, f"{type(callback).__name__}: without a place in snapshot.PARTS that may be None: {unknown}"
            parts |= own
        return parts

    def _failed(self, callback: Callback, error: Exception) -> None:
        name = type(callback).__name__
        self._reporter.failed(error)
        self.failed = self.failed or f"a hook failed in the previous training: {name}"
        if callback.on_failure == OBSERVER:
            self.active = [one for one in self.active if one is not callback]
            self._sort()
        elif callback.on_failure == ESSENTIAL:
            self._stop(f"{name} failed, and training cannot continue as requested; the traceback is on the console")
