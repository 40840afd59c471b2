"""How an endpoint gets the runtime: ``runtime: Runtime = RUNTIME`` in its signature."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request

from lib_lrsched.host.runtime import Runtime

QUICKLY_S = 0.5
"""So long an answer waits for a number of images that it can do without."""


async def _current(request: Request) -> Runtime:
    return request.app.state.lrsched_runtime  # type: ignore[no-any-return]


RUNTIME: Any = Depends(_current)
"""The runtime of now: "Reload UI" makes a new one while the server runs."""
