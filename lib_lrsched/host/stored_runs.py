"""Stored runs and their files: looked into, checked, thinned out, deleted."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from lib_lrsched.errors import ConflictError, RunStateError
from lib_lrsched.snapshot.snapshot import Folder, Snapshot, peek, read, read_tensors
from lib_lrsched.storage import locks
from lib_lrsched.storage.atomic_files import sync_folder
from lib_lrsched.storage.locks import Call

from .choices import Choices
from .installation import Installation
from .trainings import Trainings

LARGE_BYTES = 64 << 20


class StoredRuns:
    """By the id of a run. A run that is trained or about to be resumed is left alone."""

    def __init__(self, installation: Installation, trainings: Trainings, choices: Choices) -> None:
        self._installation = installation
        self._trainings = trainings
        self._choices = choices

    def snapshots(self, run_id: str) -> dict[str, Any]:
        """The snapshots of a run, newest first, and its best state, each looked at: what is in it, or what is wrong with it.

        Raises:
            UnknownRunError, RunStateError: there is no such run, or its state is damaged.
        """
        return self._snapshots(run_id, whole=False)

    def check(self, run_id: str) -> dict[str, Any]:
        """Reads all files with a digest that a run has: its snapshots, its best state, and as `files` what a resume needs beside.

        Raises:
            UnknownRunError, RunStateError: there is no such run, or its state is damaged.
        """
        store, found = self._installation.store, self._snapshots(run_id, whole=True)
        beside = (store.data_path(run_id), store.baseline_path(run_id), store.validation_path(run_id))
        return {**found, "files": [_checked(path) for path in beside if path.exists()]}

    def keep_last(self, run_id: str) -> dict[str, Any]:
        """Deletes the snapshots of a run but the newest good one. What it needs to resume and the best state stay.

        If the next training was to resume from a deleted one, it resumes from the kept one instead.

        Returns:
            `{"freed_bytes", "deleted", "step"}`: what the disk has back, how many, and the updates that the kept one holds.

        Raises:
            ConflictError: it is running or about to be resumed, or has no good snapshot.
            UnknownRunError, RunStateError, OSError: some of them are still there.
        """
        store = self._installation.store
        state = store.load(run_id)
        if run_id in self._trainings.runs_in_use() or state.is_active:
            raise ConflictError(f"{run_id} is still running; its snapshots can be deleted when it has ended")
        claim = locks.take(store.root, state.kind, state.name, Call.of(inspect.currentframe()))  # type: ignore[arg-type]
        try:
            folder = Folder(store.snapshots_path(run_id), run_id)
            number, newest, passed = folder.newest(store.load(run_id).floor)
            if newest is None:
                raise ConflictError("; ".join([f"{run_id} has no good snapshot that could be kept, so none is deleted", *passed]))
            others = [path for there, path in folder.numbered() if there != number]
            freed_bytes = sum(_freed_bytes(path) for path in others)
            if others:
                sync_folder(folder.path)
                chosen = self._choices.of(state.kind, state.name)
                if chosen.kept is not None and chosen.kept.run == run_id and chosen.kept.step != newest.facts.step:
                    self._choices.choose(state.kind, state.name, chosen.choice)
            return {"freed_bytes": freed_bytes, "deleted": len(others), "step": newest.facts.step}
        finally:
            claim.release()

    def delete(self, run_id: str) -> None:
        """Deletes a run that is not running.

        Raises:
            UnknownRunError, RequestError, OSError: it is still there.
        """
        store = self._installation.store
        state = store.load(run_id)
        holder = locks.holder(store.root, state.kind, state.name)
        is_resumed = holder is not None and holder.run == run_id  # by another process, which is still preparing
        if run_id in self._trainings.runs_in_use() or is_resumed or state.is_active:
            raise ConflictError(f"{run_id} is still running; interrupt it first, then delete it")
        store.delete(run_id)

    def _snapshots(self, run_id: str, *, whole: bool) -> dict[str, Any]:
        """``whole``: large ones are read whole too, and their digests checked."""
        store = self._installation.store
        state, best = store.load(run_id), store.best_path(run_id)
        found = []
        for number, path in Folder(store.snapshots_path(run_id), run_id).numbered():
            entry = {"number": number, **_looked_at(path, whole=whole)}
            if entry["good"] and number <= state.floor:
                entry |= {"good": False, "message": "discarded: the run went back to an earlier step"}
            found.append(entry)
        return {"bundles": found, "best": {"number": None, **_looked_at(best, whole=whole)} if best.exists() else None}


def _looked_at(path: Path, *, whole: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"file": path.name, "good": False, "checked": True, "message": ""}
    try:
        entry["size_bytes"] = size_bytes = path.stat().st_size
        # A list must not read hundreds of megabytes: of large ones the header says enough.
        is_read = whole or size_bytes <= LARGE_BYTES
        entry |= {**_described((read if is_read else peek)(path)), "good": True, "checked": is_read}
    except (RunStateError, OSError) as error:
        entry["message"] = str(error)
    return entry


def _described(snapshot: Snapshot) -> dict[str, Any]:
    facts = snapshot.facts
    order, trained = snapshot.parts.get("order") or {}, snapshot.parts.get("trained", [])
    taken, batches = order.get("taken"), order.get("batches")  # looked at when a training resumes with them, and not before
    return {
        "step": facts.step, "time_s": facts.time_s, "digest": facts.digest, "rate_text": facts.rate_text,
        "optimizer": facts.optimizer, "multiplier": facts.multiplier, "torch": facts.torch,
        "trained": [f"{'x'.join(map(str, tensor.shape))} {str(tensor.dtype).removeprefix('torch.')}" for tensor in trained],
        "batches_taken": taken if isinstance(taken, int) else None,
        "batches_per_epoch": len(batches) if isinstance(batches, (list, tuple)) else None,
    }  # fmt: skip


def _checked(path: Path) -> dict[str, Any]:
    try:
        read_tensors(path)
    except RunStateError as error:
        return {"file": path.name, "good": False, "message": error.message}
    return {"file": path.name, "good": True, "message": ""}


def _freed_bytes(path: Path) -> int:
    """Deletes a file; what has another name too, as the best state has, is still on the disk."""
    status = path.stat()
    path.unlink()
    return 0 if status.st_nlink > 1 else status.st_size
