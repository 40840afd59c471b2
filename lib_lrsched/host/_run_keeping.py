"""Stored runs as a housekeeper sees them: fewer snapshots, whole snapshots, and which of them the next training resumes from."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from lib_lrsched.errors import ConflictError, RunStateError
from lib_lrsched.snapshot.snapshot import Folder, read_tensors
from lib_lrsched.storage import locks
from lib_lrsched.storage.atomic_files import sync_folder
from lib_lrsched.storage.locks import Call
from lib_lrsched.storage.store import Store

from .run_transfer import snapshots_json


class Freed(NamedTuple):
    """What was let go of: the bytes that the disk has back, how many snapshots, and the updates that the kept one holds."""

    freed_bytes: int
    deleted: int
    step: int


def keep_last(store: Store, live: Collection[str], run_id: str) -> Freed:
    """Deletes the snapshots of a run but the newest good one. What it needs to resume and the best state stay.

    Raises:
        ConflictError: it is running or about to be resumed, or has no good snapshot.
        UnknownRunError, RunStateError, OSError: some of them are still there.
    """
    state = store.load(run_id)
    if run_id in live or state.is_active:
        raise ConflictError(f"{run_id} is still running; its snapshots can be deleted when it has ended")
    claim = locks.take(store.root, state.kind, state.name, Call.of(inspect.currentframe()))  # type: ignore[arg-type]
    try:
        folder = Folder(store.snapshots_path(run_id), run_id)
        number, newest, passed = folder.newest(store.load(run_id).floor)
        if newest is None:
            raise ConflictError("; ".join([f"{run_id} has no good snapshot that could be kept, so none is deleted", *passed]))
        others = [path for there, path in folder.numbered() if there != number]
        freed = sum(_freed_bytes(path) for path in others)
        if others:
            sync_folder(folder.path)
        return Freed(freed, len(others), newest.facts.step)
    finally:
        claim.release()


def _freed_bytes(path: Path) -> int:
    """Deletes a file; what has another name too, as the best state has, is still on the disk."""
    status = path.stat()
    path.unlink()
    return 0 if status.st_nlink > 1 else status.st_size


def check(store: Store, run_id: str) -> dict[str, Any]:
    """Reads all files with a digest that a run has: its snapshots, its best state, and what a resume needs beside them."""
    found = snapshots_json(store, run_id, whole=True)
    beside = (store.data_path(run_id), store.baseline_path(run_id), store.validation_path(run_id))
    return {**found, "files": [_checked(path) for path in beside if path.exists()]}


def _checked(path: Path) -> dict[str, Any]:
    try:
        read_tensors(path)
    except RunStateError as error:
        return {"file": path.name, "good": False, "message": error.message}
    return {"file": path.name, "good": True, "message": ""}
