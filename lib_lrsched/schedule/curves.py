"""What curves are made of: numpy arithmetic that gives one step and many steps the same bits.

A curve takes ``j``, an int64 array of any shape or one numpy int64, and returns float64 of
the same shape. One step and many steps give the same bits: numpy's array loops and its
scalar functions round exp, log and power differently, so a single step goes through a loop of length one.

The curve of each shape is with its entry, in shapes/.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log2
from typing import Any

import numpy as np

Steps = Any
"""int64 array of any shape, or one numpy int64."""
Values = Any
"""float64 array of the same shape, or one numpy float64."""
Curve = Callable[[Steps], Values]

FAR = 2**62
"""Whole numbers of steps above this are cut to it before integer arithmetic: no run gets there."""

_NOTHING = -1100.0
"""2 to this power is 0: the smallest float is 2^-1074."""


def in_loop(ufunc: Any, *args: Any) -> Values:
    """Apply ``ufunc`` through its array loop also to single numbers."""
    if any(isinstance(arg, np.ndarray) for arg in args):
        return ufunc(*args)
    return ufunc(*(np.array([arg], dtype=np.float64) for arg in args))[0]


def _cos(x: Values) -> Values:
    return np.cos(x) if isinstance(x, np.ndarray) else np.cos(np.array([x]))[0]


def power_of(base: Any, exponent: Any) -> Values:
    """base^exponent; ``base`` is from 0 to 1 where it is an array, and then ``exponent`` is a number above 0.

    What lies below the smallest float is 0 by any road, and numpy's is ten times slower there than elsewhere.
    """
    if isinstance(base, np.ndarray) and exponent < 1e12:  # beyond that the bound itself would be rounded too much
        alive = base >= 2.0 ** (_NOTHING / exponent)
    elif isinstance(exponent, np.ndarray) and 0.0 < base < 1.0:
        alive = exponent <= _NOTHING / log2(base)
    else:
        return in_loop(np.power, base, exponent)
    if not alive.all():
        return np.where(alive, np.power(np.where(alive, base, 1.0), np.where(alive, exponent, 1.0)), 0.0)
    # numpy 2 takes another road to squares and roots where all exponents are one number, and a single step would differ.
    return np.power(base, exponent if isinstance(exponent, np.ndarray) else np.full(base.shape, exponent))


def where(condition: Any, yes: Any, no: Any) -> Values:
    """``np.where`` that stays cheap for a single step."""
    if isinstance(condition, np.ndarray):
        return np.where(condition, yes, no)
    return yes if condition else no


def half_cosine(t: Values) -> Values:
    """From 1 at t = 0 to 0 at t = 1: (1 + cos(pi t)) / 2."""
    return (1.0 + _cos(np.pi * t)) / 2.0


def between(a: float, b: float, rest: Values) -> Values:
    """a where ``rest`` is 1, b where it is 0, both to the last bit; b + (a - b) rest would lose an a far below b."""
    return a * rest + b * (1.0 - rest)


def constant_curve(v: float) -> Curve:
    return lambda j: np.full(np.shape(j), v) if isinstance(j, np.ndarray) else np.float64(v)


def value_at(curve: Curve, j: int) -> float:
    """The value at one step, which may be infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(curve(np.int64(min(j, FAR))))


def grown(v: float, gamma: float, count: int) -> float:
    """v gamma^count where gamma is above 1, else v; infinite where that has no float."""
    if gamma <= 1 or v == 0:
        return v
    try:
        return v * gamma ** float(count)
    except OverflowError:
        return float("inf")
