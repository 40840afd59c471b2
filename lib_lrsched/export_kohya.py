"""Plans as arguments of kohya's sd-scripts.

Its schedules are those of transformers' optimization.py. Arguments are only given out when their formula, evaluated in
floats at every update as it is there, gives the plan's rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import log
from typing import Any, NamedTuple

import numpy as np

from .exported import Exported, ExportError, all_values, refuse_feedback, refuse_momentum, same, shape_names, short
from .parts import parts_of
from .plan import Plan

END = 1e-7
"""The end rate of transformers' polynomial schedule, which sd-scripts leaves as it is."""


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
        ExportError: none of constant, constant_with_warmup, linear, cosine, cosine_with_restarts and polynomial gives this.
    """
    refuse_feedback(plan, "sd-scripts")
    refuse_momentum(plan, "sd-scripts")
    values = all_values(plan)
    peak, warm = _peak_and_warmup(plan, values)
    k = np.arange(len(values), dtype=np.float64)
    climb = peak * (k / max(1, warm))
    candidates = [c._replace(rates=np.where(k < warm, climb, c.rates)) for c in _candidates(values, peak, warm)]
    found = next((c for c in candidates if np.all(same(c.rates, values))), None)
    if found is None:
        raise ExportError(_no_match(plan, candidates, values))
    warmth = {} if found.name == "constant" else {"lr_warmup_steps": warm}
    settings = {"learning_rate": short(peak), "lr_scheduler": found.name, **warmth, **found.settings, "max_train_steps": plan.stop}
    text = " ".join(f"--{name}={value}" for name, value in settings.items())
    return Exported(text, "for one process: with more, sd-scripts counts the steps of all processes together")


def _peak_and_warmup(plan: Plan, values: np.ndarray) -> tuple[float, int]:
    first = parts_of(plan)[0]
    if first.shape == "linear" and first.values["a"] == 0.0:
        return first.values["b"], first.length
    return float(values.max()), int(values.argmax()) if values[0] == 0.0 else 0


def _candidates(v: np.ndarray, peak: float, warm: int) -> Iterator[Candidate]:
    p = (np.arange(len(v)) - float(warm)) / max(1, len(v) - warm)
    level = np.full(len(v), peak)
    if not warm:
        yield Candidate("constant", {}, level)
    yield Candidate("constant_with_warmup", {}, level)
    yield Candidate("linear", {}, peak * (1.0 - p))
    yield Candidate("cosine", {}, peak * (1.0 + np.cos(np.pi * p)) / 2.0)
    again = np.flatnonzero(v[warm + 1 :] == peak)
    if len(again) and (len(v) - warm) % (again[0] + 1) == 0:
        cycles = (len(v) - warm) // (int(again[0]) + 1)
        rates = peak * (1.0 + np.cos(np.pi * ((cycles * p) % 1.0))) / 2.0
        yield Candidate("cosine_with_restarts", {"lr_scheduler_num_cycles": cycles}, rates)
    power = _power(v, peak, p)
    if power is not None:
        rates = (peak - END) * np.maximum(0.0, 1.0 - p) ** power + END
        yield Candidate("polynomial", {"lr_scheduler_power": short(power)}, rates)


def _power(v: np.ndarray, peak: float, p: np.ndarray) -> float | None:
    """The power of a polynomial fall to END, read from its middle."""
    middle = int(np.searchsorted(p, 0.5))
    if middle >= len(v) or not END < v[middle] < peak:
        return None
    return float(f"{log((float(v[middle]) - END) / (peak - END)) / log(1.0 - float(p[middle])):.9e}")


def _no_match(plan: Plan, candidates: list[Candidate], values: np.ndarray) -> str:
    names, peak = shape_names(plan), values.max()
    for c in candidates:
        wrong = np.flatnonzero(~same(c.rates, values))
        if c.name == "cosine_with_restarts" and np.all(values[wrong] == peak) and np.all(c.rates[wrong] < 1e-9 * peak):
            place = f"the restart at step {wrong[0]}"
            return f"sd-scripts' cosine_with_restarts rounds {place} to the end of a cycle, where the rate is 0 ({names})"
    hint = "they end at a rate of 0 at max steps (polynomial: at 1e-7)"
    if any(segment.shape == "warmup" for segment in plan.segments):
        hint = "their warm-up starts at a rate of 0, such as linear(0, 0.005):100"
    return f"none of the schedules of sd-scripts gives these rates ({names}); {hint}"
