"""An item that somebody chose, put into a text: at an item's boundary, with ends where they are needed for it to run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lib_lrsched.errors import RequestError, ScheduleError
from lib_lrsched.language.tree import Item
from lib_lrsched.schedule.other_names import read
from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.segments import Segment
from lib_lrsched.schedule.shapes import WARMUP

from .edits import Draft, Edited, finish, is_written
from .outline import Path, Place, find
from .text_edits import Change

WARMUP_SHARE = 0.05
"""How much of its room a warm-up keeps where another item is put after it; any other item keeps half."""


class _Chosen(NamedTuple):
    """The new item: its value, and the end that was written for it."""

    value: str
    end: str | None

    def ending(self, start: int) -> str | None:
        """Its own end as a duration, where it starts elsewhere than the run."""
        return None if self.end is None else f":{'+' if start and self.end[0] != '+' else ''}{self.end}"


def insert_item(old: Draft, path: Path, text: str, *, before: bool = False) -> Edited:
    """An item after the one at ``path``, or ``before`` it.

    Raises:
        RequestError: ``text`` is no single item, or there is no room for it.
        ScheduleError: the text cannot be planned, or no end makes the new one right.
    """
    chosen, place = _chosen(text), find(old.tree, path)
    at = path if before else (*path[:-1], path[-1] + 1)
    tried = [_tried(old, changes, at) for changes in _ways(old, place, chosen, before)]
    found = next((one for one in tried if isinstance(one, Edited)), tried[0])
    if isinstance(found, ScheduleError):
        raise found
    return found


def _tried(old: Draft, changes: list[Change], path: Path) -> Edited | ScheduleError:
    try:
        return finish(old, changes, path)
    except ScheduleError as error:
        return error


def _chosen(text: str) -> _Chosen:
    tree = read(text)
    if len(tree.items) != 1 or tree.empty:
        raise RequestError(f"expected one segment, such as cosine(0.005, 1e-5), got `{text}`")
    item: Item = tree.items[0]
    return _Chosen(text[slice(*item.value.span)], None if item.end is None else text[slice(*item.end.span)])


def _ways(old: Draft, place: Place, chosen: _Chosen, before: bool) -> Iterator[list[Change]]:
    """Changes to try, the best first."""
    start, stop = place.span
    if len(place.path) > 1:
        duration = "10" if place.end is None else old.source[slice(*place.end.span)]
        item = f"{chosen.value}:{duration}"
        yield [Change(start, start, f"{item}, ")] if before else [Change(stop, stop, f", {item}")]
        return
    made = old.plan()
    number = place.path[0]
    if number >= len(made.segments):
        raise RequestError("this segment never runs; nothing can follow it")
    segment = made.segments[number]
    if before:
        for end in filter(None, (chosen.ending(segment.start), f":{_middle(segment, made, 0.5)}")):
            yield [Change(start, start, f"{chosen.value}{end}, ")]
    elif segment.open or segment.stop >= made.total_steps:
        yield from _sharing(old, place, chosen, made)
    elif number + 1 == len(old.tree.items):
        for end in dict.fromkeys((chosen.ending(segment.stop) or "", "")):
            yield [Change(stop, stop, f", {chosen.value}{end}")]
    else:
        following = made.segments[number + 1]
        for end in filter(None, (chosen.ending(segment.stop), f":{_middle(following, made, 0.5)}")):
            yield [Change(stop, stop, f", {chosen.value}{end}")]


def _sharing(old: Draft, place: Place, chosen: _Chosen, made: Plan) -> Iterator[list[Change]]:
    """Half of the room of an item that goes to the end of the run; of a warm-up's, what is left of it."""
    segment = made.segments[place.path[0]]
    share = WARMUP_SHARE if place.shape == WARMUP.name else 0.5
    middle = _middle(segment, made, share)
    first = f"{100 * share:.0f}%" if segment.start == 0 and place.end is None else str(middle)
    is_last = place.path[0] + 1 == len(old.tree.items)
    written = old.source[slice(*place.end.span)] if place.end is not None and is_written(place.end) else ""
    rest = f":{written}" if written else "" if is_last else f":{(middle + made.total_steps) // 2}"
    at = (place.value.span[1], place.value.span[1]) if place.end is None else place.end.span
    colon = ":" if place.end is None else ""
    for end in dict.fromkeys((chosen.ending(middle) or rest, rest)):
        yield [Change(*at, f"{colon}{first}, {chosen.value}{end}")]


def _middle(segment: Segment, made: Plan, share: float) -> int:
    """A step within a segment, with this share of its steps before it."""
    stop = min(segment.stop, made.stop)
    if stop - segment.start < 2:
        raise RequestError(f"there is no room for another segment between step {segment.start} and step {stop}")
    return min(stop - 1, segment.start + max(1, round(share * (stop - segment.start))))
