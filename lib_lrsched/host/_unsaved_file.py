"""Before a training: writes the host's file of the run before it, if that run finished and the host could not save."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from lib_lrsched.snapshot.find import restore, trained_tensors
from lib_lrsched.snapshot.snapshot import Snapshot
from lib_lrsched.storage import disk_errors
from lib_lrsched.storage.model_files import file_time, save_whole
from lib_lrsched.storage.run_state import Known, RunState, trimmed
from lib_lrsched.storage.store import Store
from lib_lrsched.training.callbacks.weight_average import averaged, beside, save_average
from lib_lrsched.training.host import InputError

from .kinds import kind_of
from .webui import Host


def write_unsaved(host: Host, store: Store, name: str, now: Known, state: RunState | None, snapshot: Snapshot | None,
                  say: Callable[[str], None]) -> None:
    """The run finished, but the host could not save its file: writes it.

    Args:
        now: the form that the file shall have, which an embedding in memory has.
        snapshot: holds it; None for an embedding in memory.

    Raises:
        InputError: it cannot be written; the old file is there.
    """
    if state is None or state.main_digest == now.digest:
        return
    own = kind_of(state.kind)
    file = own.file(host, name)
    host_object = own.load(host, name, file)
    if snapshot is not None and not own.is_in_memory:  # what is in memory has the snapshot's weights by now
        restore(trained_tensors(host_object), snapshot)
        host_object.step = now.step
    shadow = None if snapshot is None else averaged(snapshot.parts)
    average = beside(file)
    try:
        if shadow is not None:
            save_average(host_object, shadow, average, backup=state.average_mtime_ns != file_time(average))
        save_whole(str(file), host_object.save, backup=True)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        why, mend = disk_errors.why(error), disk_errors.mend(error)
        message = f"the run is complete, but {file.name} cannot be written: {why}. To write it, {mend}, then try again"
        raise InputError(message) from error
    known = replace(now, mtime_ns=file_time(file))
    ended = replace(state, main_digest=now.digest, next_digest="", known=trimmed((*state.known, known), now.digest),
                    step=now.step, state="finished", message="",
                    average_mtime_ns=state.average_mtime_ns if shadow is None else file_time(average))
    with suppress(OSError):  # the file is there; the store keeps the state in memory and writes it when that can be done
        store.save(ended)
    what = "what is in memory" if snapshot is None else "its snapshot"
    say(f"LR Schedule: the run had reached step {now.step} when it was interrupted; {file.name} is written from {what}")
