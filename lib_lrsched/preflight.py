"""What would go wrong with a training, looked at before it starts: each finding says what is wrong and what to do.

Two ask: the check of a training's inputs, which refuses errors and notes warnings, and the page, while the inputs are typed.
Nothing is written and nothing loaded here, and a host that lacks what is looked at gets no finding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from .counting import count_steps, needs_pictures
from .errors import ScheduleError
from .host import Host, NoTraining
from .no_gradient import of_twins, twins_of
from .pictures import count_pictures
from .plan import Plan, plan
from .preflight_case import ERROR, WARNING, Case, Finding, look
from .preflight_model import OF_MODEL, gradient, gradient_ahead
from .sampling import sample_steps

MANY_POINTS, MANY_FILES = 2000, 400

NO_RATE, NO_CLIP = "the learning rate is 0 at every step", "the gradient clip value is 0 at every step"
NOTHING_LEARNED = f"{NO_RATE}, so nothing will be learned: give a rate above 0"
ALL_CLIPPED = (f"{NO_CLIP}, which cuts every gradient to 0, so nothing will be learned: give a value above 0, or switch "
               "gradient clipping off")


def findings(host: Host | NoTraining, kind: str, name: str, inputs: Mapping[str, Any], step: int = 0) -> list[dict[str, str]]:
    """What is wrong with a training as it is typed now, errors first: severity, subject, message. Never raises."""
    if isinstance(host, NoTraining):
        return [Finding(ERROR, "host", host.why)._asdict()]
    found = look(Case(host, kind, name, inputs, step=step), (*OF_MODEL, gradient_ahead, template, *OF_INPUTS))
    return [one._asdict() for one in sorted(found, key=lambda one: one.severity != ERROR)]


def of_start(host: Host, kind: str, name: str, inputs: Mapping[str, Any]) -> list[Finding]:
    """What checks.py does not look at itself when a training starts; ``inputs`` are those of validate_train_inputs."""
    return look(Case(host, kind, name, inputs, starts=True), (*OF_MODEL, template, gradient, twins))


def template(case: Case) -> Iterator[Finding]:
    """Prompts that do not name the embedding that is trained."""
    file = case.inputs.get("template_file") or case.host.ti.textual_inversion_templates.get(case.text("template_filename"))
    if case.kind != "embedding" or not case.name or file is None:
        return
    lines = [line.strip() for line in Path(file.path).read_text(encoding="utf-8", errors="replace").splitlines()]
    lacking = [(i, line) for i, line in enumerate(lines, 1) if "[name]" not in line and not _names(line, case)]
    captions = _captions(case) if any("[filewords]" in line for _, line in lacking) else []
    named = sum(_names(caption, case) for caption in captions)
    if captions and named == len(captions):
        lacking = [(i, line) for i, line in lacking if "[filewords]" not in line]
    if not lacking:
        return
    number, line = lacking[0]
    what = f"{line!r}" if line else "an empty line, which counts as a prompt"
    if named and "[filewords]" in line:
        yield Finding(WARNING, "template", f"{named} of {len(captions)} captions name {case.name!r}, and line {number} of the "
                                           f"prompt template {file.name} does not: an update with the other prompts alone learns "
                                           "nothing, and on CUDA it ends the training; put [name] into that line")
    elif len(lacking) == len(lines) and not named:
        yield Finding(ERROR, "template", f"no line of the prompt template {file.name} has [name] in it, so no prompt names "
                                         f"{case.name!r} and nothing would be learned: choose another, such as "
                                         "subject_filewords.txt")
    else:
        yield Finding(WARNING, "template", f"{len(lacking)} of {len(lines)} lines of the prompt template {file.name} lack [name], "
                                           f"line {number} is {what}: an update with such prompts alone learns nothing, and on "
                                           "CUDA it ends the training; put [name] into them")


def _names(text: str, case: Case) -> bool:
    """As the text encoder reads it, which knows no capitals."""
    return case.name.lower() in text.lower()


def _captions(case: Case) -> list[str]:
    """Those of the first few pictures."""
    folder = case.text("data_root")
    files = sorted(islice(Path(folder).iterdir(), MANY_FILES)) if folder else []
    captions = [(file.with_suffix(".txt"), file.stem) for file in files if file.suffix.lower() != ".txt"]
    return [file.read_text(encoding="utf-8") if file.exists() else stem for file, stem in captions]


def made(case: Case) -> Iterator[Finding]:
    """Nothing is left to train: max steps counts every update of an embedding's life."""
    steps = case.whole("steps")
    if steps and case.step >= steps:
        yield Finding(ERROR, "steps", f"{case.name!r} has {case.step} updates already, and max steps, which counts all of them, is "
                                      f"{steps}: raise it")


def log_folder(case: Case) -> Iterator[Finding]:
    folder = case.text("log_directory")
    every = ("create_image_every", "save_embedding_every", "save_hypernetwork_every", "save_model_every")
    if folder:
        trouble = folder_trouble(folder)
        if trouble:
            yield Finding(ERROR, "log_directory", trouble)
    elif any(case.whole(name) for name in every):
        yield Finding(ERROR, "log_directory", "no log directory is given, and copies or pictures are to be saved there: name one")
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
    why = "no folder" if not path.is_dir() else "not writable"
    return f"the log directory {folder!r} does not exist and cannot be made: {path} is {why}"


def pictures(case: Case) -> Iterator[Finding]:
    if case.text("data_root"):
        trouble = data_trouble(case.host, case.text("data_root"))
        if trouble:
            yield Finding(ERROR, "data_root", trouble)


def data_trouble(host: Host, folder: str) -> str:
    """Why a folder is no data set; empty where it has a picture."""
    try:
        count = count_pictures(folder, host.read_picture, 1)
    except OSError as error:
        return f"the data set directory {str(folder)!r} cannot be read: {error.strerror or error}"
    if count:
        return ""
    return f"no file in {str(folder)!r} can be read as a picture; captions (.txt) beside pictures do not count"


def schedule(case: Case) -> Iterator[Finding]:
    """A rate that is 0 throughout; a schedule that ends early."""
    planned, steps = _planned(case, case.text("learn_rate")), case.whole("steps")
    if planned is None:
        return  # the chart beside the field shows where it is wrong
    if is_nothing(planned):
        yield Finding(WARNING, "learn_rate", NOTHING_LEARNED)
    elif planned.stop < steps:
        yield Finding(WARNING, "learn_rate", ends_early(planned.stop, steps))


def clip(case: Case) -> Iterator[Finding]:
    """A clip threshold that is 0 throughout."""
    planned = _planned(case, case.text("clip_grad_value")) if case.inputs.get("clip_grad_mode") in ("value", "norm") else None
    if planned is not None and is_nothing(planned):
        yield Finding(WARNING, "clip_grad_value", ALL_CLIPPED)


def _planned(case: Case, text: str) -> Plan | None:
    """None where there is no text, or none that can be planned."""
    steps, folder = case.whole("steps"), case.text("data_root")
    if not steps or not text:
        return None
    known = count_pictures(folder, case.host.read_picture) if folder and needs_pictures(text) else 0  # reads every picture
    counts = count_steps(known or None, case.whole("batch_size") or 1, case.whole("gradient_step") or 1)
    try:
        return plan(text, total_steps=steps, steps_per_epoch=counts.steps_per_epoch, images_per_step=counts.images_per_step)
    except ScheduleError:
        return None


def is_nothing(planned: Plan) -> bool:
    """Whether the rate is 0 at every step: at every extreme, to be exact."""
    return not planned.feedback and not planned.values(sample_steps(planned, MANY_POINTS)).any()


def ends_early(stop: int, total: int) -> str:
    return f"the schedule ends at step {stop} of {total}, and training with it; leave out the last end to go on at the last rate"


def twins(case: Case) -> Iterator[Finding]:
    """Another embedding whose name differs only in its capitals."""
    others = twins_of(case.name, getattr(case.host.embedding_db(), "word_embeddings", ())) if case.kind == "embedding" else []
    if others:
        yield Finding(WARNING, "embedding", of_twins(case.name, others))


OF_INPUTS = (made, log_folder, pictures, schedule, clip, twins)
