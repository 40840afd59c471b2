"""Endpoints on presets: the builtin ones and the user's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Depends, Response

from lib_lrsched.host.runtime import Runtime
from lib_lrsched.schedule.plan import plan

from .requests import PresetRequest, PresetsQuery
from .responses import Answer, Route
from .runtime import RUNTIME

USUAL_RUN = {"total_steps": 2000, "steps_per_epoch": 20, "images_per_step": 1}
"""A preset is saved if its text can be planned for such a run, of as many steps as are asked for."""

router = APIRouter(route_class=Route)


@router.get("/presets")
def presets(query: PresetsQuery = Depends(PresetsQuery), runtime: Runtime = RUNTIME) -> Response:
    """The builtin presets and the user's, or those of factors by timestep."""
    stored = runtime.store.presets
    return _listed(stored.by_timestep if query.kind == "timestep" else stored.all())


def _listed(found: Iterable[Any]) -> Response:
    return Answer({"presets": [preset._asdict() for preset in found]})


@router.post("/presets")
def save_preset(request: PresetRequest, runtime: Runtime = RUNTIME) -> Response:
    """Saves a preset of the user's; answers with the new list."""
    own = {} if request.total_steps is None else {"total_steps": request.total_steps}
    plan(request.text, **(USUAL_RUN | own))
    runtime.store.presets.save(name=request.name, text=request.text, note=request.note, replace=request.replace)
    return _listed(runtime.store.presets.all())


@router.delete("/presets/{name:path}")
def delete_preset(name: str, runtime: Runtime = RUNTIME) -> Response:
    """Deletes a preset of the user's; answers with the new list."""
    runtime.store.presets.delete(name)
    return _listed(runtime.store.presets.all())
