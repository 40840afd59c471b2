"""Shapes that hold a rate or let it fall by a simple rule: constant, linear, exp, poly, step, decay."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from lib_lrsched.schedule.curves import FAR, Curve, between, constant_curve, grown, in_loop, power_of, value_at

from .entry import REQUIRED, Built, Param, Params, Shape, Torch, at_both_ends, at_start, param_a, param_b, param_v

PAGE = "shapes-piecewise.md"

# constant -------------------------------------------------------------------------------------


def constant(j: int, v: float) -> float:  # noqa: ARG001
    """v"""
    return v


def _constant_handles(_: Params, __: int, trained: int) -> Iterable[tuple[str, int]]:
    return (("v", 0), ("v", trained - 1)) if trained > 1 else (("v", 0),)


CONSTANT = Shape(
    name="constant",
    summary="One rate",
    params=(param_v("the rate", "value"),),
    build=lambda p, _: Built(constant_curve(p["v"]), p["v"]),
    formula=constant,
    torch=lambda p, _: Torch(p["v"], "ConstantLR", {"factor": 1.0, "total_iters": 1}),
    handles=_constant_handles,
    example="constant(0.005)",
    button="0.005",
    reference="the WebUI's own schedules",
    page=PAGE,
    other_names=("const", "fixed", "flat", "hold"),
    is_phases=True,
)

# linear ---------------------------------------------------------------------------------------


def linear_curve(a: float, b: float, n: int) -> Curve:
    """a + (b - a) t"""
    return lambda j: a + (b - a) * (j / float(n))


def linear(j: int, n: int, a: float, b: float) -> float:
    """a + (b - a) j/n"""
    return a + (b - a) * (j / n)


def torch_ramp(a: float, b: float, n: int) -> Torch | None:
    """A straight line from a to b in n updates."""
    if a <= 0 or n < 1:
        return None  # LinearLR takes no start factor of 0
    base = max(a, b)
    return Torch(base, "LinearLR", {"start_factor": a / base, "end_factor": b / base, "total_iters": n})


LINEAR = Shape(
    name="linear",
    summary="A straight line from one rate to the other",
    params=(param_a(), param_b()),
    build=lambda p, n: Built(linear_curve(p["a"], p["b"], n), p["b"]),
    formula=linear,
    torch=lambda p, n: torch_ramp(p["a"], p["b"], n),
    handles=at_both_ends,
    example="linear(0.005, 1e-5)",
    button="linear(0.005, 1e-5)",
    reference="torch LinearLR",
    page=PAGE,
    other_names=("lineardecay",),
    joins=True,
)

# exp ------------------------------------------------------------------------------------------


def exp_curve(a: float, b: float, n: int) -> Curve:
    """a (b / a)^t, in logarithms so that no quotient overflows."""
    log_a, slope = np.log(a), np.log(b) - np.log(a)
    if abs(slope) < 600 and a > 1e-300:
        return lambda j: a * in_loop(np.exp, slope * (j / float(n)))
    return lambda j: in_loop(np.exp, log_a + slope * (j / float(n)))


def exp(j: int, n: int, a: float, b: float) -> float:
    """a (b/a)^(j/n)"""
    return math.exp(math.log(a) + (math.log(b) - math.log(a)) * (j / n))


def _exp_torch(p: Params, n: int) -> Torch | None:
    gamma = (p["b"] / p["a"]) ** (1.0 / n)
    return Torch(p["a"], "ExponentialLR", {"gamma": gamma}) if 0.0 < gamma < float("inf") else None


EXP = Shape(
    name="exp",
    summary="The same factor at every step",
    params=(param_a(open_low=True), param_b(open_low=True)),
    build=lambda p, n: Built(exp_curve(p["a"], p["b"], n), p["b"]),
    formula=exp,
    torch=_exp_torch,
    handles=at_both_ends,
    example="exp(0.005, 1e-5)",
    button="exp(0.005, 1e-5)",
    reference="optax, fvcore",
    page=PAGE,
    other_names=("exponential", "exponentialdecay"),
    joins=True,
)

# poly -----------------------------------------------------------------------------------------


def poly_curve(a: float, b: float, power: float, n: int) -> Curve:
    """b + (a - b)(1 - t)^power"""
    return lambda j: between(a, b, power_of((float(n) - j) / float(n), power))


def poly(j: int, n: int, a: float, b: float, power: float) -> float:
    """b + (a - b)(1 - j/n)^power"""
    return b + (a - b) * ((n - j) / n) ** power


def _poly_torch(p: Params, n: int) -> Torch | None:
    return Torch(p["a"], "PolynomialLR", {"total_iters": n, "power": p["power"]}) if p["b"] == 0 else None


POLY = Shape(
    name="poly",
    summary="A power of the time that is left",
    params=(param_a(), param_b(), Param("power", "number", 1.0, "1 is a straight line, 2 falls faster at first", open_low=True)),
    build=lambda p, n: Built(poly_curve(p["a"], p["b"], p["power"], n), p["b"]),
    formula=poly,
    torch=_poly_torch,
    handles=at_both_ends,
    example="poly(0.005, 1e-5, power=2)",
    button="poly(0.005, 1e-5, power=2)",
    reference="torch PolynomialLR",
    page=PAGE,
    other_names=("polynomial", "polynomialdecay", "power"),
    joins=True,
)

# step -----------------------------------------------------------------------------------------


def step_curve(v: float, every: int, gamma: float) -> Curve:
    """v gamma^floor(j / every)"""
    every = min(every, FAR)
    return lambda j: v * power_of(gamma, (j // every) * 1.0)


def step(j: int, v: float, every: int, gamma: float) -> float:
    """v gamma^floor(j/every)"""
    return v * gamma ** (j // every)


def _step(p: Params, n: int) -> Built:
    curve = step_curve(p["v"], p["every"], p["gamma"])
    return Built(curve, value_at(curve, n), largest=lambda j: grown(p["v"], p["gamma"], j // p["every"]))


STEP = Shape(
    name="step",
    summary="Multiplied by a factor at a fixed interval of steps",
    params=(param_v("rate to start with"), Param("every", "time", REQUIRED, "steps between two cuts", low=1),
            Param("gamma", "number", 0.1, "factor of each cut", known_as="factor", shown_as="factor per cut")),
    build=_step,
    formula=step,
    torch=lambda p, _: Torch(p["v"], "StepLR", {"step_size": p["every"], "gamma": p["gamma"]}),
    handles=at_start,
    example="step(0.005, every=500, factor=0.5)",
    button="step(0.005, every=20%, factor=0.5)",
    reference="torch StepLR",
    page=PAGE,
    other_names=("stepdecay",),
    is_phases=True,
)  # fmt: skip

# decay ----------------------------------------------------------------------------------------


def decay_curve(v: float, gamma: float) -> Curve:
    """v gamma^j"""
    return lambda j: v * power_of(gamma, j * 1.0)


def decay(j: int, v: float, gamma: float) -> float:
    """v gamma^j"""
    return v * gamma**j


def _decay(p: Params, n: int) -> Built:
    curve = decay_curve(p["v"], p["gamma"])
    return Built(curve, value_at(curve, n), largest=lambda j: grown(p["v"], p["gamma"], j))


DECAY = Shape(
    name="decay",
    summary="Times a factor at every step",
    params=(
        param_v("rate to start with"),
        Param("gamma", "number", REQUIRED, "factor of each step", known_as="factor", shown_as="factor per step"),
    ),
    build=_decay,
    formula=decay,
    torch=lambda p, _: Torch(p["v"], "ExponentialLR", {"gamma": p["gamma"]}),
    handles=at_start,
    example="decay(0.005, factor=0.999)",
    button="decay(0.005, 0.999)",
    reference="torch ExponentialLR",
    page=PAGE,
    other_names=("exponentiallr",),
)
