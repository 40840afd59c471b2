"""What endpoints read of runs: the list, one run, its state, its history. Of a run in progress they read what is in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from lib_lrsched.host.in_progress import InProgress
from lib_lrsched.host.runtime import Runtime
from lib_lrsched.preview.run_list import Listed, RunList
from lib_lrsched.preview.run_view import Histories
from lib_lrsched.storage.history import History
from lib_lrsched.storage.run_state import RunState
from lib_lrsched.storage.store import Store

_lists: WeakKeyDictionary[Store, RunList] = WeakKeyDictionary()
_lock = threading.Lock()
_histories = Histories()


def all_runs(runtime: Runtime) -> Listed:
    """All runs, the one whose newest leg began last first; what there is of those running comes from memory."""
    live = dict(runtime.trainings.active())
    states = {run_id: one.state() for run_id, one in live.items()}
    in_progress = runtime.in_progress()
    states |= {state.id: as_it_is(state, in_progress) for state in runtime.store.runs() if state.id not in live}
    ordered = sorted(states.values(), key=lambda state: (state.started_s, state.id), reverse=True)
    return _list_of(runtime.store).entries((state, live[state.id].history if state.id in live else None) for state in ordered)


def one_run(runtime: Runtime, state: RunState) -> dict[str, Any]:
    """A run as the list shows it."""
    live = runtime.trainings.active().get(state.id)
    return _list_of(runtime.store).entry(state, None if live is None else live.history)


def state_of(runtime: Runtime, run_id: str) -> RunState:
    """The state of a run; of a running one as it is in memory, and pending where it is about to be resumed.

    Raises:
        UnknownRunError: there is no such run.
        RunStateError: its file is damaged.
    """
    live = runtime.trainings.active().get(run_id)
    return as_it_is(runtime.store.load(run_id), runtime.in_progress()) if live is None else live.state()


def as_it_is(state: RunState, in_progress: Sequence[InProgress]) -> RunState:
    """A stored state, which says how the run ended; it is about to be resumed where its next training is being prepared."""
    is_prepared = any(one.what == "preparing" and one.run == state.id for one in in_progress)
    return replace(state, state="pending", message="") if is_prepared else state


def stored_history(store: Store, run_id: str) -> History:
    """The history of a run that has ended, read once and kept.

    Raises:
        RunStateError: its file is damaged.
    """
    return _histories.of(store.history_path(run_id))


def _list_of(store: Store) -> RunList:
    with _lock:
        return _lists.setdefault(store, RunList(store))
