"""Endpoints on the training that runs now: what it is, how the last one ended, and its end."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from lib_lrsched.errors import RunStateError
from lib_lrsched.host.runtime import Runtime
from lib_lrsched.storage.history import History
from lib_lrsched.storage.run_state import RunState

from .requests import InterruptRequest
from .responses import Answer, Route
from .runs import one_run, stored_history
from .runtime import RUNTIME

router = APIRouter(route_class=Route)


@router.get("/training")
def training(runtime: Runtime = RUNTIME) -> Response:
    """What is trained now, and how the last training ended."""
    live = dict(runtime.trainings.active())
    running = [_with_rescues(runtime, one.state(), one.history) for one in live.values()]
    last = next((state for state in runtime.store.runs() if state.id not in live and not state.is_active), None)
    fields = ("kind", "name", "total_steps")
    preparing = [{name: getattr(one, name) for name in fields} for one in runtime.in_progress() if one.what == "preparing"]
    return Answer({"running": running, "preparing": preparing, "last": None if last is None else _ended(runtime, last)})


@router.post("/interrupt")
def interrupt(request: InterruptRequest, runtime: Runtime = RUNTIME) -> Response:
    """Does what the host's own button does, for the training that is named; answers with what is in progress."""
    runtime.interrupt(request.kind, request.name, request.run)
    return Answer({"in_progress": [one._asdict() for one in runtime.in_progress()]})


def _ended(runtime: Runtime, state: RunState) -> dict[str, Any]:
    try:
        return _with_rescues(runtime, state, stored_history(runtime.store, state.id))
    except RunStateError as error:
        return {**one_run(runtime, state), "rescues": [], "trouble": str(error)}


def _with_rescues(runtime: Runtime, state: RunState, history: History) -> dict[str, Any]:
    """A run and what the guard did in its last leg: one that was continued tells of its last training alone."""
    events = history.events()
    rescues = [one for one in events if one["event"] == "rescue" and one["time_s"] >= state.started_s]
    return {**one_run(runtime, state), "rescues": rescues}
