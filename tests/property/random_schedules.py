"""Random texts: schedules that mostly can be planned, and soups of words and marks that mostly cannot."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from lib_lrsched import Plan, ScheduleError, plan
from lib_lrsched.schedule.shapes import REQUIRED, SHAPES, Param

STRETCHING = {"linear", "cosine", "exp", "poly", "rex", "warmup", "onecycle", "wsd", "range_test"}
"""The shapes whose values depend on the length of their segment."""

STRETCHING_PARAMS = {("restarts", "cycles")}
"""The parameters that make those of another shape depend on it."""

rates = st.one_of(st.sampled_from(["0.005", "1e-3", "0.5", "1", "1e-5"]), st.floats(1e-9, 1e3).map(repr))


def whole(low: int, high: int) -> st.SearchStrategy[str]:
    return st.integers(low, high).map(str)


def argument(p: Param, percent: bool) -> st.SearchStrategy[str]:
    """A value of a parameter that is mostly within its range."""
    if p.kind == "rate":
        return rates
    if p.kind == "word":
        return st.sampled_from(p.choices)
    if p.kind == "flag":
        return st.sampled_from(["yes", "no"])
    if p.kind == "whole":
        return whole(1, 6)
    if p.kind == "time":
        return whole(1, 40) if not percent else st.one_of(whole(1, 40), whole(3, 40).map("{}%".format))
    return st.floats(0.05, 0.95).map(repr)


@st.composite
def shapes(
    draw: Callable[[Any], Any], names: tuple[str, ...] = tuple(SHAPES), percent: bool = True, stretching: bool = True,
) -> str:  # fmt: skip
    """``stretching``: its values may depend on the length of its segment."""
    shape = SHAPES[draw(st.sampled_from(names if stretching else tuple(name for name in names if name not in STRETCHING)))]
    words = []
    for p in shape.params:
        if not stretching and (shape.name, p.name) in STRETCHING_PARAMS:
            continue
        if p.default is REQUIRED or p.name == "a" or draw(st.booleans()):  # with a, a shape needs no segment before it
            words.append(f"{p.name}={draw(argument(p, percent))}")
    return f"{shape.name}({', '.join(words)})"


@st.composite
def repeats(draw: Callable[[Any], Any], percent: bool = True) -> str:
    inner = tuple(name for name in SHAPES if name != "plateau")
    value = st.one_of(rates, shapes(inner, percent))
    items = draw(st.lists(st.tuples(value, whole(1, 25)), min_size=1, max_size=3))
    count = draw(st.sampled_from(["1", "2", "3.5", "0.7", "40"]))
    return f"repeat({count}, {', '.join(f'{value}:{end}' for value, end in items)})"


@st.composite
def schedules(draw: Callable[[Any], Any], *, fixed: bool = False) -> str:
    """A text that mostly can be planned. ``fixed``: nothing in it depends on max steps."""
    value = st.one_of(rates, shapes(percent=not fixed), repeats(percent=not fixed))
    units = ["+{}"] if fixed else ["+{}", "+{}%", "+{}ep", "+{}img"]
    items = []
    for _ in range(draw(st.integers(1, 4))):
        end = draw(st.sampled_from(units)).format(draw(st.integers(1, 60)))
        written = draw(value)
        items.append(written if written.startswith("repeat") else f"{written}:{end}")
    if draw(st.booleans()):
        items.append(draw(st.one_of(rates, shapes(percent=False, stretching=False)) if fixed else value))
    return draw(st.sampled_from([", ", ",", " ,\n"])).join(items)


totals = st.integers(1, 300)


def planned(text: str, total_steps: int = 120) -> Plan:
    """The plan of a text; a text that has none ends the example."""
    try:
        return plan(text, total_steps=total_steps, steps_per_epoch=7, images_per_step=4)
    except ScheduleError:
        assume(False)
        raise


_WORDS = [
    *SHAPES,
    "repeat",
    "cosin",
    *sorted({p.name for shape in SHAPES.values() for p in shape.params}),
    "count",
    "yes",
    "no",
    "log",
    "sqrt",
    "rel",
    "ep",
    "img",
    "0",
    "1",
    "-1",
    "+5",
    "100",
    "1e-3",
    "0.005",
    "20",
    "1e308",
    "5e-324",
    "nan",
    "inf",
    "1e400",
    "-0",
    "1_0",
    "٣",
    "9" * 40,
    "9" * 41,
    "2.5",
    "1e15",
    "4611686018427387904",
]
_MARKS = [*"(((()))),,,,::::==%%++--#\n \t", "\x00", "\u00a0", "é", "\ud800"]
soup = st.lists(st.sampled_from(_WORDS + _MARKS * 3), max_size=40).map("".join)
letters = st.text(alphabet=string.ascii_lowercase + string.digits + ".eE+-_%:,()=# \n" * 3 + "\x00é٣\u2028", max_size=60)


@st.composite
def mutated(draw: Callable[[Any], Any]) -> str:
    text = draw(schedules())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        text = (
            text[:start] + draw(st.sampled_from([*_WORDS, *_MARKS, ""])) + text[start + draw(st.sampled_from([0, 0, 1, 1, 3, 8])) :]
        )
    return text
