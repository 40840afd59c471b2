"""One edit of a schedule text, from a form or from the chart: a new text in which all else stands as it stood.

Every edit is a list of changes at spans of the source, so that comments, blank space and the other items are kept.
Whatever the edit, the new text can be planned for the same run, or the edit is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from lib_lrsched.errors import RequestError, ScheduleError
from lib_lrsched.language.tree import Arg, Call, Quantity, Schedule, Span, Word
from lib_lrsched.schedule.arguments import match
from lib_lrsched.schedule.other_names import read
from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.rates import rate_text
from lib_lrsched.schedule.shapes import REQUIRED, SHAPES, Shape
from lib_lrsched.schedule.units import Clock, is_minus_one

from .outline import Path, Place, find, given_values, siblings
from .text_edits import Change, apply, marks, without

Planner = Callable[[str], Plan]
"""Plans a text for the run that is being edited."""


class Draft(NamedTuple):
    """A text that is being edited, and the run that it is for."""

    source: str
    tree: Schedule
    planner: Planner

    def plan(self) -> Plan:
        return self.planner(self.source)


class Edited(NamedTuple):
    """The new text, and the item that the reader is at."""

    text: str
    path: Path
    span: Span


def draft(source: str, planner: Planner) -> Draft:
    """Raises ScheduleError where the text cannot be read."""
    return Draft(source, read(source), planner)


def finish(old: Draft, changes: Iterable[Change], path: Path) -> Edited:
    """The text with its changes.

    Raises:
        ScheduleError: it cannot be planned; its source is the new text.
    """
    text = apply(old.source, changes)
    made = old.planner(text)
    return Edited(text, path, find(made.tree, path).span)


# Parameters -----------------------------------------------------------------------------------


def set_param(old: Draft, path: Path, name: str, text: str) -> list[Change]:
    """A parameter's value, written where it stands, or added as ``name=value``.

    Raises:
        RequestError: there is no such parameter, or ``text`` is not a single value.
    """
    value = find(old.tree, path).value
    written = _one_value(text, _said(value, name))
    given = given_values(value, old.source)
    if name in given:
        return [Change(*given[name].span, written)]
    call = _call_with(value, name, old.source)
    shape, args = match(call, _clock(old.source))
    other = next((args[other] for other in shape.either if name in shape.either and other in args), None)
    if other is not None:
        return [Change(*other.span, f"{_word(shape, name)}={written}"), *_named_behind(shape, call, args, other)]
    return _added(call, name, written, old.source)


def unset_param(old: Draft, path: Path, name: str) -> list[Change]:
    """Takes a parameter out, so that its default holds. Values after it that had no name get theirs."""
    call = _call_with(find(old.tree, path).value, name, old.source)
    shape, given = match(call, _clock(old.source))
    if name not in given:
        return []
    if name in shape.either or next(p for p in shape.params if p.name == name).default is REQUIRED:
        needed = " or ".join(f"`{_word(shape, one)}`" for one in (shape.either if name in shape.either else (name,)))
        raise RequestError(f"{call.name} needs {needed}")
    stays = "b" if shape.joins and name == "a" else ""
    named = _named_behind(shape, call, given, given[name], stays)
    return named + without(old.source, [arg.span for arg in call.args], call.args.index(given[name]))


def _named_behind(shape: Shape, call: Call, given: Mapping[str, Arg], gone: Arg, stays: str = "") -> list[Change]:
    """Adds names to the values after a removed one, where they have none."""
    number = call.args.index(gone)
    return [
        Change(arg.span[0], arg.span[0], f"{_word(shape, other)}=")
        for other, arg in given.items() if arg.name is None and call.args.index(arg) > number and other != stays
    ]  # fmt: skip


def _word(shape: Shape, name: str) -> str:
    """What a parameter is called in a text that is written now."""
    return next(p.word for p in shape.params if p.name == name)


def _said(value: Quantity | Call, name: str) -> str:
    """What messages call a parameter; the name itself where there is none of that name."""
    shape = SHAPES.get(value.name if isinstance(value, Call) else "constant")
    return next((p.word for p in shape.params if p.name == name), name) if shape else name


def _call_with(value: Quantity | Call, name: str, source: str) -> Call:
    """The call, where it takes the parameter."""
    if isinstance(value, Call) and value.name != "repeat":
        shape, _ = match(value, _clock(source))
        if name in (p.name for p in shape.params):
            return value
    shape_name = value.name if isinstance(value, Call) else "constant"
    raise RequestError(f"{shape_name} has no `{name}` to change")


def _added(call: Call, name: str, written: str, source: str) -> list[Change]:
    shape, given = match(call, _clock(source))
    if shape.joins and name == "a":
        b, first = given["b"], call.args[0]
        place, lead = (b.span[0], "") if b.name is None else (first.span[0], f"{_word(shape, name)}=")
        return [Change(place, place, f"{lead}{written}, ")]
    place = call.args[-1].span[1]
    return [Change(place, place, f", {_word(shape, name)}={written}")]


def _one_value(text: str, name: str) -> str:
    """The text, where it is one number, time or word and nothing else."""
    written = text.strip()
    arg = _only_arg(written, name)
    if arg is None or not isinstance(arg.value, (Quantity, Word)) or arg.span != (2, 2 + len(written)):
        raise RequestError(f"`{name}` is one value, such as 0.005 or 20%, got `{written}`")
    return written


def _only_arg(written: str, name: str) -> Arg | None:
    if not written:
        raise RequestError(f"`{name}` has no value")
    try:
        items = read(f"x({written}\n)").items
    except ScheduleError as error:
        raise RequestError(f"`{name}`: {error.message}") from error
    call = items[0].value
    if len(items) > 1 or not isinstance(call, Call) or len(call.args) != 1 or call.args[0].name is not None:
        return None
    return call.args[0]


def _clock(source: str) -> Clock:
    return Clock(source, 1)


# Ends -----------------------------------------------------------------------------------------


def set_end(old: Draft, path: Path, text: str | None) -> list[Change]:
    """An item's end as typed, without its colon; None takes it away."""
    place = find(old.tree, path)
    if text is None:
        return _without_end(old.source, place)
    written = _one_end(text)
    if place.end is not None:
        return [Change(*place.end.span, written)]
    return [Change(place.value.span[1], place.value.span[1], f":{written}")]


def _without_end(source: str, place: Place) -> list[Change]:
    if place.end is None:
        return []
    after, (start, stop) = place.value.span[1], place.end.span
    if "#" not in source[after:start]:
        return [Change(after, stop, "")]
    (colon,) = (mark for mark in marks(source, ":") if after <= mark < start)
    return [Change(colon, colon + 1, ""), Change(start, stop, "")]


def _one_end(text: str) -> str:
    written = text.strip()
    try:
        tree = read(f"1:{written}\n")
    except ScheduleError as error:
        raise RequestError(f"the end: {error.message}") from error
    end = tree.items[0].end
    if len(tree.items) != 1 or tree.empty or end is None or end.span != (2, 2 + len(written)):
        raise RequestError(f"an end is one time, such as 100, 20%, 3ep or +50, got `{written}`")
    return written


# Items ----------------------------------------------------------------------------------------


def insert_after(old: Draft, path: Path) -> list[Change]:
    """An item that holds the rate that the one at ``path`` ends with, for half of the room that there is."""
    place = find(old.tree, path)
    end = "" if place.end is None else old.source[slice(*place.end.span)]
    if len(path) > 1:
        return _appended(place, f"{_some_rate(place, old.source)}:{end or '10'}")
    made = old.plan()
    if path[0] >= len(made.segments):
        raise RequestError("this segment starts after the end of the run; nothing can follow it")
    segment = made.segments[path[0]]
    last = min(segment.stop, made.stop)
    rate = rate_text(made.value(last - 1) if segment.exit is None else segment.exit)
    if segment.open or segment.stop >= made.total_steps:
        return _halved(place, _between(segment.start, last), rate + (f":{end}" if is_written(place.end) else ""))
    if path[0] + 1 == len(old.tree.items):
        return _appended(place, rate)
    following = made.segments[path[0] + 1]
    return _appended(place, f"{rate}:{_between(following.start, following.stop)}")


def _appended(place: Place, item: str) -> list[Change]:
    return [Change(place.span[1], place.span[1], f", {item}")]


def _halved(place: Place, middle: int, item: str) -> list[Change]:
    if place.end is None:
        return [Change(place.span[1], place.span[1], f":{middle}, {item}")]
    return [Change(*place.end.span, f"{middle}, {item}")]


def _between(start: int, stop: int) -> int:
    if stop - start < 2:
        raise RequestError(f"there is no room for another segment between step {start} and step {stop}")
    return (start + stop) // 2


def _some_rate(place: Place, source: str) -> str:
    """A rate that the item names: its last one, as a rule where it ends."""
    values = given_values(place.value, source)
    for name in ("b", "v", "peak", "max_lr", "high"):
        if name in values:
            return source[slice(*values[name].span)]
    return "0.001"


def delete(old: Draft, path: Path) -> list[Change]:
    """Takes an item and its comma out; comments stay."""
    around = siblings(old.tree, path)
    if len(around) == 1:
        raise RequestError("a schedule has at least one segment, and a repeat too")
    return without(old.source, [place.span for place in around], path[-1])


def is_written(end: Quantity | None) -> bool:
    """Whether an end says a step: there is one, and it is not the host's word for the end of the run."""
    return end is not None and not is_minus_one(end)
