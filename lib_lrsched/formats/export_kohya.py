"""Plans as arguments of kohya's sd-scripts.

Its schedules are those of transformers' optimization.py, diffusers' piecewise rules, and torch's own by the names of their
classes. Arguments are only given out when their formula, evaluated in floats at every update as it is there, gives the
plan's rates, or follows them nearly; the note has the difference then. Torch's classes are those that the snippets for torch
use.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from math import log
from typing import Any, NamedTuple

import numpy as np

from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.segments import Segment
from lib_lrsched.schedule.shapes import Torch

from .export_phases import is_phases, to_diffusers
from .export_result import (
    Exported,
    ExportError,
    all_values,
    first_with_momentum,
    refuse_feedback,
    refuse_momentum,
    same,
    shape_names,
    short,
)
from .export_torch import own_scheduler
from .nearest import Deviation, how_far, nearest, said

END = 1e-7
"""The end rate of transformers' polynomial schedule, where --lr_scheduler_args has no other."""

LONGEST = 100_000
"""Characters of one argument; Linux takes 131,072 of them in a command line."""

ONE_PROCESS = "for one process: with more, sd-scripts counts the steps of all processes together"


class Candidate(NamedTuple):
    """A scheduler of sd-scripts with its arguments, and the rates after the warm-up."""

    name: str
    settings: Mapping[str, Any]
    rates: np.ndarray


def to_kohya(plan: Plan) -> Exported:
    """The arguments as one line.

    Update k of a warm-up has k/w of the peak, so the first update has rate 0 and the peak comes at k = w: it is
    ``linear(0, v):100`` in this language and not ``warmup(v):100``.

    Raises:
        ExportError: a plateau, momentum beside other items, or rates that none of its schedules gives or follows nearly.
    """
    refuse_feedback(plan, "sd-scripts")
    values = all_values(plan)
    has_momentum = first_with_momentum(plan) is not None
    candidates = [] if has_momentum else list(_named(plan, values, *_peak_and_warmup(plan.segments[0], values)))
    found = next((c for c in candidates if np.all(same(c.rates, values))), None)
    if found is not None:
        return _line(found.settings, plan, _note_of(found))
    one = own_scheduler(plan)
    if one is not None:
        return _line(_torch_class(one), plan, ONE_PROCESS + ("; its optimizer needs a momentum or betas" if has_momentum else ""))
    refuse_momentum(plan, "sd-scripts beside other segments")
    if all(is_phases(segment) for segment in plan.segments):
        return _line(_piecewise(plan, values), plan, ONE_PROCESS)
    near, away = nearest(_near(plan, values), values)
    if near is None or away is None:
        raise ExportError(_no_match(plan, candidates, values, away))
    line = _line(near.settings, plan, f"{said(away, values, 'sd-scripts')}; {_note_of(near)}")
    return line._replace(worst_error=away.relative)


def _note_of(found: Candidate) -> str:
    has_kind = any("decay_type" in word for word in found.settings.get("lr_scheduler_args", []))
    return ONE_PROCESS + ("; its transformers has to know decay_type" if has_kind else "")


def _near(plan: Plan, values: np.ndarray) -> Iterator[Candidate]:
    """With a warm-up up to the step after the highest rate, where the plan's own warm-up ends, or up to that rate itself."""
    peak, top = float(values.max()), int(values.argmax())
    for warm in (top + 1, top) if top else (0,):
        yield from _named(plan, values, peak, warm)


def _line(settings: Mapping[str, Any], plan: Plan, note: str) -> Exported:
    words = []
    for name, value in {**settings, "max_train_steps": plan.stop}.items():
        words += [f"--{name}", *map(_quoted, value)] if isinstance(value, list) else [f"--{name}={value}"]
    return Exported(" ".join(words), note)


def _quoted(word: str) -> str:
    """A word for a shell. Double quotes are those of cmd.exe too; nothing in here has a meaning between them."""
    return word if word == shlex.quote(word) else f'"{word}"'


def _torch_class(one: Torch) -> dict[str, Any]:
    arguments = [f"{name}={value!r}" for name, value in one.arguments.items() if value is not None]
    return {"learning_rate": short(one.rate), "lr_scheduler_type": one.scheduler, "lr_scheduler_args": arguments}


def _piecewise(plan: Plan, values: np.ndarray) -> dict[str, Any]:
    rate = float(values[np.flatnonzero(values)[0]])
    rules = to_diffusers(plan, base=rate).text
    if len(rules) + 20 > LONGEST:
        raise ExportError(f"these segments are {len(rules)} characters of step_rules; a command line takes {LONGEST} at most")
    return {"learning_rate": short(rate), "lr_scheduler": "piecewise_constant", "lr_scheduler_args": [f"step_rules={rules!r}"]}


# By name --------------------------------------------------------------------------------------


def _named(plan: Plan, values: np.ndarray, peak: float, warm: int) -> Iterator[Candidate]:
    """The schedules with names, with the arguments that could make them give these rates after a warm-up of ``warm`` steps."""
    k = np.arange(len(values), dtype=np.float64)
    climb = peak * (k / max(1, warm))
    for c in (*_candidates(values, peak, warm), *_ends(plan, values, peak, warm), *_floors(values, peak, warm)):
        warmth = {} if c.name == "constant" else {"lr_warmup_steps": warm}
        settings = {"learning_rate": short(peak), "lr_scheduler": c.name, **warmth, **c.settings}
        yield Candidate(c.name, settings, np.where(k < warm, climb, c.rates))


def _peak_and_warmup(first: Segment, values: np.ndarray) -> tuple[float, int]:
    if first.shape == "linear" and first.values["a"] == 0.0:
        return first.values["b"], first.length
    return float(values.max()), int(values.argmax()) if values[0] == 0.0 else 0


def _candidates(v: np.ndarray, peak: float, warm: int) -> Iterator[Candidate]:
    p = _progress(v, warm)
    level = np.full(len(v), peak)
    if not warm:
        yield Candidate("constant", {}, level)
    yield Candidate("constant_with_warmup", {}, level)
    yield Candidate("linear", {}, peak * (1.0 - p))
    yield Candidate("cosine", {}, peak * (1.0 + np.cos(np.pi * p)) / 2.0)
    cycles = 1 + int(np.count_nonzero(np.diff(v[warm:]) > 0.0))  # a cycle only falls
    if cycles > 1:
        rates = peak * (1.0 + np.cos(np.pi * ((cycles * p) % 1.0))) / 2.0
        yield Candidate("cosine_with_restarts", {"lr_scheduler_num_cycles": cycles}, rates)
    power = _power(v, peak, p)
    if power is not None:
        rates = (peak - END) * np.maximum(0.0, 1.0 - p) ** power + END
        yield Candidate("polynomial", {"lr_scheduler_power": short(power)}, rates)


def _progress(v: np.ndarray, warm: int) -> np.ndarray:
    """From 0 at the end of the warm-up to 1 at the end of the run."""
    return (np.arange(len(v)) - float(warm)) / max(1, len(v) - warm)


def _power(v: np.ndarray, peak: float, p: np.ndarray) -> float | None:
    """The power of a polynomial fall to END, read from its middle."""
    middle = int(np.searchsorted(p, 0.5))
    if middle >= len(v) or not END < v[middle] < peak:
        return None
    return float(f"{log((float(v[middle]) - END) / (peak - END)) / log(1.0 - float(p[middle])):.9e}")


def _ends(plan: Plan, v: np.ndarray, peak: float, warm: int) -> Iterator[Candidate]:
    """A straight or polynomial fall to any end, which the last item has."""
    last = plan.segments[-1]
    if last.shape not in ("linear", "poly") or not last.values["b"] < peak or last.start + last.length != plan.stop:
        return
    end, power = last.values["b"], last.values.get("power", 1.0)
    rates = (peak - end) * np.maximum(0.0, 1.0 - _progress(v, warm)) ** power + end
    yield Candidate("polynomial", {"lr_scheduler_power": short(power), "lr_scheduler_args": [f"lr_end={short(end)}"]}, rates)


def _floors(v: np.ndarray, peak: float, warm: int) -> Iterator[Candidate]:
    """What ends above 0: the numbers are read from the last rate and from where the peak ends."""
    level, count = float(v[-1]) / peak if peak else 0.0, len(v) - warm
    if count < 2 or not 0.0 < level < 1.0:
        return
    scale = max(1, round((count - 1) * level * level / ((1.0 - level) * (1.0 + level))))
    after = np.maximum(0.0, np.arange(len(v)) - float(warm))
    yield Candidate("inverse_sqrt", {"lr_scheduler_timescale": scale}, peak / np.sqrt((after + scale) / scale))
    ratio = _ratio(level, _cosine((count - 1) / count))
    rates = peak * (ratio + (1.0 - ratio) * _cosine(_progress(v, warm)))
    yield Candidate("cosine_with_min_lr", {"lr_scheduler_min_lr_ratio": short(ratio)}, rates)
    fall = len(v) - 1 - int(v[::-1].argmax())  # the last update with the peak
    yield from _stable(v, peak, warm, fall)


def _stable(v: np.ndarray, peak: float, warm: int, fall: int) -> Iterator[Candidate]:
    """Hold, then each kind of decay from update ``fall`` on."""
    count = len(v) - fall
    if fall < warm or count < 2:
        return
    t = np.maximum(0.0, _progress(v, fall))
    for kind, factor in _DECAYS.items():
        ratio = _ratio(float(v[-1]) / peak, float(factor((count - 1) / count)))
        if warm and ratio:
            continue  # releases of transformers differ: the warm-up starts at 0 or at the ratio
        settings: dict[str, Any] = {"lr_decay_steps": count, "lr_scheduler_min_lr_ratio": short(ratio)}
        if kind != "cosine":
            settings["lr_scheduler_args"] = [f"decay_type={kind!r}"]
        yield Candidate("warmup_stable_decay", settings, peak * (ratio + (1.0 - ratio) * factor(t)))


def _cosine(t: Any) -> Any:
    return (1.0 + np.cos(np.pi * t)) / 2.0


_DECAYS: Mapping[str, Callable[[Any], Any]] = {
    "cosine": _cosine, "linear": lambda t: 1.0 - t, "1-sqrt": lambda t: 1.0 - np.sqrt(t),
}  # fmt: skip
"""Kinds of decay by their names there, from 1 at t = 0 to 0 at t = 1. The first is the one that needs no name."""


def _ratio(level: float, height: float) -> float:
    """The floor of a fall from 1 whose last step has ``level``, where the fall to 0 would have ``height``."""
    ratio = float(f"{(level - height) / (1.0 - height):.12g}")
    return ratio if ratio > 1e-13 else 0.0


def _no_match(plan: Plan, candidates: list[Candidate], values: np.ndarray, away: Deviation | None) -> str:
    names, peak = shape_names(plan), values.max()
    for c in candidates:
        wrong = np.flatnonzero(~same(c.rates, values))
        if c.name == "cosine_with_restarts" and np.all(values[wrong] == peak) and np.all(c.rates[wrong] < 1e-9 * peak):
            place = f"the restart at step {wrong[0]}"
            return f"sd-scripts' cosine_with_restarts rounds {place} to the end of a cycle, where the rate is 0 ({names})"
    hint = "each climbs from 0 or not at all, then holds, and falls once, to max steps"
    if any(segment.shape == "warmup" for segment in plan.segments):
        hint = "their warm-up starts at a rate of 0, such as linear(0, 0.005):100"
    return f"none of the schedules of sd-scripts gives these rates ({names}); {hint}{how_far(away)}"
