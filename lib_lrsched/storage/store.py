"""Runs, presets and trials on disk: which there are, which belongs to an embedding, and nothing half-written.

    ROOT/runs/ID/run.json        state of the run, replaced whole
    ROOT/runs/ID/history.jsonl   its numbers, see `history`
    ROOT/runs/ID/bundles/        what it takes to resume exactly, see `snapshot`
    ROOT/runs/ID/label.json      its title and note, see `labels`
    ROOT/runs/ID/images.jsonl    the preview images of the host's, see `run_images`
    ROOT/locks/                  who trains what at this moment, see `locks`
    ROOT/presets.json            the user's presets, see `_preset_store`
    ROOT/profiles/               inputs of a training by name, see `profiles`
    ROOT/summaries.json          what came out of each run, see `summary_file`
    ROOT/trials/                 results of trials, see `trial_store`

The folder must not be the host's embeddings folder, where files are loaded as embeddings.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

from lib_lrsched.errors import RunStateError

from . import labels, process, run_images
from ._preset_store import PresetError, PresetStore
from .atomic_files import numbered, second_name, write_whole
from .checked_fields import OtherVersionError
from .history_lines import last_step
from .messages import Messages
from .profiles import ProfileStore
from .run_state import Known, Leg, RunState, from_json, to_json
from .trial_store import TrialStore, readable_id

__all__ = ["Known", "Leg", "PresetError", "RunState", "RunStateError", "Store", "UnknownRunError"]

# The first character keeps "." and ".." and hidden files out.
_ID = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,79}")
_Stamp = tuple[int, int, int]

Rebuild = Callable[[Path, str], "tuple[RunState, Path] | None"]
"""From a run's folder of snapshots and its id: its state as the newest whole snapshot tells it, and that snapshot's file."""


class Trains(Protocol):
    """A training of a run in this process."""

    is_live: bool


# By the path of the run's state. Of the process and not of a store, for several stores may be made of one folder.
_trained: WeakValueDictionary[str, Trains] = WeakValueDictionary()


class UnknownRunError(RunStateError):
    """There is no run with that id, or it can be no id at all."""


class Store:
    """The runs below a folder, in `presets` the presets and in `trials` the trials. Safe to use from several threads.

    Nothing is created before the first id or save.

    Args:
        rebuild: recovers the state of a run whose file is damaged or gone; without it such a run is set aside.
    """

    def __init__(self, root: Path, rebuild: Rebuild | None = None) -> None:
        self.root = Path(root)
        self._said = Messages()
        self.presets = PresetStore(self.root / "presets.json", self._said)
        self.profiles = ProfileStore(self.root / "profiles", self._said)
        self.labels = labels.Labels(self.label_path, self._said)
        self.trials = TrialStore(self.root / "trials", self._said)
        self._lock = threading.RLock()
        self._rebuild = rebuild
        self._read: dict[str, tuple[_Stamp, RunState]] = {}
        self._unsaved: dict[str, RunState] = {}  # newer than what is on the disk, which was full
        self._hopeless: dict[str, list[tuple[int, Path]]] = {}
        self._given_ids: set[str] = set()

    @property
    def messages(self) -> list[str]:
        """What could not be read, each message once."""
        return self._said.all

    def take_messages(self) -> list[str]:
        """The messages that nobody has taken yet."""
        return self._said.take()

    def save(self, state: RunState) -> None:
        """Replaces runs/ID/run.json whole, in the name of this process.

        Raises:
            OSError: the old file is still there. The state is known here all the same, and written when that can be done.
            RunStateError: a field of the state that could not be read back.
        """
        self._write(stamped(state))

    def _write(self, state: RunState) -> None:
        path = self._state_path(state.id)
        data = to_json(state)
        with self._lock:
            self._unsaved[state.id] = state
            write_whole(path, data)
            self._read.pop(state.id, None)
            del self._unsaved[state.id]

    def trained_by(self, run_id: str, training: Trains) -> None:
        """The run counts as running in this process while that training is live."""
        _trained[_key(self._state_path(run_id))] = training

    def load(self, run_id: str) -> RunState:
        """The state of a run; "crashed" where its process went away while it ran, or trains it no more.

        Raises:
            UnknownRunError: no such run.
            RunStateError: a damaged file; names it and the field.
        """
        path = self._state_path(run_id)
        try:
            return self._as_seen(self._load(run_id, path))
        except FileNotFoundError:
            if (recovered := self._recovered(run_id)) is None:
                raise UnknownRunError(f"no run {run_id}") from None
            return self._as_seen(recovered)
        except OtherVersionError:
            raise
        except RunStateError as error:
            if (recovered := self._recovered(run_id, error)) is None:
                raise
            return self._as_seen(recovered)
        except OSError as error:
            raise RunStateError(f"cannot be read: {error.strerror or error}", path) from error

    def runs(self) -> list[RunState]:
        """All runs, the one whose newest leg began last first. Damaged files are set aside and said in `messages`."""
        with self._lock:
            found = [state for run_id in self._ids() if (state := self._load_or_say(run_id))]
            self._read = {state.id: self._read[state.id] for state in found if state.id in self._read}
        return sorted(map(self._as_seen, found), key=lambda state: (state.started_s, state.id), reverse=True)

    def find(self, kind: str, name: str, *, step: int, digest: str, mtime_ns: int) -> RunState | None:
        """The newest run of that kind and name that knows what is trained in its present form; None where none does."""
        for state in self.runs():
            if (state.kind, state.name) == (kind, name) and state.knows(step, digest, mtime_ns):
                return state
        return None

    def history_path(self, run_id: str) -> Path:
        """Where the run's history is or will be.

        Raises:
            UnknownRunError: it can be no id.
        """
        return self._state_path(run_id).with_name("history.jsonl")

    def snapshots_path(self, run_id: str) -> Path:
        """The folder of the run's snapshots, see `snapshot`; it need not be there.

        Raises:
            UnknownRunError: it can be no id.
        """
        return self._state_path(run_id).with_name("bundles")

    def data_path(self, run_id: str) -> Path:
        """Where the run keeps its data set's prompts and latents.

        Raises:
            UnknownRunError: it can be no id.
        """
        return self._state_path(run_id).with_name("data.safetensors")

    def baseline_path(self, run_id: str) -> Path:
        """Where the run keeps what it started from.

        Raises:
            UnknownRunError: it can be no id.
        """
        return self._state_path(run_id).with_name("baseline.safetensors")

    def validation_path(self, run_id: str) -> Path:
        """Where the run keeps the set that it is validated on.

        Raises:
            UnknownRunError: it can be no id.
        """
        return self._state_path(run_id).with_name("validation.safetensors")

    def best_path(self, run_id: str) -> Path:
        """Where the run keeps its best snapshot.

        Raises:
            UnknownRunError: it can be no id.
        """
        return self._state_path(run_id).with_name("best.safetensors")

    def label_path(self, run_id: str) -> Path:
        """Where the run's label is kept.

        Raises:
            UnknownRunError: it can be no id.
        """
        return self._state_path(run_id).with_name(labels.NAME)

    def images_path(self, run_id: str) -> Path:
        """Where it is recorded which images the host saved during the run.

        Raises:
            UnknownRunError: it can be no id.
        """
        return self._state_path(run_id).with_name(run_images.NAME)

    def bring_forward(self, run_id: str, snapshot: Path) -> int:
        """Makes a kept snapshot the newest one under a second name; gives its number.

        Raises:
            OSError: it is not there, or cannot be given another name.
        """
        number = self.newest_snapshot(run_id) + 1
        second_name(snapshot, self.snapshots_path(run_id) / f"{number:08d}{snapshot.suffix}")
        return number

    def newest_snapshot(self, run_id: str) -> int:
        """The number of the newest snapshot, good or not; 0 where there is none."""
        there = numbered(self.snapshots_path(run_id), ".safetensors")
        return there[0][0] if there else 0

    def delete(self, run_id: str) -> None:
        """Deletes a run with all that belongs to it. It is gone from the list at once, whatever happens to its files.

        Raises:
            UnknownRunError: no such run.
            OSError: it is there as it was, or some of its files are left in a hidden folder.
        """
        folder = self._state_path(run_id).parent
        if not folder.is_dir():
            raise UnknownRunError(f"no run {run_id}")
        hidden = folder.with_name(f".deleted-{run_id}-{time.time_ns()}")
        with self._lock:
            folder.rename(hidden)
            self._read.pop(run_id, None)
            self._unsaved.pop(run_id, None)
        shutil.rmtree(hidden)

    def new_id(self, kind: str, name: str, now_s: float) -> str:
        """An id that is free, and now taken: time (UTC), kind and what of the name is fit for a folder.

        Its folder is made, which only one process can do. Where that fails the id is free as far as this process knows.
        """
        base = readable_id(kind, name, now_s)
        with self._lock:
            run_id, number = base, 2
            while run_id in self._given_ids or not _is_made(self._state_path(run_id).parent):
                run_id, number = f"{base}-{number}", number + 1
            self._given_ids.add(run_id)
        return run_id

    def _as_seen(self, state: RunState) -> RunState:
        if not state.is_active or self._is_running(state):
            return state
        is_own = process.is_own(state.pid, state.process)
        why = "the training ended, but this could not be saved" if is_own else "the WebUI ended during the run"
        message = state.message or why
        # The state on disk is some seconds old; the history knows better how far the run came.
        step = max(state.step, last_step(self.history_path(state.id)) + 1)
        return replace(state, state="crashed", message=message, step=step)

    def _is_running(self, state: RunState) -> bool:
        if process.is_own(state.pid, state.process):
            training = _trained.get(_key(self._state_path(state.id)))
            return training is not None and training.is_live
        return process.alive(state.pid, state.process, state.updated_s)

    def _state_path(self, run_id: str) -> Path:
        if not isinstance(run_id, str) or not _ID.fullmatch(run_id):
            raise UnknownRunError(f"a run's id has 1 to 80 of a-z, 0-9, _, . and -, and no . or - in front; got {run_id!r}")
        return self.root / "runs" / run_id / "run.json"

    def _ids(self) -> list[str]:
        try:
            return [folder.name for folder in (self.root / "runs").iterdir() if _ID.fullmatch(folder.name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            self._said.say(f"{self.root / 'runs'}: cannot be read: {error.strerror or error}")
            return []

    def _load(self, run_id: str, path: Path) -> RunState:
        """Reads the file, or remembers it where it is still the same file, or could not be written."""
        with self._lock:
            unsaved = self._unsaved.get(run_id)
        if unsaved is not None:
            with suppress(OSError):
                self._write(unsaved)
            return unsaved
        stamp = _stamp(path)
        with self._lock:
            known = self._read.get(run_id)
        if known is not None and known[0] == stamp:
            return known[1]
        state = from_json(path.read_bytes(), path)
        if state.id != run_id:
            raise RunStateError(f"id: expected the folder's name {run_id!r}, got {state.id!r}", path)
        with self._lock:
            self._read[run_id] = stamp, state
        return state

    def _load_or_say(self, run_id: str) -> RunState | None:
        path = self._state_path(run_id)
        try:
            return self._load(run_id, path)
        except (FileNotFoundError, NotADirectoryError):
            # A run whose state was set aside, is gone or not yet saved, or a file that is not a run.
            recovered = self._recovered(run_id)
            if recovered is None:
                self._say_orphan(path)
            return recovered
        except OtherVersionError as error:
            self._said.say(str(error))
        except RunStateError as error:
            if (recovered := self._recovered(run_id, error)) is not None:
                return recovered
            self._said.set_aside(path, error)
        except OSError as error:
            self._said.say(f"{path}: cannot be read: {error.strerror or error}")
        return None

    def _recovered(self, run_id: str, damage: RunStateError | None = None) -> RunState | None:
        """The state as the newest whole snapshot tells it, put in the place of one that is damaged or gone."""
        path, snapshots = self._state_path(run_id), self.snapshots_path(run_id)
        with self._lock:
            there = [] if self._rebuild is None else numbered(snapshots, ".safetensors")
            if self._rebuild is None or not there or self._hopeless.get(run_id) == there:
                return None
            if damage is None and path.exists():
                return self._load(run_id, path)  # it was written just now
            rebuilt = self._rebuild(snapshots, run_id)
            if rebuilt is None:
                self._hopeless[run_id] = there  # reading them all costs time, and a list is asked for every second
                return None
            state, source = rebuilt
            if damage is not None:
                self._said.set_aside(path, damage)
            why = "was missing" if damage is None else "was damaged"
            state = replace(state, message=f"recovered from {source.name}, after update {state.step}: run.json {why}")
            self._said.say(f"{path.parent}: the run is {state.message}")
            try:
                self._write(state)
            except OSError as error:
                self._said.say(f"{path}: cannot be written: {error.strerror or error}")
        return state

    def _say_orphan(self, path: Path) -> None:
        """A folder without a state is nothing yet, was said when its state was set aside, or is said now."""
        left = [name for name in ("bundles", "history.jsonl") if path.with_name(name).exists()]
        if left and not path.with_name(f"{path.name}.damaged-1").exists():
            what = f"is missing, and no intact snapshot exists to recover it; what remains: {' and '.join(left)}"
            self._said.say(f"{path}: {what}")


def stamped(state: RunState) -> RunState:
    """The state in the name of this process."""
    pid, mark = process.own()
    return replace(state, pid=pid, process=mark)


def _key(path: Path) -> str:
    return os.path.realpath(path)


def _is_made(folder: Path) -> bool:
    """Whether the folder is nobody else's: made just now, or such that nobody can make it."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return not os.path.lexists(folder)  # it may be one above it that is not a folder
    except OSError:
        return True
    return True


def _stamp(path: Path) -> _Stamp:
    """Changes with every replacement of the file: os.replace brings another inode."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino
