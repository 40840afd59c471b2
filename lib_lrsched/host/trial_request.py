"""A trial that is asked for through the endpoints: what it would do, what refuses it before it starts, how long it will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from lib_lrsched.errors import ConflictError, RequestError, ScheduleError
from lib_lrsched.preview.curve import MAX_STEPS
from lib_lrsched.schedule.counting import needs_images
from lib_lrsched.storage.history_lines import newest_pace
from lib_lrsched.storage.run_state import RunState, Scalar
from lib_lrsched.storage.store import Store
from lib_lrsched.storage.trial_store import TrialRecord
from lib_lrsched.training.host import InputError, Sample
from lib_lrsched.training.request import Request
from lib_lrsched.training.run_plan import RunPlan
from lib_lrsched.training.trial import Spec, plans_of
from lib_lrsched.training.trial_session import check_model

from . import input_checks
from .data_folders import DataFolders
from .installation import Installation
from .next_preflight import Preflight
from .next_training import NextTraining
from .preflight_case import ERROR
from .webui import Host, NoTraining

WORDS = {
    "learn_rate": "the learning rate", "batch_size": "the batch size", "gradient_step": "gradient accumulation",
    "data_root": "the data set's folder", "steps": "max steps", "template_filename": "the prompt template",
}  # fmt: skip
NEEDED = tuple(WORDS)
"""Inputs that are refused where they are empty, as a training's; others have what the host's page has first."""

SIZES = ("batch_size", "gradient_step", "training_width", "training_height")
"""The inputs on which the time of an update depends most."""

TYPES: Mapping[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"), int: ((int,), "a whole number"), float: ((int, float), "a number"), str: ((str,), "a text"),
}
"""What may come where the host's page has a value of a type."""

MOST = {"batch_size": 10**6, "gradient_step": 10**6, "steps": MAX_STEPS}
LARGEST_SIDE = 8192

USUAL_PROMPT = {"hypernetwork": "a photo"}
"""Of an image without a prompt; an embedding has its name."""


class TrialInputs(NamedTuple):
    """A trial as it came from the browser; see web/requests.py.

    Attributes:
        sample: of the image, the fields that were sent; None for no images.
    """

    kind: str
    name: str
    inputs: Mapping[str, Any]
    spec: Spec
    sample: Mapping[str, Any] | None = None


class Estimate(NamedTuple):
    """How much a trial is; seconds are None where nothing like it was done before."""

    candidates: int
    updates: int
    seconds: float | None
    why: str


class Wanted(NamedTuple):
    """A trial that can start.

    Attributes:
        arguments: of the host's train function; the task is filled in at the start.
    """

    kind: str
    name: str
    arguments: dict[str, Any]
    spec: Spec

    @property
    def inputs(self) -> dict[str, Scalar]:
        """What can be stored of the arguments."""
        kept = {name: value for name, value in self.arguments.items() if name not in ("id_task", f"{self.kind}_name")}
        return {name: value for name, value in kept.items() if input_checks.is_scalar(value)}


class TrialRequests:
    """Of one host: whether a trial can start, and how long it will take."""

    def __init__(self, installation: Installation, next_training: NextTraining, preflight: Preflight,
                 data_folders: DataFolders) -> None:
        self._installation = installation
        self._next = next_training
        self._preflight = preflight
        self._data_folders = data_folders

    def checked(self, given: TrialInputs) -> Wanted:
        """
        Raises:
            ConflictError: nothing can be tried in this host as it is now.
            RequestError: a training with these inputs would not start, or nothing is compared.
            ScheduleError: a text that cannot be planned or not be tried.
        """
        host, info = self._installation.host, self._installation.info()
        if isinstance(host, NoTraining) or not info["hooked"] or host.trainer is None:
            raise ConflictError(f"cannot run a trial: {info['why'] or 'this host offers no training'}")
        sent = {name: value for name, value in given.inputs.items() if value is not None or name in NEEDED}
        arguments = host.trainer.arguments(given.kind, given.name, sent, "")
        try:
            input_checks.check_name(host, given.kind, given.name)
            _check_types(arguments, host.trainer.arguments(given.kind, given.name, {}, ""))
            _check_needed(host, arguments)
            check_model(_loaded_model(host))
            plans_of(given.spec, self._planned(given, arguments))
        except InputError as error:
            raise RequestError(str(error)) from error
        except ScheduleError as error:
            if error.source in given.spec.texts:  # one of many
                error.add(f" (in {error.source})")
            raise
        self._check_findings(given, arguments)
        return Wanted(given.kind, given.name, arguments, replace(given.spec, sample=_sample(given, arguments)))

    def _planned(self, given: TrialInputs, arguments: Mapping[str, Any]) -> RunPlan:
        """The plan of the training, as it would be made."""
        now, resumed = self._next.resumption_of(given.kind, given.name)
        mode = arguments["clip_grad_mode"] if arguments["clip_grad_mode"] in input_checks.CLIPPING else "disabled"
        texts = (arguments["learn_rate"], "" if mode == "disabled" else arguments["clip_grad_value"])
        is_counted = needs_images(" ".join((*texts, *given.spec.texts)))
        count = self._data_folders.count_images(arguments["data_root"]) if is_counted else None
        batch, accumulate = arguments["batch_size"], arguments["gradient_step"]
        request = Request(given.kind, given.name, texts[0], arguments["steps"], batch, accumulate, mode, texts[1],
                          images=count or None)
        planned = RunPlan(request, resumed)
        step = resumed.step if resumed.step is not None else 0 if now is None else now.step
        if step < request.total_steps:
            planned.resume_at(step)
        input_checks.check_is_left(planned, step)
        return planned

    def _check_findings(self, given: TrialInputs, arguments: Mapping[str, Any]) -> None:
        found = self._preflight.findings(given.kind, given.name, arguments)
        errors = [one["message"] for one in found if one["severity"] == ERROR]
        if errors:
            raise RequestError("\n".join(errors))

    def estimate(self, wanted: Wanted) -> Estimate:
        """From the newest trial or run of that kind, batch and image size."""
        store = self._installation.store
        updates = (wanted.spec.candidates + 1) * wanted.spec.updates
        trial, run = _last_trial(store, wanted), _last_run(store, wanted)
        found = [(one.ended_s or 0.0, one.s_per_update, f"the last trial of {one.name!r}") for one in trial]
        found += [(state.updated_s, pace, f"the last run of {state.name!r}") for state, pace in run]
        _, pace, what = max(found, default=(0.0, None, ""))
        if pace is None:
            return Estimate(wanted.spec.candidates, updates, None, "nothing with this batch and image size was trained here yet")
        why = f"as fast as {what}"
        if wanted.spec.sample is None:
            return Estimate(wanted.spec.candidates, updates, updates * pace, why)
        s_per_image = next((one.s_per_image for one in store.trials.all() if _is_like(one, wanted) and one.s_per_image), None)
        seconds = updates * pace + wanted.spec.candidates * (s_per_image or 0.0)
        return Estimate(wanted.spec.candidates, updates, seconds, why if s_per_image else f"{why}, without the images")


def _loaded_model(host: Host) -> Any:
    return host.shared.sd_model if host.loaded_model is None else host.loaded_model()


def _check_types(arguments: Mapping[str, Any], usual: Mapping[str, Any]) -> None:
    """The host's page knows the types of its fields; here anything may come."""
    input_checks.check_text(arguments["learn_rate"], "the learning rate", "0.005")
    input_checks.check_text(arguments["clip_grad_value"], "the gradient clip value", "0.1")
    for name, value in arguments.items():
        types, expected = TYPES.get(type(usual[name]), (None, ""))
        if types is not None and type(value) not in types and not (value is None and name in NEEDED):
            raise InputError(f"{name}: expected {expected}, got {value!r:.100}")
    for name in ("training_width", "training_height"):
        if not 1 <= arguments[name] <= LARGEST_SIDE:
            raise InputError(f"{name}: expected 1 to {LARGEST_SIDE} pixels, got {arguments[name]}")


def _check_needed(host: Host, arguments: Mapping[str, Any]) -> None:
    """As the host's own check, which is not called: other extensions may have replaced it, and take its call for a training."""
    for name in NEEDED:
        if arguments[name] in (None, ""):
            raise InputError(f"{WORDS[name]} is missing")
        if isinstance(arguments[name], int) and not 1 <= arguments[name] <= MOST[name]:
            raise InputError(f"{WORDS[name]}: expected a whole number from 1 to {MOST[name]}, got {arguments[name]}")
    name = arguments["template_filename"]
    file = host.ti.textual_inversion_templates.get(name)
    if file is None or not Path(file.path).is_file():
        raise InputError(f"there is no prompt template {name!r}: refresh the list")


def _sample(given: TrialInputs, arguments: Mapping[str, Any]) -> Sample | None:
    if given.sample is None:
        return None
    prompt = str(given.sample.get("prompt") or "").strip() or USUAL_PROMPT.get(given.kind, given.name)
    chosen = {"sampler": "preview_sampler_name", "cfg_scale": "preview_cfg_scale"} if arguments.get("preview_from_txt2img") else {}
    return Sample(**{
        **given.sample, "prompt": prompt, "width": arguments["training_width"], "height": arguments["training_height"],
        **{field: arguments[name] for field, name in chosen.items()},
    })


# How long the last ones took ---------------------------------------------------------------------


def _last_trial(store: Store, wanted: Wanted) -> Sequence[TrialRecord]:
    return [one for one in store.trials.all() if _is_like(one, wanted) and one.s_per_update][:1]


def _is_like(trial: TrialRecord, wanted: Wanted) -> bool:
    return trial.kind == wanted.kind and all(trial.inputs.get(name) == wanted.inputs.get(name) for name in SIZES)


def _last_run(store: Store, wanted: Wanted) -> Sequence[tuple[RunState, float]]:
    """The newest run of this kind and size whose history tells how fast it was; at most one."""
    for state in store.runs():
        size = {**state.settings, "batch_size": state.batch, "gradient_step": state.accumulate}
        if state.kind == wanted.kind and all(size.get(name) == wanted.inputs.get(name) for name in SIZES):
            pace = newest_pace(Path(store.history_path(state.id)))
            if pace is not None:
                return [(state, pace)]
    return []
