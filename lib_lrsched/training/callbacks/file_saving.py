"""The host's saves during one training: whole files, a backup of the last, true numbers, and nothing good overwritten.

    a periodic copy    named -500, the host writes it with 499 updates in it; it is written again one update later
    a full disk        a copy that cannot be written is reported, and training continues
    the final save     comes also where the loop raised; weights that are not finite give way to the last good ones
    a range test       nothing is saved where it is the whole text
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from lib_lrsched.optimizer import step_hook
from lib_lrsched.optimizer.codec import is_finite
from lib_lrsched.snapshot.find import trained_tensors
from lib_lrsched.storage import disk_errors
from lib_lrsched.storage.history import COPY
from lib_lrsched.storage.model_files import OPTIM, file_time, has_backup, rename_copy, save_whole
from lib_lrsched.storage.run_state import Known
from lib_lrsched.training.callback import PERSISTENT, Callback, Outcome, Save, Training, Update
from lib_lrsched.training.host import Checks

_PERIODIC = re.compile(r"-\d+$")
"""Ends the stem of a copy that stays; NAME-best is written over."""


class Saving(Training, Protocol):
    """What a save asks of its session beyond its public face."""

    has_begun: bool
    has_ended: bool

    def settle(self) -> None:
        """What is in memory becomes that of one moment."""

    def write_last(self) -> None:
        """Write the snapshot of the last update."""

    def saving(self, save: Save) -> None:
        """Tell the callbacks that the host's own file is about to take its place."""

    def saved(self, save: Save) -> None:
        """Tell them that a file is written."""

    def forget(self) -> None:
        """The host has saved for the last time."""


class _Due(NamedTuple):
    """A copy that is to be written again: after how many updates, its file, how."""

    steps: int
    filename: str
    save: Callable[[], Any]


class FileSaving(Callback):
    """Of one session; the hooks on save_embedding and save_hypernetwork pass through ``save``.

    Args:
        checks: makes the host's final save where its loop has skipped it.
    """

    on_failure = PERSISTENT

    def __init__(self, session: Saving, checks: Checks) -> None:
        self._session = session
        self._checks = checks
        self._due: _Due | None = None
        self.has_final = False
        self.was_rescued = False
        self.trouble = self.mend = ""

    def save(self, host_object: Any, filename: str, write: Callable[[str], Any]) -> Any:
        """One save of the host's: ``write`` is its own function, to be called with a file name."""
        if not self._session.has_begun:
            return write(filename)
        if self._session.run.is_rehearsal:
            return self._leave_out(filename)
        if self._is_main(filename):
            return self._save_main(host_object, filename, write)
        return self._save_copy(host_object, filename, write)

    def on_update(self, update: Update) -> None:
        """A copy that was named after this update is written again."""
        due = self._due
        if due is not None and due.steps <= update.step + 1:  # the save itself came before the report of the update before
            self._due = None
            due.save()

    def on_end(self, outcome: Outcome) -> None:  # noqa: ARG002 however it ended
        """A copy whose update never came gets the number of those that it holds."""
        due, self._due = self._due, None
        if due is None:
            return
        renamed = rename_copy(due.filename, due.steps - 1)
        if renamed is not None:
            self._session.run.note(f"the last copy holds {due.steps - 1} updates and is named {renamed.name}", COPY)

    def rescue_final(self) -> None:
        """The host's loop raised and its final save is skipped: make it, with the host's own function.

        For embeddings after every exception; for hypernetworks after those that the host does not swallow, such as Ctrl-C.
        """
        try:
            self._checks.save_final(self._session.trainee.kind)
        except (OSError, RuntimeError):
            if not self.trouble:
                raise
            self._session.reporter.tell(self.not_saved())
        self.was_rescued = self.has_final

    def not_saved(self) -> str:
        """What became of a training whose result is not on the disk, and what to do."""
        if not self.trouble:
            return "the loop ended with an exception, and nothing could be saved; its traceback is on the console"
        mend = f"{self.mend}, then train again with the same max steps: the result is saved, or the run resumes from its snapshot"
        return f"{self.trouble}. {mend[0].upper()}{mend[1:]}"

    # ----------------------------------------------------------------------------------------------

    def _leave_out(self, filename: str) -> None:
        """What a range test makes of it is nobody's to use: neither copies nor the result are written."""
        if not self._is_main(filename):
            return
        self.has_final = True
        if self._session.has_ended:
            self._session.forget()

    def _save_main(self, host_object: Any, filename: str, write: Callable[[str], Any]) -> Any:
        session = self._session
        session.reporter.protect(session.settle)
        tensors = trained_tensors(host_object)
        if not is_finite([tensor.detach() for tensor in tensors]):
            name = Path(filename).name
            session.reporter.tell(f"the result contains NaN or infinity: it is not saved, and {name} stays as it was")
            return None

        def form(file: Path) -> Known:
            return Known(host_object.step, step_hook.digest(tensors), file_time(file))

        save = Save(Path(filename), host_object.step, is_main=True, host_object=host_object)

        def before(written: Path) -> None:
            # A kill from here on finds the form that it left in the run's state, and a snapshot that goes with it.
            session.reporter.protect(session.write_last)
            session.reporter.protect(lambda: session.run.about_to_save(form(written)))
            session.saving(save)

        try:
            self._make_folder(Path(filename).parent)
            # A start without updates, as after a new beginning, is not a backup for what was trained before it.
            backup = not (session.run.file_is_untrained and has_backup(Path(filename)))
            answer = save_whole(filename, write, backup=backup, before=before)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            self.trouble, self.mend = f"{Path(filename).name} cannot be saved: {disk_errors.why(error)}", disk_errors.mend(error)
            if session.has_ended:
                session.run.end("failed", self.not_saved())
                session.forget()
            raise
        self.has_final, self.trouble = True, ""
        session.reporter.protect(lambda: self._note_optimizer(tensors, filename))
        session.reporter.protect(lambda: session.run.saved(form(Path(filename))))
        session.saved(save)
        if session.has_ended:
            session.forget()
        return answer

    def _make_folder(self, folder: Path) -> None:
        """The result is worth more than the order in which somebody deleted its folder."""
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._session.reporter.tell(f"the folder {str(folder)!r} was missing and was created again for the result")

    def _save_copy(self, host_object: Any, filename: str, write: Callable[[str], Any]) -> Any:
        session = self._session
        tensors = trained_tensors(host_object)
        if not is_finite([tensor.detach() for tensor in tensors]):
            session.reporter.tell(f"the weights after update {host_object.step} contain NaN or infinity: no copy is saved")
            return None
        try:
            answer = save_whole(filename, write, backup=False)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            session.reporter.tell(f"the copy {Path(filename).name} cannot be saved, training continues: {error}")
            return None
        known = Known(host_object.step, step_hook.digest(tensors), file_time(Path(filename)))
        session.reporter.protect(lambda: session.run.saved(known, is_main=False))
        session.saved(Save(Path(filename), host_object.step, is_main=False, host_object=host_object))
        if Path(filename).stem.endswith(f"-{host_object.step + 1}"):
            self._due = _Due(host_object.step + 1, filename, lambda: self._save_again(host_object, filename, write))
        elif _PERIODIC.search(Path(filename).stem):
            session.run.note(Path(filename).name, COPY)
        return answer

    def _save_again(self, host_object: Any, filename: str, write: Callable[[str], Any]) -> None:
        session = self._session
        is_wanted = bool(getattr(session.host.shared.opts, "save_optimizer_state", False))
        with session.trainee.saving_optimizer(session.optimizer, is_wanted=is_wanted):
            self._save_copy(host_object, filename, write)

    def _note_optimizer(self, tensors: list[Tensor], filename: str) -> None:
        """Beside the host's own file there may be one with the optimizer's state, which was saved with it."""
        path = Path(f"{filename}{OPTIM}")
        if path.exists():
            self._session.run.saved_optimizer(file_time(path), step_hook.digest(tensors))

    def _is_main(self, filename: str) -> bool:
        return Path(filename).absolute().parent == Path(self._session.host.folder_of(self._session.trainee.kind)).absolute()
