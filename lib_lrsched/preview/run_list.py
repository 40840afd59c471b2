"""What a list of runs shows of each: its state, what came out of it, what it is called, how much of the disk it takes.

500 runs are answered at once: a history is read when its file has changed and never else, and what it gave is kept on the disk.
What could not be read in the time that there is stays null, and is read by one of the next answers, the newest runs first.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lib_lrsched.errors import RunStateError
from lib_lrsched.storage import run_images, summary_file
from lib_lrsched.storage.checked_fields import COUNT_OR_NULL, TEXT, Rule, load, stored
from lib_lrsched.storage.history import History
from lib_lrsched.storage.run_state import RunState
from lib_lrsched.storage.store import Store
from lib_lrsched.storage.trained_time import trained_s

from ._learning import learning, windows
from .run_view import run_json

WITHIN_S, WHILE_TRAINING_S = 0.3, 0.05
"""So long one answer reads histories; a training in this process would have to wait for each of them."""

NUMBER_OR_NULL = Rule("a number, or null", lambda value: value is None or type(value) in (int, float))


@dataclass(frozen=True)
class Outcome:
    """What came out of a run, from its history; None for what is not known.

    Attributes:
        progress_end: the share of the loss that is gone, as the line above the run's chart says it.
        progress_best: that of the best window of updates, and how many updates had been made at its end.
        validation_end, validation_best: the share of the loss on the fixed set that is gone at the last look and at the best.
        best_step: the updates that had been made at the best look of validation.
        seconds: for which it was trained.
        trouble: what is wrong with its files; empty where nothing is.
    """

    progress_end: float | None = field(default=None, metadata=stored(NUMBER_OR_NULL))
    progress_best: float | None = field(default=None, metadata=stored(NUMBER_OR_NULL))
    progress_best_step: int | None = field(default=None, metadata=stored(COUNT_OR_NULL))
    validation_end: float | None = field(default=None, metadata=stored(NUMBER_OR_NULL))
    validation_best: float | None = field(default=None, metadata=stored(NUMBER_OR_NULL))
    best_step: int | None = field(default=None, metadata=stored(COUNT_OR_NULL))
    seconds: float | None = field(default=None, metadata=stored(NUMBER_OR_NULL))
    trouble: str = field(default="", metadata=stored(TEXT))


UNKNOWN = Outcome()


def outcome_of(history: History, seconds: float | None) -> Outcome:
    """What came out of a run so far."""
    compared, looks = history.compared(), history.validated()
    share = learning(compared, last_step=history.last_step, is_over=True).share
    best = max(looks, key=lambda look: look[1], default=None)  # the first of equals
    step, most = None, None
    if share is not None:
        steps, shares = windows(compared)
        step, most = int(steps[shares.argmax()]) + 1, float(shares.max())
    return Outcome(
        progress_end=share, progress_best=most, progress_best_step=step,
        validation_end=looks[-1][1] if looks else None, validation_best=None if best is None else best[1],
        best_step=None if best is None else best[0], seconds=seconds,
    )  # fmt: skip


def how_it_ended(state: RunState) -> str:
    """In words: that and after how many updates it ended, or that it has not."""
    made = f"{state.step:,} of {state.total_steps:,} updates" if state.step < state.total_steps else f"{state.step:,} updates"
    words = {"pending": "about to begin", "running": f"running: {made}", "finished": f"finished: {made}",
             "failed": f"failed after {made}", "interrupted": f"interrupted after {made}", "crashed": f"broke off after {made}"}
    return f"{words[state.state]}; {state.message}" if state.message else words[state.state]


class Listed(NamedTuple):
    """Runs as a list shows them, how many of them have not been read yet, and the bytes of those that have."""

    runs: list[dict[str, Any]]
    unread: int
    size_bytes: int


class _Paths(NamedTuple):
    """Of a run; kept, for making a path costs more than asking the disk of it."""

    folder: Path
    snapshots: Path
    history: Path
    images: Path


class _Known(NamedTuple):
    """What was taken from files when they were in this state."""

    stamp: tuple[int, ...]
    value: Any


class RunList:
    """The runs of a store as a list shows them. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._outcomes: dict[str, _Known] | None = None
        self._paths: dict[str, _Paths] = {}
        self._before: dict[str, _Known] = {}
        self._sizes: dict[str, _Known] = {}
        self._images: dict[str, _Known] = {}
        self._is_new = False

    def entries(self, runs: Iterable[tuple[RunState, History | None]]) -> Listed:
        """Runs, each with its history where it is in memory; those that come first are read first."""
        runs = list(runs)
        until = time.monotonic() + (WHILE_TRAINING_S if any(live is not None for _, live in runs) else WITHIN_S)
        with self._lock:
            found = [self._entry(state, live, until) for state, live in runs]
            self._keep({state.id for state, _ in runs})
        sizes = [one["size_bytes"] for one in found]
        unread = sum(one["id"] != "" and None in (one["seconds"], one["size_bytes"]) and not one["trouble"] for one in found)
        return Listed(found, unread, sum(filter(None, sizes)))

    def entry(self, state: RunState, live: History | None = None) -> dict[str, Any]:
        """One run, with all that there is to know of it."""
        with self._lock:
            found = self._entry(state, live, float("inf"))
            self._keep(None)
        return found

    def _entry(self, state: RunState, live: History | None, until: float) -> dict[str, Any]:
        found, label = self._outcome(state, live, until), self._store.labels.of(state.id) if state.id else None
        images, trouble = self._count_images(state.id)
        return {
            **run_json(state), **vars(found), "title": label.title if label else "", "note": label.note if label else "",
            "size_bytes": self._size_bytes(state.id, until), "images": images, "outcome": how_it_ended(state),
            "ended_s": None if state.is_active else state.updated_s,
            "trouble": "; ".join(filter(None, (found.trouble, trouble))),
        }  # fmt: skip

    # From the history ---------------------------------------------------------------------------

    def _outcome(self, state: RunState, live: History | None, until: float) -> Outcome:
        if live is not None:
            return outcome_of(live, self._seconds(state))
        if self._outcomes is None:
            self._outcomes = _from_file(summary_file.read(self._store.root / summary_file.NAME))
        path, known = self._paths_of(state.id).history, self._outcomes.get(state.id)
        stamp = _stamp(path)
        if known is not None and known.stamp == stamp:
            return known.value  # type: ignore[no-any-return]
        if time.monotonic() > until:
            return UNKNOWN
        try:
            found = _read(path)
        except OSError as error:  # which may be over the next time
            return Outcome(trouble=f"{path.name}: cannot be read: {error.strerror or error}")
        self._outcomes[state.id], self._is_new = _Known(stamp, found), True
        return found

    def _seconds(self, state: RunState) -> float | None:
        """Of a run in progress: the time of the legs before this one is read once."""
        stamp, now = (int(state.started_s * 1000),), time.time()
        known = self._before.get(state.id)
        if known is None or known.stamp != stamp:
            try:
                earlier = trained_s(self._store.history_path(state.id)) - (now - state.started_s) if state.id else 0.0
            except OSError:
                return None
            known = self._before[state.id] = _Known(stamp, max(0.0, earlier))
        return float(known.value) + max(0.0, now - state.started_s)

    def _keep(self, ids: set[str] | None) -> None:
        """Write what was read anew; with `ids` without the runs that are gone."""
        if not self._is_new or self._outcomes is None:
            return
        if ids is not None:
            self._outcomes = {run_id: known for run_id, known in self._outcomes.items() if run_id in ids}
        self._is_new = False
        written = {run_id: {"stamp": list(known.stamp), **asdict(known.value)} for run_id, known in self._outcomes.items()}
        try:
            summary_file.write(self._store.root / summary_file.NAME, written)
        except OSError:
            return  # it is known here, and read again by the next process

    # From the other files -------------------------------------------------------------------------

    def _size_bytes(self, run_id: str, until: float) -> int | None:
        if not run_id:
            return None
        folder, snapshots, history, _ = self._paths_of(run_id)
        stamp = (_stamp(folder)[0], _stamp(snapshots)[0])
        known = self._sizes.get(run_id)
        if known is None or known.stamp != stamp:
            if time.monotonic() > until:
                return None
            known = self._sizes[run_id] = _Known(stamp, size_bytes(folder, but=history))
        return int(known.value) + _stamp(history)[1]

    def _count_images(self, run_id: str) -> tuple[int, str]:
        if not run_id:
            return 0, ""
        path = self._paths_of(run_id).images
        stamp = _stamp(path)
        if stamp == (0, 0):
            return 0, ""
        known = self._images.get(run_id)
        if known is None or known.stamp != stamp:
            known = self._images[run_id] = _Known(stamp, _counted(path))
        return known.value  # type: ignore[no-any-return]


    def _paths_of(self, run_id: str) -> _Paths:
        if run_id not in self._paths:
            history, store = self._store.history_path(run_id), self._store
            self._paths[run_id] = _Paths(history.parent, store.snapshots_path(run_id), history, store.images_path(run_id))
        return self._paths[run_id]


def size_bytes(folder: Path, but: Path | None = None) -> int:
    """Of all files below a folder but one; what has two names counts once. What cannot be looked at counts nothing."""
    found: dict[tuple[int, int], int] = {}
    total = 0
    for path in folder.rglob("*"):
        try:
            status = path.lstat()
        except OSError:
            continue
        if path == but or path.is_dir():
            continue
        if status.st_nlink > 1 and status.st_ino:
            found[status.st_dev, status.st_ino] = status.st_size
        else:
            total += status.st_size
    return total + sum(found.values())


def _read(path: Path) -> Outcome:
    try:
        return outcome_of(History.open(path, append=False), trained_s(path))
    except RunStateError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        return Outcome(trouble=f"{path.name}: {error.message}")


def _counted(path: Path) -> tuple[int, str]:
    try:
        found = run_images.recorded(path)
    except (RunStateError, OSError) as error:
        return 0, f"{path.name}: {getattr(error, 'message', None) or getattr(error, 'strerror', None) or error}"
    return len(found.images), unreadable(found.unreadable)


def unreadable(count: int) -> str:
    """What to say of lines in a list of images that cannot be read."""
    return f"{run_images.NAME}: {count} {'line' if count == 1 else 'lines'} cannot be read" if count else ""


def _from_file(kept: Mapping[str, Mapping[str, Any]]) -> dict[str, _Known]:
    found = {}
    for run_id, one in kept.items():
        stamp = one.get("stamp")
        try:
            outcome = load(Outcome, dict(one), None)
        except RunStateError:
            continue
        if isinstance(stamp, list) and all(isinstance(number, int) for number in stamp):
            found[run_id] = _Known(tuple(stamp), outcome)
    return found


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 of thousands of files
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


