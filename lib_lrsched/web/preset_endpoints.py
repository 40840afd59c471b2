"""Endpoints on presets: the builtin ones and the user's."""

from __future__ import annotations

from fastapi import APIRouter, Response

from lib_lrsched.schedule.plan import plan

from .requests import PresetRequest
from .responses import Answer, Route
from .runtime import RUNTIME, Runtime

USUAL_RUN = {"total_steps": 2000, "steps_per_epoch": 20, "images_per_step": 1}
"""A preset is saved if its text can be planned for such a run."""

router = APIRouter(route_class=Route)


@router.get("/presets")
def presets(runtime: Runtime = RUNTIME) -> Response:
    """The builtin presets and the user's."""
    return Answer({"presets": [preset._asdict() for preset in runtime.store.presets.all()]})


@router.post("/presets")
def save_preset(request: PresetRequest, runtime: Runtime = RUNTIME) -> Response:
    """Saves a preset of the user's; answers with the new list."""
    plan(request.text, **USUAL_RUN)
    runtime.store.presets.save(name=request.name, text=request.text, note=request.note)
    return presets(runtime)


@router.delete("/presets/{name:path}")
def delete_preset(name: str, runtime: Runtime = RUNTIME) -> Response:
    """Deletes a preset of the user's; answers with the new list."""
    runtime.store.presets.delete(name)
    return presets(runtime)
