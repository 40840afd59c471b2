"""How an endpoint gets at what it asks of the host: ``runtime: Runtime = RUNTIME`` in its signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastapi import Depends, Request

from lib_lrsched.host.in_progress import InProgress
from lib_lrsched.host.runtime import Runtime
from lib_lrsched.storage.run_state import RunState

QUICKLY_S = 0.5
"""So long an answer waits for a number of images that it can do without."""


async def _current(request: Request) -> Runtime:
    return request.app.state.lrsched_runtime  # type: ignore[no-any-return]


RUNTIME: Any = Depends(_current)
"""The runtime of now: "Reload UI" makes a new one while the server runs."""


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
