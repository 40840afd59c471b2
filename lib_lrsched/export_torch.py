"""A plan as a Python snippet for torch, which needs nothing of this extension.

A snippet defines STEPS and ``make_scheduler(optimizer)``. Where one of torch's own schedulers computes the same values, it
is used; anything else becomes a LambdaLR over the plan's formulas.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from . import formulas
from .exported import Exported, ExportError, first_with_momentum, refuse_feedback
from .feedback import SMOOTHING
from .parts import Part, Passes, parts_of
from .plan import Plan
from .syntax import unparse

MOST_TEXT = 200
"""The schedule's text is quoted in the snippet up to this length."""


class Torch(NamedTuple):
    """One of torch's schedulers: the rate that the optimizer starts from, the class, and its arguments."""

    rate: float
    scheduler: str
    arguments: Mapping[str, Any]


def to_pytorch(plan: Plan) -> Exported:
    """A snippet whose scheduler gives the plan's rate at every update, as float64 computes it.

    Raises:
        ExportError: a plateau or driven momentum beside other items, which no scheduler of torch has.
    """
    parts = parts_of(plan)
    if len(parts) == 1 and parts[0].shape == "plateau":
        text = _plateau(plan, parts[0])
    else:
        refuse_feedback(plan, "a torch scheduler together with other items")
        one = own_scheduler(parts)
        text = _lambda(plan, parts) if one is None else _one(plan, one)
    note = f"call make_scheduler(optimizer), then its step() after every optimizer.step(); train {plan.stop} updates"
    return Exported(text, note)


# One of torch's own ---------------------------------------------------------------------------


def own_scheduler(parts: tuple[Part, ...]) -> Torch | None:
    """torch's scheduler that computes the one part of a plan, or None."""
    make = _OWN.get(parts[0].shape) if len(parts) == 1 else None
    return None if make is None else make(parts[0].values, parts[0].length)


def _linear(p: Mapping[str, Any], n: int) -> Torch | None:
    return _ramp(p["a"], p["b"], n)


def _ramp(a: float, b: float, n: int) -> Torch | None:
    if a <= 0 or n < 1:
        return None  # LinearLR takes no start factor of 0
    base = max(a, b)
    return Torch(base, "LinearLR", {"start_factor": a / base, "end_factor": b / base, "total_iters": n})


def _warmup(p: Mapping[str, Any], n: int) -> Torch | None:
    if p["curve"] != "linear" or n < 2:
        return None
    # LinearLR's first update has its start factor: our first step is one n-th up already.
    return _ramp(p["start"] + (p["v"] - p["start"]) / n, p["v"], n - 1)


def _cosine(p: Mapping[str, Any], n: int) -> Torch | None:
    return Torch(p["a"], "CosineAnnealingLR", {"T_max": n, "eta_min": p["b"]})


def _exp(p: Mapping[str, Any], n: int) -> Torch | None:
    gamma = (p["b"] / p["a"]) ** (1.0 / n)
    return Torch(p["a"], "ExponentialLR", {"gamma": gamma}) if 0.0 < gamma < float("inf") else None


def _poly(p: Mapping[str, Any], n: int) -> Torch | None:
    return Torch(p["a"], "PolynomialLR", {"total_iters": n, "power": p["power"]}) if p["b"] == 0 else None


def _restarts(p: Mapping[str, Any], _: int) -> Torch | None:
    if p["peak_decay"] != 1 or p["warmup"] or not isinstance(p["t_0"], int):
        return None  # torch's cycles are whole numbers of steps
    return Torch(p["peak"], "CosineAnnealingWarmRestarts", {"T_0": p["t_0"], "T_mult": p["t_mult"], "eta_min": p["floor"]})


def _cyclic(p: Mapping[str, Any], _: int) -> Torch | None:
    if p["wave"] != "linear":
        return None
    names = {"base_lr": "low", "max_lr": "high", "step_size_up": "step_size", "step_size_down": "step_size_down", "mode": "mode",
             "gamma": "gamma", "cycle_momentum": "cycle_momentum", "base_momentum": "base_momentum", "max_momentum": "max_momentum"}
    return Torch(p["low"], "CyclicLR", {theirs: p[ours] for theirs, ours in names.items()})


def _onecycle(p: Mapping[str, Any], n: int) -> Torch | None:
    if n < 2 or p["pct_start"] * n == 1.0:
        return None  # torch divides by zero there
    arguments = {"max_lr": p["max_lr"], "total_steps": n, "pct_start": p["pct_start"], "anneal_strategy": p["anneal"]}
    names = ("cycle_momentum", "base_momentum", "max_momentum", "div_factor", "final_div_factor", "three_phase")
    return Torch(p["max_lr"], "OneCycleLR", arguments | {name: p[name] for name in names})


_OWN: dict[str, Callable[[Mapping[str, Any], int], Torch | None]] = {
    "constant": lambda p, _: Torch(p["v"], "ConstantLR", {"factor": 1.0, "total_iters": 1}),
    "linear": _linear, "warmup": _warmup, "cosine": _cosine, "exp": _exp, "poly": _poly,
    "step": lambda p, _: Torch(p["v"], "StepLR", {"step_size": p["every"], "gamma": p["gamma"]}),
    "decay": lambda p, _: Torch(p["v"], "ExponentialLR", {"gamma": p["gamma"]}),
    "restarts": _restarts, "cyclic": _cyclic, "onecycle": _onecycle,
}  # fmt: skip


def _one(plan: Plan, one: Torch) -> str:
    arguments = ", ".join(f"{name}={value!r}" for name, value in one.arguments.items())
    return "\n".join([
        *_head(plan, f"from torch.optim.lr_scheduler import {one.scheduler}"),
        f"LEARNING_RATE = {one.rate!r}",
        "", "",
        "def make_scheduler(optimizer):",
        *_set_rate("LEARNING_RATE"),
        f"    return {one.scheduler}(optimizer, {arguments})",
        "",
    ])  # fmt: skip


# A LambdaLR -----------------------------------------------------------------------------------


def _lambda(plan: Plan, parts: tuple[Part, ...]) -> str:
    segment = first_with_momentum(plan)
    if segment is not None:
        raise ExportError(
            f"`{segment.shape}` drives momentum, which torch has for one shape over the whole run only; "
            "write cycle_momentum=no to export the rate alone", segment.item.span,
        )
    if all(part.shape == "constant" for part in parts):
        imports, body = ["from bisect import bisect_right"], _table(parts)
    else:
        imports, body = _formulas(parts)
    return "\n".join([
        *_head(plan, *imports, "", "from torch.optim.lr_scheduler import LambdaLR"),
        *body,
        "", "",
        "def make_scheduler(optimizer):",
        *_set_rate("1.0"),
        "    return LambdaLR(optimizer, lambda k: rate(min(k, STEPS - 1)))  # times the optimizer's own rate, which is 1",
        "",
    ])  # fmt: skip


def _table(parts: tuple[Part, ...]) -> list[str]:
    rates = ", ".join(repr(part.values["v"]) for part in parts)
    ends = ", ".join(str(part.stop) for part in parts[:-1])
    lines = [f"ENDS = [{ends}]  # exclusive", f"RATES = [{rates}]"]
    return [*lines, "", "", "def rate(k):", "    return RATES[bisect_right(ENDS, k)]"]


def _formulas(parts: tuple[Part, ...]) -> tuple[list[str], list[str]]:
    """The imports and the body: the formulas that are used, and how the plan joins them."""
    expression = _pieces(parts, "")
    text = "\n\n".join(source for name, source in _sources().items() if f"{name}(" in expression)
    imports = ["import math"] if "math." in text else []
    if "Fraction(" in expression:
        imports.append("from fractions import Fraction")
    if "bisect_right" in text:
        imports.append("from bisect import bisect_right")
    return imports, ["", "", text, "", f"rate = {expression}"]


def _source(function: Callable[..., Any]) -> str:
    """The function's text without the annotations that would need imports."""
    return inspect.getsource(function).replace("Callable[[int], float]", "object").replace("list[object]", "list")


@cache
def _sources() -> dict[str, str]:
    """Each formula's text by name; read from its file when the first snippet needs one."""
    found = vars(formulas).items()
    return {name: _source(f) for name, f in found if inspect.isfunction(f) and f.__module__ == formulas.__name__}


def _pieces(parts: tuple[Part, ...], indent: str) -> str:
    if len(parts) == 1:
        return _expression(parts[0], indent)
    inner = indent + "    "
    starts = ", ".join(str(part.start) for part in parts)
    lines = "".join(f"{inner}{_expression(part, inner)},\n" for part in parts)
    return f"pieces([{starts}], [\n{lines}{indent}])"


def _expression(part: Part, indent: str) -> str:
    """A function of j as an expression."""
    if part.passes is not None:
        return _repeat(part.passes, indent)
    if part.shape == "constant":
        return f"lambda j: {part.values['v']!r}"
    names = inspect.signature(getattr(formulas, part.shape)).parameters
    values = {"n": part.length, **part.values}
    if "step_size_down" in values and values["step_size_down"] is None:
        values["step_size_down"] = values["step_size"]
    arguments = ", ".join(f"{name}={values[name]!r}" for name in names if name != "j")
    return f"lambda j: {part.shape}(j, {arguments})"


def _repeat(passes: Passes, indent: str) -> str:
    inner = indent + "    "
    first, again = _pieces(passes.first, inner), _pieces(passes.again, inner)
    lines = [first] if first == again else [first, again]
    return f"repeat({passes.length},\n" + ",\n".join(f"{inner}{line}" for line in lines) + ")"


# A plateau ------------------------------------------------------------------------------------


def _plateau(plan: Plan, part: Part) -> str:
    p = part.values
    arguments = {"factor": p["factor"], "patience": p["patience"], "threshold": p["threshold"], "threshold_mode": p["mode"],
                 "cooldown": p["cooldown"], "min_lr": p["min"], "eps": 0.0}
    text = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return "\n".join([
        *_head(plan, "import math", "", "from torch.optim.lr_scheduler import ReduceLROnPlateau"),
        f"LEARNING_RATE = {p['v']!r}",
        "", "",
        "class Watch:",
        f'    """Feeds the scheduler a running average of the loss (decay {SMOOTHING}), one look every {p["every"]} updates."""',
        "",
        "    def __init__(self, scheduler):",
        "        self.scheduler, self.updates, self.mean, self.weight = scheduler, 0, 0.0, 0.0",
        "",
        "    def step(self, loss):",
        "        if math.isfinite(loss):",
        f"            self.mean = {SMOOTHING} * self.mean + (1.0 - {SMOOTHING}) * loss",
        f"            self.weight = {SMOOTHING} * self.weight + (1.0 - {SMOOTHING})",
        "        self.updates += 1",
        f"        if self.updates % {p['every']} == 0:",
        "            self.scheduler.step(self.mean / self.weight if math.isfinite(loss) else math.nan)",
        "", "",
        "def make_scheduler(optimizer):",
        '    """Call step(loss) of what this gives after every optimizer.step()."""',
        *_set_rate("LEARNING_RATE"),
        f"    return Watch(ReduceLROnPlateau(optimizer, {text}))",
        "",
    ])  # fmt: skip


def _head(plan: Plan, *imports: str) -> list[str]:
    text = unparse(plan.tree)
    text = text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + " ..."
    return [f"# {text}", f"# exported for max steps {plan.total_steps}", "", *imports, "", f"STEPS = {plan.stop}"]


def _set_rate(rate: str) -> list[str]:
    return ["    for group in optimizer.param_groups:", f'        group["lr"] = group["initial_lr"] = {rate}']
