"""Endpoints on profiles: all inputs of a training, saved by name or taken from a run, and what of them cannot be filled in."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, Response

from lib_lrsched.host.profile_check import unfillable
from lib_lrsched.host.runtime import Runtime
from lib_lrsched.storage.profiles import Profile
from lib_lrsched.storage.run_state import RunState

from .requests import ProfileQuery, ProfileRequest
from .responses import Answer, Route
from .runs import state_of
from .runtime import RUNTIME

router = APIRouter(route_class=Route)


@router.get("/profiles")
def profiles(runtime: Runtime = RUNTIME) -> Response:
    """The names of all profiles; what is in them, folders too, only one at a time."""
    found = [{"name": one.name, "kind": one.kind, "saved_s": one.saved_s} for one in runtime.store.profiles.all()]
    return Answer({"profiles": found, "messages": runtime.store.messages})


@router.post("/profiles")
def save_profile(request: ProfileRequest, runtime: Runtime = RUNTIME) -> Response:
    """Saves a profile; answers with the new list."""
    made = Profile(request.name.strip(), request.kind, request.inputs, request.options or {}, time.time())
    runtime.store.profiles.save(made, replace=request.replace)
    return profiles(runtime)


@router.get("/profiles/{name:path}")
def profile(name: str, query: ProfileQuery = Depends(ProfileQuery), runtime: Runtime = RUNTIME) -> Response:
    """One profile."""
    return _answer(runtime, runtime.store.profiles.get(name), query)


@router.delete("/profiles/{name:path}")
def delete_profile(name: str, runtime: Runtime = RUNTIME) -> Response:
    """Deletes a profile; answers with the new list."""
    runtime.store.profiles.delete(name)
    return profiles(runtime)


@router.get("/runs/{run_id}/profile")
def profile_of_run(run_id: str, query: ProfileQuery = Depends(ProfileQuery), runtime: Runtime = RUNTIME) -> Response:
    """The inputs of a run as a profile that is not saved yet."""
    return _answer(runtime, _of_run(state_of(runtime, run_id)), query)


def _answer(runtime: Runtime, found: Profile, query: ProfileQuery) -> Response:
    missing = unfillable(runtime.installation.host, found.kind, found.inputs, found.options) if query.check else None
    return Answer({**asdict(found), "missing": missing})


def _of_run(state: RunState) -> Profile:
    """All that is known of them; older runs kept fewer."""
    own: dict[str, Any] = {
        f"{state.kind}_name": state.name, "learn_rate": state.rate_text, "steps": state.total_steps, "batch_size": state.batch,
        "gradient_step": state.accumulate, "clip_grad_mode": state.clip_mode,
    }  # fmt: skip
    if state.clip_text:
        own["clip_grad_value"] = state.clip_text
    inputs = {name: value for name, value in state.settings.items() if name != "optimizer"}
    return Profile(state.name, state.kind, {**inputs, **own}, dict(state.options), state.updated_s)
