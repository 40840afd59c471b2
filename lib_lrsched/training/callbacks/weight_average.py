"""An exponential moving average of the weights, kept beside what is trained and saved as files of its own.

    after update k, k made before it:    shadow = d * shadow + (1 - d) * weights,    d = min(decay, (1 + k) / (10 + k))

It starts as the weights are when it is switched on, which k counts from. (The warm-up of d is TensorFlow's
ExponentialMovingAverage with num_updates.) What is trained does not depend on it.

    NAME-500-ema    beside the host's copy NAME-500, in the log folder
    NAME-ema        beside the host's own file, in its place a moment before that is
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_lrsched.optimizer.codec import is_finite
from lib_lrsched.snapshot import find
from lib_lrsched.storage import disk_errors
from lib_lrsched.storage.model_files import AVERAGE, file_time, save_whole
from lib_lrsched.training.callback import Callback, Save, Training


def decay_at(update: int, decay: float) -> float:
    """What is kept of the average at an update, from 0.

    >>> decay_at(0, 0.98), decay_at(90, 0.98), decay_at(1000, 0.98)
    (0.1, 0.91, 0.98)
    """
    return min(decay, (1 + update) / (10 + update))


@contextmanager
def standing_in(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> Iterator[None]:
    """Within it ``tensors`` hold the numbers of ``others``; their own come back bit for bit. Nothing is copied where types fit."""
    own = [tensor.data for tensor in tensors]
    try:
        for tensor, other in zip(tensors, others, strict=True):
            tensor.data = other.to(tensor.device, tensor.dtype)
        yield
    finally:
        for tensor, data in zip(tensors, own, strict=True):
            tensor.data = data


def beside(path: Path) -> Path:
    """Where the average goes of what is saved there.

    >>> beside(Path("mine-500.pt")).name
    'mine-500-ema.pt'
    """
    return path.with_name(f"{path.stem}{AVERAGE}{path.suffix}")


def averaged(parts: Mapping[str, Any]) -> list[Tensor] | None:
    """The average in the parts of a snapshot; None where there is none, or none that can be used."""
    part = parts.get("average")
    found = part.get("shadow") if isinstance(part, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(one, Tensor) for one in found):
        return None
    return found if all(one.is_floating_point() for one in found) and is_finite(found) else None


def save_average(host_object: Any, shadow: Sequence[Tensor], path: Path, *, backup: bool) -> None:
    """Writes a file of the host's object with these weights, under the file's name, by the object's own method.

    Raises:
        OSError, RuntimeError: what was there is as it was.
    """
    with standing_in(find.trained_tensors(host_object), shadow), _named(host_object, path.stem):
        save_whole(str(path), host_object.save, backup=backup)


class WeightAverage(Callback):
    """See the module. The shadow is part of a snapshot; tensors of the shapes, and on the devices, of what is trained."""

    def __init__(self, session: Training, decay: float) -> None:
        self._session = session
        self._decay = decay
        self._shadow: list[Tensor] = []
        self._count = 0  # updates that are in it

    def on_start(self, session: Training) -> None:
        if not self._shadow:
            self._begin(session)
        session.other_weights["ema"] = self.in_place

    def _begin(self, session: Training) -> None:
        self._shadow = [tensor.detach().to(_type_of(tensor), copy=True) for tensor in session.trainee.tensors()]
        if not session.run.is_at_start:
            session.reporter.tell(f"the average of the weights starts at step {session.initial_step}: there was none before")

    def after_step(self) -> None:
        """Within the update: one that breaks off is undone as a whole, and one that GradScaler skips does not come here."""
        new = 1.0 - decay_at(self._count, self._decay)
        for shadow, tensor in zip(self._shadow, self._session.trainee.tensors(), strict=True):
            shadow.lerp_(tensor.detach().to(shadow.dtype), new)
        self._count += 1

    def on_rollback(self, parts: Mapping[str, Any]) -> None:
        """Back to the average of the weights that are back."""
        part = parts["average"]
        for tensor, kept in zip(self._shadow, part["shadow"], strict=True):
            tensor.copy_(kept)
        self._count = part["updates"]

    def in_place(self) -> AbstractContextManager[None]:
        """Within it the average stands in the place of what is trained, which comes back bit for bit; between two updates."""
        return standing_in(self._session.trainee.tensors(), self._shadow)

    def before_save(self, save: Save) -> None:
        self._write(save, is_main=True)

    def on_save(self, save: Save) -> None:
        """A copy that the host has named after one update too many is written again, and then it comes here once more."""
        if not save.is_main and save.path.stem.endswith(f"-{save.step}"):
            self._write(save, is_main=False)

    def on_forget(self) -> None:
        self._shadow = []

    def state_dict(self) -> dict[str, Any]:
        return {"average": {"updates": self._count, "shadow": self._shadow} if self._shadow else None}

    def load_state_dict(self, parts: Mapping[str, Any]) -> None:
        part = parts.get("average")
        if part is None:
            return
        tensors, shadow = self._session.trainee.tensors(), averaged(parts)
        updates = part.get("updates") if isinstance(part, dict) else None
        if shadow is None or type(updates) is not int or updates < 0 or [s.shape for s in shadow] != [t.shape for t in tensors]:
            raise ValueError("the average of the weights starts over: what was saved of it is damaged, or of another design")
        self._shadow = [kept.to(t.device, _type_of(t), copy=True) for kept, t in zip(shadow, tensors, strict=True)]
        self._count = updates

    # ----------------------------------------------------------------------------------------------

    def _write(self, save: Save, *, is_main: bool) -> None:
        session, path = self._session, beside(save.path)
        if not self._shadow:
            return
        if not is_finite(self._shadow):
            session.reporter.tell(f"the average contains NaN or infinity: {path.name} is not saved")
            return
        try:
            is_own = session.run.has_written_average(file_time(path))
            save_average(save.host_object, self._shadow, path, backup=is_main and not is_own)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            session.reporter.tell(f"the average {path.name} cannot be saved: {disk_errors.why(error)}")
            return
        if is_main:
            session.run.wrote_average(file_time(path))


def _type_of(tensor: Tensor) -> torch.dtype:
    """Float32 or more: in half precision what an update adds would be rounded away."""
    return torch.promote_types(tensor.dtype, torch.float32)


@contextmanager
def _named(host_object: Any, name: str) -> Iterator[None]:
    """The host's object under another name, without the state of an optimizer, which is that of other weights."""
    before = host_object.name, host_object.optimizer_state_dict
    host_object.name, host_object.optimizer_state_dict = name, None
    try:
        yield
    finally:
        host_object.name, host_object.optimizer_state_dict = before
