"""Endpoints on schedule texts: what a chart draws, what a form shows, edits, and other programs' schedules in and out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Response

from lib_lrsched.editing import edits
from lib_lrsched.editing.chart_handles import Handle, boundaries_of, change_unit, handles_of, label_of, move_boundary, set_rate
from lib_lrsched.editing.edits import Draft, Edited, Planner
from lib_lrsched.editing.inserting import insert_item
from lib_lrsched.editing.outline import Path, describe_items
from lib_lrsched.editing.shape_conversion import change_shape
from lib_lrsched.editing.text_edits import Change
from lib_lrsched.errors import ScheduleError
from lib_lrsched.formats import exports, imports
from lib_lrsched.host.runtime import Runtime
from lib_lrsched.preview.curve import preview
from lib_lrsched.preview.forms import describe_shapes
from lib_lrsched.preview.run_view import past_legs
from lib_lrsched.schedule.counting import needs_images
from lib_lrsched.schedule.plan import Plan, plan

from .requests import EditRequest, ExportRequest, ImportRequest, ItemsRequest, PreviewRequest, as_float, counts
from .responses import Answer, Route
from .runs import state_of
from .runtime import QUICKLY_S, RUNTIME

router = APIRouter(route_class=Route)


@router.post("/preview")
def draw(request: PreviewRequest, runtime: Runtime = RUNTIME) -> Response:
    """The sampled curves, segments and lints of up to a few texts. No text is an error of the request."""
    images, folder = _images(request, runtime), request.data_root or ""
    is_looked_at = folder.strip() != "" and request.kind != "timestep"
    said = {"folder_trouble": runtime.data_folders.trouble(folder) if is_looked_at else ""}
    if request.run is None:
        return Answer(preview(request.curves(images, request.optimizer, request.trainee)) | said)
    state = state_of(runtime, request.run)
    optimizer = state.settings.get("optimizer") if request.optimizer is None else request.optimizer
    known = optimizer if isinstance(optimizer, str) else None  # a stored file may say anything
    return Answer(preview(request.curves(images, known, request.trainee or state.kind), past_legs(state)) | said)


def _images(request: PreviewRequest, runtime: Runtime) -> int | None:
    """The number that was sent, else that of the images in the folder."""
    folder = request.data_root or ""
    if request.pictures is not None or not folder.strip() or request.kind == "timestep":
        return request.pictures
    is_needed = any(map(needs_images, request.texts))  # else epochs are an extra that can come later
    return runtime.data_folders.count_images(folder, None if is_needed else QUICKLY_S)


@router.get("/shapes")
def shapes() -> Response:
    """The table of shapes with their parameters, for forms."""
    return Answer({"shapes": describe_shapes()})


@router.post("/items")
def items(request: ItemsRequest) -> Response:
    """What a form shows of a text, and what a chart can drag."""
    return Answer(items_answer(request))


@router.post("/edit")
def edit(request: EditRequest) -> Response:
    """A text after one edit."""
    return Answer(edit_answer(request))


@router.post("/export")
def export(request: ExportRequest) -> Response:
    """A text in another program's words."""
    made = _planner(request, request.total_steps)(request.text)
    found = exports.export(made, request.format, error=as_float(request.error), base=as_float(request.base))
    return Answer({"text": found.text, "note": found.note, "worst_error": found.worst_error})


@router.post("/import")
def import_(request: ImportRequest) -> Response:
    """Another program's schedule as a text."""
    base = as_float(request.base)
    found = imports.import_text(request.text, request.format, base=base, steps_per_epoch=request.steps_per_epoch)
    return Answer(found._asdict())


# Items and edits ------------------------------------------------------------------------------


def items_answer(request: ItemsRequest) -> dict[str, Any]:
    """The text's items and, where ``total_steps`` is given and the text can be planned, what the chart can drag.

    Raises:
        ScheduleError: the text cannot be read, or a shape's arguments do not fit it.
    """
    found = describe_items(request.text)
    made = _planned(request)
    return {
        "items": found,
        "boundaries": [] if made is None else [b._asdict() for b in boundaries_of(made)],
        "handles": [] if made is None else [_handle(made, one) for one in handles_of(made)],
    }


def _handle(made: Plan, handle: Handle) -> dict[str, Any]:
    return handle.point._asdict() | {"label": label_of(made, handle.point), "moves": handle.moves}


def _planned(request: ItemsRequest) -> Plan | None:
    if request.total_steps is None:
        return None
    try:
        return _planner(request, request.total_steps)(request.text)
    except ScheduleError:
        return None


def edit_answer(request: EditRequest) -> dict[str, Any]:
    """The text after one edit, and where the edited item stands in it.

    Raises:
        RequestError: the edit cannot be made.
        ScheduleError: the text cannot be read, or the new one cannot be planned (its source is the new text).
    """
    old = edits.draft(request.text, _planner(request, request.total_steps))
    new = EDITS[request.edit.do](old, tuple(request.edit.item), request.edit)
    return {"text": new.text, "item": list(new.path), "span": list(new.span)}


Edit = Callable[[Draft, Path, Any], Edited]


def _by(changes: Callable[[Draft, Path, Any], list[Change]], move: int = 0) -> Edit:
    """An edit made of changes; the item to look at afterwards stands ``move`` places further."""

    def edit(old: Draft, path: Path, change: Any) -> Edited:
        return edits.finish(old, changes(old, path, change), (*path[:-1], max(0, path[-1] + move)))

    return edit


def _insert(old: Draft, path: Path, change: Any) -> Edited:
    if change.value is None:
        return _by(lambda old, path, _: edits.insert_after(old, path), 1)(old, path, change)
    return insert_item(old, path, change.value, before=bool(change.before))


EDITS: dict[str, Edit] = {
    "set": _by(lambda old, path, change: edits.set_param(old, path, change.param, change.value)),
    "unset": _by(lambda old, path, change: edits.unset_param(old, path, change.param)),
    "end": _by(lambda old, path, change: edits.set_end(old, path, change.value)),
    "unit": _by(lambda old, path, change: change_unit(old, path, change.unit, relative=bool(change.relative))),
    "shape": lambda old, path, change: change_shape(old, path, change.shape),
    "insert": _insert,
    "delete": _by(lambda old, path, _: edits.delete(old, path), -1),
    "boundary": _by(lambda old, path, change: move_boundary(old, path, change.step)),
    "rate": _by(lambda old, path, change: set_rate(old, path, change.param, float(change.value))),
}
"""What makes each edit whose model is in requests.EDITS."""


def _planner(request: ItemsRequest | EditRequest | ExportRequest, total_steps: int) -> Planner:
    known = counts(request)
    return partial(plan, total_steps=total_steps, steps_per_epoch=known.steps_per_epoch, images_per_step=known.images_per_step)
