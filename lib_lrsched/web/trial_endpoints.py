"""Endpoints on trials: started, looked at while they run and later, ended, deleted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Response

from lib_lrsched.host.runtime import Runtime
from lib_lrsched.host.trial_request import TrialInputs
from lib_lrsched.training.trial import Spec

from .requests import EndTrialQuery, TrialRequest
from .responses import Answer, Route
from .runtime import RUNTIME

router = APIRouter(route_class=Route)


@router.post("/trials")
def start_trial(request: TrialRequest, runtime: Runtime = RUNTIME) -> Response:
    """Starts a trial in a thread of ours; answers with its id."""
    return Answer({"id": runtime.trial_runner.start(_trial_inputs(request))})


@router.post("/trials/estimate")
def estimate_trial(request: TrialRequest, runtime: Runtime = RUNTIME) -> Response:
    """How many updates it is, and how long that takes; refused as its start would be."""
    return Answer(runtime.trial_runner.estimate(_trial_inputs(request))._asdict())


@router.get("/trials")
def trials(runtime: Runtime = RUNTIME) -> Response:
    """All trials, the newest first."""
    return Answer({"trials": runtime.trial_runner.all()})


@router.get("/trials/{trial_id}")
def trial(trial_id: str, runtime: Runtime = RUNTIME) -> Response:
    """One trial, as it is now."""
    return Answer(_there(trial_id, runtime.trial_runner.get(trial_id)))


@router.delete("/trials/{trial_id}")
def end_trial(trial_id: str, query: EndTrialQuery = Depends(EndTrialQuery), runtime: Runtime = RUNTIME) -> Response:
    """Ends one that waits or runs, deletes one that has ended; answers with the new list."""
    _there(trial_id, runtime.trial_runner.end(trial_id, query.state) or None)
    return trials(runtime)


@router.get("/trials/{trial_id}/images/{number}")
def trial_image(trial_id: str, number: str, runtime: Runtime = RUNTIME) -> Response:
    """The image that a candidate has drawn."""
    is_number = number.isascii() and number.isdigit() and len(number) < 6
    image = runtime.trial_runner.image(trial_id, int(number)) if is_number else None
    if image is None:
        raise HTTPException(404, f"the trial {trial_id} has no image {number}")
    return Response(image, media_type="image/png")


def _there(trial_id: str, found: Any) -> Any:
    if found is None:
        raise HTTPException(404, f"there is no trial {trial_id}")
    return found


def _trial_inputs(request: TrialRequest) -> TrialInputs:
    grid = None if request.grid is None else tuple(sorted({float(factor) for factor in request.grid}))
    images = request.images
    fields = ("prompt", "negative_prompt", "seed", "steps")
    sample = None if images is None else {name: getattr(images, name) for name in fields}
    spec = Spec(tuple(request.texts or ()), grid, request.updates, request.seed)
    return TrialInputs(request.kind, request.name, request.inputs, spec, sample)
