"""How a run begins, and the shape that a warm-up was invented for: warmup, inverse_sqrt."""

from __future__ import annotations

import math

import numpy as np

from lib_lrsched.schedule.curves import Curve, Steps, Values, half_cosine, in_loop, value_at

from .entry import REQUIRED, Built, Param, Params, Shape, Torch, at_start, param_v
from .piecewise import torch_ramp

PAGE = "shapes-warmup.md"

# warmup ---------------------------------------------------------------------------------------


def warmup_curve(v: float, start: float, kind: str, n: int) -> Curve:
    """start + (v - start) h with h = (j+1)/n, (1 - cos(pi (j+1)/n))/2 or ln(j+2)/ln(n+1).

    Written as a mean of the two ends, so that the last step is v to the last bit.
    """

    def curve(j: Steps) -> Values:
        if kind == "log":
            h = in_loop(np.log, j + 2.0) / in_loop(np.log, n + 1.0)
        else:
            h = (j + 1) / float(n)
        if kind == "cosine":
            h = 1.0 - half_cosine(h)
        return start * (1.0 - h) + v * h

    return curve


def warmup(j: int, n: int, v: float, start: float, curve: str) -> float:
    """From start to v, which is reached on the last step j = n - 1."""
    if curve == "log":
        h = math.log(j + 2) / math.log(n + 1)
    else:
        h = (j + 1) / n
    if curve == "cosine":
        h = (1 - math.cos(math.pi * h)) / 2
    return start * (1 - h) + v * h


def _warmup_torch(p: Params, n: int) -> Torch | None:
    if p["curve"] != "linear" or n < 2:
        return None
    # LinearLR's first update has its start factor: our first step is one n-th up already.
    return torch_ramp(p["start"] + (p["v"] - p["start"]) / n, p["v"], n - 1)


WARMUP = Shape(
    name="warmup",
    summary="Rises to the rate, reached on its last step",
    params=(
        param_v("rate that is reached on the segment's last step", "to"),
        Param("start", "rate", 0.0, "rate from which it climbs", known_as="from"),
        Param("curve", "word", "linear", "form of the climb", choices=("linear", "cosine", "log")),
    ),
    build=lambda p, n: Built(warmup_curve(p["v"], p["start"], p["curve"], n), p["v"]),
    formula=warmup,
    torch=_warmup_torch,
    handles=lambda _, n, __: (("v", n - 1),),
    example="warmup(0.005)",
    button="warmup(0.005):5%",
    reference="peak x (step + 1) / warm-up steps; DeepSpeed's curves",
    page=PAGE,
    other_names=("linearwarmup",),
)

# inverse_sqrt ---------------------------------------------------------------------------------


def inverse_sqrt_curve(v: float, timescale: int) -> Curve:
    """v sqrt(timescale / (timescale + j)): Vaswani et al. 2017, after the warm-up."""
    return lambda j: v * np.sqrt(float(timescale) / (float(timescale) + j))


def inverse_sqrt(j: int, v: float, timescale: int) -> float:
    """v sqrt(timescale / (timescale + j))"""
    return v * math.sqrt(timescale / (timescale + j))


def _inverse_sqrt(p: Params, n: int) -> Built:
    curve = inverse_sqrt_curve(p["v"], p["timescale"])
    return Built(curve, value_at(curve, n))


INVERSE_SQRT = Shape(
    name="inverse_sqrt",
    summary="Falls with the square root of time",
    params=(
        param_v("rate to start with"),
        Param("timescale", "time", REQUIRED, "after three times this the rate is halved", low=1),
    ),
    build=_inverse_sqrt,
    formula=inverse_sqrt,
    torch=None,
    handles=at_start,
    example="inverse_sqrt(0.005, timescale=100)",
    button="inverse_sqrt(0.005, timescale=100)",
    reference="transformers, after its warm-up; Vaswani et al. 2017",
    page=PAGE,
    other_names=("inversesqrt", "invsqrt", "rsqrt", "noam"),
)
