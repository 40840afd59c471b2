"""Makes runs of all sorts on the practice host, as another process than the page's server: python practice_runs.py FOLDER.

    fallen    60 updates asked for; the process went away after 37, with a state saved after 30
    paused    interrupted after 20 of 60
    again     20 updates, then a restarted schedule up to 45, then a new one up to 60
    rescued   20 updates; a loss was NaN, and the guard stepped in
    gallery   30 updates, then up to 60 with a rescue at 43; validated, with copies and preview images
    parcel, spoilt, over, woven    finished
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib_lrsched.host import hooks
from lib_lrsched.practice import service, shared, textual_inversion
from lib_lrsched.practice.host import practice_host
from lib_lrsched.training.settings import Settings

TEXT = "warmup(0.005):10, cosine(0.005, 1e-4)"
OTHER = "linear(0.004, 1e-4)"
AUTOSAVE_EVERY, STEPS, DIED_AT, SAVED_AT, INTERRUPTED_AT = 10, 60, 37, 30, 20


def after(updates: int, action: Callable[[], None]) -> None:
    """Has the next training do something when so many updates are made."""
    original = textual_inversion.write_loss

    def write_loss(log_directory: Any, filename: Any, step: int, epoch_len: int, values: Any) -> Any:
        answer = original(log_directory, filename, step, epoch_len, values)
        if step == updates:
            textual_inversion.write_loss = original
            action()
        return answer

    textual_inversion.write_loss = write_loss


def embedding(name: str, text: str, steps: int, **more: Any) -> None:
    if name not in service.embeddings():
        service.create("embedding", name)
    service.train("embedding", name, text, steps, seed=1, **more)


def fall() -> None:
    """A child process trains and exits at once, as if killed."""
    service.create("embedding", "fallen")
    child = os.fork()
    if child == 0:
        try:
            after(DIED_AT, lambda: os._exit(9))
            embedding("fallen", TEXT, STEPS)
        finally:
            os._exit(70)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def interrupt() -> None:
    after(INTERRUPTED_AT, shared.state.interrupt)
    embedding("paused", TEXT, STEPS)


def begin_again(runtime: Any) -> None:
    embedding("again", TEXT, 20)
    runtime.choices.choose("embedding", "again", "restart")
    embedding("again", OTHER, 45)
    embedding("again", "linear(0.003, 1e-4)", STEPS)


def rescue() -> None:
    model = type(shared.sd_model)
    original, calls = model.forward, []

    def forward(self: Any, *args: Any) -> Any:
        calls.append(self)
        loss, named = original(self, *args)
        return (loss * float("nan") if len(calls) == 13 else loss), named

    model.forward = forward
    embedding("rescued", TEXT, 20)
    model.forward = original


def spoil_the_next_loss() -> None:
    model = type(shared.sd_model)
    original = model.forward

    def forward(self: Any, *args: Any) -> Any:
        model.forward = original
        loss, named = original(self, *args)
        return loss * float("nan"), named

    model.forward = forward


def show(runtime: Any) -> None:
    more = {"previews_every": 10, "preview_steps": 2, "copies_every": 10}
    service.create("embedding", "gallery")
    runtime.next_training.choose_options("embedding", "gallery", {"validate_every": 10})
    embedding("gallery", TEXT, 30, **more)
    after(42, spoil_the_next_loss)
    embedding("gallery", TEXT, STEPS, **more)


def main(root: Path) -> None:
    service.open_at(root)
    shared.opts.practice_quiet = True
    runtime = hooks.install(practice_host(root, lambda: Settings(autosave_every=AUTOSAVE_EVERY, training_speed="fast")))
    fall()
    interrupt()
    begin_again(runtime)
    rescue()
    show(runtime)
    for name in ("parcel", "spoilt", "over"):
        embedding(name, TEXT, 20)
    service.create("hypernetwork", "woven")
    service.train("hypernetwork", "woven", "1e-4", 12, seed=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
