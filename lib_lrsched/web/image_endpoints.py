"""Endpoints on the preview images that the host saved during a run: only what the run recorded, by number and never by path."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Response

from lib_lrsched.host.runtime import Runtime
from lib_lrsched.preview.run_list import unreadable
from lib_lrsched.storage.run_images import Recorded, recorded

from ._thumbnails import media_type, thumbnail
from .requests import ImageQuery
from .responses import Answer, Route
from .runs import state_of
from .runtime import RUNTIME

SHOWN = ("step", "prompt", "width", "height", "holds_embedding", "time_s")
FOR_GOOD = "private, max-age=31536000, immutable"
"""A number always stands for the same bytes: a file that was replaced is not served."""

router = APIRouter(route_class=Route)


@router.get("/runs/{run_id}/images")
def images(run_id: str, runtime: Runtime = RUNTIME) -> Response:
    """The images that are still there, in the order in which they were saved."""
    found = images_of(runtime, run_id)
    there = [_shown(index, asdict(image)) for index, image in found.images.items() if image.is_there]
    return Answer({"images": there, "gone": len(found.images) - len(there), "message": unreadable(found.unreadable)})


@router.get("/runs/{run_id}/images/{index}")
def image(run_id: str, index: str, query: ImageQuery = Depends(ImageQuery), runtime: Runtime = RUNTIME) -> Response:
    """The file as it is, or a thumbnail."""
    is_number = index.isascii() and index.isdigit() and len(index) < 9
    found = images_of(runtime, run_id).images.get(int(index)) if is_number else None
    data = None if found is None else found.data()
    if data is None or not media_type(data):
        raise HTTPException(404, f"the run {run_id} has no image {index[:20]}, or it is gone")
    shown = data if query.size is None else thumbnail(data, query.size)
    headers = {"Cache-Control": FOR_GOOD, "X-Content-Type-Options": "nosniff"}
    return Response(shown, media_type=media_type(shown), headers=headers)


def images_of(runtime: Runtime, run_id: str) -> Recorded:
    """The images of a run by their numbers.

    Raises:
        UnknownRunError: there is no such run.
        RunStateError, OSError: they cannot be read.
    """
    return recorded(runtime.store.images_path(state_of(runtime, run_id).id))


def _shown(index: int, image: dict[str, Any]) -> dict[str, Any]:
    return {"index": index, **{name: image[name] for name in SHOWN}}
