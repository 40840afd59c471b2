"""Shapes for a whole run: cosine, restarts, onecycle, rex, wsd."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from lib_lrsched.schedule.curves import FAR, Curve, Steps, Values, between, constant_curve, grown, half_cosine, power_of, where

from .entry import MOMENTUM, REQUIRED, Built, Param, Params, Shape, ShapeError, Torch, at_both_ends, param_a, param_b

PAGE = "shapes-cosine.md"

# cosine ---------------------------------------------------------------------------------------


def cosine_curve(a: float, b: float, n: int) -> Curve:
    """b + (a - b)(1 + cos(pi t)) / 2: SGDR without restarts (Loshchilov and Hutter 2017, eq. 5)."""
    return lambda j: between(a, b, half_cosine(j / float(n)))


def cosine(j: int, n: int, a: float, b: float) -> float:
    """b + (a - b)(1 + cos(pi j/n)) / 2"""
    return b + (a - b) * (1 + math.cos(math.pi * j / n)) / 2


COSINE = Shape(
    name="cosine",
    summary="Half a cosine from one rate to the other",
    params=(param_a(), param_b()),
    build=lambda p, n: Built(cosine_curve(p["a"], p["b"], n), p["b"]),
    formula=cosine,
    torch=lambda p, n: Torch(p["a"], "CosineAnnealingLR", {"T_max": n, "eta_min": p["b"]}),
    handles=at_both_ends,
    example="cosine(0.005, 1e-5)",
    button="cosine(0.005, 1e-5)",
    reference="torch CosineAnnealingLR; Loshchilov and Hutter 2017",
    page=PAGE,
    other_names=("cos", "cosineannealing", "cosinedecay"),
    joins=True,
)

# restarts -------------------------------------------------------------------------------------


def restarts_curve(peak: float, floor: float, cycles: tuple[int | Fraction, int], peak_decay: float, warm: int) -> Curve:
    """Cosine warm restarts (Loshchilov and Hutter 2017), cycles counted with whole numbers.

    ``cycles`` is (t_0, t_mult). Each cycle opens with ``warm`` steps of linear warm-up. Where t_0 is a fraction, a cycle
    starts between two steps, and its first step lies a part of a step after its peak.
    """
    t_0, t_mult = cycles
    place = _growing_cycles(t_0, t_mult) if t_mult > 1 else _even_cycles(t_0)

    def curve(j: Steps) -> Values:
        cycle, r, whole = place(j)
        top = peak * power_of(peak_decay, cycle * 1.0) if peak_decay != 1.0 else peak
        fall = floor + (top - floor) * half_cosine((r - float(warm)) / (whole - float(warm)))
        if not warm:
            return fall
        return where(r < float(warm), floor + (top - floor) * np.minimum((r + 1) / float(warm), 1.0), fall)

    return curve


_Place = Callable[[Steps], tuple[Any, Any, Any]]
"""A step's cycle, counted from 0, its steps from the cycle's start, and the cycle's length."""


def _even_cycles(t_0: int | Fraction) -> _Place:
    """Cycles of one length: a whole number of steps, or p/q of them."""
    p, q = t_0.numerator, t_0.denominator
    length = p / q
    if q == 1:
        whole = min(p, FAR)

        def place(j: Steps) -> tuple[Any, Any, Any]:
            cycle = j // whole
            return cycle, j - cycle * whole, float(whole)

    elif p * q < FAR:

        def place(j: Steps) -> tuple[Any, Any, Any]:
            whole, rest = j // p, j % p  # q cycles take p steps
            cycle = rest * q // p
            return whole * q + cycle, (rest * q - cycle * p) / float(q), length

    else:

        def place(j: Steps) -> tuple[Any, Any, Any]:  # beyond 64 bits: Python's own whole numbers
            if not isinstance(j, np.ndarray):
                return int(j) * q // p, int(j) * q % p / q, length
            scaled = j.astype(object) * q
            return (scaled // p).astype(np.int64), (scaled % p / q).astype(np.float64), length

    return place


def _growing_cycles(t_0: int | Fraction, t_mult: int) -> _Place:
    """Each cycle is ``t_mult`` times as long as the one before it: there are few of them."""
    starts, lengths = [t_0 * 0], [t_0]
    while starts[-1] + lengths[-1] < FAR:
        starts.append(starts[-1] + lengths[-1])
        lengths.append(lengths[-1] * t_mult)
    steps = [math.ceil(start) for start in starts]  # the first step of each cycle
    first, whole_of = np.array(steps), np.array([float(length) for length in lengths])
    behind = np.array([float(step - start) for step, start in zip(steps, starts)])

    def place(j: Steps) -> tuple[Any, Any, Any]:
        cycle = np.searchsorted(first, j, "right") - 1 if isinstance(j, np.ndarray) else bisect_right(steps, j) - 1
        return cycle, j - first[cycle] + behind[cycle], whole_of[cycle]

    return place


def restarts(j: int, peak: float, floor: float, t_0: int, t_mult: int, peak_decay: float, warmup: int) -> float:
    """Cosines from peak to floor; each cycle t_mult times as long and peak_decay times as high as the last.

    t_0 is a whole number of steps, or a Fraction where a number of cycles does not divide the steps.
    """
    cycle, length = (j // t_0, t_0) if t_mult == 1 else (0, t_0)
    j -= cycle * t_0
    while j >= length:
        j, length, cycle = j - length, length * t_mult, cycle + 1
    top = peak * peak_decay**cycle
    if j < warmup:
        return floor + (top - floor) * min((j + 1) / warmup, 1)
    return floor + (top - floor) * (1 + math.cos(math.pi * (j - warmup) / (length - warmup))) / 2


def _settle_restarts(p: Params, n: int) -> Params:
    """t_0 from the number of cycles: a Fraction where they do not divide the segment, so that the last one ends with it."""
    cycles = p["cycles"]
    if cycles is None:
        return p
    parts, longer = 0, 1  # 1 + t_mult + t_mult^2 + ..., counted in first cycles
    for _ in range(cycles if p["t_mult"] > 1 else 0):
        parts, longer = parts + longer, longer * p["t_mult"]
        if parts > n:
            break
    parts = parts or cycles
    if parts > n:
        raise ShapeError("cycles", f"{cycles} cycles do not fit into {n} steps: the first one would be shorter than a step")
    t_0 = Fraction(n, parts)
    return {**p, "t_0": t_0.numerator if t_0.denominator == 1 else t_0}


def _restarts(p: Params, _: int) -> Built:
    if p["warmup"] >= p["t_0"]:
        several = f"the first of {p['cycles']} cycles is {float(p['t_0']):g}"
        cycle = f"`first_cycle` is {p['t_0']}" if p["cycles"] is None else several
        raise ShapeError("warmup", f"the warm-up is shorter than a cycle: `warmup` is {p['warmup']} steps, {cycle}")
    curve = restarts_curve(p["peak"], p["floor"], (p["t_0"], p["t_mult"]), p["peak_decay"], p["warmup"])
    def largest(j: int) -> float:
        cycles, start, length = j // p["t_0"], 0, p["t_0"]
        if p["t_mult"] > 1:
            cycles = 0
            while start + length <= j:
                start, length, cycles = start + length, length * p["t_mult"], cycles + 1
        return grown(p["peak"], p["peak_decay"], cycles)

    return Built(curve, p["floor"], largest=largest if p["peak_decay"] > 1 else None)


def _restarts_torch(p: Params, _: int) -> Torch | None:
    if p["peak_decay"] != 1 or p["warmup"] or not isinstance(p["t_0"], int):
        return None  # torch's cycles are whole numbers of steps
    return Torch(p["peak"], "CosineAnnealingWarmRestarts", {"T_0": p["t_0"], "T_mult": p["t_mult"], "eta_min": p["floor"]})


RESTARTS = Shape(
    name="restarts",
    summary="Cosine with warm restarts",
    params=(
        Param("peak", "rate", REQUIRED, "rate at which a cycle starts"),
        Param("floor", "rate", 0.0, "rate towards which it falls"),
        Param("t_0", "time", None, "length of the first cycle; give this or cycles", low=1, known_as="first_cycle"),
        Param("t_mult", "whole", 1, "each cycle is this many times as long as the one before", low=1, known_as="growth",
              shown_as="cycle growth"),
        Param("peak_decay", "number", 1.0, "factor from one cycle's peak to the next", shown_as="peak factor"),
        Param("warmup", "time", 0, "steps of linear warm-up at the start of each cycle", shown_as="warm-up"),
        Param("cycles", "whole", None, "number of cycles that fill the segment, the last one ending with it; sets first_cycle",
              low=1),
    ),
    build=_restarts,
    formula=restarts,
    torch=_restarts_torch,
    handles=lambda p, _, __: (("peak", p["warmup"]), ("floor", math.ceil(p["t_0"]))),
    example="restarts(0.005, 1e-5, first_cycle=200)",
    button="restarts(0.005, 1e-5, first_cycle=25%)",
    reference="torch CosineAnnealingWarmRestarts; timm's cycle_decay",
    page=PAGE,
    other_names=(
        "cosinewithrestarts", "cosinewithhardrestarts", "cosinehardrestarts", "cosinerestarts", "cosineannealingwithrestarts",
        "cosineannealingwarmrestarts", "cosinewarmrestarts", "warmrestarts", "sgdr",
    ),
    either=("t_0", "cycles"),
    settle=_settle_restarts,
)  # fmt: skip

# onecycle -------------------------------------------------------------------------------------


def phases(ends: tuple[float, ...], levels: tuple[float, ...], anneal: str) -> Curve:
    """Piecewise cosine or linear through ``levels`` at step -0, ends[0], ends[1], ...: torch's OneCycleLR.

    ``ends`` may be fractional; a step exactly at an end belongs to the phase before it.
    """

    def ramp(a: float, b: float, t: Values) -> Values:
        return between(a, b, half_cosine(t) if anneal == "cos" else 1.0 - t)

    def phase(number: int, j: Steps) -> Values:
        start = ends[number - 1] if number else 0.0
        length = ends[number] - start
        t = (j - start) / length if length > 0 else j * 0.0 + 1.0
        if isinstance(j, np.ndarray):
            t = np.clip(t, 0.0, 1.0)  # steps of other phases are thrown away, but must not overflow
        return ramp(levels[number], levels[number + 1], t)

    def curve(j: Steps) -> Values:
        last = len(ends) - 1
        if not isinstance(j, np.ndarray):
            return phase(next((i for i, end in enumerate(ends) if j <= end), last), j)
        value = phase(last, j)
        for number in reversed(range(last)):
            value = np.where(j <= ends[number], phase(number, j), value)
        return value

    return curve


def onecycle(
    j: int, n: int, max_lr: float, pct_start: float, div_factor: float, final_div_factor: float, anneal: str, three_phase: bool
) -> float:
    """Up to max_lr and down again; the ramps end at pct_start n - 1 and n - 1."""
    first = max_lr / div_factor
    lowest = first / final_div_factor
    if n == 1:
        return lowest
    ends, levels = [pct_start * n - 1, n - 1], [first, max_lr, lowest]
    if three_phase:
        ends, levels = [pct_start * n - 1, 2 * pct_start * n - 2, n - 1], [first, max_lr, first, lowest]
    i = next((i for i, end in enumerate(ends) if j <= end), len(ends) - 1)
    begin = ends[i - 1] if i else 0
    t = (j - begin) / (ends[i] - begin) if ends[i] > begin else 1.0
    if anneal == "cos":
        t = (1 - math.cos(math.pi * t)) / 2
    return levels[i] + (levels[i + 1] - levels[i]) * t


def _onecycle(p: Params, n: int) -> Built:
    top, pct = p["max_lr"], p["pct_start"]
    initial = top / p["div_factor"]
    lowest = initial / p["final_div_factor"]
    if p["three_phase"] and pct >= 0.5:
        raise ShapeError("pct_start", f"with `three_phase` the `pct_start` is below 0.5, got {pct:g}")
    if n == 1:
        return Built(constant_curve(lowest), lowest, constant_curve(p["max_momentum"]) if p["cycle_momentum"] else None)
    ends: tuple[float, ...] = (pct * n - 1.0, n - 1.0)
    levels: tuple[float, ...] = (initial, top, lowest)
    moments: tuple[float, ...] = (p["max_momentum"], p["base_momentum"], p["max_momentum"])
    if p["three_phase"]:
        ends = (pct * n - 1.0, 2.0 * pct * n - 2.0, n - 1.0)
        levels = (initial, top, initial, lowest)
        moments = (*moments, p["max_momentum"])
    momentum = phases(ends, moments, p["anneal"]) if p["cycle_momentum"] else None
    return Built(phases(ends, levels, p["anneal"]), lowest, momentum)


def _onecycle_torch(p: Params, n: int) -> Torch | None:
    if n < 2 or p["pct_start"] * n == 1.0:
        return None  # torch divides by zero there
    arguments = {"max_lr": p["max_lr"], "total_steps": n, "pct_start": p["pct_start"], "anneal_strategy": p["anneal"]}
    names = ("cycle_momentum", "base_momentum", "max_momentum", "div_factor", "final_div_factor", "three_phase")
    return Torch(p["max_lr"], "OneCycleLR", arguments | {name: p[name] for name in names})


def _onecycle_handles(p: Params, n: int, _: int) -> Iterable[tuple[str, int]]:
    return (("max_lr", max(0, round(p["pct_start"] * n - 1))),) if n > 1 else ()


ONECYCLE = Shape(
    name="onecycle",
    summary="One rise, one fall to almost nothing",
    params=(
        Param("max_lr", "rate", REQUIRED, "highest rate", known_as="peak"),
        Param("pct_start", "number", 0.3, "fraction of the segment that climbs", high=1.0, open_low=True, open_high=True,
              shown_as="part that climbs"),
        Param("div_factor", "number", 25.0, "peak divided by this is the first rate", open_low=True, shown_as="peak / first rate"),
        Param("final_div_factor", "number", 1e4, "the first rate divided by this is the last one", open_low=True,
              shown_as="first / last rate"),
        Param("anneal", "word", "cos", "form of the ramps", choices=("cos", "linear"), shown_as="ramps"),
        Param("three_phase", "flag", False, "come down the way it went up, then fall on", shown_as="three ramps"), *MOMENTUM,
    ),
    build=_onecycle,
    formula=onecycle,
    torch=_onecycle_torch,
    handles=_onecycle_handles,
    example="onecycle(0.005)",
    button="onecycle(0.005)",
    reference="torch OneCycleLR; Smith and Topin 2019",
    page=PAGE,
    other_names=("1cycle",),
)  # fmt: skip

# rex ------------------------------------------------------------------------------------------


def rex_curve(a: float, b: float, d: float, n: int) -> Curve:
    """b + (a - b)(1 - t) / ((1 - d) + d (1 - t)): REX (Chen et al. 2021), as OneTrainer has it."""

    def curve(j: Steps) -> Values:
        rest = (float(n) - j) / float(n)
        return between(a, b, rest / ((1.0 - d) + d * rest))

    return curve


def rex(j: int, n: int, a: float, b: float, d: float) -> float:
    """b + (a - b)(1 - t) / ((1 - d) + d (1 - t)), t = j/n"""
    rest = (n - j) / n
    return b + (a - b) * rest / ((1 - d) + d * rest)


REX = Shape(
    name="rex",
    summary="Stays high for long, then falls fast",
    params=(
        param_a(), param_b(),
        Param("d", "number", 0.9, "0 is a straight line; near 1 the rate stays high for longer", high=1.0, open_high=True,
              known_as="bend"),
    ),
    build=lambda p, n: Built(rex_curve(p["a"], p["b"], p["d"], n), p["b"]),
    formula=rex,
    torch=None,
    handles=at_both_ends,
    example="rex(0.005, 1e-5)",
    button="rex(0.005, 1e-5)",
    reference="OneTrainer; Chen et al. 2021",
    page=PAGE,
    joins=True,
)  # fmt: skip

# wsd ------------------------------------------------------------------------------------------


def wsd_curve(levels: tuple[float, float], warm: int, fall: int, kind: str, n: int) -> Curve:
    """Warm-up, hold, decay over the last ``fall`` steps; ``levels`` is (peak, floor). Hu et al. 2024."""
    peak, floor = levels
    hold = min(n - fall, FAR)

    def curve(j: Steps) -> Values:
        t = where(j < hold, 0.0, (j - hold) / float(max(fall, 1)))
        if kind == "cosine":
            factor = half_cosine(t)
        else:
            factor = 1.0 - (np.sqrt(t) if kind == "sqrt" else t)
        value = floor + (peak - floor) * factor
        if not warm:
            return value
        return where(j < float(warm), floor + (peak - floor) * np.minimum((j + 1) / float(warm), 1.0), value)

    return curve


def wsd(j: int, n: int, peak: float, floor: float, warmup: int, decay: int, curve: str) -> float:
    """Warm-up, hold, and a fall over the last steps."""
    if j < warmup:
        return floor + (peak - floor) * (j + 1) / warmup
    t = (j - (n - decay)) / decay if j > n - decay else 0.0
    factor = {"linear": 1 - t, "cosine": (1 + math.cos(math.pi * t)) / 2, "sqrt": 1 - math.sqrt(t)}
    return floor + (peak - floor) * factor[curve]


def _wsd(p: Params, n: int) -> Built:
    if p["warmup"] + p["decay"] > n:
        steps = f"{p['warmup']} + {p['decay']}"
        raise ShapeError("decay", f"warm-up and decay fit into the segment: {steps} steps are more than its {n}")
    curve = wsd_curve((p["peak"], p["floor"]), p["warmup"], p["decay"], p["curve"], n)
    return Built(curve, p["floor"])


def _wsd_handles(p: Params, n: int, _: int) -> Iterable[tuple[str, int]]:
    peak = ("peak", max(0, p["warmup"] - 1))
    return (peak, ("floor", n)) if p["decay"] else (peak,)


WSD = Shape(
    name="wsd",
    summary="Warm-up, hold, decay",
    params=(
        Param("peak", "rate", REQUIRED, "rate that is held"), Param("floor", "rate", 0.0, "rate at both ends"),
        Param("warmup", "time", "10%", "steps of linear warm-up", shown_as="warm-up"),
        Param("decay", "time", "20%", "steps of the fall at the end"),
        Param("curve", "word", "linear", "form of the fall", choices=("linear", "cosine", "sqrt")),
    ),
    build=_wsd,
    formula=wsd,
    torch=None,
    handles=_wsd_handles,
    example="wsd(0.005, 1e-5)",
    button="wsd(0.005, 1e-5)",
    reference="transformers get_wsd_schedule; Hu et al. 2024",
    page=PAGE,
    other_names=("warmupstabledecay", "trapezoidal"),
)  # fmt: skip
