"""What the training loops share: options, folders, the state of the current job, the model.

The counterpart of the host's `modules.shared`, with its names. It imports nothing of the practice host; see `initialize.setup`.
"""
from __future__ import annotations

import datetime as dt
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lib_lrsched import console

if TYPE_CHECKING:
    from PIL import Image

device = torch.device("cpu")

opts = SimpleNamespace(
    dataset_filename_join_string=" ",
    dataset_filename_word_regex="",
    pin_memory=False,
    practice_grad_scaler=False,  # ours: scale the loss as the host does on a GPU
    practice_quiet=False,  # ours: no progress bar and no lines on the console
    practice_say=None,  # ours: a function that takes the lines of the hooks in place of the console
    samples_format="png",
    save_optimizer_state=False,
    save_training_settings_to_txt=True,
    training_enable_tensorboard=False,
    training_image_repeats_per_epoch=1,
    training_tensorboard_flush_every=120,
    training_tensorboard_save_images=False,
    training_write_csv_every=500,
    training_xattention_optimizations=False,
    unload_models_when_training=False,
)

cmd_opts = SimpleNamespace(
    embeddings_dir="",
    hypernetwork_dir="",
    lowvram=False,
    textual_inversion_dir="",
    textual_inversion_templates_dir="",
)


class State:
    """The job that runs now, as a progress bar on another thread reads it; the loops stop at `interrupted`."""

    def __init__(self) -> None:
        self.interrupted = False
        self.current_image: Image.Image | None = None
        self.id_live_preview = 0
        self.job_timestamp = "0"
        self.textinfo: str | None = None
        self._name_job("", 0)

    def begin(self, job: str = "(unknown)") -> None:
        """Forgets the last job, an interruption of it included."""
        self.interrupted = False
        self.current_image = None
        self.id_live_preview = 0
        self.job_timestamp = dt.datetime.now().astimezone().strftime("%Y%m%d%H%M%S")
        self.textinfo = None
        self._name_job(job, -1)

    def end(self) -> None:
        """The job is over; image and text stay to be read."""
        self.job, self.job_count = "", 0

    def interrupt(self) -> None:
        """Asks the loop to stop before its next micro-batch."""
        self.interrupted = True

    def assign_current_image(self, image: Image.Image) -> None:
        """Shows an image; the count tells readers that there is a new one."""
        self.current_image = image
        self.id_live_preview += 1

    def _name_job(self, job: str, job_count: int) -> None:
        self.job, self.job_no, self.job_count = job, 0, job_count


class Checkpoint(NamedTuple):
    """What the saved files say about the model they were trained on."""

    model_name: str
    shorthash: str

    def facts(self) -> dict[str, str]:
        """As the settings file names them."""
        return {"model_name": self.model_name, "model_hash": self.shorthash}


state = State()
sd_model: Any = None
"""The PracticeModel, or another one in its place."""
hypernetworks: dict[str, str] = {}
loaded_hypernetworks: list[Any] = []
"""The Hypernetwork objects that the model applies."""
parallel_processing_allowed = True
at_start: list[Callable[[], None]] = []
"""Ours: called when a training has passed every check, just before its first update."""


def reload_hypernetworks() -> None:
    """Lists the .pt files in the hypernetworks folder anew."""
    found = sorted(Path(cmd_opts.hypernetwork_dir).rglob("*.pt"), key=lambda path: str(path).lower())
    hypernetworks.clear()
    hypernetworks.update({path.stem: str(path) for path in found})


def set_loaded_hypernetworks(loaded: list[Any]) -> None:
    """The hypernetworks that the model's attention layers apply, in this order."""
    global loaded_hypernetworks  # the host keeps it in a module global, where the model looks
    loaded_hypernetworks = loaded
    sd_model.hypernetworks = loaded


def select_checkpoint() -> Checkpoint:
    """The model's name and short hash."""
    return Checkpoint(sd_model.sd_checkpoint_name, sd_model.sd_model_hash)


def start() -> None:
    """The loop is about to start: what waits for that is done, once."""
    waiting = at_start.copy()
    at_start.clear()
    for action in waiting:
        action()


def say(text: str) -> None:
    """A line for the console that leaves a progress bar whole."""
    if not opts.practice_quiet:
        console.line(text)


def report(message: str, *, is_brief: bool = False) -> None:
    """Prints the exception that is being handled to standard error, as the host does before it continues.

    Where somebody takes the lines, a brief one is a line, and so is a file that cannot be read or written: a traceback would
    bury the sentence in which the hooks say what to do about it.
    """
    error = sys.exc_info()[1]
    if opts.practice_say is not None and (is_brief or isinstance(error, OSError)):
        opts.practice_say(f"{message}: {error}")
        return
    stream = console.stderr()
    stream.write(f"*** {message}\n{traceback.format_exc()}")
    stream.flush()


def progress_bar(total: int) -> Any:
    """A bar on standard error that counts updates."""
    return console.bar(total=total, disable=opts.practice_quiet)

