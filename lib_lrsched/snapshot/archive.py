"""A run as one file, to be taken elsewhere, and back: a zip with the run's own files under their own names.

    run.json               the state, see `run_state`
    history.jsonl          its numbers
    data.safetensors       prompts and latents of its data set
    bundle.safetensors     its newest good snapshot, see `snapshot`
    baseline.safetensors   what it started from, see `baseline`
    validation.safetensors the set that it is validated on, see `validation_set`
    best.safetensors       the snapshot of its best look
    label.json             its title and note, see `labels`

A file from somebody else is not trusted: no other name is looked at, sizes are bounded, every field is checked as when it is
read from the own disk, and what is kept is written anew.
"""

from __future__ import annotations

import contextlib
import lzma
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, BinaryIO, TypeVar

from lib_lrsched.errors import ConflictError, RunStateError
from lib_lrsched.optimizer import step_hook
from lib_lrsched.storage import labels
from lib_lrsched.storage.atomic_files import write_with
from lib_lrsched.storage.history import MAX_STEP, History
from lib_lrsched.storage.run_state import RunState, from_json, state_dict
from lib_lrsched.storage.store import Store, stamped

from . import baseline, data_set, snapshot, validation_set
from .snapshot import Snapshot

T = TypeVar("T")

STATE, HISTORY, DATA, SNAPSHOT, BASELINE = "run.json", "history.jsonl", "data.safetensors", "bundle.safetensors", baseline.NAME
VALIDATION, BEST, LABEL = validation_set.NAME, "best.safetensors", labels.NAME
LARGEST_BYTES = {STATE: 4 << 20, HISTORY: 1 << 30, DATA: 2 << 30, SNAPSHOT: 4 << 30, BASELINE: 64 << 20, VALIDATION: 256 << 20,
                 BEST: 4 << 30, LABEL: 64 << 10}
"""What each member may be, unpacked."""

UNPACKED_BYTES, UNPACKED_TIMES = 64 << 20, 20
"""All members together may be so large, and so many times as large as the file: we do not compress at all."""

FEW_LINES, LINES_PER_STEP, LONGEST_LINE_BYTES = 10_000, 10, 1 << 20
"""What a history may have: lines besides those of its steps, lines for each step of each leg, and the length of each."""

DAMAGED_ZIP = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError, OverflowError, OSError,
)  # fmt: skip
"""What zipfile raises at damage of one kind or another; an OSError without a number is bz2's."""

SUFFIX = ".lrsched.zip"


def pack(store: Store, run_id: str, target: BinaryIO) -> None:
    """Writes a run that has ended as one file.

    Raises:
        UnknownRunError, RunStateError: no such run, or one without a good snapshot.
        OSError: it cannot be read, or ``target`` not written.
    """
    state = store.load(run_id)
    if state.is_active:
        raise ConflictError(f"{run_id} is still running; it can be exported when it has ended")
    folder = snapshot.Folder(store.snapshots_path(run_id), run_id)
    number, found, passed = folder.newest(state.floor)
    if found is None:
        raise ConflictError(f"{run_id} has no snapshot to export{': ' if passed else ''}{'; '.join(passed)}")
    history, data = store.history_path(run_id), store.data_path(run_id)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as file:
        file.write(history.with_name(STATE), STATE)
        file.write(dict(folder.numbered())[number], SNAPSHOT)
        for path, name in ((history, HISTORY), (data, DATA)):
            if path.exists():
                file.write(path, name)
        with contextlib.suppress(RunStateError):  # a damaged one would keep the whole run from being imported
            if baseline.read(store.baseline_path(run_id)) is not None:
                file.write(store.baseline_path(run_id), BASELINE)
        with contextlib.suppress(RunStateError):
            if validation_set.read(store.validation_path(run_id)) is not None:
                file.write(store.validation_path(run_id), VALIDATION)
        with contextlib.suppress(RunStateError):
            if snapshot.read(store.best_path(run_id)).facts.run == run_id:
                file.write(store.best_path(run_id), BEST)
        if any(label := store.labels.of(run_id)):
            file.writestr(LABEL, labels.to_json(label))


class Unpacked:
    """A file from outside, looked at and laid out in a folder of its own, before anything of it is used."""

    def __init__(self, source: Path, folder: Path) -> None:
        """
        Raises:
            RunStateError: no such file, or something in it that is not as it should be; names it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        names = _unpack(source, folder)
        self.state: RunState = from_json((folder / STATE).read_bytes(), Path(STATE))
        _check_steps(self.state)
        self.snapshot: Snapshot = _named(SNAPSHOT, lambda: snapshot.read(folder / SNAPSHOT))
        if HISTORY in names:
            _check_lines(folder / HISTORY, self.state)
            _named(HISTORY, lambda: History.open(folder / HISTORY, append=False, every_value=True))
        if DATA in names:
            _named(DATA, lambda: data_set.check(folder / DATA))
        if BASELINE in names:
            _named(BASELINE, lambda: baseline.read(folder / BASELINE, self.snapshot.trained))
        if VALIDATION in names:
            _named(VALIDATION, lambda: validation_set.read(folder / VALIDATION))
        self._best = _named(BEST, lambda: snapshot.read(folder / BEST)) if BEST in names else None
        for name, made in ((SNAPSHOT, self.snapshot), (BEST, self._best)):
            if made is not None:
                self._check_snapshot(name, made)
        self._label = labels.from_json((folder / LABEL).read_bytes(), Path(LABEL)) if LABEL in names else None
        self._names = names

    def _check_snapshot(self, name: str, made: Snapshot) -> None:
        facts = made.facts
        _check_counts(f"{name}: facts.", facts, "step", "total_steps", "origin")
        _check_learned(name, made)
        if (facts.run, facts.kind, facts.name) != (self.state.id, self.state.kind, self.state.name):
            raise RunStateError(f"{name} belongs to {facts.kind} {facts.name!r} of run {facts.run!r}, not to {STATE}'s")

    def put_into(self, store: Store, state: RunState) -> None:
        """Makes it a run of the store's: ``state`` has its new id. Files first, the state last.

        Raises:
            OSError: what was written so far is to be deleted.
        """
        paths = {HISTORY: store.history_path(state.id), DATA: store.data_path(state.id), BASELINE: store.baseline_path(state.id),
                 VALIDATION: store.validation_path(state.id)}
        for name, path in paths.items():
            if name in self._names:
                data = self._folder / name
                write_with(path, lambda temporary, data=data: _copy(data, temporary))  # type: ignore[misc]
        if self._best is not None:
            snapshot.write(store.best_path(state.id), _renamed(self._best, state))
        if self._label is not None:
            store.labels.save(state.id, self._label)
        folder = snapshot.Folder(store.snapshots_path(state.id), state.id, lambda: state_dict(stamped(state)))
        folder.add(_renamed(self.snapshot, state))
        store.save(state)


def _unpack(source: Path, folder: Path) -> set[str]:
    """The members that we know, written under our own names; whatever path a name claims is never used."""
    try:
        with zipfile.ZipFile(source) as file:
            sizes = {info.filename: info.file_size for info in file.infolist()}
            names = {name for name in LARGEST_BYTES if name in sizes}
            if missing := {STATE, SNAPSHOT} - names:
                raise RunStateError(f"expected the file of an exported run, but {' and '.join(sorted(missing))} is not in it")
            _check_sizes({name: sizes[name] for name in names}, source, folder)
            for name in names:
                with file.open(name) as stream, (folder / name).open("wb") as target:
                    _copy_at_most(stream, target, LARGEST_BYTES[name], name)
    except ConflictError:
        raise
    except DAMAGED_ZIP as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the file's
        raise RunStateError(f"expected the file of an exported run (a zip), but it cannot be read: {error}") from error
    return names


def _check_sizes(sizes: Mapping[str, int], source: Path, folder: Path) -> None:
    """Before anything is unpacked: a small file may unpack to a thousand times its size."""
    for name, size_bytes in sizes.items():
        if size_bytes > LARGEST_BYTES[name]:
            raise RunStateError(f"{name}: expected at most {LARGEST_BYTES[name]} bytes, got {size_bytes}")
    total, packed = sum(sizes.values()), source.stat().st_size
    if total > UNPACKED_BYTES + UNPACKED_TIMES * packed:
        raise RunStateError(f"expected the file of an exported run, but its {packed} bytes would unpack to {total}")
    # What is unpacked here is copied to the run's folder, which is most often on the same disk.
    if 2 * total > (free := shutil.disk_usage(folder).free):
        raise ConflictError(f"unpacking the run takes {2 * total >> 20} MiB, and {free >> 20} MiB are free in {folder.parent}")


def _check_steps(state: RunState) -> None:
    _check_counts(f"{STATE}: ", state, "step", "total_steps", "steps_per_epoch")
    for number, leg in enumerate(state.legs):
        names = "start_step", "total_steps", "origin", "steps_per_epoch", "images_per_step"
        _check_counts(f"{STATE}: legs[{number}].", leg, *names)
    for number, known in enumerate(state.known):
        _check_counts(f"{STATE}: known[{number}].", known, "step")


def _check_counts(where: str, value: object, *names: str) -> None:
    """No run has made so many updates, and no plan can be made for them."""
    for name in names:
        if (getattr(value, name) or 0) > MAX_STEP:
            raise RunStateError(f"{where}{name}: expected at most {MAX_STEP}, got {getattr(value, name)}")


def _check_lines(path: Path, state: RunState) -> None:
    """Before they are read, while no training can start. A run that goes back often has several times its steps."""
    steps = max(state.step, state.total_steps, *(leg.start_step + leg.total_steps for leg in state.legs), 0)
    most = FEW_LINES + LINES_PER_STEP * (len(state.legs) + 1) * steps
    total = 0
    with path.open("rb") as stream:
        while line := stream.readline(LONGEST_LINE_BYTES + 1):
            total += 1
            if len(line) > LONGEST_LINE_BYTES:
                raise RunStateError(f"{HISTORY}: line {total}: expected at most {LONGEST_LINE_BYTES} bytes, got more")
            if total > most:
                raise RunStateError(f"{HISTORY}: expected at most {most} lines for {steps} steps, got more")


def _renamed(made: Snapshot, state: RunState) -> Snapshot:
    return replace(made, facts=replace(made.facts, run=state.id, name=state.name))


def _check_learned(name: str, made: Snapshot) -> None:
    """What an optimizer and GradScaler continue with: a wrong step or a missing moment would end each training at once."""
    try:
        step_hook.check_state(made.facts.optimizer, made.parts["optimizer"], made.trained)
        step_hook.check_scaler(made.parts["scaler"])
    except ValueError as error:
        raise RunStateError(f"{name}: parts.optimizer: {error}") from error


def _copy_at_most(stream: IO[bytes], target: BinaryIO, limit: int, name: str) -> None:
    """A header may lie about what it unpacks to."""
    written = 0
    while block := stream.read(1 << 20):
        written += len(block)
        if written > limit:
            raise RunStateError(f"{name}: expected at most {limit} bytes, got more")
        target.write(block)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as stream, target.open("wb") as to:
        _copy_at_most(stream, to, LARGEST_BYTES[SNAPSHOT], source.name)


def _named(name: str, read: Callable[[], T]) -> T:
    """What is read, with the member's name in place of a temporary path in the message."""
    try:
        return read()
    except RunStateError as error:
        raise RunStateError(f"{name}: {error.message}") from error
