"""Stored runs and the host's files: a run taken away as a file and brought in, its average or best state put in the place of what
it trained."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import torch

from lib_lrsched.errors import ConflictError, RequestError, RunStateError
from lib_lrsched.optimizer import step_hook
from lib_lrsched.snapshot import archive
from lib_lrsched.snapshot.find import PLACED
from lib_lrsched.snapshot.snapshot import Folder, Snapshot, read
from lib_lrsched.storage import locks
from lib_lrsched.storage.locks import Call
from lib_lrsched.storage.model_files import file_time, save_whole
from lib_lrsched.storage.run_state import Known, RunState
from lib_lrsched.storage.store import Store
from lib_lrsched.training.callbacks.weight_average import averaged

from .installation import Installation
from .kinds import kind_of
from .trainings import Trainings
from .webui import Host, NoTraining


class RunTransfer:
    """What makes a file of the host does so while nothing is trained: the host loads its folder anew."""

    def __init__(self, installation: Installation, trainings: Trainings) -> None:
        self._installation = installation
        self._trainings = trainings

    def export_run(self, run_id: str, target: BinaryIO) -> None:
        """As archive.pack()."""
        archive.pack(self._installation.store, run_id, target)

    def import_run(self, source: Path, name: str) -> str:
        """Makes an exported run one of this host's, and what it trains a file of the host's; gives the run's id.

        Args:
            source: the file.
            name: what it shall be called here; empty for its own name.

        Raises:
            RequestError: the name is taken, or something is being trained.
            RunStateError: the file is not as it should be; nothing was changed.
            OSError: it cannot be written.
        """
        why = "a training is running or being prepared, and new files would be loaded during it"
        with self._nothing_trained("no run can be imported", why) as host, tempfile.TemporaryDirectory(prefix="lrsched-") as folder:
            store, unpacked = self._installation.store, archive.Unpacked(source, Path(folder))
            state = unpacked.state
            wanted = name.strip() or state.name
            claim = locks.take(store.root, state.kind, wanted, Call.of(inspect.currentframe()))  # type: ignore[arg-type]
            try:
                run_id = _put_in(host, store, unpacked, wanted)
            finally:
                claim.release()
            kind_of(state.kind).reload(host)
            return run_id

    def usable(self, state: RunState) -> list[str]:
        """Those of find.PLACED that a run seems to have: no snapshot is read, only use() looks whether it is whole."""
        store, snapshots = self._installation.store, []
        with suppress(OSError):  # use() says it
            snapshots = Folder(store.snapshots_path(state.id), state.id).numbered()
        there = {"average": bool(state.options.get("ema") and snapshots), "best": store.best_path(state.id).exists()}
        return [what for what in PLACED if there[what]]

    def use(self, run_id: str, what: str) -> dict[str, Any]:
        """Puts the average or the best state of a run in the place of the host's own file, which is kept as NAME.pt.bak.

        Args:
            what: one of find.PLACED.

        Returns:
            `{"file", "step", "message"}`: its file, the updates that it holds, and what becomes of the next training.

        Raises:
            RequestError: something is being trained, or the run has nothing of the kind.
            RunStateError: what was stored cannot be used; nothing was changed.
            OSError: it cannot be written; the old file is there.
        """
        why = "a training is running or being prepared"
        with self._nothing_trained("nothing can be put in a file's place", why) as host:
            store = self._installation.store
            state = store.load(run_id)
            snapshot = _usable(store, state, what)
            claim = locks.take(store.root, state.kind, state.name, Call.of(inspect.currentframe()))  # type: ignore[arg-type]
            try:
                file = Path(host.folder_of(state.kind)) / f"{state.name}.pt"
                _make(host, snapshot, state.kind, state.name, file, backup=True)
                store.save(replace(store.load(run_id), placed=f"{what}:{step_hook.digest(snapshot.trained)}"))
            finally:
                claim.release()
            kind_of(state.kind).reload(host)
        step = snapshot.facts.step
        again = f"The next training of {state.name} is a new run from it: at step {step}, with a new optimizer"
        said = f"{file.name} is now {PLACED[what]} of {run_id}; the file before it is {file.name}.bak. {again}"
        return {"file": file.name, "step": step, "message": said}

    @contextmanager
    def _nothing_trained(self, refused: str, why: str) -> Iterator[Host]:
        """The host, within which no training starts.

        Args:
            refused: what cannot be done in a host that cannot train.
            why: that a training is there.
        """
        with self._trainings.arrivals:
            host = self._installation.host
            if isinstance(host, NoTraining):
                raise RequestError(f"this WebUI cannot train, so {refused}: {host.why}")
            if self._trainings.threads():
                raise ConflictError(f"{why}; wait until it has ended")
            yield host


def _put_in(host: Host, store: Store, unpacked: archive.Unpacked, wanted: str) -> str:
    state = unpacked.state
    file = _free_file(host, state.kind, wanted)
    file.parent.mkdir(parents=True, exist_ok=True)
    _make(host, unpacked.snapshot, state.kind, wanted, file)
    known = Known(unpacked.snapshot.facts.step, step_hook.digest(unpacked.snapshot.trained), file_time(file))
    state = replace(
        state, id=store.new_id(state.kind, wanted, state.created_s), name=wanted, known=(known,),
        main_digest=known.digest, floor=0, step=known.step, average_mtime_ns=0, placed="", given_up="",
        state="interrupted" if state.is_active else state.state,
    )
    try:
        unpacked.put_into(store, state)
    except (OSError, RunStateError):
        file.unlink(missing_ok=True)
        with suppress(OSError, RunStateError):
            store.delete(state.id)
        raise
    return state.id


def _usable(store: Store, state: RunState, what: str) -> Snapshot:
    """A snapshot whose trained tensors are what is asked for."""
    return _best(store, state) if what == "best" else _average(store, state)


def _best(store: Store, state: RunState) -> Snapshot:
    path = store.best_path(state.id)
    if not path.exists():
        raise RequestError(f"the run {state.id} has no best state: it was not validated, or nothing was kept")
    return read(path)


def _average(store: Store, state: RunState) -> Snapshot:
    _, snapshot, passed = Folder(store.snapshots_path(state.id), state.id).newest(state.floor)
    shadow = None if snapshot is None else averaged(snapshot.parts)
    if snapshot is None or shadow is None:
        raise RequestError("; ".join([f"the run {state.id} has no average of the weights", *passed]))
    trained = [kept.to(tensor.dtype) for kept, tensor in zip(shadow, snapshot.trained, strict=True)]
    return Snapshot(snapshot.facts, {**snapshot.parts, "trained": trained})


def _free_file(host: Host, kind: str, name: str) -> Path:
    """Where a file of that name goes; never outside the host's folder for its kind."""
    plain = "".join(c for c in name if c.isalnum() or c in "._- ").strip()
    if name != plain or name.startswith(".") or not 0 < len(name) <= 100:
        raise RequestError(f"expected a name of 1 to 100 letters, digits and . _ -, got {name!r}")
    file = Path(host.folder_of(kind)) / f"{name}.pt"
    if kind_of(kind).find(host, name) is not None or file.exists():
        raise ConflictError(f"there is {kind_of(kind).article} {kind} {name!r} already: give the run another name")
    return file


def _make(host: Host, snapshot: Snapshot, kind: str, name: str, file: Path, *, backup: bool = False) -> None:
    """Writes what is trained as a file that the host loads, with the host's own class.

    Args:
        backup: keep what is there as NAME.pt.bak. What it says of the checkpoint that it was trained with stays.
    """
    trained = snapshot.trained
    if not trained or not all(t.is_floating_point() and torch.isfinite(t).all() for t in trained):
        raise RunStateError("trained: expected finite numbers")
    host_object = kind_of(kind).make(host, snapshot, name)
    if backup and file.exists():
        vars(host_object).update(_checkpoint_of(host, kind, name, file))
    save_whole(str(file), host_object.save, backup=backup)


def _checkpoint_of(host: Host, kind: str, name: str, file: Path) -> dict[str, Any]:
    """What the host's own file says of the checkpoint."""
    host_object = None
    with suppress(Exception):  # the snapshot replaces a damaged file
        host_object = kind_of(kind).load(host, name, file)
    return {field: getattr(host_object, field) for field in ("sd_checkpoint", "sd_checkpoint_name") if hasattr(host_object, field)}
