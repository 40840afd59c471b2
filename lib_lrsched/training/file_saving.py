"""The host's saves during one training: whole files, a backup of the last, true numbers, and nothing good overwritten.

    a periodic copy    named -500, the host writes it with 499 updates in it; it is written again one update later
    a full disk        a copy that cannot be written is said, and training goes on
    the final save     comes also where the loop raised; weights that are not finite give way to the last good ones
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lib_lrsched.host.input_checks import caller_locals
from lib_lrsched.host.webui import Host
from lib_lrsched.optimizer.codec import is_finite
from lib_lrsched.snapshot import find
from lib_lrsched.storage import disk_errors
from lib_lrsched.storage.model_files import has_backup, rename_copy, save_whole

if TYPE_CHECKING:
    from .session import Session


class _Due(NamedTuple):
    """A copy that is to be written again: after how many updates, its file, how."""

    steps: int
    filename: str
    save: Callable[[], Any]


class Saves:
    """Of one session; the hooks on save_embedding and save_hypernetwork pass through ``save``."""

    def __init__(self, host: Host, session: Session) -> None:
        self._host = host
        self._session = session
        self._due: _Due | None = None
        self.has_final = False
        self.was_rescued = False
        self.trouble = self.mend = ""

    def save(self, thing: Any, filename: str, write: Callable[[str], Any]) -> Any:
        """One save of the host's: ``write`` is its own function, to be called with a file name."""
        if not self._session.has_begun:
            return write(filename)
        if self._is_main(filename):
            return self._save_main(thing, filename, write)
        return self._save_copy(thing, filename, write)

    def after_update(self, steps_done: int) -> None:
        """An update was made and recorded: a copy that was named after it is written again."""
        due = self._due
        if due is not None and due.steps <= steps_done:  # the save itself came before the report of the update before
            self._due = None
            due.save()

    def loop_ended(self) -> None:
        """A copy whose update never came gets the number of those that it holds."""
        due, self._due = self._due, None
        if due is None:
            return
        renamed = rename_copy(due.filename, due.steps - 1)
        if renamed is not None:
            self._session.run.note(f"the last copy holds {due.steps - 1} updates and is named {renamed.name}")

    def rescue_final(self) -> None:
        """The host's loop raised and its final save is skipped: make it, with the host's own function.

        For embeddings after every exception; for hypernetworks after those that the host does not swallow, such as Ctrl-C.
        """
        save = self._final_embedding if self._session.run.asked.kind == "embedding" else self._final_hypernetwork
        try:
            save()
        except (OSError, RuntimeError):
            if not self.trouble:
                raise
            self._session.tell(self._session.not_saved())
        self.was_rescued = self.has_final

    def _final_embedding(self) -> None:
        frame = caller_locals("embedding_name")
        self._host.ti.save_embedding(
            frame["embedding"], frame["optimizer"], frame["checkpoint"], frame["embedding_name"], frame["filename"],
            remove_cached_checksum=True,
        )

    def _final_hypernetwork(self) -> None:
        frame = caller_locals("hypernetwork_name")
        thing = frame["hypernetwork"]
        thing.optimizer_name = frame["optimizer_name"]
        if getattr(self._host.shared.opts, "save_optimizer_state", False):
            thing.optimizer_state_dict = frame["optimizer"].state_dict()
        try:
            self._host.hn.save_hypernetwork(thing, frame["checkpoint"], frame["hypernetwork_name"], frame["filename"])
        finally:
            thing.optimizer_state_dict = None

    # ----------------------------------------------------------------------------------------------

    def _save_main(self, thing: Any, filename: str, write: Callable[[str], Any]) -> Any:
        session, kind = self._session, self._session.run.asked.kind
        session.guard(session.mend)
        tensors = find.trained_tensors(kind, thing)
        if not is_finite([tensor.detach() for tensor in tensors]):
            session.tell(f"what was trained is not finite: it is not saved, and {Path(filename).name} stays as it was")
            return None

        def before(written: Path) -> None:
            # A kill from here on finds the form that it left in the run's state, and a bundle that goes with it.
            session.guard(session.keep_last)
            session.guard(lambda: session.about_to_save(tensors, thing.step, written))

        try:
            self._make_folder(Path(filename).parent)
            # A start without updates, as after a new beginning, is no backup for what was trained before it.
            backup = not (session.run.file_is_untrained and has_backup(Path(filename)))
            answer = save_whole(filename, write, backup=backup, before=before)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            self.trouble, self.mend = f"{Path(filename).name} cannot be saved: {disk_errors.why(error)}", disk_errors.mend(error)
            if session.has_ended:
                session.run.end("failed", session.not_saved())
                session.keeper.forget()
            raise
        self.has_final, self.trouble = True, ""
        session.guard(lambda: session.saved_optimizer(tensors, filename))
        session.guard(lambda: session.saved(tensors, thing.step, filename, is_main=True))
        if session.has_ended:
            session.keeper.forget()
        return answer

    def _make_folder(self, folder: Path) -> None:
        """The result is worth more than the order in which somebody deleted its folder."""
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._session.tell(f"the folder {str(folder)!r} was gone, and is made again for the result")

    def _save_copy(self, thing: Any, filename: str, write: Callable[[str], Any]) -> Any:
        session = self._session
        tensors = find.trained_tensors(session.run.asked.kind, thing)
        if not is_finite([tensor.detach() for tensor in tensors]):
            session.tell(f"what is trained is not finite after update {thing.step}: no copy is saved")
            return None
        try:
            answer = save_whole(filename, write, backup=False)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            session.tell(f"the copy {Path(filename).name} cannot be saved, training goes on: {error}")
            return None
        session.guard(lambda: session.saved(tensors, thing.step, filename, is_main=False))
        if Path(filename).stem.endswith(f"-{thing.step + 1}"):
            self._due = _Due(thing.step + 1, filename, lambda: self._save_again(thing, filename, write))
        return answer

    def _save_again(self, thing: Any, filename: str, write: Callable[[str], Any]) -> None:
        """For a hypernetwork the host puts the optimizer's state into the object only while it saves."""
        if self._session.run.asked.kind == "embedding":
            self._save_copy(thing, filename, write)
            return
        optimizer = self._session.optimizer
        if optimizer is not None and getattr(self._host.shared.opts, "save_optimizer_state", False):
            thing.optimizer_state_dict = optimizer.state_dict()
        try:
            self._save_copy(thing, filename, write)
        finally:
            thing.optimizer_state_dict = None

    def _is_main(self, filename: str) -> bool:
        return Path(filename).absolute().parent == Path(self._host.folder_of(self._session.run.asked.kind)).absolute()
