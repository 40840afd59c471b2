"""What would go wrong with a training, looked at before it starts: each finding says what is wrong and what to do.

Two ask: the check of a training's inputs, which refuses errors and notes warnings, and the page, while the inputs are typed.
Nothing is written and nothing loaded here, and a host that lacks what is looked at gets no finding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lib_lrsched.errors import ScheduleError
from lib_lrsched.schedule.counting import count_steps, needs_images
from lib_lrsched.schedule.plan import Plan, plan
from lib_lrsched.schedule.usual import is_nothing, unusual_rate
from lib_lrsched.training.no_gradient import shared_words
from lib_lrsched.training.options import Options

from . import validation_images
from ._preflight_data import data_files, data_trouble, missing_template, path_hint, template
from ._preflight_inputs import larger_than_the_set, numbers
from ._preflight_model import OF_MODEL, gradient, gradient_ahead
from .images import count_images
from .kinds import kind_of
from .preflight_case import ERROR, WARNING, Case, Finding, look
from .webui import Host, NoTraining

FINISHED = "finished"
"""The subject where nothing is left to train, which is not an error of the user's."""

NO_RATE, NO_CLIP = "the learning rate is 0 at every step", "the gradient clip value is 0 at every step"
NOTHING_LEARNED = f"{NO_RATE}, so nothing will be learned: give a rate above 0"
ALL_CLIPPED = (f"{NO_CLIP}, which cuts every gradient to 0, so nothing will be learned: give a value above 0, or switch "
               "gradient clipping off")


def findings(host: Host | NoTraining, kind: str, name: str, inputs: Mapping[str, Any], step: int = 0,
             options: Options = Options()) -> list[dict[str, str]]:  # noqa: B008 a frozen value
    """What is wrong with a training as it is typed now, errors first: severity, subject, message. Never raises."""
    if isinstance(host, NoTraining):
        return [Finding(ERROR, "host", host.why)._asdict()]
    found = look(Case(host, kind, name, inputs, step=step, options=options), (*OF_MODEL, gradient_ahead, template, *OF_INPUTS))
    return [one._asdict() for one in sorted(found, key=lambda one: one.severity != ERROR)]


def of_start(host: Host, kind: str, name: str, inputs: Mapping[str, Any]) -> list[Finding]:
    """What checks.py does not look at itself when a training starts; ``inputs`` are those of validate_train_inputs."""
    return look(Case(host, kind, name, inputs, starts=True), (*OF_MODEL, template, data_files, gradient, same_words))


def made(case: Case) -> Iterator[Finding]:
    """Nothing is left to train: max steps counts every update of an embedding's life."""
    steps = case.whole("steps")
    if steps and case.step == steps:
        words = f"{case.name!r} is finished: it has {steps} updates already. Raise max steps to continue, or start over"
        yield Finding(ERROR, FINISHED, words)
    elif steps and case.step > steps:
        yield Finding(ERROR, "steps", f"{case.name!r} has {case.step} updates already, and max steps, which counts all of them, is "
                                      f"{steps}: raise it")


def log_folder(case: Case) -> Iterator[Finding]:
    folder = case.path("log_directory") if case.text("log_directory") else ""
    every = ("create_image_every", "save_embedding_every", "save_hypernetwork_every", "save_model_every")
    if folder:
        trouble = folder_trouble(folder)
        if trouble:
            yield Finding(ERROR, "log_directory", trouble)
        elif not Path(folder).exists() and path_hint(folder):
            yield Finding(WARNING, "log_directory", f"the log directory {folder!r} will be created{path_hint(folder)}")
    elif any(case.whole(name) for name in every):
        yield Finding(ERROR, "log_directory", "no log directory is given, and copies or images are to be saved there: name one")
    elif isinstance(case.inputs.get("log_directory"), str):
        yield Finding(WARNING, "log_directory", "no log directory is given: settings and losses will be written to a folder of "
                                                f"today's date in {Path.cwd()}")


def folder_trouble(folder: str) -> str:
    """Why the host will not be able to make a log folder; empty where it will."""
    path = Path(os.path.abspath(folder))  # noqa: PTH100 resolve() would follow a link that the host makes its folder under
    while not path.exists() and path != path.parent:
        path = path.parent
    if path.is_dir() and os.access(path, os.W_OK):
        return ""
    why = "not a folder" if not path.is_dir() else "not writable"
    return f"the log directory {folder!r} does not exist and cannot be created: {path} is {why}"


def images(case: Case) -> Iterator[Finding]:
    if case.inputs.get("data_root") == "":
        yield Finding(ERROR, "data_root", "no data set directory is given: name the folder with the images")
    elif case.path("data_root"):
        trouble = data_trouble(case.host, case.path("data_root"))
        if trouble:
            yield Finding(ERROR, "data_root", trouble)


def validation(case: Case) -> Iterator[Finding]:
    """A folder with images to validate on that is not used, or one that is to be used and has none."""
    path = validation_images.folder(case.path("data_root"))
    if path is None:
        return
    if case.options.validate_every:
        trouble = validation_images.trouble(case.host, case.path("data_root"))
        if trouble:
            yield Finding(ERROR, "validation", trouble)
        return
    count = len(validation_images.readable(case.host, path))
    if count:
        images = f"{count} image{'' if count == 1 else 's'}"
        yield Finding(WARNING, "validation", f"the data set has a folder validation with {images}, and validation is off: with "
                                             '"Validate every N updates" the run would be measured on them')


def schedule(case: Case) -> Iterator[Finding]:
    """A rate that cannot be planned, is 0 throughout, or far from what is usual; a schedule that ends early."""
    if case.inputs.get("learn_rate") == "":
        yield Finding(ERROR, "learn_rate", "no learning rate is given: write one, such as 0.005")
    try:
        planned, steps = _planned(case, case.text("learn_rate")), case.whole("steps")
    except ScheduleError as error:
        yield Finding(ERROR, "learn_rate", cannot_be_planned("learning rate", error))
        return
    if planned is None:
        return
    if is_nothing(planned):
        yield Finding(WARNING, "learn_rate", NOTHING_LEARNED)
    elif planned.stop < steps:
        yield Finding(WARNING, "learn_rate", ends_early(planned.stop, steps))
    unusual = unusual_rate(case.kind, planned)
    if unusual is not None:
        yield Finding(WARNING, "learn_rate", unusual.message)


def clip(case: Case) -> Iterator[Finding]:
    """A clip threshold that cannot be planned, or is 0 throughout."""
    if case.inputs.get("clip_grad_mode") not in ("value", "norm"):
        return
    if case.inputs.get("clip_grad_value") == "":
        yield Finding(ERROR, "clip_grad_value", "no gradient clip value is given: write one, such as 0.1, or switch clipping off")
    try:
        planned = _planned(case, case.text("clip_grad_value"))
    except ScheduleError as error:
        yield Finding(ERROR, "clip_grad_value", cannot_be_planned("gradient clip value", error))
        return
    if planned is not None and is_nothing(planned):
        yield Finding(WARNING, "clip_grad_value", ALL_CLIPPED)


def cannot_be_planned(what: str, error: ScheduleError) -> str:
    """The message of an error; the field itself shows the place in the text."""
    return f"the {what} cannot be planned: {error.message}"


def _planned(case: Case, text: str) -> Plan | None:
    """None where there is no text, or where max steps is missing.

    Raises:
        ScheduleError: the text cannot be planned.
    """
    steps, folder = case.whole("steps"), case.path("data_root")
    if not steps or not text:
        return None
    known = count_images(folder, case.host.read_image) if folder and needs_images(text) else 0  # reads every image
    counts = count_steps(known or None, case.whole("batch_size") or 1, case.whole("gradient_step") or 1)
    return plan(text, total_steps=steps, steps_per_epoch=counts.steps_per_epoch, images_per_step=counts.images_per_step)


def ends_early(stop: int, total: int) -> str:
    return f"the schedule ends at step {stop} of {total}, and training with it; leave out the last end to continue at the last rate"


def same_words(case: Case) -> Iterator[Finding]:
    """Another embedding whose name differs only in its capitals."""
    others = kind_of(case.kind).same_words(case.host, case.name)
    if others:
        yield Finding(WARNING, case.kind, shared_words(case.name, others))


OF_INPUTS = (
    numbers, made, log_folder, images, larger_than_the_set, missing_template, data_files, validation, schedule, clip, same_words,
)  # fmt: skip
