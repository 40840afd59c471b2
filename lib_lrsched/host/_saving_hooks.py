"""The seams at which the host's loops write files: what was trained, its loss, its preview images.

While a training of ours is live in the calling thread they go through its session; else they pass through.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from lib_lrsched.training.callback import PreviewImage
from lib_lrsched.training.session import Session

from .seams import Seam
from .trainings import Trainings
from .trial_calls import TrialCalls
from .webui import Host


class SavingHooks:
    """What takes the place of the host's functions that write.

    Args:
        after_last_save: the host writes nothing more of this training.
    """

    def __init__(self, trainings: Trainings, trial_calls: TrialCalls, after_last_save: Callable[[Session], None]) -> None:
        self._session = trainings.session
        self._trial = trial_calls.session
        self._after_last_save = after_last_save

    def seams(self, host: Host) -> list[Seam]:
        seams = [
            Seam(host.ti, "write_loss", self._write_loss),
            Seam(host.ti, "save_embedding", self._save_embedding),
            Seam(host.hn, "save_hypernetwork", self._save_hypernetwork),
        ]
        if hasattr(host.ti, "save_settings_to_file"):
            seams.append(Seam(host.ti, "save_settings_to_file", self._not_in_a_trial))
        if hasattr(getattr(host.hn, "saving_settings", None), "save_settings_to_file"):
            seams.append(Seam(host.hn.saving_settings, "save_settings_to_file", self._not_in_a_trial))  # type: ignore[attr-defined]
        if hasattr(host.ti, "tensorboard_setup"):
            seams.append(Seam(host.ti, "tensorboard_setup", self._not_in_a_trial))
        if host.images is not None:
            seams.append(Seam(host.images, "save_image", self._save_image))
        if hasattr(host.ti, "tensorboard_add"):
            seams.append(Seam(host.ti, "tensorboard_add", self._tensorboard_add))
        if hasattr(host.ti, "insert_image_data_embed"):
            seams.append(Seam(host.ti, "insert_image_data_embed", self._insert_image_data_embed))
        return seams

    def _not_in_a_trial(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A trial leaves no file: what the host writes beside its loop is left out."""
        @wraps(original)
        def write(*args: Any, **kwargs: Any) -> Any:
            return None if self._trial() is not None else original(*args, **kwargs)

        return write

    def _write_loss(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def write_loss(log_directory: Any, filename: Any, step: int, epoch_len: int, values: Any) -> Any:
            session = self._session()
            if session is not None and session.run.is_live:
                with session.held:
                    values = session.reporter.protect(lambda: session.updated(step, values)) or values
                session.reporter.protect(lambda: _add_progress(session, step))
                values = _as_in_file(log_directory, filename, values)
                try:
                    return original(log_directory, filename, step, epoch_len, values)
                except OSError as error:  # the disk is full, or the folder gone: that is no reason to stop training
                    return session.reporter.tell_once(f"the loss cannot be written to {filename}, training continues: {error}")
            return original(log_directory, filename, step, epoch_len, values)

        return write_loss

    def _tensorboard_add(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The host adds the loss before its update is reported: so the progress follows from _write_loss, at the same step."""
        @wraps(original)
        def tensorboard_add(tensorboard_writer: Any, *args: Any, **kwargs: Any) -> Any:
            session = self._session()
            if session is not None and session.run.is_live:
                session.tensorboard_writer = tensorboard_writer
            return original(tensorboard_writer, *args, **kwargs)

        return tensorboard_add

    def _save_image(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def save_image(*args: Any, **kwargs: Any) -> Any:
            session = self._session()
            if session is None or not session.run.is_live:
                return original(*args, **kwargs)
            try:
                answer = original(*args, **kwargs)
            except OSError as error:
                session.reporter.tell_once(f"preview images cannot be saved, training continues: {error.strerror or error}")
                return "not saved", None  # a path and that of a text file; the loops show the first
            session.reporter.protect(lambda: _record_image(session, answer, args, kwargs))
            return answer

        return save_image

    def _insert_image_data_embed(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The host saves this image itself, with its own method."""
        @wraps(original)
        def insert_image_data_embed(*args: Any, **kwargs: Any) -> Any:
            image = original(*args, **kwargs)
            session = self._session()
            if session is None or not session.run.is_live:
                return image
            save = image.save

            def save_or_say(*where: Any, **how: Any) -> None:
                try:
                    save(*where, **how)
                    session.reporter.protect(lambda: _record_copy(session, image, where))
                except OSError as error:
                    why = error.strerror or error
                    session.reporter.tell_once(f"images with the embedding in them cannot be saved, training continues: {why}")

            image.save = save_or_say
            return image

        return insert_image_data_embed

    def _save_embedding(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def save_embedding(embedding: Any, optimizer: Any, checkpoint: Any, embedding_name: str, filename: str,
                           *args: Any, **kwargs: Any) -> Any:
            def write(to: str) -> Any:
                return original(embedding, optimizer, checkpoint, embedding_name, to, *args, **kwargs)

            if self._trial() is not None:
                return None
            session = self._session()
            if session is None:
                return write(filename)
            with session.held:
                return session.file_saving.save(embedding, filename, write)

        return save_embedding

    def _save_hypernetwork(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def save_hypernetwork(hypernetwork: Any, checkpoint: Any, hypernetwork_name: str, filename: str) -> Any:
            def write(to: str) -> Any:
                before, hypernetwork.filename = hypernetwork.filename, to  # the host's hash is that of the file behind this name
                try:
                    return original(hypernetwork, checkpoint, hypernetwork_name, to)
                finally:
                    hypernetwork.filename = before

            if self._trial() is not None:
                return None
            session = self._session()
            if session is None:
                return original(hypernetwork, checkpoint, hypernetwork_name, filename)
            with session.held:
                try:
                    return session.file_saving.save(hypernetwork, filename, write)
                finally:
                    self._after_last_save(session)

        return save_hypernetwork


def _record_image(session: Session, answer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """What the loop has saved; it alone names its images, and other extensions may save theirs in the same thread."""
    given = {**dict(zip(("image", "path", "basename", "seed", "prompt"), args)), **kwargs}
    file, image = answer[0] if isinstance(answer, tuple) and answer else None, given.get("image")
    if given.get("forced_filename") and isinstance(file, str) and image is not None:
        path = Path(file).absolute()
        if path.is_file():
            session.image_saved(PreviewImage(path, str(given.get("prompt") or ""), tuple(image.size)))


def _record_copy(session: Session, image: Any, where: tuple[Any, ...]) -> None:
    """The copy with the embedding in it."""
    if where and isinstance(where[0], (str, os.PathLike)):
        session.image_saved(PreviewImage(Path(where[0]).absolute(), "", tuple(image.size), holds_embedding=True))


def _add_progress(session: Session, step: int) -> None:
    if session.tensorboard_writer is not None and session.newest_progress is not None:
        session.tensorboard_writer.add_scalar("Progress/train", session.newest_progress, step)


def _as_in_file(folder: Any, filename: Any, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values that the CSV file has columns for: the host writes a header into a new file only, and adds rows blindly."""
    path = os.path.join(folder, filename)  # noqa: PTH118 as the host does
    if "progress" not in values or not os.path.exists(path):  # noqa: PTH110 the same
        return values
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            names = file.readline().decode("utf-8", "replace").strip().split(",")
    except OSError:
        return values  # the host's own writing fails next, and says why
    return values if "progress" in names else {name: value for name, value in values.items() if name != "progress"}
