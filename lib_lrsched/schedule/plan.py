"""A schedule text for one run: ``plan(...)`` and the Plan it returns.

A Plan is a value, a pure function of the step. The preview, the training hooks, the exporters and
the tests all ask it, and nothing else evaluates a schedule.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from lib_lrsched.errors import ScheduleError
from lib_lrsched.language.tree import Schedule

from ._binding import lay_out
from ._kept_numbers import keeps_numbers
from .commas import check_decimal_commas, meant_by
from .curves import FAR
from .lints import Lint, lint, momentum_lints
from .other_names import read
from .repeat import is_finite
from .segments import Piecewise, Segment, joined
from .units import Clock

PLANNER_VERSION = 1
"""Rises when the same text would give other values; it is kept with a run."""


@dataclass(frozen=True)
class Plan:
    """What a text means for a run of ``total_steps`` updates.

    Made by :func:`plan`. Two plans are equal when text and run are.

    Attributes:
        stop: first step that is not trained, ``total_steps`` or the schedule's own end if that is earlier.
        segments: the segments that run, in order; the last one's ``stop`` may lie beyond ``stop``.
        feedback: the segments whose rate depends on the loss (plateau).
    """

    text: str
    total_steps: int
    steps_per_epoch: int | None
    images_per_step: int | None
    stop: int = field(compare=False)
    segments: tuple[Segment, ...] = field(compare=False, repr=False)
    tree: Schedule = field(compare=False, repr=False)
    _rate: Piecewise = field(compare=False, repr=False)
    _momentum: Piecewise | None = field(compare=False, repr=False)
    _lint: Callable[[], tuple[Lint, ...]] = field(compare=False, repr=False)

    def value(self, k: int) -> float:
        """The value at step ``k``; equal to ``values([k])[0]`` to the last bit.

        Raises:
            TypeError: ``k`` is not an integer.
            IndexError: ``k`` is outside [0, stop).
        """
        return float(self._rate(self._step(k)))

    def values(self, steps: Any) -> np.ndarray:
        """The values at ``steps``, an integer array or sequence of any shape -> float64 of that shape.

        Raises:
            TypeError: the steps are no integers.
            IndexError: a step is outside [0, stop).

        >>> plan("0.005:2, 1e-3", total_steps=4).values([0, 1, 2, 3])
        array([0.005, 0.005, 0.001, 0.001])
        """
        return self._rate(self._steps(steps))

    def momentum(self, k: int) -> float | None:
        """Momentum (Adam's beta1) at step ``k``, or None where nothing schedules it."""
        step = self._step(k)
        if self._momentum is None:
            return None
        value = float(self._momentum(step))
        return None if value != value else value

    def momenta(self, steps: Any) -> np.ndarray | None:
        """Momentum at ``steps``, NaN where nothing schedules it; None if nothing ever does."""
        k = self._steps(steps)
        return None if self._momentum is None else self._momentum(k)

    @cached_property
    def warnings(self) -> tuple[Lint, ...]:
        """Lints, each with message, span and, where there is one, the corrected text.

        Found when they are first asked for: a corrected text is planned before it is offered, which costs as much again.
        """
        return self._lint()

    def warnings_for(self, optimizer: str | None) -> tuple[Lint, ...]:
        """The warnings, and whether an optimizer of that class name has the momentum that is driven; None is an unknown one."""
        if optimizer is None or self._momentum is None:
            return self.warnings
        found = momentum_lints(self.text, self.segments, optimizer)
        return tuple(sorted((*self.warnings, *found), key=lambda warning: warning.span))

    @cached_property
    def feedback(self) -> tuple[Segment, ...]:
        return tuple(segment for segment in self.segments if segment.entry.is_feedback)

    @cached_property
    def boundaries(self) -> tuple[int, ...]:
        """The steps in (0, stop) at which a new segment starts."""
        return tuple(segment.start for segment in self.segments[1:])

    def _step(self, k: int) -> np.int64:
        index = operator.index(k)
        if not 0 <= index < self.stop:
            raise IndexError(f"step {index} is outside [0, {self.stop})")
        return np.int64(index)

    def _steps(self, steps: Any) -> np.ndarray:
        k = np.asarray(steps)
        if k.size == 0 and not isinstance(steps, np.ndarray):
            k = k.astype(np.int64)
        if k.dtype == object and k.size:
            for step in k.flat:  # whole numbers beyond 64 bits
                self._step(step)
        if k.dtype.kind not in "iu":
            raise TypeError(f"steps are integers, these are {k.dtype}")
        if k.size and (k.min() < 0 or k.max() >= self.stop):
            outside = k.min() if k.min() < 0 else k.max()
            raise IndexError(f"step {outside} is outside [0, {self.stop})")
        return k.astype(np.int64, copy=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return _replan, (self.text, self.total_steps, self.steps_per_epoch, self.images_per_step)


def plan(text: str, *, total_steps: int, steps_per_epoch: int | None = None, images_per_step: int | None = None) -> Plan:
    """Read a schedule text and plan it for one run.

    Args:
        text: see docs/language.md.
        total_steps: the run's max steps, 1 or more.
        steps_per_epoch: updates in one pass over the data set; needed by ends such as ``3ep``.
        images_per_step: images in one update; needed by ends such as ``500img``.

    Raises:
        ScheduleError: the text cannot be read or planned; ``str()`` of it points at the place.
        ValueError, TypeError: a number of the run is below 1, or none.

    >>> p = plan("warmup(0.004):4, cosine(0.004, 0)", total_steps=8)
    >>> p.values(range(8)).round(6).tolist()
    [0.001, 0.002, 0.003, 0.004, 0.004, 0.003414, 0.002, 0.000586]
    >>> p.value(3), p.value(4), p.stop
    (0.004, 0.004, 8)
    """
    total = _positive("total_steps", total_steps)
    per_epoch = None if steps_per_epoch is None else _positive("steps_per_epoch", steps_per_epoch)
    per_step = None if images_per_step is None else _positive("images_per_step", images_per_step)
    clock = Clock(text, total, per_epoch, per_step)
    try:
        tree, laid = _laid(clock)
    except ScheduleError as error:
        _mend(error, clock)
        raise
    running = tuple(segment for segment in laid if segment.start < total)
    rate, momentum = joined(running)
    stop = min(running[-1].stop, total)

    def warnings() -> tuple[Lint, ...]:
        return tuple(_checked(warning, clock) for warning in lint(tree, laid, total, rate))

    return Plan(text, total, per_epoch, per_step, stop, running, tree, rate, momentum, warnings)


def _checked(warning: Lint, clock: Clock) -> Lint:
    """The warning, without its fix where that text could not be planned, or has lost a number."""
    if warning.fix is None:
        return warning
    if not keeps_numbers(clock.source, warning.fix):
        return warning._replace(fix=None)
    try:
        _laid(replace(clock, source=warning.fix))
    except ScheduleError:
        return warning._replace(fix=None)
    return warning


def _laid(clock: Clock) -> tuple[Schedule, list[Segment]]:
    """The tree of the clock's text, and the segments of its items up to the first one that has no end."""
    tree = read(clock.source)
    check_decimal_commas(tree, clock)
    laid = lay_out(tree, clock)
    _check_finite(tuple(segment for segment in laid if segment.start < clock.total_steps), clock.total_steps, clock)
    return tree, laid


MOST_TRIES = 9
"""So many corrected texts are planned before none is offered."""


def _mend(error: ScheduleError, clock: Clock) -> None:
    """Leave the error with a corrected text that can be planned and has every number of it, or with none.

    What a comma has to do with it, the message says.
    """
    tries = iter(range(MOST_TRIES))

    def offered(text: str) -> str | None:
        mended = _mended(text, clock, tries)
        return mended if mended is not None and keeps_numbers(error.source, mended) else None

    error.fix = None if error.fix is None else offered(error.fix)
    if error.fix is not None:
        return
    for text, number in meant_by(error):
        error.fix = offered(text)
        if error.fix is not None:
            kind = "decimal comma" if "." in number else "thousands separator"
            error.add(f"; a {kind} ends a value here, did you mean `{number}`?")
            return


def _mended(text: str, clock: Clock, tries: Iterator[int]) -> str | None:
    """A corrected text with what else is wrong in it corrected too; None where that cannot be done."""
    if next(tries, None) is None:
        return None
    try:
        _laid(replace(clock, source=text))
    except ScheduleError as error:
        texts = [error.fix] if error.fix is not None else [meant for meant, _ in meant_by(error)]
        found = (_mended(one, clock, tries) for one in texts)
        return next((one for one in found if one is not None), None)
    return text


def _replan(text: str, total: int, per_epoch: int | None, per_step: int | None) -> Plan:
    return plan(text, total_steps=total, steps_per_epoch=per_epoch, images_per_step=per_step)


def _positive(name: str, number: int) -> int:
    value = operator.index(number)
    if value < 1:
        raise ValueError(f"{name} is 1 or more, got {value}")
    if value >= FAR:
        raise ValueError(f"{name} is below 2**62, got {value}")
    return value


def _check_finite(segments: tuple[Segment, ...], total: int, clock: Clock) -> None:
    for segment in segments:
        if segment.built is not None and not is_finite(segment.built, min(segment.stop, total) - segment.start - 1):
            message = "this rate overflows before its segment ends"
            raise ScheduleError(message, clock.source, segment.item.value.span)
