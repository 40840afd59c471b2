"""A plan as a Python snippet for torch, which needs nothing of this extension.

A snippet defines STEPS and ``make_scheduler(optimizer)``. Where one of torch's own schedulers computes the same values, it
is used; anything else becomes a LambdaLR over the plan's formulas.
"""

from __future__ import annotations

import inspect
from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from typing import Any

from lib_lrsched.language.tree import unparse
from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.running_average import SMOOTHING
from lib_lrsched.schedule.segments import Passes, Segment
from lib_lrsched.schedule.shapes import SHAPES, Torch

from .export_result import Exported, ExportError, first_with_momentum, refuse_feedback

MOST_TEXT = 200
"""The schedule's text is quoted in the snippet up to this length."""


def to_pytorch(plan: Plan) -> Exported:
    """A snippet whose scheduler gives the plan's rate at every update, as float64 computes it.

    Raises:
        ExportError: a plateau or driven momentum beside other items, which no scheduler of torch has.
    """
    one = own_scheduler(plan)
    if one is None:
        refuse_feedback(plan, "a torch scheduler together with other segments")
        text = _lambda(plan)
    elif plan.feedback and plan.segments[0].values["watch"] != "loss":
        return _watched(plan, one)
    else:
        text = _watch(plan, one) if plan.feedback else _one(plan, one)
    note = f"call make_scheduler(optimizer), then its step() after every optimizer.step(); train {plan.stop} updates"
    return Exported(text, note)


# One of torch's own ---------------------------------------------------------------------------


def own_scheduler(plan: Plan) -> Torch | None:
    """torch's scheduler that computes the one segment of a plan, or None."""
    segment, *more = plan.segments
    make = None if more else segment.entry.torch
    return None if make is None else make(segment.values, segment.length)


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


def _lambda(plan: Plan) -> str:
    segment = first_with_momentum(plan)
    if segment is not None:
        raise ExportError(
            f"`{segment.shape}` drives momentum, which torch has for one shape over the whole run only; "
            "write `cycle_momentum=no` to export the rate alone", segment.item.span,
        )
    if all(segment.shape == "constant" for segment in plan.segments):
        imports, body = ["from bisect import bisect_right"], _table(plan.segments)
    else:
        imports, body = _formulas(plan.segments)
    return "\n".join([
        *_head(plan, *imports, "", "from torch.optim.lr_scheduler import LambdaLR"),
        *body,
        "", "",
        "def make_scheduler(optimizer):",
        *_set_rate("1.0"),
        "    return LambdaLR(optimizer, lambda k: rate(min(k, STEPS - 1)))  # times the optimizer's own rate, which is 1",
        "",
    ])  # fmt: skip


def _table(segments: tuple[Segment, ...]) -> list[str]:
    rates = ", ".join(repr(segment.values["v"]) for segment in segments)
    ends = ", ".join(str(segment.stop) for segment in segments[:-1])
    lines = [f"ENDS = [{ends}]  # exclusive", f"RATES = [{rates}]"]
    return [*lines, "", "", "def rate(k):", "    return RATES[bisect_right(ENDS, k)]"]


def _formulas(segments: tuple[Segment, ...]) -> tuple[list[str], list[str]]:
    """The imports and the body: the formulas that are used, and how the plan joins them."""
    expression = _piecewise(segments, "")
    text = "\n\n".join(source for name, source in _sources().items() if f"{name}(" in expression)
    imports = ["import math"] if "math." in text else []
    if "Fraction(" in expression:
        imports.append("from fractions import Fraction")
    if "bisect_right" in text:
        imports.append("from bisect import bisect_right")
    return imports, ["", "", text, "", f"rate = {expression}"]


def piecewise(starts: list[int], segments: list[Callable[[int], float]]) -> Callable[[int], float]:
    """Segments one after the other; each counts from its own start."""

    def value(k: int) -> float:
        i = bisect_right(starts, k) - 1
        return segments[i](k - starts[i])

    return value


def repeat(length: int, first: Callable[[int], float], again: Callable[[int], float] | None = None) -> Callable[[int], float]:
    """Passes of `length` steps; the first may differ from the later ones."""
    return lambda j: (first if again is None or j < length else again)(j % length)


def _source(function: Callable[..., Any]) -> str:
    """The function's text without the annotations that would need imports."""
    return inspect.getsource(function).replace("Callable[[int], float]", "object").replace("list[object]", "list")


@cache
def _sources() -> dict[str, str]:
    """Each formula's text by name; read from its file when the first snippet needs one."""
    functions: list[Callable[..., Any]] = [piecewise, repeat]
    functions += [shape.formula for shape in SHAPES.values() if shape.formula is not None]
    return {function.__name__: _source(function) for function in functions}


def _piecewise(segments: tuple[Segment, ...], indent: str) -> str:
    if len(segments) == 1:
        return _expression(segments[0], indent)
    inner = indent + "    "
    starts = ", ".join(str(segment.start) for segment in segments)
    lines = "".join(f"{inner}{_expression(segment, inner)},\n" for segment in segments)
    return f"piecewise([{starts}], [\n{lines}{indent}])"


def _expression(segment: Segment, indent: str) -> str:
    """A function of j as an expression."""
    if segment.passes is not None:
        return _repeat(segment.passes, indent)
    if segment.shape == "constant":
        return f"lambda j: {segment.values['v']!r}"
    formula = segment.entry.formula
    assert formula is not None  # what looks at the loss was refused
    values = {"n": segment.length, **segment.values}
    arguments = ", ".join(f"{name}={values[name]!r}" for name in inspect.signature(formula).parameters if name != "j")
    return f"lambda j: {segment.shape}(j, {arguments})"


def _repeat(passes: Passes, indent: str) -> str:
    inner = indent + "    "
    first, again = _piecewise(passes.first, inner), _piecewise(passes.again, inner)
    lines = [first] if first == again else [first, again]
    return f"repeat({passes.length},\n" + ",\n".join(f"{inner}{line}" for line in lines) + ")"


# What looks at the loss -----------------------------------------------------------------------


def _watched(plan: Plan, one: Torch) -> Exported:
    """torch's scheduler as it is: it looks at what its step() is given, whenever that is called."""
    segment = plan.segments[0]
    what, every = segment.values["watch"], segment.values["every"]
    if every > 1:
        raise ExportError(f"torch's scheduler has no `every`: leave it out, and call step() only where {what} is to be looked at",
                          segment.item.span)
    note = f"call make_scheduler(optimizer), and its step(metric) where there is a new {what}, lower being better"
    return Exported(_one(plan, one), f"{note}; train {plan.stop} updates")


def _watch(plan: Plan, one: Torch) -> str:
    every = plan.segments[0].values["every"]
    arguments = ", ".join(f"{name}={value!r}" for name, value in one.arguments.items())
    return "\n".join([
        *_head(plan, "import math", "", f"from torch.optim.lr_scheduler import {one.scheduler}"),
        f"LEARNING_RATE = {one.rate!r}",
        "", "",
        "class Watch:",
        f'    """Feeds the scheduler a running average of the loss (decay {SMOOTHING}), one look every {every} updates."""',
        "",
        "    def __init__(self, scheduler):",
        "        self.scheduler, self.updates, self.mean, self.weight = scheduler, 0, 0.0, 0.0",
        "",
        "    def step(self, loss):",
        "        if math.isfinite(loss):",
        f"            self.mean = {SMOOTHING} * self.mean + (1.0 - {SMOOTHING}) * loss",
        f"            self.weight = {SMOOTHING} * self.weight + (1.0 - {SMOOTHING})",
        "        self.updates += 1",
        f"        if self.updates % {every} == 0:",
        "            self.scheduler.step(self.mean / self.weight if math.isfinite(loss) else math.nan)",
        "", "",
        "def make_scheduler(optimizer):",
        '    """Call step(loss) of what this gives after every optimizer.step()."""',
        *_set_rate("LEARNING_RATE"),
        f"    return Watch({one.scheduler}(optimizer, {arguments}))",
        "",
    ])  # fmt: skip


def _head(plan: Plan, *imports: str) -> list[str]:
    text = unparse(plan.tree)
    text = text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + " ..."
    return [f"# {text}", f"# exported for max steps {plan.total_steps}", "", *imports, "", f"STEPS = {plan.stop}"]


def _set_rate(rate: str) -> list[str]:
    return ["    for group in optimizer.param_groups:", f'        group["lr"] = group["initial_lr"] = {rate}']
