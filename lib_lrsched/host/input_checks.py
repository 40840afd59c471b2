"""What is looked at before a training starts, so that a mistake costs a sentence and no minutes.

Everything here runs inside the host's validate_train_inputs: nothing is written, and what is raised reaches the
user in the host's error box.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

from lib_lrsched.errors import ScheduleError
from lib_lrsched.optimizer.codec import is_finite
from lib_lrsched.schedule.counting import needs_images
from lib_lrsched.schedule.usual import is_nothing, unusual_rate
from lib_lrsched.snapshot.find import trained_tensors
from lib_lrsched.storage.run_state import Scalar
from lib_lrsched.training.host import InputError
from lib_lrsched.training.request import Request
from lib_lrsched.training.run import TrainingRun
from lib_lrsched.training.run_plan import RunPlan

from . import attention, preflight, validation_images
from .images import count_images
from .kinds import kind_of
from .webui import Host

CLIPPING = ("value", "norm")

KEPT = (
    "learn_rate", "batch_size", "gradient_step", "data_root", "log_directory", "training_width", "training_height", "varsize",
    "steps", "clip_grad_mode", "clip_grad_value", "shuffle_tags", "tag_drop_out", "latent_sampling_method", "use_weight",
    "create_image_every", "save_embedding_every", "save_hypernetwork_every", "template_filename",
    "save_image_with_stored_embedding", "preview_from_txt2img",
)
"""The inputs of a training that are offered again when it resumes, by the host's parameter names."""


PARAMETERS = (
    "model_name", "learn_rate", "batch_size", "gradient_step", "data_root", "template_file", "template_filename", "steps",
    "save_model_every", "create_image_every", "log_directory", "name",
)
"""Of the host's validate_train_inputs, in its order. Its signature may be hidden behind another extension's wrapper."""


def caller(name: str) -> FrameType | None:
    """The nearest calling function that has a local ``name``."""
    frame: FrameType | None = inspect.currentframe()
    for _ in range(20):
        if frame is None or name in frame.f_locals:
            return frame
        frame = frame.f_back
    return None


def caller_locals(name: str) -> Mapping[str, Any]:
    """The local names of the nearest calling function that has ``name``: read-only, and empty where there is none.

    Value or norm reaches no seam, nor does the loaded hypernetwork; both are locals of the host's train functions.
    """
    frame = caller(name)
    return {} if frame is None else frame.f_locals


def raised_through(name: str) -> BaseException | None:
    """What is being raised through the nearest calling function that has ``name``; None where nothing is.

    The host's loops swallow what is an Exception before their ``finally``; what is left is a KeyboardInterrupt or the like. Whoever
    called the loop may be handling an exception of their own.
    """
    error, frame = sys.exc_info()[1], caller(name)
    step = None if error is None else error.__traceback__
    while step is not None:
        if step.tb_frame is frame:
            return error
        step = step.tb_next
    return None


def bind_inputs(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of the host's validate_train_inputs by name."""
    return {"name": "embedding", **dict(zip(PARAMETERS, args)), **kwargs}


def check_inputs(host: Host, inputs: Mapping[str, Any], frame: Mapping[str, Any]) -> tuple[Request, list[str]]:
    """What the training was asked to do, and what the user should know of it.

    Args:
        inputs: what validate_train_inputs got.
        frame: the locals of the train function that called it.

    Raises:
        InputError: a number for a text, a name that is not there, a folder without images or that cannot be made, and what
            preflight.py finds that no training can get over.
    """
    kind = inputs.get("name", "embedding")
    warnings = _check_errors(host, kind, inputs)
    mode = frame.get("clip_grad_mode")
    mode = mode if mode in CLIPPING else "disabled"
    rate = check_text(inputs["learn_rate"], "the learning rate", "0.005")
    clip = check_text(frame.get("clip_grad_value"), "the gradient clip value", "0.1") if mode != "disabled" else ""
    check_name(host, kind, inputs["model_name"])
    _check_log_folder(inputs.get("log_directory"))
    images = _check_images(host, inputs["data_root"], f"{rate} {clip}")
    settings: dict[str, Scalar] = {name: frame[name] for name in KEPT if is_scalar(frame.get(name))}
    request = Request(
        kind=kind, name=kind_of(kind).plain_name(inputs["model_name"]), rate_text=rate, total_steps=inputs["steps"],
        batch=inputs["batch_size"], accumulate=inputs["gradient_step"], clip_mode=mode, clip_text=clip,
        data_root=str(inputs["data_root"]), images=images, settings=settings,
    )
    return request, warnings


def check_options(host: Host, run: TrainingRun) -> None:
    """Refuse what the options in force cannot do.

    Raises:
        InputError: validation on a folder without images. A run that resumes has its own set.
        ScheduleError: a plateau watches what is not measured.
    """
    state = run.planned.resumed.state
    has_set = state is not None and os.path.exists(run.validation_path_of(state.id))  # noqa: PTH110 which raises for some folders
    trouble = validation_images.trouble(host, run.request.data_root) if run.options.validate_every and not has_set else ""
    if trouble:
        raise InputError(trouble)
    measured = {"loss": True, "progress": run.options.progress_every > 0, "validation": run.options.validate_every > 0}
    for segment in run.planned.plan.feedback:
        what = segment.values["watch"]
        if not measured[what]:
            raise ScheduleError(f"this plateau watches {what}, which is switched off: switch it on, or leave out watch={what}",
                                run.planned.plan.text, segment.item.span)


def cautions(run: TrainingRun) -> list[str]:
    """What the user should know of a training that can start, beyond what check_inputs() found: what only its plan tells."""
    found = []
    if is_nothing(run.planned.plan):
        found.append(preflight.NOTHING_LEARNED)
    if run.planned.clip_plan is not None and is_nothing(run.planned.clip_plan):
        found.append(preflight.ALL_CLIPPED)
    if run.planned.stop < run.request.total_steps:
        found.append(preflight.ends_early(run.planned.stop, run.request.total_steps))
    unusual = unusual_rate(run.request.kind, run.planned.plan)
    return found if unusual is None else [*found, unusual.message]


def nothing_learned(run: TrainingRun) -> str:
    """Why a run's texts let it learn nothing; empty where they do."""
    if is_nothing(run.planned.plan):
        return preflight.NO_RATE
    return preflight.NO_CLIP if run.planned.clip_plan is not None and is_nothing(run.planned.clip_plan) else ""


def check_numbers(kind: str, name: str, host_object: Any) -> None:
    """Refuse to train what is ruined already.

    Raises:
        InputError: it holds a number that is not finite.
    """
    tensors = [] if host_object is None else trained_tensors(host_object)
    if not is_finite([tensor.detach() for tensor in tensors if hasattr(tensor, "detach")]):
        raise InputError(f"the {kind} {name!r} contains NaN or infinity, and training cannot fix that: put an earlier file in its "
                         f"place, such as {name}.pt.bak or a copy from the log directory, or create it again")


def check_design(host: Host, kind: str, name: str, host_object: Any) -> None:
    """Refuse a hypernetwork that does not touch the loaded model.

    Raises:
        InputError: none of its widths is one of the model's.
    """
    has = kind_of(kind).widths(host_object)
    there = attention.widths(getattr(host.shared, "sd_model", None)) if has else set()
    if there and not has & there:
        ours, theirs = (", ".join(map(str, sorted(one))) for one in (has, there))
        raise InputError(
            f"the hypernetwork {name!r} works on vectors of {ours} numbers, but the loaded model has only {theirs}: "
            "nothing would be learned; create one with these Modules, or load the model that it was made for"
        )


def check_is_left(planned: RunPlan, step: int) -> None:
    """Refuse a plan that is over before it begins.

    Raises:
        ScheduleError: nothing is left to train. The host itself answers where max steps is reached.
    """
    plan = planned.plan
    if planned.stop <= step < planned.request.total_steps:
        error = ScheduleError(
            f"nothing is left to train: the schedule ends at step {planned.stop} and {step} updates are made; "
            "leave out the last end, or add a segment", plan.text, plan.tree.items[-1].span,
        )
        error.is_over = True
        raise error


def check_text(value: Any, what: str, example: str) -> str:
    if isinstance(value, str):
        return value
    kind = "a number" if isinstance(value, (int, float)) else f"of type {type(value).__name__}"
    raise InputError(f'{what} is a text such as "{example}", got {value!r}, {kind}: put it in quotes')


def _check_errors(host: Host, kind: str, inputs: Mapping[str, Any]) -> list[str]:
    found = preflight.of_start(host, kind, str(inputs["model_name"]), inputs)
    messages = [one.message for one in found if one.severity == preflight.ERROR]
    if messages:
        raise InputError("\n".join(messages))
    return [one.message for one in found]


def check_name(host: Host, kind: str, name: str) -> None:
    found = kind_of(kind).find(host, name)
    if found is None:
        raise InputError(f"there is no {kind} {name!r}: create it first, or refresh the list")
    kind_of(kind).check(found, name)


def _check_log_folder(folder: Any) -> None:
    """The host makes the folder itself; say now if it will not be able to."""
    if not folder:
        return
    if not isinstance(folder, str):
        raise InputError(f'the log directory is a text such as "textual_inversion", got {folder!r}')
    trouble = preflight.folder_trouble(folder)
    if trouble:
        raise InputError(trouble)


def _check_images(host: Host, folder: Any, texts: str) -> int | None:
    """The number of images where a text needs it, else None. A folder without one is refused."""
    trouble = preflight.data_trouble(host, folder)
    if trouble:
        raise InputError(trouble)
    return count_images(folder, host.read_image) if needs_images(texts) else None


def is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and value - value == 0)
