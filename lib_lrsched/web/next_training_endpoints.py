"""Endpoints on the next training of a name: what would stop it, how it resumes its stored run, its options."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Response

from lib_lrsched.host.runtime import Runtime
from lib_lrsched.storage.resume import CHOICES, from_beginning, leaves_run, mode_of
from lib_lrsched.storage.run_state import RunState
from lib_lrsched.training.options import OPTIONS, values

from .requests import OptionsChoice, OptionsQuery, PreflightRequest, ResumeChoice, ResumeFromRequest, ResumeQuery
from .responses import Answer, Route
from .runs import one_run, state_of
from .runtime import QUICKLY_S, RUNTIME

router = APIRouter(route_class=Route)


@router.post("/preflight")
def preflight(request: PreflightRequest, runtime: Runtime = RUNTIME) -> Response:
    """What would stop or spoil a training with these inputs; it changes nothing."""
    return Answer({"findings": runtime.preflight.findings(request.kind, request.name, request.inputs)})


@router.get("/resume")
def resume(query: ResumeQuery = Depends(ResumeQuery), runtime: Runtime = RUNTIME) -> Response:
    """Whether a stored run belongs to what is trained as it is now, where and how its training resumes, with which settings."""
    return Answer(_resume(runtime, query.kind, query.name, query.rate_text))


@router.post("/resume")
def choose(request: ResumeChoice, runtime: Runtime = RUNTIME) -> Response:
    """Chooses how the next training of a name resumes; answers as `resume`."""
    runtime.choices.choose(request.kind, request.name, request.way)
    return Answer(_resume(runtime, request.kind, request.name, request.rate_text))


@router.post("/runs/{run_id}/resume-from")
def resume_from(run_id: str, request: ResumeFromRequest, runtime: Runtime = RUNTIME) -> Response:
    """Chooses the snapshot from which the next training of what it trained resumes, or takes that back; answers as `resume`."""
    state = state_of(runtime, run_id)
    if request.step is None:
        runtime.choices.choose(state.kind, state.name, request.way or "continue")
    else:
        runtime.next_training.choose_kept(run_id, request.step, request.way or "continue")
    return Answer(_resume(runtime, state.kind, state.name, None))


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
