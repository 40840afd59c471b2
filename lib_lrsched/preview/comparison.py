"""Several runs side by side: their curves over the same axis, what differs in their settings, what came out. Pure; no HTTP.

What is answered here also goes into files that are passed on: no text in it has the path of a folder in it, only the folder's own
name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from lib_lrsched.storage.history import History
from lib_lrsched.storage.run_state import Leg, RunState

from ._paths import own_names, without_paths

Over = Literal["step", "images", "time"]
AXES: tuple[str, ...] = get_args(Over)

MOST_POINTS = 600
"""Of one curve."""

FOLDERS = ("data_root", "log_directory")
AS_STATE = ("learn_rate", "batch_size", "gradient_step", "steps", "clip_grad_mode", "clip_grad_value")
"""The host's inputs that a run's state has in fields of its own."""

LABELS = {
    "kind": "Kind", "name": "Name", "rate_text": "Learning rate", "total_steps": "Max steps", "batch": "Batch size",
    "accumulate": "Gradient accumulation steps", "pictures": "Images in the data set", "clip_mode": "Gradient clipping",
    "clip_text": "Gradient clip value", "data_root": "Data set directory", "log_directory": "Log directory",
    "template_filename": "Prompt template", "training_width": "Width", "training_height": "Height",
    "varsize": "Do not resize images",
    "shuffle_tags": "Shuffle tags", "tag_drop_out": "Drop out tags", "latent_sampling_method": "Latent sampling method",
    "use_weight": "PNG alpha channel as loss weight", "optimizer": "Optimizer", "create_image_every": "Save an image every N steps",
    "save_embedding_every": "Save a copy every N steps", "save_hypernetwork_every": "Save a copy every N steps",
    "save_image_with_stored_embedding": "Save images with the embedding in them",
    "preview_from_txt2img": "Preview with the settings of txt2img",
}  # fmt: skip
"""What the settings are called, in the order in which they are shown; others follow under their own names."""

OUTCOMES: Mapping[str, tuple[str, str]] = {
    "outcome": ("How it ended", "text"), "step": ("Updates", "count"), "seconds": ("Time trained", "seconds"),
    "progress_end": ("Progress at the end", "share"), "progress_best": ("Progress at its best", "share"),
    "progress_best_step": ("Best progress after updates", "count"), "validation_end": ("Validation at the end", "share"),
    "validation_best": ("Validation at its best", "share"), "best_step": ("Best validation after updates", "count"),
    "multiplier": ("Factor of the rate after rescues", "number"), "created_s": ("Started", "time"), "ended_s": ("Ended", "time"),
    "images": ("Preview images", "count"), "size_bytes": ("Size on disk", "bytes"),
}  # fmt: skip
"""What came out, by the fields of a run in the list: what it is called, and what kind of value it is."""


class ComparedRun(NamedTuple):
    """One run: its state, what the list shows of it, and its numbers."""

    state: RunState
    listed: Mapping[str, Any]
    history: History


def comparison(runs: Sequence[ComparedRun], over: Over, option_labels: Mapping[str, str],
               folders: Iterable[str] = ()) -> dict[str, Any]:
    """The runs side by side, in their order.

    Args:
        over: the axis of the curves: updates made, images shown, or seconds trained.
        option_labels: what the options of a run are called, by name.
        folders: paths that are not to be shown, besides those in the settings of the runs.
    """
    secret = [*folders, *(str(run.state.settings.get(name) or "") for run in runs for name in FOLDERS)]

    def plain(value: Any) -> Any:
        return without_paths(value, secret) if isinstance(value, str) else value

    return {
        "over": over,
        "runs": [_run(run, over, plain) for run in runs],
        "settings": _settings([run.state for run in runs], option_labels, plain),
        "outcomes": [
            {"field": field, "label": label, "type": kind, "values": [plain(run.listed[field]) for run in runs]}
            for field, (label, kind) in OUTCOMES.items()
        ],
    }


def _run(run: ComparedRun, over: Over, plain: Callable[[Any], Any]) -> dict[str, Any]:
    points, looks, listed = run.history.since(0), run.history.validated(), run.listed
    axis = Axis(run.state, np.array(points["step"], dtype=np.float64), np.array(points["time_s"], dtype=np.float64))
    best = max(looks, key=lambda look: look[1], default=None)
    made = np.array(points["step"], dtype=np.float64) + 1
    return {
        **{name: plain(listed[name]) for name in ("id", "kind", "name", "state", "title", "note")},
        "curve": _curve(axis, over, made, points["progress"]),
        "loss": _curve(axis, over, made, points["smooth"]),
        "validation": _curve(axis, over, np.array([look[0] for look in looks], dtype=np.float64), [look[1] for look in looks]),
        "best": None if best is None else [float(axis.at(over, np.array([float(best[0])]))[0]), best[1]],
        "outcome": {field: plain(listed[field]) for field in OUTCOMES},
    }  # fmt: skip


def _curve(axis: Axis, over: Over, made: NDArray[np.float64], values: Sequence[float | None]) -> list[list[float]]:
    known = [index for index, value in enumerate(values) if value is not None]
    if len(known) > MOST_POINTS:
        known = [known[place] for place in np.linspace(0, len(known) - 1, MOST_POINTS).astype(int)]
    xs = axis.at(over, made[known]) if known else ()
    return [[float(x), float(values[index])] for x, index in zip(xs, known, strict=True)]  # type: ignore[arg-type]


class Axis:
    """Where updates of a run lie on each of AXES. The time between two legs does not count.

    Args:
        steps, times: 0-based step and unix time of recorded updates, rising.
    """

    def __init__(self, state: RunState, steps: NDArray[np.float64], times: NDArray[np.float64]) -> None:
        self._legs = _lasting(state.legs)
        self._images = float(state.batch * state.accumulate)
        self._made, self._seconds = steps + 1, self._trained(steps, times)

    def at(self, over: Over, made: NDArray[np.float64]) -> NDArray[np.float64]:
        """For so many updates made each: that number, the images shown, or the seconds trained."""
        return {"step": lambda: made, "images": lambda: self._shown(made), "time": lambda: self._after(made)}[over]()

    def _shown(self, made: NDArray[np.float64]) -> NDArray[np.float64]:
        shown = np.zeros(len(made)) if self._legs else made * self._images
        for leg, stop in zip(self._legs, self._stops(), strict=True):
            shown += (np.clip(made, leg.start_step, stop) - leg.start_step) * float(leg.images_per_step or self._images)
        return shown

    def _after(self, made: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(made, self._made, self._seconds) if len(self._made) else np.zeros(len(made))

    def _trained(self, steps: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
        seconds, before = np.zeros(len(steps)), 0.0
        for leg, stop in zip(self._legs, self._stops(), strict=True):
            own = (steps >= leg.start_step) & (steps < stop)
            if own.any():
                seconds[own] = before + np.maximum.accumulate(np.maximum(times[own] - leg.started_s, 0.0))
                before = float(seconds[own][-1])
        return seconds

    def _stops(self) -> list[float]:
        return [*(float(leg.start_step) for leg in self._legs[1:]), float("inf")][: len(self._legs)]


def _lasting(legs: Sequence[Leg]) -> list[Leg]:
    """The legs but for those that a later one undid."""
    found: list[Leg] = []
    for leg in legs:
        while found and found[-1].start_step >= leg.start_step:
            found.pop()
        found.append(leg)
    return found


# Settings -----------------------------------------------------------------------------------------


def settings_of(state: RunState) -> dict[str, Any]:
    """All settings of a run by name: those of its state, the host's inputs, its options."""
    own = {name: getattr(state, name) for name in LABELS if hasattr(state, name)} | {"rate_text": _schedule(state)}
    inputs = {name: value for name, value in state.settings.items() if name not in AS_STATE}
    return {**own, **inputs, **state.options}


def _schedule(state: RunState) -> str:
    """The text of each leg that had another one than the leg before it."""
    said: list[str] = []
    last = ""
    for leg in _lasting(state.legs):
        if leg.rate_text != last:
            said.append(f"from step {leg.start_step}: {leg.rate_text}" if said else leg.rate_text)
            last = leg.rate_text
    return "; ".join(said) or state.rate_text


def _settings(states: Sequence[RunState], option_labels: Mapping[str, str], plain: Callable[[Any], Any]) -> list[dict[str, Any]]:
    found = [settings_of(state) for state in states]
    named = {**LABELS, **option_labels}
    others = {name for settings in found for name in settings} - set(named)
    rows = []
    for name in (*named, *sorted(others)):
        values = [settings.get(name) for settings in found]
        if all(value in (None, "") for value in values):
            continue
        shown = own_names(values) if name in FOLDERS else [plain(value) for value in values]
        differs = any(not _is_same(value, values[0]) for value in values)
        rows.append({"field": name, "label": named.get(name, name), "values": shown, "differs": differs})
    return rows


def _is_same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and left == right if isinstance(left, bool) or isinstance(right, bool) else bool(left == right)
