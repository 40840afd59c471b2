"""Shapes that go up: cyclic, range_test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from lib_lrsched.schedule.curves import FAR, Curve, Steps, Values, constant_curve, grown, half_cosine, power_of, value_at, where

from .entry import MOMENTUM, REQUIRED, Built, Param, Params, Shape, ShapeError, Torch
from .piecewise import exp_curve, linear_curve

PAGE = "shapes-cyclic.md"

# cyclic ---------------------------------------------------------------------------------------


def triangle(up: int, down: int, wave: str) -> tuple[Curve, Callable[[Steps], Any]]:
    """The ramp h of a cycle, 0 to 1 in ``up`` steps and back in ``down``, and the cycle's number."""
    whole = min(up + down, FAR)

    def height(j: Steps) -> Values:
        r = j - (j // whole) * whole  # numpy divides by a constant much faster than it takes remainders
        h = where(r <= up, r / float(up), (float(up + down) - r) / float(down))
        return 1.0 - half_cosine(h) if wave == "cosine" else h

    return height, lambda j: j // whole


def amplitude(mode: str, gamma: float, cycle: Callable[[Steps], Any]) -> Curve:
    """How tall a cycle is: 1, halved each cycle, or gamma^j (Smith 2017)."""
    if mode == "triangular2":
        return lambda j: power_of(0.5, cycle(j) * 1.0)
    if mode == "exp_range":
        return lambda j: power_of(gamma, j * 1.0)
    return lambda _: 1.0


def cyclic(j: int, low: float, high: float, step_size: int, step_size_down: int, mode: str, gamma: float, wave: str) -> float:
    """Triangles from low to high in step_size steps and back in step_size_down."""
    cycle, r = divmod(j, step_size + step_size_down)
    h = r / step_size if r <= step_size else (step_size + step_size_down - r) / step_size_down
    if wave == "cosine":
        h = (1 - math.cos(math.pi * h)) / 2
    height = {"triangular": 1.0, "triangular2": 0.5 ** min(cycle, 2000), "exp_range": gamma**j if mode == "exp_range" else 1.0}
    return low + (high - low) * h * height[mode]


def _settle_cyclic(p: Params, _: int) -> Params:
    return {**p, "step_size_down": p["step_size"]} if p["step_size_down"] is None else p


def _cyclic(p: Params, n: int) -> Built:
    low, high = p["low"], p["high"]
    if high < low:
        raise ShapeError("high", f"`high` is `low` or more: `low` is {low:g}, `high` is {high:g}")
    height, cycle = triangle(p["step_size"], p["step_size_down"], p["wave"])
    tall = amplitude(p["mode"], p["gamma"], cycle)

    def rate(j: Any) -> Any:
        return low + (high - low) * (height(j) * tall(j))

    def momentum(j: Any) -> Any:
        return p["max_momentum"] - (p["max_momentum"] - p["base_momentum"]) * (height(j) * tall(j))

    grows = p["mode"] == "exp_range" and p["gamma"] > 1
    if grows and p["cycle_momentum"]:
        _check_momentum(p, n)
    return Built(rate, value_at(rate, n), momentum if p["cycle_momentum"] else None,
                 (lambda j: low + grown(high - low, p["gamma"], j)) if grows else None)


def _check_momentum(p: Params, n: int) -> None:
    swing = p["max_momentum"] - p["base_momentum"]
    extreme = p["max_momentum"] - (grown(swing, p["gamma"], n - 1) if swing > 0 else -grown(-swing, p["gamma"], n - 1))
    if not 0.0 <= extreme < 1.0:
        message = f"a `factor` of {p['gamma']:g} lets momentum leave 0 to 1 within {n} steps; `cycle_momentum=no` leaves it alone"
        raise ShapeError("gamma", message)


def _cyclic_torch(p: Params, _: int) -> Torch | None:
    if p["wave"] != "linear":
        return None
    names = {"base_lr": "low", "max_lr": "high", "step_size_up": "step_size", "step_size_down": "step_size_down", "mode": "mode",
             "gamma": "gamma", "cycle_momentum": "cycle_momentum", "base_momentum": "base_momentum", "max_momentum": "max_momentum"}
    arguments = {theirs: p[ours] for theirs, ours in names.items()}
    if p["step_size_down"] == p["step_size"]:
        arguments["step_size_down"] = None
    return Torch(p["low"], "CyclicLR", arguments)


def _cyclic_handles(p: Params, _: int, __: int) -> Iterable[tuple[str, int]]:
    fades = p["mode"] == "exp_range" and p["gamma"] != 1
    return (("low", 0),) if fades else (("low", 0), ("high", p["step_size"]))


CYCLIC = Shape(
    name="cyclic",
    summary="Up and down in triangles",
    params=(
        Param("low", "rate", REQUIRED, "lowest rate"), Param("high", "rate", REQUIRED, "highest rate"),
        Param("step_size", "time", REQUIRED, "steps from low to high", low=1, known_as="rise", shown_as="steps up"),
        Param("step_size_down", "time", None, "steps back to low; as many as up when left out", low=1, known_as="fall",
              shown_as="steps down"),
        Param("mode", "word", "triangular", "whether cycles keep their height", choices=("triangular", "triangular2", "exp_range"),
              shown_as="height"),
        Param("gamma", "number", 1.0, "exp_range: factor of the height at each step", known_as="factor",
              shown_as="factor per step"),
        Param("wave", "word", "linear", "form of the ramps", choices=("linear", "cosine"), shown_as="ramps"), *MOMENTUM,
    ),
    build=_cyclic,
    formula=cyclic,
    torch=_cyclic_torch,
    handles=_cyclic_handles,
    example="cyclic(1e-5, 0.005, rise=50)",
    button="cyclic(1e-4, 0.005, rise=10%)",
    reference="torch CyclicLR; Smith 2017",
    page=PAGE,
    other_names=("triangular", "triangular2", "clr"),
    settle=_settle_cyclic,
)  # fmt: skip

# range_test -----------------------------------------------------------------------------------


def range_test_curve(low: float, high: float, mode: str, stair: int, n: int) -> Curve:
    """From low to high in stairs, high on the last step (Smith 2017; torch-lr-finder counts the same)."""
    stair = min(stair, FAR)
    last = (n - 1) // stair
    if last == 0:
        return constant_curve(high)
    rise = exp_curve(low, high, last) if mode == "exp" else linear_curve(low, high, last)
    return lambda j: where(j // stair >= float(last), high, rise(j // stair))


def range_test(j: int, n: int, low: float, high: float, mode: str, stair: int) -> float:
    """From low to high in stairs, high on the last step."""
    last = (n - 1) // stair
    if j // stair >= last:
        return high
    t = (j // stair) / last
    if mode == "exp":
        return math.exp(math.log(low) + (math.log(high) - math.log(low)) * t)
    return low + (high - low) * t


def _range_test(p: Params, n: int) -> Built:
    if p["mode"] == "exp":
        for name, word in (("low", "from"), ("high", "to")):
            if p[name] <= 0:
                raise ShapeError(name, f"an exponential range test needs rates above 0; `{word}` is {p[name]:g}")
    return Built(range_test_curve(p["low"], p["high"], p["mode"], p["stair"], n), p["high"])


def _range_test_handles(p: Params, n: int, _: int) -> Iterable[tuple[str, int]]:
    return (("low", 0), ("high", n - 1)) if (n - 1) // p["stair"] else (("high", n - 1),)


RANGE_TEST = Shape(
    name="range_test",
    summary="Looks for a rate: from low to high",
    params=(
        Param("low", "rate", REQUIRED, "rate on the first step", known_as="from"),
        Param("high", "rate", REQUIRED, "rate on the last step", known_as="to"),
        Param("mode", "word", "exp", "form of the climb", choices=("exp", "linear"), shown_as="climb"),
        Param("stair", "time", 1, "steps that share a rate", low=1, shown_as="steps per rate"),
    ),
    build=_range_test,
    formula=range_test,
    torch=None,
    handles=_range_test_handles,
    example="range_test(1e-6, 0.1)",
    button="range_test(1e-6, 0.1)",
    reference="torch-lr-finder; DeepSpeed LRRangeTest; Smith 2017",
    page=PAGE,
    other_names=("lrrangetest", "lrfinder", "lrfind"),
    is_search=True,
)  # fmt: skip
