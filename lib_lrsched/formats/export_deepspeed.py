"""Plans as the ``scheduler`` section of a DeepSpeed configuration.

Settings are only given out when DeepSpeed's own formula, evaluated at every update, gives the plan's rates, or follows them
nearly; the note has the difference then. The formulas are those of its deepspeed/runtime/lr_schedules.py (0.19.6), written for
update k.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain, product
from math import log
from typing import Any, NamedTuple

import numpy as np

from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.segments import Segment

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
    tidy,
)
from .nearest import Deviation, how_far, nearest, said


class Candidate(NamedTuple):
    """One of DeepSpeed's schedulers with its settings, and the rates that it computes at updates 0, 1, ..."""

    name: str
    settings: Mapping[str, Any]
    rates: np.ndarray


class Warmup(NamedTuple):
    """A warm-up's settings, and its rates, which stay at ``high`` after ``size`` steps."""

    low: float
    high: float
    size: int
    kind: str
    rates: np.ndarray


def to_deepspeed(plan: Plan) -> Exported:
    """The section as JSON.

    DeepSpeed's warm-up is one step late: update 0 and update 1 both have the lowest rate, and the peak comes at update
    ``warmup_num_steps`` + 1 (linear) or ``warmup_num_steps`` (log).

    Raises:
        ExportError: none of WarmupLR, WarmupDecayLR, WarmupCosineLR, OneCycle and LRRangeTest gives this plan or is near it.
    """
    refuse_feedback(plan, "DeepSpeed")
    values = all_values(plan)
    if np.all(same(np.full(len(values), values[0]), values)):
        raise ExportError(f"a constant rate is not a scheduler in DeepSpeed: set lr {short(values[0])} in its optimizer section")
    with np.errstate(all="ignore"):  # settings that do not fit may overflow; then they do not fit
        found = next((c for c in _candidates(values, plan.segments) if np.all(same(c.rates, values))), None)
    away: Deviation | None = None
    if found is None and first_with_momentum(plan) is None:
        with np.errstate(all="ignore"):
            found, away = nearest(chain(_candidates(values, plan.segments), _near(values, plan.segments)), values)
    if found is None:
        raise ExportError(_no_match(plan) + how_far(away))
    settings = {**found.settings, **_momentum_settings(plan, found, values)}
    section = {"scheduler": {"type": found.name, "params": settings}}
    note = _note(plan, found.name, settings)
    if away is None:
        return Exported(json.dumps(section, indent=2), note)
    return Exported(json.dumps(section, indent=2), f"{said(away, values, 'DeepSpeed')}; {note}", away.relative)


def _note(plan: Plan, name: str, settings: Mapping[str, Any]) -> str:
    note = f"train {plan.stop} updates"
    if name == "WarmupCosineLR":
        note = f"set lr {short(_peak(plan))} in the optimizer section, for its numbers are ratios; {note}"
    return note + ("; DeepSpeed sets Adam's beta2 to 0.99 along with momentum" if settings.get("cycle_momentum") else "")


def _peak(plan: Plan) -> float:
    return float(all_values(plan).max())


def _no_match(plan: Plan) -> str:
    hint = ""
    if any(segment.shape in ("warmup", "linear") for segment in plan.segments):
        hint = "; its warm-up is one step late, such as 0:1, linear(0, 0.005):+100, 0.005"
    theirs = "WarmupLR, WarmupDecayLR, WarmupCosineLR, OneCycle and LRRangeTest"
    return f"none of DeepSpeed's {theirs} gives these rates ({shape_names(plan)}){hint}"


def _candidates(values: np.ndarray, segments: tuple[Segment, ...]) -> Iterator[Candidate]:
    yield from _range_test(values)
    yield from _one_cycle(values)
    for warmup in _warmups(values):
        settings = {"warmup_min_lr": warmup.low, "warmup_max_lr": warmup.high, "warmup_num_steps": warmup.size,
                    "warmup_type": warmup.kind}
        yield Candidate("WarmupLR", settings, warmup.rates)
        yield from _decay(values, warmup, settings)
        yield from _cosine(len(values), warmup, segments)


def _range_test(v: np.ndarray) -> Iterator[Candidate]:
    """min (1 + rate k/size), k/size floored in stairs."""
    low, last = float(v[0]), len(v) - 1
    if low <= 0 or v[-1] <= low:
        return
    k = np.arange(len(v))
    stair = int(np.flatnonzero(v != low)[0])
    for size, is_stair in ((last, False), (stair, True)):
        steps = k // size if is_stair else k / size
        rate = (float(v[-1]) / low - 1.0) / float(steps[-1])
        settings = {"lr_range_test_min_lr": low, "lr_range_test_step_size": size, "lr_range_test_step_rate": rate,
                    "lr_range_test_staircase": is_stair}
        yield Candidate("LRRangeTest", settings, low * (1.0 + rate * steps))


def _one_cycle(v: np.ndarray) -> Iterator[Candidate]:
    """A triangle from the lowest rate and back, then the lowest rate."""
    low, high, up = float(v[0]), float(v.max()), int(v.argmax())
    if not 0 < up < len(v) - 1 or v[up + 1] == high:
        return
    down = max(1, round((high - low) / float(high - v[up + 1])))
    k = np.arange(len(v), dtype=np.float64)
    height = np.where(k <= up, k / up, np.maximum(0.0, (up + down - k) / down))
    settings = {"cycle_min_lr": low, "cycle_max_lr": high, "cycle_first_step_size": up, "cycle_second_step_size": down}
    yield Candidate("OneCycle", settings, low + (high - low) * height)


def _momentum_settings(plan: Plan, found: Candidate, values: np.ndarray) -> dict[str, Any]:
    """OneCycle's momentum settings; nothing else in DeepSpeed drives momentum."""
    if found.name != "OneCycle":
        refuse_momentum(plan, f"DeepSpeed's {found.name}")
        return {}
    momenta = plan.momenta(np.arange(plan.stop))
    if momenta is None:
        return {"cycle_momentum": False}
    low, high = found.settings["cycle_min_lr"], found.settings["cycle_max_lr"]
    top, least = float(momenta[0]), float(momenta[int(values.argmax())])
    wanted = top - (top - least) * (values - low) / (high - low)
    if not np.all(np.abs(momenta - wanted) <= 1e-9):
        refuse_momentum(plan, "DeepSpeed's OneCycle after its cycle")
    return {"cycle_momentum": True, "cycle_min_mom": least, "cycle_max_mom": top}


def _warmups(v: np.ndarray) -> Iterator[Warmup]:
    """Update k has the schedule's index j = k - 1; update 0 has the lowest rate, with WarmupCosineLR 0."""
    if len(v) < 2:
        return
    low, high, top = float(v[1]), float(v.max()), int(v.argmax())
    for kind, size in (("linear", top - 1), ("log", top)):
        if size >= 2:
            yield _warmup(len(v), low, high, size, kind)


def _warmup(count: int, low: float, high: float, size: int, kind: str) -> Warmup:
    j = np.maximum(np.arange(count, dtype=np.float64) - 1.0, 0.0)
    climb = np.where(j < size, np.log(j + 1.0) / log(size) if kind == "log" else j / size, 1.0)
    return Warmup(low, high, size, kind, low + (high - low) * climb)


def _decay(v: np.ndarray, warmup: Warmup, settings: Mapping[str, Any]) -> Iterator[Candidate]:
    size, low, high = warmup.size, warmup.low, warmup.high
    if size + 2 >= len(v) or v[size + 1] <= v[size + 2]:
        return
    yield _decay_to(size + round((high - low) / float(v[size + 1] - v[size + 2])), warmup, settings)


def _decay_to(total: int, warmup: Warmup, settings: Mapping[str, Any]) -> Candidate:
    size, low, high = warmup.size, warmup.low, warmup.high
    j = np.arange(len(warmup.rates), dtype=np.float64) - 1.0
    fall = low + (high - low) * np.maximum(0.0, (total - j) / max(1.0, total - size))
    return Candidate("WarmupDecayLR", {"total_num_steps": total, **settings}, np.where(j < size, warmup.rates, fall))


def _cosine(count: int, warmup: Warmup, segments: tuple[Segment, ...]) -> Iterator[Candidate]:
    last = segments[-1]
    if last.shape == "cosine" and last.start == warmup.size and last.start + last.length >= count:
        yield _cosine_to(last.start + last.length, tidy(last.values["b"] / warmup.high), warmup)


def _cosine_to(total: int, floor: float, warmup: Warmup) -> Candidate:
    """Its cosine is at its start at update ``size``, one before the warm-up is over."""
    k = np.arange(len(warmup.rates), dtype=np.float64)
    ratio = floor + (1.0 - floor) * (1.0 + np.cos(np.pi * (k - warmup.size) / (total - warmup.size))) / 2.0
    settings = {"total_num_steps": total, "warmup_min_ratio": tidy(warmup.low / warmup.high), "warmup_num_steps": warmup.size,
                "cos_min_ratio": floor, "warmup_type": warmup.kind}
    rates = np.where(k - 1.0 < warmup.size, warmup.rates, warmup.high * ratio)
    rates[0] = 0.0
    return Candidate("WarmupCosineLR", settings, rates)


# Where none is exact --------------------------------------------------------------------------


def _near(v: np.ndarray, segments: tuple[Segment, ...]) -> Iterator[Candidate]:
    """Climbs to the highest rate that are up to two steps shorter or longer, and then what the last item is."""
    count, top, high, last = len(v), int(v.argmax()), float(v.max()), segments[-1]
    if count < 4 or not high > 0.0:
        return
    end = last.start + last.length
    sizes = dict.fromkeys(max(2, top + more) for more in (-1, 0, -2, 1, 2))
    lows = dict.fromkeys([*([] if top else [high]), float(v[1]), float(v[0]), last.values.get("b", 0.0), 0.0])
    for size, low, kind in product(sizes, lows, ("linear", "log")):
        warmup = _warmup(count, low, high, size, kind)
        if last.shape == "cosine":
            if end > size and last.values["b"] <= high:
                yield _cosine_to(end, tidy(last.values["b"] / high), warmup)
            continue
        settings = {"warmup_min_lr": low, "warmup_max_lr": high, "warmup_num_steps": size, "warmup_type": kind}
        if v[-1] == high:
            yield Candidate("WarmupLR", settings, warmup.rates)
            continue
        yield from (_decay_to(total, warmup, settings) for total in (end, end - 1) if total > size)
