"""What the endpoints show of a run: its state, its numbers, its legs. Pure but for reading history files; no HTTP."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lib_lrsched.schedule.running_average import SMOOTHING
from lib_lrsched.storage.history import MAX_STEP, Event, History
from lib_lrsched.storage.run_state import Leg, RunState

from . import not_measured
from ._learning import Learning, learning

POINTS = 2000
"""Most points of a curve in one answer."""

LOOKS = 1000
"""Most looks of validation in one answer."""

OPEN_HISTORIES = 8
"""Histories of ended runs that are kept in memory between two requests."""

_RUN_FIELDS = (
    "id", "kind", "name", "state", "step", "initial_step", "total_steps", "created_s", "updated_s", "rate_text",
    "clip_text", "clip_mode", "clip_exact", "batch", "accumulate", "pictures", "steps_per_epoch", "message",
)  # fmt: skip


class PointsRequest(NamedTuple):
    """Which points: from step `since` to below `until`, or to the end; and the decay of their running average of the loss."""

    since: int = 0
    until: int | None = None
    smoothing: float = SMOOTHING


def run_json(state: RunState) -> dict[str, Any]:
    """What a list of runs shows of a state."""
    last = state.legs[-1] if state.legs else None
    legs = [{"start_step": leg.start_step, "mode": leg.mode, "rate_text": leg.rate_text} for leg in state.legs]
    shown = {name: getattr(state, name) for name in _RUN_FIELDS}
    return shown | {"multiplier": state.multiplier, "origin": 0 if last is None else last.origin, "legs": legs}


def past_legs(state: RunState) -> list[Leg]:
    """The legs of a run as the preview wants them; a leg that went back takes the place of those it undid."""
    legs: list[Leg] = []
    for leg in filter(_is_possible, state.legs):
        while legs and legs[-1].start_step >= leg.start_step:
            legs.pop()
        legs.append(leg)
    return legs


def _is_possible(leg: Leg) -> bool:
    """Whether a run can have made this leg: a file from elsewhere may say anything, and then there is nothing to draw."""
    counts = [count for count in (leg.steps_per_epoch, leg.images_per_step) if count is not None]
    return leg.origin <= leg.start_step and leg.origin < leg.total_steps and max(leg.total_steps, *counts, 0) <= MAX_STEP


def run_answer(state: RunState, history: History, wanted: PointsRequest) -> dict[str, Any]:
    """A run with the numbers that are asked for; `next_since` is what to ask for the next time."""
    since = wanted.since
    points = history.since(since, POINTS, until=wanted.until, smoothing=wanted.smoothing)
    last = history.last_step
    events = history.events()
    complete = not state.is_active
    pace = history.pace(state.initial_step)
    # A run that went back has fewer steps than were asked for; asking again from there shows it. A step recorded
    # since the points were taken must not be skipped.
    next_since = points["step"][-1] + 1 if points["step"] else min(since, 0 if last is None else last + 1)
    return {
        "run": run_json(state),
        "settings": state.settings,
        "points": points,
        "events": events,
        "learning": learning_of(history, events, is_over=complete)._asdict(),
        **validation_of(history),
        "next_since": next_since,
        "complete": complete,
        "s_per_step": pace,
        "s_left": None if pace is None or complete else pace * max(0, state.total_steps - state.step),
    }


def learning_of(history: History, events: Sequence[Event] = (), *, is_over: bool) -> Learning:
    """Whether a run learns, in words; the command line says the same as the tab."""
    why_not = next(filter(None, (not_measured.reason(one["message"]) for one in reversed(events))), "")
    return learning(history.compared(), history.validated(), last_step=history.last_step, is_over=is_over, why_not=why_not)


def validation_of(history: History) -> dict[str, Any]:
    """The looks of validation, at most LOOKS and the best among them; those at the average of the weights, at the same steps; and
    the updates that had been made at the best."""
    looks = history.validated()
    best = max(looks, key=lambda look: look[1], default=None)  # the first of equals
    kept = looks[:: -(-len(looks) // LOOKS) or 1]
    kept = sorted({*kept, *looks[-1:], *([best] if best else [])})
    steps = {step for step, _ in kept}
    average = [list(look) for look in history.validated("validation_ema") if look[0] in steps]
    return {"validation": [list(look) for look in kept], "validation_ema": average, "best_step": None if best is None else best[0]}


class Histories:
    """Histories of ended runs, read once and kept while their files stay as they are. Safe for several threads."""

    def __init__(self, size: int = OPEN_HISTORIES) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._held: OrderedDict[Path, _Held] = OrderedDict()

    def of(self, path: Path) -> History:
        """The history in a file, read only.

        Raises:
            RunStateError: a damaged file.
        """
        with self._lock:
            held = self._held.setdefault(path, _Held())
            self._held.move_to_end(path)
            while len(self._held) > self._size:
                self._held.popitem(last=False)
        # Read under the run's own lock: a page that asks several times reads a long file once, and nobody else waits for it.
        with held.lock:
            stamp = _stamp(path)
            if held.history is None or held.stamp != stamp:
                held.history, held.stamp = History.open(path, append=False), stamp
            return held.history


class _Held:
    """A run's history, and the time and size of its file when it was read."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stamp = (0, 0)
        self.history: History | None = None


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
