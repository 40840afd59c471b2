"""The entry of repeat, which takes items and no values: the planner lays them out, and their own entries have the rest."""

from __future__ import annotations

from .entry import REQUIRED, Built, Param, Params, Shape


def _no_curve(_: Params, __: int) -> Built:
    raise AssertionError("a repeat is laid out by the planner")


REPEAT = Shape(
    name="repeat",
    summary="Its segments again and again",
    params=(
        Param("count", "number", REQUIRED, "how often; a fraction cuts the last pass", high=1e15, open_low=True, open_high=True),
        Param("items", "items", REQUIRED, "segments, each with an end, which is its duration"),
    ),
    build=_no_curve,
    formula=None,
    torch=None,
    handles=lambda _, __, ___: (),
    example="repeat(3, cosine(0.005, 1e-5):100)",
    button="repeat(3, 0.005:100, 1e-3:+100)",
    reference="this language",
    page="shapes-cyclic.md",
)
