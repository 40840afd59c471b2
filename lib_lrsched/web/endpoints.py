"""JSON endpoints below /lrsched/v1: previews, exports, the shapes, runs with their numbers, what can be resumed, presets.

Nothing here goes through gradio's queue or takes the host's lock. Endpoints are plain functions, which the server
runs in its threads, so that disk and planning never stop the event loop. Every refusal has one form:
`{"error": {"message": "...", "span": [start, stop] or null}}`. It knows nothing of the hooks but `Runtime`.
"""

from __future__ import annotations

import os
from typing import Any

from fastapi import APIRouter, Body, FastAPI, Query, Response
from starlette.convertors import PathConvertor, register_url_convertor

from lib_lrsched.errors import RequestError, RunStateError
from lib_lrsched.host.door import OPEN, Door
from lib_lrsched.preview.curve import preview
from lib_lrsched.preview.forms import describe_shapes
from lib_lrsched.preview.run_view import Histories, past_legs, run_answer, run_json
from lib_lrsched.schedule.counting import needs_pictures
from lib_lrsched.storage.history import MAX_STEP, Event, History
from lib_lrsched.storage.run_state import RunState

from .conversion import convert
from .edit_requests import edit_answer, import_answer, items_answer
from .responses import Answer, Route, an_object, error_answer
from .run_endpoints import RunEndpoints, Runtime
from .scripts import PageScripts

PREFIX = "/lrsched/v1"

QUICKLY_S = 0.5
"""So long a preview waits for the number of pictures where its texts do not need it."""


class _Rest(PathConvertor):
    """What is left of an address, newlines too, which `path` does not take."""

    regex = "(?s:.*)"


register_url_convertor("lrsched_rest", _Rest())


def add_routes(app: FastAPI, runtime: Runtime, door: Door = OPEN) -> None:
    """Adds the endpoints to `app`; a second call for the same app only changes the runtime and who is let in.

    Where the app is gradio's and asks for a login, so do the endpoints.
    """
    app.state.lrsched_door = door
    endpoints = getattr(app.state, "lrsched_endpoints", None)
    if endpoints is not None:
        endpoints.runtime = runtime
        return
    app.state.lrsched_endpoints = endpoints = Endpoints(runtime)
    runs = RunEndpoints(lambda: endpoints.runtime, endpoints.runs)
    router = APIRouter(prefix=PREFIX, route_class=Route, tags=["lrsched"])
    router.add_api_route("/preview", endpoints.preview, methods=["POST"])
    router.add_api_route("/preflight", endpoints.preflight, methods=["POST"])
    router.add_api_route("/export", endpoints.export, methods=["POST"])
    router.add_api_route("/import", endpoints.import_, methods=["POST"])
    router.add_api_route("/items", endpoints.items, methods=["POST"])
    router.add_api_route("/edit", endpoints.edit, methods=["POST"])
    router.add_api_route("/shapes", endpoints.shapes, methods=["GET"])
    router.add_api_route("/runs", endpoints.runs, methods=["GET"])
    router.add_api_route("/runs", runs.import_run, methods=["POST"])
    router.add_api_route("/runs/{run_id}/bundles", runs.bundles, methods=["GET"])
    router.add_api_route("/runs/{run_id}/file", runs.export_run, methods=["GET"])
    router.add_api_route("/runs/{run_id:path}", runs.delete_run, methods=["DELETE"])
    router.add_api_route("/runs/{run_id:path}", endpoints.run, methods=["GET"])
    router.add_api_route("/resume", runs.resume, methods=["GET"])
    router.add_api_route("/resume", runs.choose, methods=["POST"])
    router.add_api_route("/presets", endpoints.presets, methods=["GET"])
    router.add_api_route("/presets", endpoints.save_preset, methods=["POST"])
    router.add_api_route("/presets/{name:path}", endpoints.delete_preset, methods=["DELETE"])
    scripts = PageScripts()
    router.add_api_route("/scripts", scripts.versions, methods=["GET"])
    router.add_api_route("/scripts/{version}/{path:path}", scripts.script, methods=["GET"])
    # No methods means all that there are; the operation_id is for FastAPI, which would make one of the first method.
    rest = {"operation_id": "lrsched_unknown", "include_in_schema": False}
    router.add_api_route("/{rest:lrsched_rest}", endpoints.unknown, methods=[], **rest)  # type: ignore[arg-type]
    app.include_router(router)


class Endpoints:
    """The endpoints over a runtime that may be changed while the server runs."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._histories = Histories()

    def preview(self, body: Any = Body(...)) -> Response:  # noqa: B008 FastAPI's way to name a parameter's source
        """The sampled curves, segments and lints of up to a few texts. No text is an error of the request."""
        request = dict(an_object(body))
        folder = _folder(request.get("data_root"))
        if request.get("pictures") is None and folder.strip():
            is_needed = needs_pictures(str(request.get("texts")))  # else epochs are an extra that can come later
            request["pictures"] = self.runtime.count_pictures(folder, None if is_needed else QUICKLY_S) or None
        if request.get("run") is None:
            return Answer(preview(request))
        state = self._state(request["run"])
        if request.get("optimizer") is None:
            request["optimizer"] = state.settings.get("optimizer")
        return Answer(preview(request, past_legs(state)))

    def preflight(self, body: Any = Body(...)) -> Response:  # noqa: B008
        """What would stop or spoil a training with these inputs; it changes nothing."""
        entry = an_object(body)
        kind, name, inputs = entry.get("kind"), entry.get("name"), entry.get("inputs")
        if kind not in ("embedding", "hypernetwork") or not isinstance(name, str) or not isinstance(inputs, dict):
            raise RequestError("expected kind embedding or hypernetwork, a name, and an object inputs")
        return Answer({"findings": self.runtime.findings(kind, name, inputs)})

    def export(self, body: Any = Body(...)) -> Response:  # noqa: B008
        """A text in another program's words."""
        return Answer(convert(an_object(body)))

    def import_(self, body: Any = Body(...)) -> Response:  # noqa: B008
        """Another program's schedule as a text."""
        return Answer(import_answer(an_object(body)))

    def items(self, body: Any = Body(...)) -> Response:  # noqa: B008
        """What a form shows of a text, and what a chart can drag."""
        return Answer(items_answer(an_object(body)))

    def edit(self, body: Any = Body(...)) -> Response:  # noqa: B008
        """A text after one edit."""
        return Answer(edit_answer(an_object(body)))

    def shapes(self) -> Response:
        """The table of shapes with their parameters, for forms."""
        return Answer({"shapes": describe_shapes()})

    def runs(self) -> Response:
        """All runs, newest first; the state of those going on comes from memory, of the others from disk."""
        live = self._live_states()
        stored = self.runtime.store.runs()
        states = [*live.values(), *(state for state in stored if state.id not in live)]
        states.sort(key=lambda state: (state.started_s, state.id), reverse=True)
        return Answer(
            {
                "runs": [run_json(state) for state in states],
                "active": list(live),
                "host": dict(self.runtime.host_info()),
                "messages": self.runtime.store.messages,
            }
        )

    def run(self, run_id: str, since: int = Query(0, ge=0, le=MAX_STEP)) -> Response:
        """One run: its state, its numbers from step `since` on, its events."""
        live = self.runtime.active().get(run_id)
        state = self.runtime.store.load(run_id) if live is None else live.state()
        try:
            history = self._histories.of(self.runtime.store.history_path(run_id)) if live is None else live.history
        except RunStateError as error:
            note = Event(step=state.step, time_s=state.updated_s, event="note", message=str(error))
            return Answer(run_answer(state, History(None), since) | {"events": [note]})
        return Answer(run_answer(state, history, since))

    def presets(self) -> Response:
        """The builtin presets and the user's."""
        return Answer({"presets": [preset._asdict() for preset in self.runtime.store.presets.all()]})

    def save_preset(self, body: Any = Body(...)) -> Response:  # noqa: B008
        """Saves a preset of the user's; answers with the new list."""
        entry = an_object(body)
        fields = {field: entry.get(field, "") for field in ("name", "text", "note")}
        for field, value in fields.items():
            if not isinstance(value, str):
                raise RequestError(f"{field}: expected a text, found {value!r}")
        refusal = _refusal_of_text(fields["text"])
        if refusal is not None:
            return refusal
        self.runtime.store.presets.save(**fields)
        return self.presets()

    def delete_preset(self, name: str) -> Response:
        """Deletes a preset of the user's; answers with the new list."""
        self.runtime.store.presets.delete(name)
        return self.presets()

    def unknown(self, rest: str) -> Response:
        """Whatever else is asked for below the prefix."""
        return error_answer(404, f"there is no {PREFIX}/{rest} for this method")

    def _state(self, run_id: object) -> RunState:
        if not isinstance(run_id, str):
            raise RequestError(f"run: expected the id of a run or null, found {run_id!r}")
        live = self.runtime.active().get(run_id)
        return self.runtime.store.load(run_id) if live is None else live.state()

    def _live_states(self) -> dict[str, RunState]:
        return {run_id: live.state() for run_id, live in self.runtime.active().items()}


def _folder(value: object) -> str:
    """The name of a folder, or an empty one; no system takes a NUL or half a character in it."""
    if value is None:
        return ""
    try:
        if isinstance(value, str) and "\0" not in value and os.fsencode(value) is not None:
            return value
    except UnicodeEncodeError:
        pass
    raise RequestError(f"data_root: expected the name of a folder, found {value!r:.100}")


def _refusal_of_text(text: str) -> Response | None:
    """None where the text can be planned for a usual run, else the answer that shows where it cannot."""
    request = {"texts": [text], "kind": "rate", "total_steps": 2000, "pictures": 20, "batch": 1, "accumulate": 1, "points": 16}
    (result,) = preview(request)["results"]
    if result["ok"]:
        return None
    return error_answer(400, result["error"]["message"], result["error"]["span"])
