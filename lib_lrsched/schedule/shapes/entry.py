"""What an entry of the registry is made of, and what several shapes have in common.

Nothing here knows texts or spans: a complaint names the parameter, and the planner finds its place in the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from lib_lrsched.schedule.curves import Curve

REQUIRED: Any = object()
"""Default of a parameter that has to be given."""

INF = float("inf")

Params = Mapping[str, Any]
"""A shape's parameter values by name."""


class ShapeError(Exception):
    """A value that a shape cannot take. ``param`` is the parameter's name, or "" for the whole."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param
        self.message = message


class Param(NamedTuple):
    """One parameter.

    ``kind``: "rate" (float, finite, 0 or more), "number" (float in the range), "whole" (int in the
    range), "time" (steps; takes %, ep and img), "word" (one of ``choices``), "flag" (yes or no), "items" (repeat's own).
    ``known_as`` is the name that is written now, where it is another one than ``name``, by which the code knows it; ``shown_as``
    is the label of a form, where the name in a text would be too short for it.
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
    known_as: str = ""
    shown_as: str = ""

    @property
    def label(self) -> str:
        """What a form and a chart's handle call it."""
        return self.shown_as or self.word.replace("_", " ")

    @property
    def word(self) -> str:
        """The name that people know it by, which is written now; ``name`` is valid too."""
        return self.known_as or self.name

    @property
    def words(self) -> tuple[str, ...]:
        """All names that it can be given by, the one that is written first."""
        return (self.known_as, self.name) if self.known_as else (self.name,)


class Built(NamedTuple):
    """A shape with its values: the curve, what it leaves behind, and what else it drives."""

    curve: Curve
    exit: float | None
    momentum: Curve | None = None
    largest: Callable[[int], float] | None = None  # largest value up to a last step j, where it may overflow


class Torch(NamedTuple):
    """One of torch's schedulers as text: the rate that the optimizer starts from, the class, and its arguments."""

    rate: float
    scheduler: str
    arguments: Params


Handles = Callable[[Params, int, int], Iterable[tuple[str, int]]]
"""(values, n, how many of the n steps are trained) -> what can be dragged: parameters that are the rate, each with its step."""


class Shape(NamedTuple):
    """An entry: everything about one shape.

    Attributes:
        name: the word of the language.
        summary: one line for the button's title.
        params: in the order in which they may be given without their names.
        build: (parameter values by name, the segment's length n) -> the curve. Raises ShapeError.
        formula: the curve in plain Python, one step at a time: a function of the shape's name whose arguments are the step
            ``j`` of the segment, ``n`` where it needs it, and the parameters by name. Its text goes into exported snippets,
            so it uses ``math`` and nothing else. None where no step can be known beforehand.
        torch: (values, n) -> torch's own scheduler where it computes the same rates, else None. None: torch has no such.
        handles: which points of the chart can be dragged up and down.
        example: for error texts; as the only item of a text it can be planned.
        button: what the button of the tab inserts.
        reference: the implementations that it agrees with, and its paper.
        page: the file in docs/ with its section.
        other_names: what other programs call it, in lower case and without ``_`` and ``-``; for hints in error texts.
        joins: the first two parameters are ``a`` and ``b``, and a text may leave ``a`` to the segment before.
        either: parameters of which exactly one has to be given.
        settle: (values, n) -> the values with those worked out that were left to others.
        is_phases: it is constant phases by itself.
        is_feedback: it looks at the loss, so that its rate is only known during the run.
        is_search: it goes through rates to find one, so that none of them is unusual.
    """

    name: str
    summary: str
    params: tuple[Param, ...]
    build: Callable[[Params, int], Built]
    formula: Callable[..., float] | None
    torch: Callable[[Params, int], Torch | None] | None
    handles: Handles
    example: str
    button: str
    reference: str
    page: str
    other_names: tuple[str, ...] = ()
    joins: bool = False
    either: tuple[str, ...] = ()
    settle: Callable[[Params, int], Params] | None = None
    is_phases: bool = False
    is_feedback: bool = False
    is_search: bool = False


# Parameters of several shapes -----------------------------------------------------------------


def param_a(**limits: Any) -> Param:
    meaning = "rate at the segment's start; left out, it is what the segment before ends with"
    return Param("a", "rate", None, meaning, known_as="from", **limits)


def param_b(**limits: Any) -> Param:
    return Param("b", "rate", REQUIRED, "rate that is reached at the segment's end", known_as="to", **limits)


def param_v(meaning: str, known_as: str = "from") -> Param:
    return Param("v", "rate", REQUIRED, meaning, known_as=known_as)


MOMENTUM = (
    Param("cycle_momentum", "flag", True, "drive momentum (Adam's beta1) against the rate", shown_as="momentum too"),
    Param("base_momentum", "number", 0.85, "momentum where the rate is highest", high=1.0, open_high=True,
          shown_as="lowest momentum"),
    Param("max_momentum", "number", 0.95, "momentum where the rate is lowest", high=1.0, open_high=True,
          shown_as="highest momentum"),
)

# Handles of several shapes --------------------------------------------------------------------


def at_both_ends(_: Params, n: int, __: int) -> Iterable[tuple[str, int]]:
    return ("a", 0), ("b", n)


def at_start(_: Params, __: int, ___: int) -> Iterable[tuple[str, int]]:
    return (("v", 0),)
