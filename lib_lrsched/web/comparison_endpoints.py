"""Endpoints that compare runs: for the page, and as files that can be passed on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Response

import lib_lrsched
from lib_lrsched.errors import RunStateError
from lib_lrsched.host.runtime import Runtime
from lib_lrsched.preview import comparison_files
from lib_lrsched.preview.comparison import ComparedRun, Over, comparison
from lib_lrsched.preview.svg_chart import swatch
from lib_lrsched.storage.history import History
from lib_lrsched.storage.run_images import RunImage
from lib_lrsched.training.options import OPTIONS

from ._page import render
from ._thumbnails import data_uri
from .image_endpoints import images_of
from .requests import ComparisonFileQuery, ComparisonRequest
from .responses import Answer, Route
from .runs import one_run, state_of
from .runtime import RUNTIME

IMAGES_SHOWN, IMAGE_WIDTH = 6, 160
"""Of each run in a page."""

TEMPLATE = "comparison.html"

router = APIRouter(route_class=Route)


@router.post("/comparison")
def compare(request: ComparisonRequest, runtime: Runtime = RUNTIME) -> Response:
    """Several runs side by side."""
    return Answer(_compared(runtime, request.runs, request.over))


@router.get("/comparison/file")
def comparison_file(query: ComparisonFileQuery = Depends(ComparisonFileQuery), runtime: Runtime = RUNTIME) -> Response:
    """The same as one file: a table, the points of the curves, or a page that stands by itself."""
    ids = query.runs.split(",")
    found = _compared(runtime, ids, query.over)
    if query.format == "html":
        return _file(_html(runtime, ids, found), "comparison.html", "text/html; charset=utf-8")
    if query.format == "curves":
        return _file(comparison_files.curves_csv(found), "curves.csv", "text/csv; charset=utf-8")
    return _file(comparison_files.runs_csv(found), "runs.csv", "text/csv; charset=utf-8")


def _compared(runtime: Runtime, ids: Sequence[str], over: Over) -> dict[str, Any]:
    labels = {name: option.label for name, option in OPTIONS.items()}
    return comparison([_run(runtime, run_id) for run_id in ids], over, labels, [str(runtime.store.root), str(Path.home())])


def _run(runtime: Runtime, run_id: str) -> ComparedRun:
    live, state = runtime.trainings.active().get(run_id), state_of(runtime, run_id)
    listed = one_run(runtime, state)
    try:
        history = History.open(runtime.store.history_path(run_id), append=False) if live is None else live.history
    except RunStateError:
        history = History(None)  # what is wrong with it stands in the list
    return ComparedRun(state, listed, history)


def _file(text: str, name: str, media_type: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Response(text.encode("utf-8", "replace"), media_type=media_type, headers=headers)


# As a page ----------------------------------------------------------------------------------------


def _html(runtime: Runtime, ids: Sequence[str], found: dict[str, Any]) -> str:
    from markupsafe import Markup

    runs = [
        {"named": comparison_files.named(run), "note": run["note"], "images": _images(runtime, run_id),
         "key": Markup(swatch(style))}  # noqa: S704 a number is all that goes into it
        for style, (run_id, run) in enumerate(zip(ids, found["runs"], strict=True))
    ]
    charts = [{"title": chart["title"], "svg": Markup(chart["svg"])} for chart in comparison_files.charts(found)]  # noqa: S704 escaped there
    return render(TEMPLATE, runs=runs, charts=charts, outcomes=_rows(_known(found["outcomes"])), settings=_rows(found["settings"]),
                  made=comparison_files.moment(time.time()), version=lib_lrsched.__version__)


def _known(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if any(value is not None for value in row["values"])]


def _rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "words": [comparison_files.words(row.get("type", "text"), value) for value in row["values"]]} for row in rows]


def _images(runtime: Runtime, run_id: str) -> list[dict[str, Any]]:
    """Some of a run's images, the first and the last among them."""
    try:
        there = [image for image in images_of(runtime, run_id).images.values() if not image.holds_embedding]
    except (RunStateError, OSError):
        return []
    last, most = len(there) - 1, min(IMAGES_SHOWN, len(there))
    chosen = sorted({round(place * last / max(1, most - 1)) for place in range(most)})
    return [shown for place in chosen if (shown := _shown(there[place])) is not None]


def _shown(image: RunImage) -> dict[str, Any] | None:
    data = image.data()
    try:
        return None if data is None else {"step": image.step, "uri": data_uri(data, IMAGE_WIDTH)}
    except RunStateError:
        return None
