"""Endpoints on runs: the list, one of them, as a file, its snapshots, its title and note, deleted."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from lib_lrsched.errors import RequestError, RunStateError
from lib_lrsched.host.runtime import Runtime
from lib_lrsched.preview.run_view import PointsRequest, run_answer
from lib_lrsched.storage import labels
from lib_lrsched.storage.history import Event, History
from lib_lrsched.storage.run_state import RunState
from lib_lrsched.training.range_test import range_test_of

from .requests import ImportRunQuery, LabelRequest, RunQuery, UseRequest
from .responses import Answer, Route, check_size
from .runs import all_runs, one_run, state_of, stored_history
from .runtime import RUNTIME

LARGEST_UPLOAD_BYTES = 6 << 30

router = APIRouter(route_class=Route)


@router.get("/runs")
def runs(runtime: Runtime = RUNTIME) -> Response:
    """All runs, newest first, and what came out of each."""
    active, listed = list(runtime.trainings.active()), all_runs(runtime)
    host, in_progress = dict(runtime.installation.info()), [one._asdict() for one in runtime.in_progress()]
    messages = runtime.store.messages
    return Answer({**listed._asdict(), "active": active, "in_progress": in_progress, "host": host, "messages": messages})


@router.post("/runs")
async def import_run(request: Request, query: ImportRunQuery = Depends(ImportRunQuery), runtime: Runtime = RUNTIME) -> Response:
    """Takes in the file in the body; answers with the run's id."""
    check_size(request.headers.get("content-length", "0"), LARGEST_UPLOAD_BYTES)
    handle, temporary = tempfile.mkstemp(prefix="lrsched-", suffix=".zip")
    path = Path(temporary)
    try:
        size = 0
        with os.fdopen(handle, "wb") as target:
            async for block in request.stream():
                size += len(block)
                check_size(size, LARGEST_UPLOAD_BYTES)
                target.write(block)
        try:
            return Answer({"id": await run_in_threadpool(runtime.transfer.import_run, path, query.name)})
        except RunStateError as error:  # what was sent is wrong, not what is stored
            raise RequestError(str(error)) from error
    finally:
        os.unlink(temporary)  # noqa: PTH108 pathlib is not for coroutines, says the linter; one file is gone at once


@router.get("/runs/{run_id}/bundles")
def snapshots(run_id: str, runtime: Runtime = RUNTIME) -> Response:
    """The snapshots of a run, newest first."""
    return Answer(runtime.stored_runs.snapshots(run_id))


@router.get("/runs/{run_id}/file")
def export_run(run_id: str, runtime: Runtime = RUNTIME) -> Response:
    """A run as one file."""
    handle, name = tempfile.mkstemp(prefix="lrsched-", suffix=".zip")
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as target:
            runtime.transfer.export_run(run_id, target)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    done = BackgroundTask(lambda: path.unlink(missing_ok=True))
    return FileResponse(path, filename=f"{run_id}.lrsched.zip", media_type="application/zip", background=done)


@router.post("/runs/{run_id}/use")
def use(run_id: str, request: UseRequest, runtime: Runtime = RUNTIME) -> Response:
    """Puts the average or the best state of a run in the place of what it trained."""
    return Answer(runtime.transfer.use(run_id, request.what))


@router.post("/runs/{run_id}/label")
def label(run_id: str, request: LabelRequest, runtime: Runtime = RUNTIME) -> Response:
    """Sets the title and note of a run; what is null stays. Answers with the run as the list shows it."""
    state, before = state_of(runtime, run_id), runtime.store.labels.of(run_id)
    title, note = (old if new is None else new for new, old in zip((request.title, request.note), before))
    runtime.store.labels.save(run_id, labels.label(title, note))
    return Answer(one_run(runtime, state))


@router.post("/runs/{run_id}/check")
def check(run_id: str, runtime: Runtime = RUNTIME) -> Response:
    """Reads all snapshots of a run whole, and what it needs besides."""
    return Answer(runtime.stored_runs.check(run_id))


@router.post("/runs/{run_id}/keep-last")
def keep_last(run_id: str, runtime: Runtime = RUNTIME) -> Response:
    """Deletes the snapshots of a run but the newest good one."""
    return Answer(runtime.stored_runs.keep_last(run_id))


@router.get("/runs/{run_id:path}")
def run(run_id: str, query: RunQuery = Depends(RunQuery), runtime: Runtime = RUNTIME) -> Response:
    """One run: its state, its numbers from step `since` on to below `until`, its events."""
    wanted = PointsRequest(query.since, query.until, query.smoothing)
    live, state = runtime.trainings.active().get(run_id), state_of(runtime, run_id)
    try:
        history = stored_history(runtime.store, run_id) if live is None else live.history
    except RunStateError as error:
        note = Event(step=state.step, time_s=state.updated_s, event="note", message=str(error))
        return Answer(_whole(runtime, state, History(None), wanted) | {"events": [note]})
    return Answer(_whole(runtime, state, history, wanted))


def _whole(runtime: Runtime, state: RunState, history: History, wanted: PointsRequest) -> dict[str, Any]:
    """A run's answer, with what its range test found and what of it can take the file's place."""
    found = range_test_of(state, history)
    answer = None if found is None else {**found.to_json(), "put_back": found.is_alone}
    here = {"run": one_run(runtime, state), "options": state.options, "usable": runtime.transfer.usable(state)}
    return run_answer(state, history, wanted) | here | {"range_test": answer}


@router.delete("/runs/{run_id:path}")
def delete_run(run_id: str, runtime: Runtime = RUNTIME) -> Response:
    """Deletes a run that is not running; answers with the new list."""
    runtime.stored_runs.delete(run_id)
    return runs(runtime)
