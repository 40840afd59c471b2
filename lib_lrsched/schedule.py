"""Tree and run to segments: what each item means at which steps.

Here texts become numbers: ends become absolute boundaries, arguments become parameter values,
and everything that cannot be is a ScheduleError at its place. Nothing is evaluated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor, isfinite
from typing import Any, NamedTuple, NoReturn

from .errors import ScheduleError
from .shapes import REQUIRED, SHAPES, Built, Param, Shape, ShapeError
from .suggest import nearest
from .syntax import Arg, Call, Item, Quantity, Schedule, Span, Word


FURTHEST = 10**40
"""No number of 40 characters counts more steps; a float still holds it."""


@dataclass(frozen=True)
class Clock:
    """What a time is measured against.

    Args:
        source: the text, for errors.
        total_steps: the run's max steps.
        steps_per_epoch: updates in one pass over the data set, or None where it is not known.
        images_per_step: pictures in one update (batch size times accumulation), or None.
    """

    source: str
    total_steps: int
    steps_per_epoch: int | None = None
    images_per_step: int | None = None

    def fail(self, message: str, span: Span) -> NoReturn:
        raise ScheduleError(message, self.source, span)


class Segment(NamedTuple):
    """Steps ``[start, stop)`` of a run. ``length`` is the n of the shapes, from the written end.

    ``value`` is the rate of a plain number, else None; ``built`` has the curve of anything else.
    ``open`` says that no end was written. ``feedback`` has a plateau's parameters.
    """

    start: int
    stop: int
    length: int
    item: Item
    shape: str
    value: float | None
    built: Built | None
    open: bool = False
    feedback: Mapping[str, Any] | None = None

    @property
    def exit(self) -> float | None:
        """The rate that the next segment can start from."""
        return self.value if self.built is None else self.built.exit


def lay_out(tree: Schedule, clock: Clock) -> tuple[list[Segment], int]:
    """The segments in order, and the number of items that belong to them.

    Items after an open-ended one are checked and left out. Segments that start after the end
    of the run are kept; a plan never asks them.
    """
    segments: list[Segment] = []
    start = 0
    before: float | None = None
    for item in tree.items:
        if segments and segments[-1].open:
            _check_unreached(item, clock)
            continue
        segment = _segment(item, start, before, clock)
        segments.append(segment)
        start, before = segment.stop, segment.exit
    return segments, len(segments)


def _segment(item: Item, start: int, before: float | None, clock: Clock) -> Segment:
    value, end = item.value, item.end
    is_open = end is None or (end.text == "-1" and not end.unit and not end.relative)
    stop = max(clock.total_steps, start) if is_open else boundary(end, start, clock)  # type: ignore[arg-type]
    if isinstance(value, Quantity):
        return Segment(start, stop, stop - start, item, "constant", rate(value, clock), None, is_open)
    if value.name == "repeat":
        from .repeat import build_repeat

        built, natural = build_repeat(value, None if is_open else stop - start, before, clock)
        if end is not None and is_open:
            clock.fail("repeat ends after its passes; leave out the :-1", end.span)
        if is_open:
            stop = start + natural
        return Segment(start, stop, stop - start, item, "repeat", None, built)
    length = stop - start
    if is_open and length == 0:
        _check_unreached(item, clock)
        return Segment(start, stop, 0, item, value.name, 0.0, None, True)
    built, values = build(value, length, before, clock)
    feedback = values if value.name == "plateau" else None
    return Segment(start, stop, length, item, value.name, None, built, is_open, feedback)


def boundary(end: Quantity, start: int, clock: Clock) -> int:
    """The absolute step of an end; it has to lie after ``start``."""
    steps = time(end, clock, clock.total_steps)
    if steps < 1:
        clock.fail(f"an end is 1 or more, or -1 for the end of the run; given was {end.text}", end.span)
    stop = start + steps if end.relative else steps
    if stop <= start:
        clock.fail(f"boundaries must rise: this one is at {stop}, the one before it at {start}", end.span)
    return stop


def rate(value: Quantity, clock: Clock) -> float:
    """A finite float, 0 or more."""
    number = float(value.text)
    if value.unit or not isfinite(number) or number < 0:
        given = ("+" if value.relative else "") + value.text + value.unit
        clock.fail(f"a rate is a finite number, 0 or more; given was {given}", value.span)
    return number


def time(value: Quantity, clock: Clock, whole: int | None) -> int:
    """A number of steps. ``whole`` is what percent is of; None where it is not known.

    A fraction rounds half up; what rounds to 0 without being 0 is refused.
    """
    if not value.unit:
        return _integer(value, clock)
    amount = float(value.text)
    if not isfinite(amount) or amount <= 0:
        clock.fail(f"a time is a finite number above 0; given was {value.text}{value.unit}", value.span)
    if value.unit == "img":
        _integer(value, clock)
    steps = floor(_exact(value.text) * _scale(value, clock, whole) + Fraction(1, 2))
    if steps > FURTHEST:
        clock.fail(f"{value.text}{value.unit} is further than any run goes", value.span)
    if steps == 0:
        clock.fail(f"{value.text}{value.unit} comes to 0 steps; a time is 1 step or more", value.span)
    return steps


def _exact(text: str) -> Fraction:
    """The decimal number as written. Fraction() reads no underscores before Python 3.11."""
    return Fraction(text.replace("_", ""))


def _scale(value: Quantity, clock: Clock, whole: int | None) -> Fraction:
    """Steps in one unit."""
    if value.unit == "%":
        if whole is None:
            clock.fail("percent is of the repeat's own segment here; give the repeat an end", value.span)
        return Fraction(whole, 100)
    if value.unit == "ep":
        if clock.steps_per_epoch is None:
            clock.fail("epochs need the data set's size: say how many pictures there are", value.span)
        return Fraction(clock.steps_per_epoch)
    if clock.images_per_step is None:
        clock.fail("img needs the number of images per step: batch size times accumulation", value.span)
    return Fraction(1, clock.images_per_step)


def _integer(value: Quantity, clock: Clock) -> int:
    try:
        return int(value.text)
    except ValueError:
        number = float(value.text)
        hint = f"; did you mean {number:.0f}?" if isfinite(number) and number == round(number) < 1e15 else ""
        clock.fail(f"steps are counted in whole numbers; given was {value.text}{hint}", value.span)


# Arguments ------------------------------------------------------------------------------------


def build(call: Call, length: int, before: float | None, clock: Clock) -> tuple[Built, Mapping[str, Any]]:
    """A shape over ``length`` steps; ``before`` is the rate that the segment before leaves."""
    shape, given = match(call, clock)
    values = {p.name: _value(p, given.get(p.name), length, clock) for p in shape.params}
    if shape.joins and values["a"] is None:
        if before is None:
            clock.fail(f"no segment before this one hands over a rate; give both, as in {shape.example}", call.span)
        values["a"] = before
        _check_range(shape.params[0], before, clock, call.span)
    try:
        built = shape.build(values, length)
    except ShapeError as complaint:
        where = given.get(complaint.param)
        clock.fail(complaint.message, where.value.span if where else call.span)
    return built, values


def match(call: Call, clock: Clock) -> tuple[Shape, dict[str, Arg]]:
    """The shape of this name, and its arguments by parameter name."""
    shape = SHAPES.get(call.name)
    if shape is None:
        clock.fail(f"no shape `{call.name}`{nearest(call.name, [*SHAPES, 'repeat'])}", call.name_span)
    names = [p.name for p in shape.params]
    positional = [arg for arg in call.args if arg.name is None]
    given = {arg.name: arg for arg in call.args if arg.name is not None}
    _check_arguments(call, shape, names, clock)
    if shape.joins and len(positional) == 1 and "b" not in given:
        names = names[1:]
    for name, arg in zip(names, positional):
        if name in given:
            clock.fail(f"{name} is given twice", given[name].span)
        given[name] = arg
    for p in shape.params:
        if p.default is REQUIRED and p.name not in given:
            clock.fail(f"{call.name} needs {p.name}, as in {shape.example}", call.span)
    return shape, given


def _check_arguments(call: Call, shape: Shape, names: list[str], clock: Clock) -> None:
    seen: set[str] = set()
    count = 0
    for arg in call.args:
        if isinstance(arg.value, (Call, Item)):
            clock.fail(f"{call.name} takes numbers and words, no other shapes; only repeat takes items", arg.value.span)
        if arg.name is None:
            count += 1
            if seen:
                clock.fail("values without a name come before those with one", arg.span)
            if count > len(names):
                most = "" if shape.joins and len(names) == 2 or len(names) == 1 else "at most "
                plural = "" if len(names) == 1 else "s"
                clock.fail(f"{call.name} takes {most}{len(names)} value{plural}", arg.span)
        elif arg.name not in names:
            clock.fail(f"{call.name} has no `{arg.name}`{nearest(arg.name, names)}; it has {', '.join(names)}", arg.span)
        elif arg.name in seen:
            clock.fail(f"{arg.name} is given twice", arg.span)
        else:
            seen.add(arg.name)


def _value(p: Param, arg: Arg | None, length: int, clock: Clock) -> Any:
    if arg is None:
        if isinstance(p.default, str) and p.kind == "time":
            return floor(Fraction(p.default.rstrip("%")) * Fraction(length, 100) + Fraction(1, 2))
        return p.default
    value = arg.value
    if p.kind in ("word", "flag"):
        return _word(p, value, clock)
    if not isinstance(value, Quantity):
        assert isinstance(value, Word)
        clock.fail(f"{p.name} is a {_KINDS[p.kind]}; given was `{value.text}`", value.span)
    if p.kind == "rate":
        number: Any = rate(value, clock)
    elif p.kind == "time":
        number = 0 if _is_plain_zero(value) else time(value, clock, length)
    else:
        number = _number(p, value, clock)
    _check_range(p, number, clock, value.span)
    return number


_KINDS = {"rate": "rate", "number": "number", "whole": "whole number", "time": "number of steps"}


def _is_plain_zero(value: Quantity) -> bool:
    return not value.unit and value.text.strip("0_") == ""


def _word(p: Param, value: Any, clock: Clock) -> Any:
    choices = p.choices or ("yes", "no")
    text = value.text if isinstance(value, Word) else None
    if text not in choices:
        clock.fail(f"{p.name} is one of {', '.join(choices)}{nearest(text or '', choices)}", value.span)
    return text if p.choices else text == "yes"


def _number(p: Param, value: Quantity, clock: Clock) -> Any:
    if value.unit:
        clock.fail(f"{p.name} is a {_KINDS[p.kind]} without a unit; given was {value.text}{value.unit}", value.span)
    if p.kind == "whole":
        return _integer(value, clock)
    number = float(value.text)
    if not isfinite(number):
        clock.fail(f"{p.name} is a finite number; given was {value.text}", value.span)
    return number


def _check_range(p: Param, number: float, clock: Clock, span: Span) -> None:
    low_ok = number > p.low if p.open_low else number >= p.low
    high_ok = number < p.high if p.open_high else number <= p.high
    if low_ok and high_ok:
        return
    low = f"above {p.low:g}" if p.open_low else f"{p.low:g} or more"
    high = "" if p.high == float("inf") else f" and {'below' if p.open_high else 'at most'} {p.high:g}"
    clock.fail(f"{p.name} is {low}{high}; given was {number:g}", span)


def _check_unreached(item: Item, clock: Clock) -> None:
    """Complain about an item that never runs as far as that needs no length."""
    if isinstance(item.value, Quantity):
        rate(item.value, clock)
    elif item.value.name == "repeat":
        return
    else:
        shape, given = match(item.value, clock)
        for p in shape.params:
            if p.kind != "time":
                _value(p, given.get(p.name), 1, clock)
    if item.end is not None and (item.end.unit or item.end.text != "-1"):
        time(item.end, clock, clock.total_steps)
