"""The table of shapes: names, parameters with their ranges, and how each builds its curve.

A shape is described once, here; the planner, the error texts, the forms in the tab and the
documentation read this table. Nothing here knows spans or texts: a complaint names the
parameter, and the planner finds its place in the source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from . import curves
from .curves import Curve

REQUIRED: Any = object()
"""Default of a parameter that has to be given."""

INF = float("inf")


class ShapeError(Exception):
    """A value that a shape cannot take. ``param`` is the parameter's name, or "" for the whole."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param
        self.message = message


class Param(NamedTuple):
    """One parameter.

    ``kind``: "rate" (float, finite, 0 or more), "number" (float in the range), "whole" (int in the
    range), "time" (steps; takes %, ep and img), "word" (one of ``choices``), "flag" (yes or no).
    """

    name: str
    kind: str
    default: Any
    meaning: str
    low: float = 0.0
    high: float = INF
    open_low: bool = False
    open_high: bool = False
    choices: tuple[str, ...] = ()


class Built(NamedTuple):
    """A shape with its values: the curve, what it leaves behind, and what else it drives."""

    values: Curve
    exit: float | None
    momentum: Curve | None = None
    largest: Callable[[int], float] | None = None  # largest value up to a last step j, where it may overflow


class Shape(NamedTuple):
    """A row of the table. ``build(values, n)`` takes parameter values by name and the segment's length.

    ``either`` names parameters of which exactly one is to be given; ``settle(values, n)`` then works out the other.
    """

    name: str
    example: str
    params: tuple[Param, ...]
    build: Callable[[Mapping[str, Any], int], Built]
    reference: str
    joins: bool = False  # takes (a, b), and a alone may be left to the segment before
    either: tuple[str, ...] = ()
    settle: Callable[[Mapping[str, Any], int], Mapping[str, Any]] | None = None


def _a(**limits: Any) -> Param:
    meaning = "rate at the segment's start; left out, it is what the segment before ends with"
    return Param("a", "rate", None, meaning, **limits)


def _b(**limits: Any) -> Param:
    return Param("b", "rate", REQUIRED, "rate that is reached at the segment's end", **limits)


def _v(meaning: str = "the rate") -> Param:
    return Param("v", "rate", REQUIRED, meaning)


_MOMENTUM = (
    Param("cycle_momentum", "flag", True, "drive momentum (Adam's beta1) against the rate"),
    Param("base_momentum", "number", 0.85, "momentum where the rate is highest", high=1.0, open_high=True),
    Param("max_momentum", "number", 0.95, "momentum where the rate is lowest", high=1.0, open_high=True),
)


def _join(make: Callable[[float, float, int], Curve]) -> Callable[[Mapping[str, Any], int], Built]:
    return lambda p, n: Built(make(p["a"], p["b"], n), p["b"])


def _step(p: Mapping[str, Any], n: int) -> Built:
    curve = curves.staircase(p["v"], p["every"], p["gamma"])
    return Built(curve, _at(curve, n), largest=lambda j: _grown(p["v"], p["gamma"], j // p["every"]))


def _decay(p: Mapping[str, Any], n: int) -> Built:
    curve = curves.decay(p["v"], p["gamma"])
    return Built(curve, _at(curve, n), largest=lambda j: _grown(p["v"], p["gamma"], j))


def _grown(v: float, gamma: float, count: int) -> float:
    """v gamma^count where gamma is above 1, else v; infinite where that has no float."""
    if gamma <= 1 or v == 0:
        return v
    try:
        return v * gamma ** float(count)
    except OverflowError:
        return INF


def _inverse_sqrt(p: Mapping[str, Any], n: int) -> Built:
    curve = curves.inverse_sqrt(p["v"], p["timescale"])
    return Built(curve, _at(curve, n))


def _at(curve: Curve, j: int) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(curve(np.int64(min(j, curves.FAR))))


def _cyclic(p: Mapping[str, Any], n: int) -> Built:
    low, high = p["low"], p["high"]
    if high < low:
        raise ShapeError("high", f"high is low or more: low is {low:g}, high is {high:g}")
    down = p["step_size"] if p["step_size_down"] is None else p["step_size_down"]
    height, cycle = curves.triangle(p["step_size"], down, p["wave"])
    tall = curves.amplitude(p["mode"], p["gamma"], cycle)

    def rate(j: Any) -> Any:
        return low + (high - low) * (height(j) * tall(j))

    def momentum(j: Any) -> Any:
        return p["max_momentum"] - (p["max_momentum"] - p["base_momentum"]) * (height(j) * tall(j))

    grows = p["mode"] == "exp_range" and p["gamma"] > 1
    swing = p["max_momentum"] - p["base_momentum"]
    extreme = p["max_momentum"] - (_grown(swing, p["gamma"], n - 1) if swing > 0 else -_grown(-swing, p["gamma"], n - 1))
    if grows and p["cycle_momentum"] and not 0.0 <= extreme < 1.0:
        message = f"gamma {p['gamma']:g} lets momentum leave 0 to 1 within {n} steps; cycle_momentum=no leaves it alone"
        raise ShapeError("gamma", message)
    return Built(rate, _at(rate, n), momentum if p["cycle_momentum"] else None,
                 (lambda j: low + _grown(high - low, p["gamma"], j)) if grows else None)


def _settle_restarts(p: Mapping[str, Any], n: int) -> Mapping[str, Any]:
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


def _restarts(p: Mapping[str, Any], _: int) -> Built:
    if p["warmup"] >= p["t_0"]:
        cycle = f"t_0 is {p['t_0']}" if p["cycles"] is None else f"the first of {p['cycles']} cycles is {float(p['t_0']):g}"
        raise ShapeError("warmup", f"the warm-up is shorter than a cycle: warmup is {p['warmup']} steps, {cycle}")
    curve = curves.restarts(p["peak"], p["floor"], (p["t_0"], p["t_mult"]), p["peak_decay"], p["warmup"])
    def largest(j: int) -> float:
        cycles, start, length = j // p["t_0"], 0, p["t_0"]
        if p["t_mult"] > 1:
            cycles = 0
            while start + length <= j:
                start, length, cycles = start + length, length * p["t_mult"], cycles + 1
        return _grown(p["peak"], p["peak_decay"], cycles)

    return Built(curve, p["floor"], largest=largest if p["peak_decay"] > 1 else None)


def _onecycle(p: Mapping[str, Any], n: int) -> Built:
    top, pct = p["max_lr"], p["pct_start"]
    initial = top / p["div_factor"]
    lowest = initial / p["final_div_factor"]
    if p["three_phase"] and pct >= 0.5:
        raise ShapeError("pct_start", f"with three phases pct_start is below 0.5, given was {pct:g}")
    if n == 1:
        return Built(curves.constant(lowest), lowest, curves.constant(p["max_momentum"]) if p["cycle_momentum"] else None)
    ends: tuple[float, ...] = (pct * n - 1.0, n - 1.0)
    levels: tuple[float, ...] = (initial, top, lowest)
    moments: tuple[float, ...] = (p["max_momentum"], p["base_momentum"], p["max_momentum"])
    if p["three_phase"]:
        ends = (pct * n - 1.0, 2.0 * pct * n - 2.0, n - 1.0)
        levels = (initial, top, initial, lowest)
        moments = (*moments, p["max_momentum"])
    momentum = curves.phases(ends, moments, p["anneal"]) if p["cycle_momentum"] else None
    return Built(curves.phases(ends, levels, p["anneal"]), lowest, momentum)


def _wsd(p: Mapping[str, Any], n: int) -> Built:
    if p["warmup"] + p["decay"] > n:
        steps = f"{p['warmup']} + {p['decay']}"
        raise ShapeError("decay", f"warm-up and decay fit into the segment: {steps} steps are more than its {n}")
    curve = curves.warm_stable_decay((p["peak"], p["floor"]), p["warmup"], p["decay"], p["curve"], n)
    return Built(curve, p["floor"])


def _range_test(p: Mapping[str, Any], n: int) -> Built:
    if p["mode"] == "exp":
        for name in ("low", "high"):
            if p[name] <= 0:
                raise ShapeError(name, f"an exponential range test needs rates above 0; {name} is {p[name]:g}")
    return Built(curves.range_test(p["low"], p["high"], p["mode"], p["stair"], n), p["high"])


_ABOVE_0 = {"open_low": True}

_ROWS = (
    Shape("constant", "constant(0.005)", (_v(),), lambda p, _: Built(curves.constant(p["v"]), p["v"]), "the WebUI's own phases"),
    Shape("linear", "linear(0.005, 1e-5)", (_a(), _b()), _join(curves.linear), "torch LinearLR", joins=True),
    Shape("cosine", "cosine(0.005, 1e-5)", (_a(), _b()), _join(curves.cosine),
          "torch CosineAnnealingLR; Loshchilov and Hutter 2017", joins=True),
    Shape("exp", "exp(0.005, 1e-5)", (_a(**_ABOVE_0), _b(**_ABOVE_0)), _join(curves.exponential), "optax, fvcore", joins=True),
    Shape("poly", "poly(0.005, 1e-5, power=2)",
          (_a(), _b(), Param("power", "number", 1.0, "1 is a straight line, 2 falls faster at first", open_low=True)),
          lambda p, n: Built(curves.polynomial(p["a"], p["b"], p["power"], n), p["b"]), "torch PolynomialLR", joins=True),
    Shape("warmup", "warmup(0.005)",
          (_v("rate that is reached on the segment's last step"), Param("start", "rate", 0.0, "rate from which it climbs"),
           Param("curve", "word", "linear", "form of the climb", choices=("linear", "cosine", "log"))),
          lambda p, n: Built(curves.warmup(p["v"], p["start"], p["curve"], n), p["v"]),
          "peak x (step + 1) / warm-up steps; DeepSpeed's curves"),
    Shape("step", "step(0.005, every=500, gamma=0.5)",
          (_v("rate to start with"), Param("every", "time", REQUIRED, "steps between two cuts", low=1),
           Param("gamma", "number", 0.1, "factor of each cut")), _step, "torch StepLR"),
    Shape("decay", "decay(0.005, gamma=0.999)",
          (_v("rate to start with"), Param("gamma", "number", REQUIRED, "factor of each step")), _decay, "torch ExponentialLR"),
    Shape("inverse_sqrt", "inverse_sqrt(0.005, timescale=100)",
          (_v("rate to start with"), Param("timescale", "time", REQUIRED, "after three times this the rate is halved", low=1)),
          _inverse_sqrt, "transformers, after its warm-up; Vaswani et al. 2017"),
    Shape("rex", "rex(0.005, 1e-5)",
          (_a(), _b(),
           Param("d", "number", 0.9, "0 is a straight line; near 1 the rate stays high for longer", high=1.0, open_high=True)),
          lambda p, n: Built(curves.rex(p["a"], p["b"], p["d"], n), p["b"]), "OneTrainer; Chen et al. 2021", joins=True),
    Shape("cyclic", "cyclic(1e-5, 0.005, step_size=50)",
          (Param("low", "rate", REQUIRED, "lowest rate"), Param("high", "rate", REQUIRED, "highest rate"),
           Param("step_size", "time", REQUIRED, "steps from low to high", low=1),
           Param("step_size_down", "time", None, "steps back to low; as many as up when left out", low=1),
           Param("mode", "word", "triangular", "whether cycles keep their height",
                 choices=("triangular", "triangular2", "exp_range")),
           Param("gamma", "number", 1.0, "exp_range: factor of the height at each step"),
           Param("wave", "word", "linear", "form of the ramps", choices=("linear", "cosine")), *_MOMENTUM),
          _cyclic, "torch CyclicLR; Smith 2017"),
    Shape("restarts", "restarts(0.005, 1e-5, t_0=200)",
          (Param("peak", "rate", REQUIRED, "rate at which a cycle starts"),
           Param("floor", "rate", 0.0, "rate towards which it falls"),
           Param("t_0", "time", None, "length of the first cycle; give this or cycles", low=1),
           Param("t_mult", "whole", 1, "each cycle is this many times as long as the one before", low=1),
           Param("peak_decay", "number", 1.0, "factor from one cycle's peak to the next"),
           Param("warmup", "time", 0, "steps of linear warm-up at the start of each cycle"),
           Param("cycles", "whole", None, "number of cycles that fill the segment, the last one ending with it; sets t_0", low=1)),
          _restarts, "torch CosineAnnealingWarmRestarts; timm's cycle_decay", either=("t_0", "cycles"), settle=_settle_restarts),
    Shape("onecycle", "onecycle(0.005)",
          (Param("max_lr", "rate", REQUIRED, "highest rate"),
           Param("pct_start", "number", 0.3, "part of the segment that climbs", high=1.0, open_low=True, open_high=True),
           Param("div_factor", "number", 25.0, "max_lr divided by this is the first rate", open_low=True),
           Param("final_div_factor", "number", 1e4, "the first rate divided by this is the last one", open_low=True),
           Param("anneal", "word", "cos", "form of the ramps", choices=("cos", "linear")),
           Param("three_phase", "flag", False, "come down the way it went up, then fall on"), *_MOMENTUM),
          _onecycle, "torch OneCycleLR; Smith and Topin 2019"),
    Shape("wsd", "wsd(0.005, 1e-5)",
          (Param("peak", "rate", REQUIRED, "rate that is held"), Param("floor", "rate", 0.0, "rate at both ends"),
           Param("warmup", "time", "10%", "steps of linear warm-up"), Param("decay", "time", "20%", "steps of the fall at the end"),
           Param("curve", "word", "linear", "form of the fall", choices=("linear", "cosine", "sqrt"))),
          _wsd, "transformers get_wsd_schedule; Hu et al. 2024"),
    Shape("plateau", "plateau(0.005, patience=50)",
          (_v("rate to start with"), Param("factor", "number", 0.1, "factor of each cut", high=1.0, open_high=True),
           Param("patience", "whole", 10, "looks without a better loss before a cut"),
           Param("threshold", "number", 1e-4, "how much better counts"),
           Param("mode", "word", "rel", "threshold as a part of the best loss, or absolute", choices=("rel", "abs")),
           Param("cooldown", "whole", 0, "looks after a cut that do not count"), Param("min", "rate", 0.0, "never below this"),
           Param("every", "time", 1, "steps between two looks", low=1)),
          lambda p, _: Built(curves.constant(p["v"]), None), "torch ReduceLROnPlateau"),
    Shape("range_test", "range_test(1e-6, 0.1)",
          (Param("low", "rate", REQUIRED, "rate on the first step"), Param("high", "rate", REQUIRED, "rate on the last step"),
           Param("mode", "word", "exp", "form of the climb", choices=("exp", "linear")),
           Param("stair", "time", 1, "steps that share a rate", low=1)),
          _range_test, "torch-lr-finder; DeepSpeed LRRangeTest; Smith 2017"),
)

SHAPES: dict[str, Shape] = {shape.name: shape for shape in _ROWS}
"""Every shape but ``repeat``, which takes items and is the planner's own."""
