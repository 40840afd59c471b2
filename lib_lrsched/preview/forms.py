"""The registry of shapes as JSON, for the forms in the tab: names, parameters with their ranges, defaults and meanings.

It reads the entries that the planner reads, so a form offers what a text may say.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from lib_lrsched.schedule.shapes import REPEAT, REQUIRED, SHAPES, Param, Shape


def describe_shapes() -> list[dict[str, Any]]:
    """Every shape in the registry's order, then ``repeat``.

    A limit of None is no limit. ``required`` says that a parameter has no default; a default of None is one that depends on
    other things, as the meaning says. repeat's ``items`` is of kind "items": schedule items, each with its duration as end.
    """
    return [*map(_shape, SHAPES.values()), _shape(REPEAT)]


def _shape(shape: Shape) -> dict[str, Any]:
    return {"name": shape.name, "meaning": shape.summary, "example": shape.example, "reference": shape.reference,
            "joins": shape.joins, "feedback": shape.is_feedback, "params": [_param(p) for p in shape.params]}  # fmt: skip


def _param(p: Param) -> dict[str, Any]:
    return {
        "name": p.name, "word": p.word, "words": list(p.words), "label": p.label, "kind": p.kind,
        "required": p.default is REQUIRED, "default": None if p.default is REQUIRED else p.default,
        "meaning": p.meaning, "low": _limit(p.low), "high": _limit(p.high), "open_low": p.open_low, "open_high": p.open_high,
        "choices": list(p.choices),
    }  # fmt: skip


def _limit(number: float) -> float | None:
    return number if isfinite(number) else None
