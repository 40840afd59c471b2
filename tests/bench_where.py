"""Where an update of the practice host spends its time: the loop of each kind as it is, timed around what it calls.

Part of ``make bench``, see bench.py. A part's time is its own, without that of parts in it.
"""

from __future__ import annotations

import functools
import inspect
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from bench_keeping import practice
from bench_lines import Clock

UPDATES, FIRST = 72, 24
"""So many are made, and the first ones left out: the guard compares those."""

REST = "the host's loop, and the rest"


class Parts:
    """Seconds by part, update by update."""

    def __init__(self) -> None:
        self.updates: list[dict[str, float]] = []
        self._now: dict[str, float] = {}
        self._open = [REST]
        self._since = Clock.read()

    def enter(self, part: str) -> None:
        self._take()
        self._open.append(part)

    def leave(self) -> None:
        self._take()
        self._open.pop()

    def end_update(self) -> None:
        self.updates.append(self._now)
        self._now = {}

    def _take(self) -> None:
        now = Clock.read()
        part = self._open[-1]
        self._now[part] = self._now.get(part, 0.0) + now - self._since
        self._since = Clock.read()


def parts(kind: str) -> dict[str, float]:
    """Seconds of an update by part: those of a middle update, and for what is not done at each the mean over all."""
    found = Parts()
    with tempfile.TemporaryDirectory() as folder, practice(Path(folder)) as (service, settings):
        from lib_lrsched.training.options import Options
        from lib_lrsched.training.settings import Settings

        settings |= {"run": Options(), "autosave_every": Settings.autosave_every}
        service.create(kind, "timed")
        with timed(found):
            service.train(kind, "timed", "0.0005", UPDATES, seed=1)
    updates = found.updates[FIRST:]
    return {part: _typical([one.get(part, 0.0) for one in updates]) for part in sorted({part for one in updates for part in one})}


def _typical(times: list[float]) -> float:
    is_rare = statistics.median(times) == 0.0
    return statistics.fmean(times) if is_rare else statistics.median(times)


@contextmanager
def timed(found: Parts) -> Iterator[None]:
    """While it lasts what makes an update is timed, on its classes."""
    from lib_lrsched.optimizer.step_hook import StepHook
    from lib_lrsched.practice import dataset, loop
    from lib_lrsched.practice.model import PracticeModel
    from lib_lrsched.practice.text import TextEncoder
    from lib_lrsched.training.callback import Callbacks
    from lib_lrsched.training.callbacks.snapshots import Snapshots
    from lib_lrsched.training.schedulers import RateScheduler
    from lib_lrsched.training.session import Session

    def forward(*_: Any) -> str:
        return "forward" if torch.is_grad_enabled() else "ours: comparing with the start"

    places: list[tuple[Any, str, Callable[..., str]]] = [
        (PracticeModel, "apply_model", forward), (TextEncoder, "forward", forward),
        (torch.Tensor, "backward", lambda *_: "backward"), (torch.optim.AdamW, "step", lambda *_: "the optimizer"),
        (StepHook, "_before_step", lambda *_: "ours: norm and clip"),
        (RateScheduler, "apply", lambda *_: "ours: the rate"), (Session, "updated", lambda *_: "ours: after the update"),
        (Callbacks, "call", lambda _, event, *__: f"ours: {event}"), (Snapshots, "_save", lambda *_: "ours: saving a snapshot"),
        (inspect.unwrap(dataset.PersonalizedBase), "__getitem__", lambda *_: "the batch"),
        (loop.UpdateLog, "note", lambda *_: "the host's log"),
    ]
    with ExitStack() as put_back:
        for owner, name, part in places:
            put_back.callback(_restore, owner, name, vars(owner).get(name))
            setattr(owner, name, _timed(getattr(owner, name), part, found, ends=name == "note"))
        yield


def _restore(owner: Any, name: str, own: Any) -> None:
    delattr(owner, name) if own is None else setattr(owner, name, own)


def _timed(original: Callable[..., Any], part: Callable[..., str], found: Parts, *, ends: bool) -> Callable[..., Any]:
    @functools.wraps(original)
    def measured(*args: Any, **kwargs: Any) -> Any:
        found.enter(part(*args))
        try:
            return original(*args, **kwargs)
        finally:
            found.leave()
            if ends:
                found.end_update()

    return measured
