"""Steps that tests of several folders share: train, die, resume, compare; break a loss; find the host's file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from practice_rig import NAME, small_model, weights

from lib_lrsched.practice import sd_hijack, shared, textual_inversion

TEXT = "warmup(0.01):4, cosine(0.01, 0.001)"
UPDATES = 16
EXACTLY = "resumed exactly: weights, optimizer, random numbers and data position are restored"
NAN = float("nan")
INF = float("inf")
FULL = OSError(28, "No space left on device")


def in_child(action: Callable[[], None]) -> int:
    """Runs an action in a process of its own; its exit status."""
    child = os.fork()
    if child == 0:
        status = 70
        try:
            action()
            status = 0
        except BaseException as error:
            print(f"child: {type(error).__name__}: {error}", flush=True)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_after(updates: int) -> None:
    """The process leaves when the host has recorded so many updates: no final save, no finally."""
    original = textual_inversion.write_loss

    def write_loss(log_directory: Any, filename: Any, step: int, epoch_len: int, values: Any) -> Any:
        answer = original(log_directory, filename, step, epoch_len, values)
        if step == updates:
            os._exit(9)
        return answer

    textual_inversion.write_loss = write_loss


def train_and_die(ground: Any, kind: str, updates: int, steps: int = UPDATES, text: str = TEXT, **choices: Any) -> None:
    """A child trains up to ``updates``, is gone, and the host comes up again with what is on the disk."""

    def run() -> None:
        die_after(updates)
        ground.train(kind, text, steps, **choices)

    assert in_child(run) == 9
    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    shared.reload_hypernetworks()


def whole(ground: Any, kind: str, text: str = TEXT, steps: int = UPDATES, **choices: Any) -> list[Any]:
    """The weights of a run without a break, by another name, from the same start."""
    ground.create(kind, "whole", overwrite=True)
    return weights(ground.train(kind, text, steps, name="whole", **choices))


def history(ground: Any, name: str) -> list[tuple[Any, ...]]:
    (run,) = (run for run in ground.runs() if run.name == name)
    by_step = {record.step: record for record in ground.records(run)}  # a run that went back counts once
    return [(*by_step[k][:5], *by_step[k][6:]) for k in sorted(by_step)]  # all but the time


def events(ground: Any, name: str = NAME) -> list[str]:
    (run,) = (run for run in ground.runs() if run.name == name)
    return [message for _, message in ground.events(run)]


def losses_that(monkeypatch: pytest.MonkeyPatch, change: Callable[[int, Any], Any]) -> None:
    """The loss of micro-batch number n (from 1) is what ``change`` makes of it."""
    model = type(small_model())
    forward, calls = model.forward, []

    def changed(self: Any, *args: Any) -> Any:
        calls.append(self)
        loss, named = forward(self, *args)
        return change(len(calls), loss), named

    monkeypatch.setattr(model, "forward", changed)


def rescues(ground: Any) -> list[str]:
    return [message for event, message in ground.events() if event == "rescue"]


def folder_of(kind: str) -> Path:
    return Path(shared.cmd_opts.embeddings_dir if kind == "embedding" else shared.cmd_opts.hypernetwork_dir)


def main_file(kind: str) -> Path:
    return folder_of(kind) / f"{NAME}.pt"
