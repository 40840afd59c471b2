"""A text's items as a form shows them: which shape, which values, which end, and where each stands.

It reads the tree and the registry of shapes; it plans nothing, so that a text whose epochs are not known has its form too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lib_lrsched.errors import RequestError
from lib_lrsched.language.tree import Arg, Call, Item, Quantity, Schedule, Span, Word
from lib_lrsched.schedule.arguments import SOME_LENGTH, match
from lib_lrsched.schedule.other_names import read
from lib_lrsched.schedule.repeat import check_form
from lib_lrsched.schedule.units import Clock, is_minus_one

MOST_ITEMS = 500
"""A form needs no more of them, and a text may have 10,000."""

Path = tuple[int, ...]
"""Where an item stands: (2,) is the text's third item, (2, 0) the first one inside it, which is a repeat."""


class Place(NamedTuple):
    """An item, wherever it stands. Inside a repeat its end is a duration."""

    path: Path
    value: Quantity | Call
    end: Quantity | None
    span: Span

    @property
    def shape(self) -> str:
        return "constant" if isinstance(self.value, Quantity) else self.value.name


def places(tree: Schedule) -> tuple[Place, ...]:
    """The items of a text."""
    return tuple(Place((i,), item.value, item.end, item.span) for i, item in enumerate(tree.items))


def inner_places(place: Place) -> tuple[Place, ...]:
    """The items of a repeat; nothing for any other shape."""
    if not isinstance(place.value, Call) or place.value.name != "repeat":
        return ()
    return tuple(_inner(place.path, i, arg) for i, arg in enumerate(place.value.args[1:]))


def _inner(path: Path, number: int, arg: Arg) -> Place:
    value, end = (arg.value.value, arg.value.end) if isinstance(arg.value, Item) else (arg.value, None)
    assert isinstance(value, (Quantity, Call))  # check_form has seen it
    return Place((*path, number), value, end, arg.span)


def siblings(tree: Schedule, path: Path) -> tuple[Place, ...]:
    """The items among which the one at ``path`` stands.

    Raises:
        RequestError: there is no item at ``path``.
        ScheduleError: a repeat on the way has no form.
    """
    found = places(tree)
    for depth, number in enumerate(path):
        if not 0 <= number < len(found):
            break
        if depth == len(path) - 1:
            return found
        _check_form(found[number].value, tree.source)
        found = inner_places(found[number])
    raise RequestError(f"there is no segment {list(path)} in the text")


def find(tree: Schedule, path: Path) -> Place:
    """The item at ``path``; raises as `siblings` does."""
    return siblings(tree, path)[path[-1]]


def given_values(value: Quantity | Call, source: str) -> dict[str, Quantity | Word]:
    """What is written for each parameter, by name.

    Raises:
        ScheduleError: there is no such shape, or its arguments do not fit it.
    """
    if isinstance(value, Quantity):
        return {"v": value}
    _check_form(value, source)
    if value.name == "repeat":
        args = {"count": value.args[0]}
    else:
        _, args = match(value, _clock(source))
    return {name: arg.value for name, arg in args.items()}  # type: ignore[misc]


def _check_form(value: Quantity | Call, source: str) -> None:
    if isinstance(value, Call) and value.name == "repeat":
        check_form(value, _clock(source))


def _clock(source: str) -> Clock:
    """A run in which every time can be said: nothing of it reaches the answer."""
    return Clock(source, SOME_LENGTH, 1, 1)


def describe_items(text: str) -> list[dict[str, Any]]:
    """The first MOST_ITEMS items of a text as JSON, which the README documents.

    Raises:
        ScheduleError: the text cannot be read, or a shape's arguments do not fit it.
    """
    return _describe(places(read(text))[:MOST_ITEMS], text)


def _describe(found: Sequence[Place], source: str) -> list[dict[str, Any]]:
    return [_item(place, source) for place in found]


def _item(place: Place, source: str) -> dict[str, Any]:
    values = given_values(place.value, source)
    return {
        "path": list(place.path), "span": list(place.span), "text": source[slice(*place.span)], "shape": place.shape,
        "params": [_param(name, values.get(name), source) for name in _names(place)],
        "end": None if place.end is None else _end(place.end, source),
        "items": _describe(inner_places(place)[:MOST_ITEMS], source),
    }  # fmt: skip


def _names(place: Place) -> list[str]:
    if isinstance(place.value, Quantity):
        return ["v"]
    if place.value.name == "repeat":
        return ["count"]
    shape, _ = match(place.value, _clock(""))
    return [p.name for p in shape.params]


def _param(name: str, value: Quantity | Word | None, source: str) -> dict[str, Any]:
    if value is None:
        return {"name": name, "text": None, "span": None}
    return {"name": name, "text": source[slice(*value.span)], "span": list(value.span)}


def _end(end: Quantity, source: str) -> dict[str, Any]:
    return {
        "text": source[slice(*end.span)], "span": list(end.span), "number": end.text, "unit": end.unit, "relative": end.relative,
        "open": is_minus_one(end),
    }  # fmt: skip
