"""Another shape for an item: what both shapes know is kept, what the new one needs beside that is a first guess.

The guess is there to be changed; it can be planned, and it keeps the rates that the old shape named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import NamedTuple

from lib_lrsched.errors import RequestError, ScheduleError
from lib_lrsched.language.tokenizer import Tokens
from lib_lrsched.schedule.rates import rate_text
from lib_lrsched.schedule.segments import Segment
from lib_lrsched.schedule.shapes import REQUIRED, SHAPES, Param, Shape
from lib_lrsched.schedule.units import is_minus_one

from .edits import Draft, Edited, finish
from .outline import Path, Place, find, given_values, inner_places
from .text_edits import Change

SMALLER = 0.01
"""Where a shape needs a second rate and the old one had none: this times the first."""

TIMES = ("25%", "1")
"""Guesses for a time that has to be given; a part of one step is no time, so the second may be needed."""

_HIGH = ("peak", "max_lr", "high", "v", "a", "b")
_LOW = ("floor", "low", "b")


class Rates(NamedTuple):
    """What the old shape says of its rates, as texts."""

    high: str
    low: str | None
    inherits: bool = False  # it starts where the item before ends, and says no rate for that


def change_shape(old: Draft, path: Path, name: str) -> Edited:
    """The item with another shape.

    Raises:
        RequestError: there is no such shape.
        ScheduleError: no guess can be planned, as for a plateau inside a repeat.
    """
    place = find(old.tree, path)
    if name == place.shape:
        return finish(old, (), path)
    if name == "repeat":
        return finish(old, _replaced(old, place, _repeated(old, place)), path)
    if name not in SHAPES:
        raise RequestError(f"there is no shape `{name}`")
    tried = [_tried(old, place, call) for call in _guesses(old, place, SHAPES[name])]
    found = next((one for one in tried if isinstance(one, Edited)), tried[0])
    if isinstance(found, ScheduleError):
        raise found
    return found


def _tried(old: Draft, place: Place, value: str) -> Edited | ScheduleError:
    try:
        return finish(old, _replaced(old, place, value), place.path)
    except ScheduleError as error:
        return error


def _guesses(old: Draft, place: Place, shape: Shape) -> Iterator[str]:
    """Texts for the new value, the best one first."""
    source_place = inner_places(place)[0] if place.shape == "repeat" else place
    given = {name: old.source[slice(*node.span)] for name, node in given_values(source_place.value, old.source).items()}
    rates = _rates(given, source_place.shape, _rate_before(old, place))
    kept = _kept(given, source_place.shape, shape)
    above_0 = any(p.kind == "rate" and p.open_low for p in shape.params) or shape.name == "range_test"
    lows = [rates.low] if rates.low is not None and not (above_0 and float(rates.low) == 0) else []
    for low, time in product([*lows, rate_text(SMALLER * float(rates.high))], TIMES):
        yield _call(shape, kept, rates._replace(low=low), time)
    yield shape.example


def _rates(given: Mapping[str, str], shape: str, before: float | None) -> Rates:
    high = next((given[name] for name in _HIGH if name in given), "0.001")
    low = next((given[name] for name in _LOW if name in given), None)
    inherits = shape in SHAPES and SHAPES[shape].joins and "a" not in given
    if inherits and before is not None:
        high = rate_text(before)
    if low is not None and float(low) > float(high):
        high, low = low, high
    return Rates(high, low, inherits)


def _rate_before(old: Draft, place: Place) -> float | None:
    segment = _segment(old, place)
    if segment is None or segment.start == 0:
        return None
    return old.plan().segments[place.path[0] - 1].exit


def _segment(old: Draft, place: Place) -> Segment | None:
    """The item's segment, where it is none of a repeat's and runs."""
    if len(place.path) > 1:
        return None
    try:
        segments = old.plan().segments
    except ScheduleError:
        return None
    return segments[place.path[0]] if place.path[0] < len(segments) else None


def _kept(given: Mapping[str, str], before: str, shape: Shape) -> dict[str, str]:
    """Values of the parameters that both shapes have, where the new one takes them."""
    old = {p.name: p for p in SHAPES[before].params} if before in SHAPES else {}
    return {p.name: given[p.name] for p in shape.params if p.name in given and _suits(old.get(p.name), p, given[p.name])}


def _suits(old: Param | None, new: Param, text: str) -> bool:
    if old is None or old.kind != new.kind:
        return False
    return new.kind != "word" or text in new.choices


def _call(shape: Shape, kept: Mapping[str, str], rates: Rates, time: str) -> str:
    if shape.name == "constant":
        return kept.get("v", rates.high)
    kept, args, named = {**_either(shape, kept, time), **kept}, [], False
    for p in shape.params[1:] if shape.joins and rates.inherits else shape.params:
        text = kept.get(p.name) or _first_value(p, rates, time)
        if text is None:
            named = True  # values after a gap need a name
        else:
            named = named or p.kind != "rate"
            args.append(f"{p.word}={text}" if named else text)
    return f"{shape.name}({', '.join(args)})"


def _either(shape: Shape, kept: Mapping[str, str], time: str) -> dict[str, str]:
    """A guess for the first of the parameters of which one is to be given."""
    return {} if not shape.either or any(name in kept for name in shape.either) else {shape.either[0]: time}


def _first_value(p: Param, rates: Rates, time: str) -> str | None:
    """What to write for a parameter that the old shape had not; None leaves its default."""
    if p.kind == "rate" and (p.name == "a" or p.name in _LOW or p.default is REQUIRED):
        return rates.low if p.name in _LOW else rates.high
    if p.default is not REQUIRED:
        return None
    return time if p.kind == "time" else "0.999"


def _repeated(old: Draft, place: Place) -> str:
    """The item twice, in the room that it has."""
    value = old.source[slice(*place.value.span)]
    segment = _segment(old, place)
    if place.end is not None and not (segment and segment.open):
        return f"repeat(2, {value}:50%)"
    if segment is None:
        raise RequestError("give the segment an end before it is repeated")
    return f"repeat(2, {value}:{(segment.length + 1) // 2})"


def _replaced(old: Draft, place: Place, value: str) -> list[Change]:
    """The new value; comments inside the old one follow it.

    A repeat takes no -1, and ends where nothing is written: the end goes with the one and comes with the other.
    """
    start, stop = place.value.span
    if value.startswith("repeat(") and place.end is not None and is_minus_one(place.end):
        return [Change(start, place.end.span[1], value)]
    segment = _segment(old, place) if place.shape == "repeat" and place.end is None else None
    if segment and place.path[0] + 1 < len(old.tree.items):
        value += f":{segment.stop}"
    is_inside = old.source[start:stop] in value
    comments = [] if is_inside else _comments(old.source[start:stop])
    return [Change(start, stop, value + "".join(f" {comment}\n" for comment in comments))]


def _comments(text: str) -> list[str]:
    """The comments inside a text."""
    tokens = Tokens(text)
    found, stop = [], 0
    for start, word in zip(tokens.starts, tokens.texts):
        found += [line[line.index("#") :].rstrip() for line in text[stop:start].splitlines() if "#" in line]
        stop = start + len(word)
    return found
