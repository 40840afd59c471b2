"""The table of shapes as JSON, for the forms in the tab: names, parameters with their ranges, defaults and meanings.

It reads the table that the planner reads, so a form offers what a text may say.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from .repeat import EXAMPLE
from .shapes import REQUIRED, SHAPES, Param, Shape


def describe_shapes() -> list[dict[str, Any]]:
    """Every shape in the table's order, then ``repeat``.

    A limit of None is no limit. ``required`` says that a parameter has no default; a default of None is one that depends on
    other things, as the meaning says. repeat's ``items`` is of kind "items": schedule items, each with its duration as end.
    """
    return [*map(_shape, SHAPES.values()), _repeat()]


def _shape(shape: Shape) -> dict[str, Any]:
    return {"name": shape.name, "example": shape.example, "reference": shape.reference, "joins": shape.joins,
            "params": [_param(p) for p in shape.params]}  # fmt: skip


def _param(p: Param) -> dict[str, Any]:
    return {
        "name": p.name, "kind": p.kind, "required": p.default is REQUIRED, "default": None if p.default is REQUIRED else p.default,
        "meaning": p.meaning, "low": _limit(p.low), "high": _limit(p.high), "open_low": p.open_low, "open_high": p.open_high,
        "choices": list(p.choices),
    }  # fmt: skip


def _limit(number: float) -> float | None:
    return number if isfinite(number) else None


def _repeat() -> dict[str, Any]:
    count = Param("count", "number", REQUIRED, "how often; a fraction cuts the last pass", high=1e15, open_low=True, open_high=True)
    items = Param("items", "items", REQUIRED, "schedule items, each with an end, which is its duration")
    return _shape(Shape("repeat", EXAMPLE, (count, items), _no_curve, "this language"))


def _no_curve(*_: Any) -> Any:
    raise AssertionError("a repeat is built by the planner")
