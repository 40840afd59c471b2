"""A shape's arguments: by position or by name, each in its range, and the curve that they make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import floor, isfinite
from typing import Any, NoReturn

from lib_lrsched.errors import short
from lib_lrsched.language.suggest import closest, nearest, question, replaced
from lib_lrsched.language.tree import Arg, Call, Item, Quantity, Span, Word

from .other_names import familiar_parameter, familiar_shape, is_a_length, is_a_warmup
from .shapes import ENTRIES, REQUIRED, SHAPES, Built, Param, Shape, ShapeError
from .units import Clock, rate, time


def build(call: Call, length: int, before: float | None, clock: Clock) -> tuple[Built, Mapping[str, Any]]:
    """A shape over ``length`` steps; ``before`` is the rate that the segment before leaves."""
    shape, given = match(call, clock)
    values: Mapping[str, Any] = {p.name: value_of(p, given.get(p.name), length, clock) for p in shape.params}
    if shape.joins and values["a"] is None:
        if before is None:
            clock.fail(f"no previous segment provides a rate; give both, as in {shape.example}", call.span)
        values = {**values, "a": before}
        _check_range(shape.params[0], before, clock, call.span)
    try:
        if shape.settle is not None:
            values = shape.settle(values, length)
        built = shape.build(values, length)
    except ShapeError as complaint:
        where = given.get(complaint.param)
        clock.fail(_as_given(complaint.message, shape, given), where.value.span if where else call.span)
    return built, values


def _as_given(message: str, shape: Shape, given: Mapping[str, Arg]) -> str:
    """The message with each parameter named as it was written."""
    names = {p.word: _given_name(p.name, shape, given) for p in shape.params}
    return re.sub(r"`(\w+)`", lambda match: f"`{names.get(match[1], match[1])}`", message)


def match(call: Call, clock: Clock) -> tuple[Shape, dict[str, Arg]]:
    """The shape of this name, and its arguments by parameter name."""
    shape = SHAPES.get(call.name)
    if shape is None:
        _fail_no_shape(call, clock)
    names = [p.name for p in shape.params]
    positional = [arg for arg in call.args if arg.name is None]
    given = {name: arg for arg in call.args if (name := _name_of(arg, shape)) is not None}
    _check_arguments(call, shape, names, clock)
    if shape.joins and len(positional) == 1 and "b" not in given:
        names = names[1:]
    for name, arg in zip(names, positional):
        if name in given:
            clock.fail(f"`{given[name].name}` is given twice", given[name].span)
        given[name] = arg
    for p in shape.params:
        if p.default is REQUIRED and p.name not in given:
            clock.fail(f"{call.name} needs `{p.word}`, as in {shape.example}", call.span)
    _check_either(call, shape, given, clock)
    _check_no_length(call, shape, given, clock)
    return shape, given


def _check_no_length(call: Call, shape: Shape, given: Mapping[str, Arg], clock: Clock) -> None:
    """Refuse ``warmup(0.005, 5%)``: how long a segment is stands after its brackets."""
    last = call.args[-1]
    rates = [given[p.name] for p in shape.params if p.kind == "rate" and p.name in given]
    if last.name is None and isinstance(last.value, Quantity) and last.value.unit and any(arg is last for arg in rates):
        length = f"{last.value.text}{last.value.unit}"
        message = f"a rate has no unit, got {length}; how long a segment is stands after its brackets, as in"
        message = f"{message} {shape.example}:{length}"
        clock.fail(message, last.span, as_end(call, last, clock.source))


def _check_either(call: Call, shape: Shape, given: Mapping[str, Arg], clock: Clock) -> None:
    written = [given[name] for name in shape.either if name in given]
    names = " or ".join(f"`{_given_name(name, shape, given)}`" for name in shape.either)
    if len(written) > 1:
        clock.fail(f"{call.name} takes {names}, not both: each says how long a cycle is", max(arg.span for arg in written))
    if shape.either and not written:
        clock.fail(f"{call.name} needs {names}, as in {shape.example}", call.span)


def check_arguments(call: Call, clock: Clock) -> None:
    """Refuse what is wrong in any segment, for a call whose segment is never reached and has no length."""
    shape, given = match(call, clock)
    for p in shape.params:
        value_of(p, given.get(p.name), SOME_LENGTH, clock)


def _check_arguments(call: Call, shape: Shape, names: list[str], clock: Clock) -> None:
    seen: dict[str, str] = {}  # the names as they were written, by the parameter's own
    count = 0
    for arg in call.args:
        if isinstance(arg.value, (Call, Item)):
            clock.fail(f"{call.name} takes numbers and words, no other shapes; only repeat takes segments", arg.value.span)
        if arg.name is None:
            count += 1
            if seen:
                clock.fail("values without a name come before those with one", arg.span)
            if count > len(names):
                most = "" if (shape.joins and len(names) == 2) or len(names) == 1 else "at most "
                plural = "" if len(names) == 1 else "s"
                clock.fail(f"{call.name} takes {most}{len(names)} value{plural}", arg.span)
        elif (name := _name_of(arg, shape)) not in names:
            _fail_no_parameter(call, arg, names, clock)
        elif name in seen and seen[name] != arg.name:
            clock.fail(f"`{seen[name]}` and `{arg.name}` are two names of one parameter: give one of them", arg.span)
        elif name in seen:
            clock.fail(f"`{arg.name}` is given twice", arg.span)
        else:
            seen[name] = arg.name


def _name_of(arg: Arg, shape: Shape) -> str | None:
    """The parameter's own name, whichever of its names it was given by."""
    return next((p.name for p in shape.params if arg.name in p.words), arg.name)


def _word_of(name: str, shape: Shape) -> str:
    return next(p.word for p in shape.params if p.name == name)


def _given_name(name: str, shape: Shape, given: Mapping[str, Arg]) -> str:
    """The name as it was written; the usual name if the argument had none."""
    arg = given.get(name)
    return (arg and arg.name) or _word_of(name, shape)


def _fail_no_shape(call: Call, clock: Clock) -> NoReturn:
    meant = familiar_shape(call.name) or closest(call.name, [shape.name for shape in ENTRIES])
    fix = replaced(clock.source, call.name_span, meant) if meant in SHAPES else None
    clock.fail(f"no shape `{short(call.name)}`{question(meant)}", call.name_span, fix)


def _fail_no_parameter(call: Call, arg: Arg, names: list[str], clock: Clock) -> NoReturn:
    assert arg.name is not None
    what = f"{call.name} has no `{short(arg.name)}`"
    meant = familiar_parameter(arg.name, names)
    if meant is None and is_a_length(arg.name):
        example = f"{SHAPES[call.name].example}:1000"
        clock.fail(f"{what}: it takes as long as its segment, whose end stands after the brackets, as in {example}",
                   arg.span, as_end(call, arg, clock.source))
    if meant is None and is_a_warmup(arg.name):
        clock.fail(f"{what}; a warm-up is a segment of its own before this one, as in warmup(0.005):100", arg.span)
    if meant is None and familiar_parameter(arg.name, ["cycles"]):
        clock.fail(f"{what}; did you mean `restarts(peak, floor, cycles=4)`?", arg.span)
    shape = SHAPES[call.name]
    words = [_word_of(name, shape) for name in names]
    close = closest(arg.name, [one for p in shape.params for one in p.words])
    meant = meant or (next(p.name for p in shape.params if close in p.words) if close else None)
    place = {"a": ", the first value", "b": ", the second value"}.get(meant or "", "") if shape.joins else ""
    word = _word_of(meant, shape) if meant else ""
    hint = f"; did you mean `{word}`{place}?" if meant else ""
    name_span = (arg.span[0], arg.span[0] + len(arg.name))
    fix = replaced(clock.source, name_span, word) if meant else None
    clock.fail(f"{what}{hint}; it has {', '.join(f'`{one}`' for one in words)}", arg.span, fix)


def as_end(call: Call, arg: Arg, source: str) -> str | None:
    """The text with an argument for the length written as the item's end."""
    number, value = call.args.index(arg), arg.value
    if len(call.args) == 1 or not isinstance(value, Quantity):
        return None
    plus = "+" if source[: call.span[0]].strip() else ""
    end = "" if source[call.span[1] :].lstrip().startswith(":") else f":{plus}{value.text}{value.unit}"
    gone = (call.args[number - 1].span[1], arg.span[1]) if number else (arg.span[0], call.args[1].span[0])
    return replaced(replaced(source, (call.span[1], call.span[1]), end), gone, "")


def value_of(p: Param, arg: Arg | None, length: int, clock: Clock) -> Any:
    if arg is None:
        if isinstance(p.default, str) and p.kind == "time":
            return floor(Fraction(p.default.rstrip("%")) * Fraction(length, 100) + Fraction(1, 2))
        return p.default
    value = arg.value
    p = p._replace(known_as=arg.name or p.known_as)  # messages speak of it by the name that it was given by
    if p.kind in ("word", "flag"):
        return _word(p, value, clock)
    if not isinstance(value, Quantity):
        assert isinstance(value, Word)
        clock.fail(f"`{p.word}` is a {_KINDS[p.kind]}, got `{short(value.text)}`", value.span)
    if p.kind == "rate":
        number: Any = rate(value, clock)
    elif p.kind == "time":
        number = 0 if _is_plain_zero(value) else time(value, clock, length)
    else:
        number = _number(p, value, clock)
    _check_range(p, number, clock, value.span)
    return number


SOME_LENGTH = 10**9
"""Long enough that no percentage of it comes to 0 steps."""

_KINDS = {"rate": "rate", "number": "number", "whole": "whole number", "time": "number of steps"}


def _is_plain_zero(value: Quantity) -> bool:
    return not value.unit and value.text.strip("0_") == ""


def _word(p: Param, value: Any, clock: Clock) -> Any:
    choices = p.choices or ("yes", "no")
    text = value.text if isinstance(value, Word) else None
    if text not in choices:
        clock.fail(f"`{p.word}` is one of {', '.join(choices)}{nearest(text or '', choices)}", value.span)
    return text if p.choices else text == "yes"


def _number(p: Param, value: Quantity, clock: Clock) -> Any:
    if value.unit:
        clock.fail(f"`{p.word}` is a {_KINDS[p.kind]} without a unit, got {value.text}{value.unit}", value.span)
    if p.kind == "whole":
        return _whole(p, value, clock)
    number = float(value.text)
    if not isfinite(number):
        clock.fail(f"`{p.word}` is a finite number, got {value.text}", value.span)
    return number


def _whole(p: Param, value: Quantity, clock: Clock) -> int:
    try:
        return int(value.text)
    except ValueError:
        clock.fail(f"`{p.word}` is a whole number, got {value.text}", value.span)


def _check_range(p: Param, number: float, clock: Clock, span: Span) -> None:
    low_ok = number > p.low if p.open_low else number >= p.low
    high_ok = number < p.high if p.open_high else number <= p.high
    if low_ok and high_ok:
        return
    low = f"above {p.low:g}" if p.open_low else f"{p.low:g} or more"
    high = "" if p.high == float("inf") else f" and {'below' if p.open_high else 'at most'} {p.high:g}"
    clock.fail(f"`{p.word}` is {low}{high}, got {number:g}", span)


