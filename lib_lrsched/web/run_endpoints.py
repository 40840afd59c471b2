"""Endpoints on runs: what is stored and what is trained now, as files, deleted; how a training resumes, and what would stop it."""

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
from lib_lrsched.preview.run_view import Histories, PointsRequest, run_answer
from lib_lrsched.storage import labels
from lib_lrsched.storage.history import Event, History
from lib_lrsched.storage.resume import CHOICES, from_beginning, leaves_run, mode_of
from lib_lrsched.storage.run_state import RunState
from lib_lrsched.training.options import OPTIONS, values
from lib_lrsched.training.range_test import range_test_of

from .requests import (
    ImportRunQuery,
    InterruptRequest,
    LabelRequest,
    OptionsChoice,
    OptionsQuery,
    PreflightRequest,
    ResumeChoice,
    ResumeFromRequest,
    ResumeQuery,
    RunQuery,
    UseRequest,
)
from .responses import Answer, Route, check_size
from .run_lists import all_runs, one_run
from .runtime import QUICKLY_S, RUNTIME, state_of

LARGEST_UPLOAD_BYTES = 6 << 30

router = APIRouter(route_class=Route)
_histories = Histories()


# Runs -----------------------------------------------------------------------------------------


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


@router.post("/runs/{run_id}/resume-from")
def resume_from(run_id: str, request: ResumeFromRequest, runtime: Runtime = RUNTIME) -> Response:
    """Chooses the snapshot from which the next training of what it trained resumes, or takes that back; answers as `resume`."""
    state = state_of(runtime, run_id)
    if request.step is None:
        runtime.choices.choose(state.kind, state.name, request.way or "continue")
    else:
        runtime.next_training.choose_kept(run_id, request.step, request.way or "continue")
    return Answer(_resume(runtime, state.kind, state.name, None))


@router.get("/runs/{run_id:path}")
def run(run_id: str, query: RunQuery = Depends(RunQuery), runtime: Runtime = RUNTIME) -> Response:
    """One run: its state, its numbers from step `since` on to below `until`, its events."""
    wanted = PointsRequest(query.since, query.until, query.smoothing)
    live, state = runtime.trainings.active().get(run_id), state_of(runtime, run_id)
    try:
        history = _histories.of(runtime.store.history_path(run_id)) if live is None else live.history
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


@router.post("/interrupt")
def interrupt(request: InterruptRequest, runtime: Runtime = RUNTIME) -> Response:
    """Does what the host's own button does, for the training that is named; answers with what is in progress."""
    runtime.interrupt(request.kind, request.name, request.run)
    return Answer({"in_progress": [one._asdict() for one in runtime.in_progress()]})


# The next training ----------------------------------------------------------------------------


@router.post("/preflight")
def preflight(request: PreflightRequest, runtime: Runtime = RUNTIME) -> Response:
    """What would stop or spoil a training with these inputs; it changes nothing."""
    return Answer({"findings": runtime.preflight.findings(request.kind, request.name, request.inputs)})


@router.get("/training")
def training(runtime: Runtime = RUNTIME) -> Response:
    """What is trained now, and how the last training ended."""
    live = dict(runtime.trainings.active())
    running = [_with_rescues(runtime, one.state(), one.history) for one in live.values()]
    last = next((state for state in runtime.store.runs() if state.id not in live and not state.is_active), None)
    fields = ("kind", "name", "total_steps")
    preparing = [{name: getattr(one, name) for name in fields} for one in runtime.in_progress() if one.what == "preparing"]
    return Answer({"running": running, "preparing": preparing, "last": None if last is None else _ended(runtime, last)})


def _ended(runtime: Runtime, state: RunState) -> dict[str, Any]:
    try:
        return _with_rescues(runtime, state, _histories.of(runtime.store.history_path(state.id)))
    except RunStateError as error:
        return {**one_run(runtime, state), "rescues": [], "trouble": str(error)}


def _with_rescues(runtime: Runtime, state: RunState, history: History) -> dict[str, Any]:
    """A run and what the guard did in its last leg: one that was continued tells of its last training alone."""
    events = history.events()
    rescues = [one for one in events if one["event"] == "rescue" and one["time_s"] >= state.started_s]
    return {**one_run(runtime, state), "rescues": rescues}


@router.get("/resume")
def resume(query: ResumeQuery = Depends(ResumeQuery), runtime: Runtime = RUNTIME) -> Response:
    """Whether a stored run belongs to what is trained as it is now, where and how its training resumes, with which settings."""
    return Answer(_resume(runtime, query.kind, query.name, query.rate_text))


@router.post("/resume")
def choose(request: ResumeChoice, runtime: Runtime = RUNTIME) -> Response:
    """Chooses how the next training of a name resumes; answers as `resume`."""
    runtime.choices.choose(request.kind, request.name, request.way)
    return Answer(_resume(runtime, request.kind, request.name, request.rate_text))


@router.get("/options")
def options(query: OptionsQuery = Depends(OptionsQuery), runtime: Runtime = RUNTIME) -> Response:
    """The options in force for the next training of a name, and what there is to say of each."""
    return Answer(_options(runtime, query.kind, query.name, query.data_root))


@router.post("/options")
def choose_options(request: OptionsChoice, runtime: Runtime = RUNTIME) -> Response:
    """Chooses options for the next training of a name; answers as `options`."""
    runtime.next_training.choose_options(request.kind, request.name, request.options)
    return Answer(_options(runtime, request.kind, request.name, request.data_root))


def _options(runtime: Runtime, kind: str, name: str, data_root: str) -> dict[str, Any]:
    found = runtime.next_training.options(kind, name)
    described = [one.described() for one in OPTIONS.values() if kind in one.kinds]
    return {"kind": kind, "name": name, "options": values(found.options), "defaults": values(found.defaults),
            "chosen": dict(found.chosen), "run": found.run, "descriptions": described,
            "validation_folder": runtime.data_folders.validation_of(data_root, QUICKLY_S)}


def _resume(runtime: Runtime, kind: str, name: str, rate_text: str | None) -> dict[str, Any]:
    chosen = runtime.choices.of(kind, name)
    choice, kept = chosen.choice, chosen.kept
    answer: dict[str, Any] = {"kind": kind, "name": name, "step": None, "file_step": None, "exact": False}
    answer |= {"way": choice, "from_step": None if kept is None else kept.step}
    answer |= {"leaving": [one for one in CHOICES if leaves_run(one)], "from_beginning": from_beginning(choice)}
    answer |= {"mode": None, "run": None, "settings": None, "message": ""}
    for live in runtime.trainings.active().values():
        now = live.state()
        if (now.kind, now.name) == (kind, name):
            return answer | {"step": now.step, "file_step": now.step, "mode": _mode(choice, now, rate_text), **_known(runtime, now)}
    found, resumed = runtime.next_training.resumption_of(kind, name)
    if found is None:
        return answer | {"message": f"there is no {kind} {name!r}"}
    step, state = found.step, resumed.state
    answer |= {"step": step if resumed.step is None else resumed.step, "file_step": step, "exact": resumed.step is not None}
    answer["mode"] = _mode(choice, state, rate_text)
    if state is None:
        message = "the file is trained on as it is, as a new run" if leaves_run(choice) else "; ".join(resumed.messages)
        return answer | {"message": message or f"no stored run belongs to {name!r} as it is now, at step {step}"}
    return answer | {**_known(runtime, state), "message": "; ".join(resumed.messages)}


def _known(runtime: Runtime, state: RunState) -> dict[str, Any]:
    return {"run": one_run(runtime, state), "settings": state.settings}


def _mode(choice: str, state: RunState | None, rate_text: str | None) -> str | None:
    """How the training resumes with a text; None where no text was sent."""
    last = state.legs[-1] if state is not None and state.legs else None
    return None if rate_text is None else mode_of(choice, last, rate_text)
