"""Requests of the tab's form, chart and menus to their answers: items, edits, imports. Pure, as ``preview`` is.

``POST /lrsched/v1/items``, ``/edit`` and ``/import``; the README documents their JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from sys import float_info
from typing import Any

from lib_lrsched.editing import edits
from lib_lrsched.editing.chart_handles import boundaries_of, change_unit, handles_of, move_boundary, set_rate
from lib_lrsched.editing.edits import Draft, Edited, Planner
from lib_lrsched.editing.outline import Path, describe_items
from lib_lrsched.editing.shape_conversion import change_shape
from lib_lrsched.editing.text_edits import Change
from lib_lrsched.errors import RequestError, ScheduleError
from lib_lrsched.preview.curve import MAX_STEPS
from lib_lrsched.schedule.counting import count_steps
from lib_lrsched.schedule.plan import plan

Request = Mapping[str, Any]
MOST = float_info.max
"""isfinite() fails on a whole number that no float holds."""


def items_answer(request: Request) -> dict[str, Any]:
    """The text's items and, where ``total_steps`` is given and the text can be planned, what the chart can drag.

    Raises:
        RequestError: a field is missing, of the wrong type or out of range.
        ScheduleError: the text cannot be read, or a shape's arguments do not fit it.
    """
    text = _text(request, "text")
    items = describe_items(text)
    try:
        made = None if request.get("total_steps") is None else _planner(request)(text)
    except ScheduleError:
        made = None
    return {
        "items": items,
        "boundaries": [] if made is None else [b._asdict() for b in boundaries_of(made)],
        "handles": [] if made is None else [h.point._asdict() | {"moves": h.moves} for h in handles_of(made)],
    }


def edit_answer(request: Request) -> dict[str, Any]:
    """The text after one edit, and where the edited item stands in it.

    Raises:
        RequestError: a field is missing or wrong, or the edit cannot be made.
        ScheduleError: the text cannot be read, or the new one cannot be planned (its source is the new text).
    """
    edit = request.get("edit")
    if not isinstance(edit, dict) or not isinstance(edit.get("do"), str) or edit["do"] not in EDITS:
        raise RequestError(f"edit: expected an object whose `do` is one of {', '.join(EDITS)}")
    old = edits.draft(_text(request, "text"), _planner(request))
    new = EDITS[edit["do"]](old, _path(edit), edit)
    return {"text": new.text, "item": list(new.path), "span": list(new.span)}


def import_answer(request: Request) -> dict[str, Any]:
    """Another program's schedule as a text.

    Raises:
        RequestError: a field is missing or of the wrong type.
        ImportFormatError: the text is not of that format, or cannot be said exactly.
    """
    from lib_lrsched.formats.imports import import_text  # not before somebody asks

    base = None if request.get("base") is None else _number(request, "base")
    epoch = None if request.get("steps_per_epoch") is None else _whole(request, "steps_per_epoch", 1, MAX_STEPS)
    return import_text(_text(request, "text"), _text(request, "format"), base=base, steps_per_epoch=epoch)._asdict()


Edit = Callable[[Draft, Path, Request], Edited]


def _by(changes: Callable[[Draft, Path, Request], list[Change]], move: int = 0) -> Edit:
    """An edit made of changes; the item to look at afterwards stands ``move`` places further."""

    def edit(old: Draft, path: Path, request: Request) -> Edited:
        return edits.finish(old, changes(old, path, request), (*path[:-1], max(0, path[-1] + move)))

    return edit


EDITS: dict[str, Edit] = {
    "set": _by(lambda old, path, edit: edits.set_param(old, path, _text(edit, "param"), _text(edit, "value"))),
    "unset": _by(lambda old, path, edit: edits.unset_param(old, path, _text(edit, "param"))),
    "end": _by(lambda old, path, edit: edits.set_end(old, path, None if edit.get("value") is None else _text(edit, "value"))),
    "unit": _by(lambda old, path, edit: change_unit(old, path, _text(edit, "unit"), relative=edit.get("relative") is True)),
    "shape": lambda old, path, edit: change_shape(old, path, _text(edit, "shape")),
    "insert": _by(lambda old, path, _: edits.insert_after(old, path), 1),
    "delete": _by(lambda old, path, _: edits.delete(old, path), -1),
    "boundary": _by(lambda old, path, edit: move_boundary(old, path, _whole(edit, "step", 1, MAX_STEPS))),
    "rate": _by(lambda old, path, edit: set_rate(old, path, _text(edit, "param"), _number(edit, "value"))),
}
"""What an edit's ``do`` may be."""


def _planner(request: Request) -> Planner:
    pictures = None if request.get("pictures") in (None, 0) else _whole(request, "pictures", 1, 10**7)
    counts = count_steps(pictures, _whole(request, "batch", 1, 10**6, 1), _whole(request, "accumulate", 1, 10**6, 1))
    return partial(
        plan, total_steps=_whole(request, "total_steps", 1, MAX_STEPS),
        steps_per_epoch=counts.steps_per_epoch, images_per_step=counts.images_per_step,
    )  # fmt: skip


# Fields ---------------------------------------------------------------------------------------


def _path(edit: Request) -> Path:
    path = edit.get("item")
    if not isinstance(path, list) or not path or not all(type(number) is int for number in path):
        raise RequestError(f"item is a list of whole numbers, such as [0]; given was {path!r}")
    return tuple(path)


def _text(request: Request, name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise RequestError(f"{name} is a text, given was {value!r}")
    return value


def _whole(request: Request, name: str, low: int, high: int, default: int | None = None) -> int:
    value = request.get(name)
    value = default if value is None else value
    if type(value) is not int or not low <= value <= high:
        raise RequestError(f"{name} is a whole number from {low} to {high}, given was {value!r}")
    return value


def _number(request: Request, name: str) -> float:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -MOST <= value <= MOST:
        raise RequestError(f"{name} is a number, given was {value!r}")
    return float(value)
