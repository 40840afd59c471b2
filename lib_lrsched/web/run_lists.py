"""What endpoints show of runs: the list of a store, and one run of it, with those in progress as they are in memory."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

from lib_lrsched.host.runtime import Runtime
from lib_lrsched.preview.run_list import Listed, RunList
from lib_lrsched.storage.run_state import RunState
from lib_lrsched.storage.store import Store

from .runtime import as_it_is

_lists: WeakKeyDictionary[Store, RunList] = WeakKeyDictionary()
_lock = threading.Lock()


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


def _list_of(store: Store) -> RunList:
    with _lock:
        return _lists.setdefault(store, RunList(store))
