"""JSON endpoints on what is kept of runs: how a training goes on, saved states, a run out and in as one file, deleted."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from fastapi import Body, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from lib_lrsched.errors import RequestError, RunStateError
from lib_lrsched.preview.run_view import run_json
from lib_lrsched.storage.history import History
from lib_lrsched.storage.resume import WAYS, Resumption
from lib_lrsched.storage.run_state import RunState
from lib_lrsched.storage.store import Store

from .responses import Answer, an_object, check_size

LARGEST_UPLOAD_BYTES = 6 << 30


class LiveRun(Protocol):
    """A run that is going on in this process."""

    @property
    def history(self) -> History: ...

    def state(self) -> RunState: ...


class Runtime(Protocol):
    """What the hooks tell the endpoints. All of it is called from the server's threads."""

    @property
    def store(self) -> Store: ...

    def host_info(self) -> Mapping[str, Any]:
        """`{"name", "hooked": bool, "why"}`."""

    def active(self) -> Mapping[str, LiveRun]:
        """The runs that are going on, by id: a snapshot."""

    def lookup(self, kind: str, name: str) -> tuple[int, str, int] | None:
        """Step, digest and file time (ns) of an embedding or hypernetwork as it is now; None where there is none."""

    def going_on(self, kind: str, name: str) -> tuple[tuple[int, str, int] | None, Resumption]:
        """The same as lookup, and what its next training goes on with, as it is chosen now."""

    def choose(self, kind: str, name: str, way: str) -> None:
        """How the next training of this name goes on."""

    def chosen(self, kind: str, name: str) -> str:
        """What was chosen for it."""

    def bundles(self, run_id: str) -> list[dict[str, Any]]:
        """The saved states of a run."""

    def delete_run(self, run_id: str) -> None:
        """Deletes a run that is not going on."""

    def export_run(self, run_id: str, target: BinaryIO) -> None:
        """Writes a run as one file."""

    def import_run(self, source: Path, name: str) -> str:
        """Takes such a file in, under a name or its own; the id of the run."""

    def findings(self, kind: str, name: str, inputs: Mapping[str, Any]) -> list[dict[str, str]]:
        """What would stop or spoil a training: severity, subject, message; errors first."""

    def count_pictures(self, folder: str, within_s: float | None = None) -> int | None:
        """How many pictures in the folder can be decoded; None where it is no folder, or where that takes longer."""


class RunEndpoints:
    """Stored runs as files: their saved states, a run out and in as one file, a run deleted."""

    def __init__(self, runtime: Callable[[], Runtime], all_runs: Callable[[], Response]) -> None:
        self._of = runtime
        self._all_runs = all_runs

    @property
    def _runtime(self) -> Runtime:
        return self._of()


    def bundles(self, run_id: str) -> Response:
        """The saved states of a run, newest first."""
        return Answer({"bundles": self._runtime.bundles(run_id)})

    def delete_run(self, run_id: str) -> Response:
        """Deletes a run that is not going on; answers with the new list."""
        self._runtime.delete_run(run_id)
        return self._all_runs()

    def export_run(self, run_id: str) -> Response:
        """A run as one file."""
        handle, name = tempfile.mkstemp(prefix="lrsched-", suffix=".zip")
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as target:
                self._runtime.export_run(run_id, target)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        done = BackgroundTask(lambda: path.unlink(missing_ok=True))
        return FileResponse(path, filename=f"{run_id}.lrsched.zip", media_type="application/zip", background=done)

    async def import_run(self, request: Request, name: str = Query("", max_length=200)) -> Response:
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
                return Answer({"id": await run_in_threadpool(self._runtime.import_run, path, name)})
            except RunStateError as error:  # what was sent is wrong, not what is stored
                raise RequestError(str(error)) from error
        finally:
            os.unlink(temporary)  # noqa: PTH108 pathlib is not for coroutines, says the linter; one file is gone at once

    def resume(self, kind: Literal["embedding", "hypernetwork"], name: str) -> Response:
        """Whether a stored run belongs to the thing as it is now, where and how its training goes on, with which settings."""
        way = self._runtime.chosen(kind, name)
        answer: dict[str, Any] = {"kind": kind, "name": name, "step": None, "file_step": None, "exact": False, "way": way}
        answer |= {"run": None, "settings": None, "message": ""}
        for live in self._runtime.active().values():
            now = live.state()
            if (now.kind, now.name) == (kind, name):
                return Answer(answer | {"step": now.step, "file_step": now.step, "run": run_json(now), "settings": now.settings})
        found, resumed = self._runtime.going_on(kind, name)
        if found is None:
            return Answer(answer | {"message": f"there is no {kind} {name!r}"})
        step, state = found[0], resumed.state
        answer |= {"step": step if resumed.step is None else resumed.step, "file_step": step, "exact": resumed.step is not None}
        if state is None:
            message = "the file is trained on as it is, as a new run" if way == "file" else ""
            return Answer(answer | {"message": message or f"no stored run belongs to {name!r} as it is now, at step {step}"})
        message = "; ".join(resumed.messages)
        return Answer(answer | {"run": run_json(state), "settings": state.settings, "message": message})

    def choose(self, body: Any = Body(...)) -> Response:  # noqa: B008
        """How the next training of a name goes on; answers as resume."""
        entry = an_object(body)
        kind, name, way = entry.get("kind"), entry.get("name"), entry.get("way")
        if kind not in ("embedding", "hypernetwork") or not isinstance(name, str):
            raise RequestError("expected kind embedding or hypernetwork, and a name")
        if way not in WAYS:
            raise RequestError(f"way: expected one of {', '.join(WAYS)}, found {way!r}")
        self._runtime.choose(kind, name, way)
        return self.resume(kind, name)
