"""All endpoints below /lrsched/v1, added to the server's app.

To add one: its request is a model in requests.py, the endpoint a function with ``@router.get``, ``@router.post`` or
``@router.delete`` in the file of its subject, NAME_endpoints.py (a new file's router is named in ROUTERS), its answer an
``Answer``. What it needs of the host is a part of the runtime, see host/runtime.py. docs/api.md documents it, and
tests/web/test_fuzz_api.py sends it all sorts of things: no answer may be a failure of ours.

Nothing here goes through gradio's queue or takes the host's lock. Endpoints are plain functions, which the server runs in its
threads, so that disk and planning never stop the event loop. Every refusal has one form, see responses.py.
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Response
from starlette.convertors import PathConvertor, register_url_convertor

from lib_lrsched.host.door import OPEN, Door
from lib_lrsched.host.runtime import Runtime

from . import (
    comparison_endpoints,
    image_endpoints,
    next_training_endpoints,
    preset_endpoints,
    profile_endpoints,
    run_endpoints,
    schedule_endpoints,
    training_endpoints,
    trial_endpoints,
)
from .responses import Route, error_answer
from .scripts import PageScripts

PREFIX = "/lrsched/v1"
ROUTERS = (
    schedule_endpoints.router, image_endpoints.router, comparison_endpoints.router, profile_endpoints.router,
    next_training_endpoints.router, training_endpoints.router, run_endpoints.router, trial_endpoints.router,
    preset_endpoints.router,
)  # fmt: skip
"""The first that fits an address has it: what is below a run comes before the run."""


def add_routes(app: FastAPI, runtime: Runtime, door: Door = OPEN) -> None:
    """Adds the endpoints to `app`; a second call for the same app only changes the runtime and who is let in.

    Where the app is gradio's and asks for a login, so do the endpoints.
    """
    is_there = hasattr(app.state, "lrsched_runtime")
    app.state.lrsched_runtime, app.state.lrsched_door = runtime, door
    if is_there:
        return
    for router in (*ROUTERS, _scripts(), _rest()):  # the rest takes what no other has taken
        app.include_router(router, prefix=PREFIX, tags=["lrsched"])


def _scripts() -> APIRouter:
    """The page's scripts, read once for each app."""
    router, scripts = APIRouter(route_class=Route), PageScripts()
    router.add_api_route("/scripts", scripts.versions, methods=["GET"])
    router.add_api_route("/scripts/{version}/{path:path}", scripts.script, methods=["GET"])
    return router


class _AnyPath(PathConvertor):
    """What is left of an address, newlines too, which `path` does not take."""

    regex = "(?s:.*)"


register_url_convertor("lrsched_rest", _AnyPath())


def _rest() -> APIRouter:
    router = APIRouter(route_class=Route)
    # No methods means all that there are; the operation_id is for FastAPI, which would make one of the first method.
    named = {"operation_id": "lrsched_unknown", "include_in_schema": False}
    router.add_api_route("/{rest:lrsched_rest}", _unknown, methods=[], **named)  # type: ignore[arg-type]
    return router


def _unknown(rest: str) -> Response:
    """Any other path below the prefix."""
    return error_answer(404, f"there is no {PREFIX}/{rest} for this method")
