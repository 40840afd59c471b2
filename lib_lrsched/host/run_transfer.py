"""What the tab does with stored runs: looks into them, deletes them, takes them away as a file and brings one in, puts their
average or best state in the place of what they trained."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch

from lib_lrsched.errors import ConflictError, RequestError, RunStateError
from lib_lrsched.optimizer import step_hook
from lib_lrsched.snapshot import archive
from lib_lrsched.snapshot.find import PLACED, restore, trained_tensors
from lib_lrsched.snapshot.snapshot import Folder, Snapshot, peek, read
from lib_lrsched.storage import disk_errors, locks
from lib_lrsched.storage.locks import Call
from lib_lrsched.storage.model_files import file_time, save_whole
from lib_lrsched.storage.run_state import Known, RunState, trimmed
from lib_lrsched.storage.store import Store
from lib_lrsched.training.callbacks.weight_average import averaged, beside, save_average
from lib_lrsched.training.host import InputError

from .kinds import kind_of
from .webui import Host, NoTraining

LARGE_BYTES = 64 << 20


def snapshots_json(store: Store, run_id: str, *, whole: bool = False) -> dict[str, Any]:
    """The snapshots of a run, newest first, and its best state, each looked at: what is in it, or what is wrong with it.

    Args:
        whole: large ones are read whole too, and their digests checked.
    """
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


def delete(store: Store, live: Collection[str], run_id: str) -> None:
    """Deletes a run that is not running.

    Raises:
        UnknownRunError, RequestError, OSError: it is still there.
    """
    state = store.load(run_id)
    holder = locks.holder(store.root, state.kind, state.name)
    is_resumed = holder is not None and holder.run == run_id  # by another process, which is still preparing
    if run_id in live or is_resumed or state.is_active:
        raise ConflictError(f"{run_id} is still running; interrupt it first, then delete it")
    store.delete(run_id)


def export(store: Store, run_id: str, target: BinaryIO) -> None:
    """As archive.pack()."""
    archive.pack(store, run_id, target)


def import_run(host: Host | NoTraining, store: Store, live: Collection[Any], source: Path, name: str) -> str:
    """Makes an exported run one of this host's, and what it trains a file of the host's; gives the run's id.

    Args:
        live: the trainings that are prepared or running in this process; none starts meanwhile.
        source: the file.
        name: what it shall be called here; empty for its own name.

    Raises:
        RequestError: the name is taken, or something is being trained.
        RunStateError: the file is not as it should be; nothing was changed.
        OSError: it cannot be written.
    """
    if isinstance(host, NoTraining):
        raise RequestError(f"this WebUI cannot train, so no run can be imported: {host.why}")
    if live:
        why = "a training is running or being prepared, and new files would be loaded during it"
        raise ConflictError(f"{why}; wait until it has ended")
    with tempfile.TemporaryDirectory(prefix="lrsched-") as folder:
        unpacked = archive.Unpacked(source, Path(folder))
        state = unpacked.state
        wanted = name.strip() or state.name
        claim = locks.take(store.root, state.kind, wanted, Call.of(inspect.currentframe()))  # type: ignore[arg-type]
        try:
            run_id = _put_in(host, store, unpacked, wanted)
        finally:
            claim.release()
    kind_of(state.kind).reload(host)
    return run_id


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


# In the place of what was trained ------------------------------------------------------------------


class Used(NamedTuple):
    """What was put there: its file, the updates that it holds, and what becomes of the next training."""

    file: str
    step: int
    message: str


def usable(store: Store, state: RunState) -> list[str]:
    """Those of find.PLACED that a run seems to have: no snapshot is read."""
    snapshots = []
    with suppress(OSError):  # use() says it
        snapshots = Folder(store.snapshots_path(state.id), state.id).numbered()
    there = {"average": bool(state.options.get("ema") and snapshots), "best": store.best_path(state.id).exists()}
    return [what for what in PLACED if there[what]]


def use(host: Host | NoTraining, store: Store, live: Collection[Any], run_id: str, what: str) -> Used:
    """Puts the average or the best state of a run in the place of the host's own file, which is kept as NAME.pt.bak.

    Args:
        live: the trainings that are prepared or running in this process; none starts meanwhile.
        what: one of find.PLACED.

    Raises:
        RequestError: something is being trained, or the run has nothing of the kind.
        RunStateError: what was stored cannot be used; nothing was changed.
        OSError: it cannot be written; the old file is there.
    """
    if isinstance(host, NoTraining):
        raise RequestError(f"this WebUI cannot train, so nothing can be put in a file's place: {host.why}")
    if live:
        raise ConflictError("a training is running or being prepared; wait until it has ended")
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
    return Used(file.name, step, f"{file.name} is now {PLACED[what]} of {run_id}; the file before it is {file.name}.bak. {again}")


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


def write_unsaved(host: Host, store: Store, name: str, now: Known, state: RunState | None, snapshot: Snapshot | None,
            say: Callable[[str], None]) -> None:
    """The run had come to its end and the host could not save any more: writes its file.

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
