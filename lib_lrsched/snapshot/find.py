"""What a training resumes from: found by what is trained, chosen by the user, before anything heavy starts.

The host's file may be older than the newest snapshot: then the process went away before the host could save. It may be
the very form that the snapshot holds. Or it is another: the user put an older copy back, and means it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_lrsched.errors import ConflictError, RequestError, RunStateError
from lib_lrsched.optimizer.codec import is_finite
from lib_lrsched.schedule import plateau
from lib_lrsched.storage.resume import KeptState, Resumption, WentBack, leaves_run
from lib_lrsched.storage.run_state import Known, RunState
from lib_lrsched.storage.store import Store

from .snapshot import Facts, Folder, Snapshot, peek, read

PLACED = {"average": "the average", "best": "the best state"}
"""What of a run can take the place of the host's own file, and what it is called."""


def find(store: Store, kind: str, name: str, now: Known | None, choice: str, read: Callable[[Path], Snapshot] = read,
         kept: KeptState | None = None) -> tuple[Resumption, Snapshot | None]:
    """The stored run that knows what is trained as it is now, and the snapshot to resume from.

    Args:
        read: reads a snapshot; snapshot.peek where it is only to be shown.
        now: what is trained as the host has it; None where that is not known.
        choice: how it shall resume, see `storage.resume`.
        kept: the snapshot that was chosen to resume from; None for the newest.

    Raises:
        RequestError: the snapshot that was chosen cannot be resumed from.
    """
    if leaves_run(choice) or now is None:
        return Resumption(choice), None
    if kept is not None:
        return _kept(store, kind, name, now, choice, read, kept)
    state = store.find(kind, name, step=now.step, digest=now.digest, mtime_ns=now.mtime_ns)
    source = _source(store, kind, name, now)
    if source is not None and (state is None or state.id == source.id):
        said = f"{name} is {PLACED[source.placed_as(now.digest)]} of run {source.id}, at step {now.step}: "
        said += "a new run starts from it, with a new optimizer"
        return Resumption(choice, messages=(said,), heir_of=source.id), None
    if state is None:
        return Resumption(choice, messages=_missed(store, kind, name, now)), None
    if state.is_active:
        return Resumption(choice, messages=(f"run {state.id} of {name} seems to be still running: a new run starts",)), None
    _, snapshot, passed = Folder(store.snapshots_path(state.id), state.id).newest(state.floor, read)
    messages = tuple(passed)
    if snapshot is None:
        return Resumption(choice, state, messages=messages, multiplier=state.multiplier), None
    facts = snapshot.facts
    if snapshot.parts and not is_finite(snapshot.parts["trained"]):
        bad = f"the snapshot after update {facts.step} contains NaN or infinity and is not used"
        return Resumption(choice, state, messages=(*messages, bad), multiplier=state.multiplier), None
    is_back = now.digest != "" and now.digest == state.given_up
    if (facts.kind, facts.name) != (kind, name) or not (_follows(facts, state, now) or is_back):
        old = f"the snapshot after update {facts.step} does not belong to {name} as it is now (step {now.step}) and is not used"
        return Resumption(choice, state, messages=(*messages, old), multiplier=state.multiplier), None
    return _resumption(choice, state, snapshot, messages), snapshot


def _resumption(choice: str, state: RunState, snapshot: Snapshot, messages: tuple[str, ...] = ()) -> Resumption:
    try:
        watch = plateau.load_state_dict(snapshot.parts.get("watch"))
    except ValueError as error:
        watch, messages = None, (*messages, f"the state of the plateau is rebuilt from the history: {error}")
    return Resumption(choice, state, snapshot.facts.step, watch, snapshot.facts.multiplier, messages)


def _kept(store: Store, kind: str, name: str, now: Known, choice: str, read: Callable[[Path], Snapshot],
          kept: KeptState) -> tuple[Resumption, Snapshot]:
    """The snapshot that was chosen, of the run that what is trained belongs to as it is now."""
    state = store.load(kept.run)
    if (state.kind, state.name) != (kind, name) or not _belongs(state, now):
        raise RequestError(f"{name} as it is now, at step {now.step}, does not belong to the run {kept.run}, so it cannot go back "
                           f"in it: put the run's own file back, such as {name}.pt.bak")
    if state.is_active:
        raise ConflictError(f"{kept.run} is still running; it can go back when it has ended")
    number, path, passed = kept_file(store, state, kept.step)
    try:
        snapshot = read(path)
    except RunStateError as error:
        raise RequestError(f"the run cannot go back to step {kept.step}: {error.message}") from error
    if snapshot.parts and not is_finite(snapshot.parts["trained"]):
        raise RequestError(f"the snapshot after update {kept.step} contains NaN or infinity and is not used")
    resumed = _resumption(choice, state, snapshot, passed)
    is_next = number == store.newest_snapshot(state.id) and _follows(snapshot.facts, state, now)
    return (resumed if is_next else replace(resumed, back=WentBack(path, now.digest))), snapshot


def kept_file(store: Store, state: RunState, step: int) -> tuple[int, Path, tuple[str, ...]]:
    """The snapshot of a run after so many updates: its number, 0 for the best state, and its file; and what was passed over.

    Raises:
        RequestError: there is none.
    """
    folder, steps, passed = Folder(store.snapshots_path(state.id), state.id), [], []
    files = [(number, path) for number, path in folder.numbered() if number > state.floor]
    for number, path in [*files, (0, store.best_path(state.id))]:
        if number == 0 and not path.exists():
            continue
        try:
            facts = peek(path).facts
        except RunStateError as error:
            passed.append(f"{path.name}: {error.message}; it is skipped")
            continue
        if (facts.run, facts.step) == (state.id, step):
            return number, path, tuple(passed)
        steps.append(facts.step)
    there = ", ".join(map(str, sorted(set(steps)))) or "none"
    raise RequestError("; ".join([f"the run has no snapshot after {step} updates; kept are: {there}", *passed]))


def _follows(facts: Facts, state: RunState, now: Known) -> bool:
    """Whether the snapshot is what is trained as it is now, or what the run made of it."""
    is_it = (facts.step, facts.digest) == (now.step, now.digest)
    return is_it or (facts.step > now.step and now.digest in (state.main_digest, state.next_digest))


def _belongs(state: RunState, now: Known) -> bool:
    return state.knows(now.step, now.digest, now.mtime_ns) or state.placed_as(now.digest) in PLACED


def _source(store: Store, kind: str, name: str, now: Known) -> RunState | None:
    """The run whose average or best state was put in the place of the host's own file, if that is what is there."""
    runs = (run for run in store.runs() if (run.kind, run.name) == (kind, name))
    return next((run for run in runs if run.placed_as(now.digest) in PLACED), None)


def _missed(store: Store, kind: str, name: str, now: Known) -> tuple[str, ...]:
    """A run that broke off looks the same but for the time of its file: it may be meant, and it may not."""
    for state in store.runs():
        alike = any((one.step, one.digest) == (now.step, now.digest) for one in state.known)
        if (state.kind, state.name, state.state) == (kind, name, "crashed") and alike:
            _, snapshot, _ = Folder(store.snapshots_path(state.id), state.id).newest(state.floor, peek)
            if snapshot is not None and snapshot.facts.step > now.step:
                step = snapshot.facts.step
                return (f"a run of {name} ended at step {step}, but its file was written since: a new run starts",)
    return ()


def restore(tensors: Sequence[Tensor], snapshot: Snapshot) -> None:
    """Puts the snapshot's weights into the tensors of what is trained.

    Raises:
        RunStateError: they are of other shapes.
    """
    kept = snapshot.trained
    if [tuple(t.shape) for t in tensors] != [tuple(k.shape) for k in kept]:
        shapes = f"{snapshot.facts.name} now has {_shapes(tensors)}, the snapshot has {_shapes(kept)}"
        raise RunStateError(f"the saved weights have other shapes: {shapes}")
    with torch.no_grad():
        for tensor, saved in zip(tensors, kept, strict=True):
            tensor.copy_(saved)


def trained_tensors(host_object: Any) -> list[Tensor]:
    """What is trained of an embedding of the host's, which has ``vec``, or of a hypernetwork, which has ``weights()``."""
    return [host_object.vec] if hasattr(host_object, "vec") else list(host_object.weights())


def _shapes(tensors: Sequence[Tensor]) -> str:
    return ", ".join("x".join(map(str, tensor.shape)) for tensor in tensors[:4]) + (", ..." if len(tensors) > 4 else "")
