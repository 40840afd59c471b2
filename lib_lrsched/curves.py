"""The formulas: value at step j of a segment of n steps, as pure numpy functions.

Each function takes ``j``, an int64 array of any shape or one numpy int64, and returns float64 of
the same shape. One step and many steps give the same bits: numpy's array loops and its
scalar functions round exp, log and power differently, so a single step goes through a loop of length one.

This file knows numbers only: no text, no spans, no defaults.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction
from math import ceil, log2
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


def _loop(ufunc: Any, *args: Any) -> Values:
    """Apply ``ufunc`` through its array loop also to single numbers."""
    if any(isinstance(arg, np.ndarray) for arg in args):
        return ufunc(*args)
    return ufunc(*(np.array([arg], dtype=np.float64) for arg in args))[0]


def _cos(x: Values) -> Values:
    return np.cos(x) if isinstance(x, np.ndarray) else np.cos(np.array([x]))[0]


def _power(base: Any, exponent: Any) -> Values:
    """base^exponent; ``base`` is from 0 to 1 where it is an array, and then ``exponent`` is a number above 0.

    What lies below the smallest float is 0 by any road, and numpy's is ten times slower there than elsewhere.
    """
    if isinstance(base, np.ndarray) and exponent < 1e12:  # beyond that the bound itself would be rounded too much
        alive = base >= 2.0 ** (_NOTHING / exponent)
    elif isinstance(exponent, np.ndarray) and 0.0 < base < 1.0:
        alive = exponent <= _NOTHING / log2(base)
    else:
        return _loop(np.power, base, exponent)
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


def constant(v: float) -> Curve:
    return lambda j: np.full(np.shape(j), v) if isinstance(j, np.ndarray) else np.float64(v)


def linear(a: float, b: float, n: int) -> Curve:
    """a + (b - a) t"""
    return lambda j: a + (b - a) * (j / float(n))


def cosine(a: float, b: float, n: int) -> Curve:
    """b + (a - b)(1 + cos(pi t)) / 2: SGDR without restarts (Loshchilov and Hutter 2017, eq. 5)."""
    return lambda j: between(a, b, half_cosine(j / float(n)))


def exponential(a: float, b: float, n: int) -> Curve:
    """a (b / a)^t, in logarithms so that no quotient overflows."""
    log_a, slope = np.log(a), np.log(b) - np.log(a)
    if abs(slope) < 600 and a > 1e-300:
        return lambda j: a * _loop(np.exp, slope * (j / float(n)))
    return lambda j: _loop(np.exp, log_a + slope * (j / float(n)))


def polynomial(a: float, b: float, power: float, n: int) -> Curve:
    """b + (a - b)(1 - t)^power"""
    return lambda j: between(a, b, _power((float(n) - j) / float(n), power))


def rex(a: float, b: float, d: float, n: int) -> Curve:
    """b + (a - b)(1 - t) / ((1 - d) + d (1 - t)): REX (Chen et al. 2021), as OneTrainer has it."""

    def curve(j: Steps) -> Values:
        rest = (float(n) - j) / float(n)
        return between(a, b, rest / ((1.0 - d) + d * rest))

    return curve


def warmup(v: float, start: float, kind: str, n: int) -> Curve:
    """start + (v - start) h with h = (j+1)/n, (1 - cos(pi (j+1)/n))/2 or ln(j+2)/ln(n+1).

    Written as a mean of the two ends, so that the last step is v to the last bit.
    """

    def curve(j: Steps) -> Values:
        if kind == "log":
            h = _loop(np.log, j + 2.0) / _loop(np.log, n + 1.0)
        else:
            h = (j + 1) / float(n)
        if kind == "cosine":
            h = 1.0 - half_cosine(h)
        return start * (1.0 - h) + v * h

    return curve


def staircase(v: float, every: int, gamma: float) -> Curve:
    """v gamma^floor(j / every)"""
    every = min(every, FAR)
    return lambda j: v * _power(gamma, (j // every) * 1.0)


def decay(v: float, gamma: float) -> Curve:
    """v gamma^j"""
    return lambda j: v * _power(gamma, j * 1.0)


def inverse_sqrt(v: float, timescale: int) -> Curve:
    """v sqrt(timescale / (timescale + j)): Vaswani et al. 2017, after the warm-up."""
    return lambda j: v * np.sqrt(float(timescale) / (float(timescale) + j))


def triangle(up: int, down: int, wave: str) -> tuple[Curve, Callable[[Steps], Any]]:
    """The ramp h of a cycle, 0 to 1 in ``up`` steps and back in ``down``, and the cycle's number."""
    whole = min(up + down, FAR)

    def height(j: Steps) -> Values:
        r = j - (j // whole) * whole  # numpy divides by a constant much faster than it takes remainders
        h = where(r <= up, r / float(up), (float(up + down) - r) / float(down))
        return 1.0 - half_cosine(h) if wave == "cosine" else h

    return height, lambda j: j // whole


def amplitude(mode: str, gamma: float, cycle: Callable[[Steps], Any]) -> Curve:
    """How tall a cycle is: 1, halved each cycle, or gamma^j (Smith 2017)."""
    if mode == "triangular2":
        return lambda j: _power(0.5, cycle(j) * 1.0)
    if mode == "exp_range":
        return lambda j: _power(gamma, j * 1.0)
    return lambda _: 1.0


def restarts(peak: float, floor: float, cycles: tuple[int | Fraction, int], peak_decay: float, warm: int) -> Curve:
    """Cosine warm restarts (Loshchilov and Hutter 2017), cycles counted with whole numbers.

    ``cycles`` is (t_0, t_mult). Each cycle opens with ``warm`` steps of linear warm-up. Where t_0 is a fraction, a cycle
    starts between two steps, and its first step lies a part of a step behind its peak.
    """
    t_0, t_mult = cycles
    place = _growing_cycles(t_0, t_mult) if t_mult > 1 else _even_cycles(t_0)

    def curve(j: Steps) -> Values:
        cycle, r, whole = place(j)
        top = peak * _power(peak_decay, cycle * 1.0) if peak_decay != 1.0 else peak
        fall = floor + (top - floor) * half_cosine((r - float(warm)) / (whole - float(warm)))
        if not warm:
            return fall
        return where(r < float(warm), floor + (top - floor) * np.minimum((r + 1) / float(warm), 1.0), fall)

    return curve


_Place = Callable[[Steps], tuple[Any, Any, Any]]
"""A step's cycle, counted from 0, its steps from the cycle's start, and the cycle's length."""


def _even_cycles(t_0: int | Fraction) -> _Place:
    """Cycles of one length: a whole number of steps, or p/q of them."""
    p, q = t_0.numerator, t_0.denominator
    length = p / q
    if q == 1:
        whole = min(p, FAR)

        def place(j: Steps) -> tuple[Any, Any, Any]:
            cycle = j // whole
            return cycle, j - cycle * whole, float(whole)

    elif p * q < FAR:

        def place(j: Steps) -> tuple[Any, Any, Any]:
            whole, rest = j // p, j % p  # q cycles take p steps
            cycle = rest * q // p
            return whole * q + cycle, (rest * q - cycle * p) / float(q), length

    else:

        def place(j: Steps) -> tuple[Any, Any, Any]:  # beyond 64 bits: Python's own whole numbers
            if not isinstance(j, np.ndarray):
                return int(j) * q // p, int(j) * q % p / q, length
            scaled = j.astype(object) * q
            return (scaled // p).astype(np.int64), (scaled % p / q).astype(np.float64), length

    return place


def _growing_cycles(t_0: int | Fraction, t_mult: int) -> _Place:
    """Each cycle is ``t_mult`` times as long as the one before it: there are few of them."""
    starts, lengths = [t_0 * 0], [t_0]
    while starts[-1] + lengths[-1] < FAR:
        starts.append(starts[-1] + lengths[-1])
        lengths.append(lengths[-1] * t_mult)
    steps = [ceil(start) for start in starts]  # the first step of each cycle
    first, whole_of = np.array(steps), np.array([float(length) for length in lengths])
    behind = np.array([float(step - start) for step, start in zip(steps, starts)])

    def place(j: Steps) -> tuple[Any, Any, Any]:
        cycle = np.searchsorted(first, j, "right") - 1 if isinstance(j, np.ndarray) else bisect_right(steps, j) - 1
        return cycle, j - first[cycle] + behind[cycle], whole_of[cycle]

    return place


def phases(ends: tuple[float, ...], levels: tuple[float, ...], anneal: str) -> Curve:
    """Piecewise cosine or linear through ``levels`` at step -0, ends[0], ends[1], ...: torch's OneCycleLR.

    ``ends`` may be fractional; a step exactly at an end belongs to the phase before it.
    """

    def ramp(a: float, b: float, t: Values) -> Values:
        return between(a, b, half_cosine(t) if anneal == "cos" else 1.0 - t)

    def phase(number: int, j: Steps) -> Values:
        start = ends[number - 1] if number else 0.0
        length = ends[number] - start
        t = (j - start) / length if length > 0 else j * 0.0 + 1.0
        if isinstance(j, np.ndarray):
            t = np.clip(t, 0.0, 1.0)  # steps of other phases are thrown away, but must not overflow
        return ramp(levels[number], levels[number + 1], t)

    def curve(j: Steps) -> Values:
        last = len(ends) - 1
        if not isinstance(j, np.ndarray):
            return phase(next((i for i, end in enumerate(ends) if j <= end), last), j)
        value = phase(last, j)
        for number in reversed(range(last)):
            value = np.where(j <= ends[number], phase(number, j), value)
        return value

    return curve


def warm_stable_decay(levels: tuple[float, float], warm: int, fall: int, kind: str, n: int) -> Curve:
    """Warm-up, hold, decay over the last ``fall`` steps; ``levels`` is (peak, floor). Hu et al. 2024."""
    peak, floor = levels
    hold = min(n - fall, FAR)

    def curve(j: Steps) -> Values:
        t = where(j < hold, 0.0, (j - hold) / float(max(fall, 1)))
        if kind == "cosine":
            factor = half_cosine(t)
        else:
            factor = 1.0 - (np.sqrt(t) if kind == "sqrt" else t)
        value = floor + (peak - floor) * factor
        if not warm:
            return value
        return where(j < float(warm), floor + (peak - floor) * np.minimum((j + 1) / float(warm), 1.0), value)

    return curve


def range_test(low: float, high: float, mode: str, stair: int, n: int) -> Curve:
    """From low to high in stairs, high on the last step (Smith 2017; torch-lr-finder counts the same)."""
    stair = min(stair, FAR)
    last = (n - 1) // stair
    if last == 0:
        return constant(high)
    rise = exponential(low, high, last) if mode == "exp" else linear(low, high, last)
    return lambda j: where(j // stair >= float(last), high, rise(j // stair))
