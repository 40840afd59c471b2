"""The page without a WebUI: a Train tab over the practice host, the tab "LR Schedule", the JSON endpoints.

    python -m lib_lrsched serve

It joins gradio, the practice host, the hooks and the api, and computes nothing. The page needs no network: what
gradio's own page would fetch from other servers is taken out of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from starlette.datastructures import Headers

from lib_lrsched import console
from lib_lrsched.web.responses import error_answer

if TYPE_CHECKING:
    import gradio

    from lib_lrsched.host.door import Door

ASSETS_URL = "/lrsched/assets"
REPOSITORY = Path(__file__).resolve().parents[2]
STYLE = "style.css"
ENTRY = "javascript/lrsched.mjs"
OPENER = Path(__file__).parent / "open_at_run.js"
FOREIGN = re.compile(
    rb'<link\s[^>]*https://fonts\.[^>]*>|<script\s[^>]*src="https://cdnjs[^>]*>\s*</script>|'
    rb'<meta\s[^>]*https://gradio\.app/[^>]*>'
)
"""What gradio's page would fetch from elsewhere."""

NO_FOREIGN_FRAME = (b"content-security-policy", b"frame-ancestors 'self'")
"""Browsers without Sec-Fetch headers heed this one."""

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


def build_app(root: Path, host: str = "127.0.0.1", run: str | None = None) -> FastAPI:
    """The whole application over the practice host in the folder `root`, which is made where it is missing.

    Args:
        host: the address on which it is served.
        run: the id of the run at which a page opens that has not been here; the Train tab where it is None.

    Raises FileNotFoundError where the scripts or the practice model's weights are missing.
    """
    import gradio as gr

    from lib_lrsched.host import door, hooks
    from lib_lrsched.web import endpoints

    from . import service
    from .host import practice_host

    service.open_at(root)
    app = FastAPI(title="LR Schedule", docs_url=None, redoc_url=None, openapi_url=None)
    guard = door.Door(local_only=door.is_this_machine(host))
    endpoints.add_routes(app, hooks.install(practice_host(root)), guard)
    assets = asset_files()
    _add_assets(app, assets)
    gr.mount_gradio_app(app, build_blocks("train" if run is None else "schedule"), path="/")
    app.add_middleware(OwnPage, tags=asset_tags(assets) + (b"" if run is None else opener(run)))
    app.add_middleware(Doorkeeper, door=guard)
    return app


def serve(root: Path, host: str = "127.0.0.1", port: int = 7860, run: str | None = None) -> None:
    """Serves the page until it is stopped; it opens at the run with this id."""
    import uvicorn

    app = build_app(root, host, run)
    console.line(f"LR Schedule: http://{host}:{port}  (everything is kept in {root})")
    uvicorn.run(app, host=host, port=port, log_level="warning")


def opener(run: str) -> bytes:
    """The tag of the script that opens the page at a run."""
    return f"\n<script>{OPENER.read_text('utf-8').strip()}({json.dumps(run)});</script>".encode()


def build_blocks(first: str = "train") -> gradio.Blocks:
    """The two tabs; `first` is the one that is open: "train" or "schedule"."""
    import gradio as gr

    from lib_lrsched.web import tab as ui

    from . import train_panel

    tab = ui.build_tab()  # before the outer blocks are open: inside them it would render itself at once
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    with gr.Blocks(title="LR Schedule", theme=theme, analytics_enabled=False) as blocks, gr.Tabs(selected=first, elem_id="tabs"):
        with gr.Tab("Train", id="train", elem_id="tab_train"):
            train_panel.build(blocks)
        with gr.Tab(ui.TITLE, id="schedule", elem_id=f"tab_{ui.TAB_ID}"):
            tab.render()
    blocks.show_api = False
    return blocks


def asset_files() -> dict[str, Path]:
    """The files that the page loads by itself, by name; the entry loads the other scripts."""
    files = [REPOSITORY / STYLE, REPOSITORY / ENTRY]
    if not all(file.is_file() for file in files):
        raise FileNotFoundError(f"expected {STYLE} and {ENTRY} in {REPOSITORY}; the page runs from a checkout of the repository")
    return {file.name: file for file in files}


def asset_tags(assets: dict[str, Path]) -> bytes:
    """The tags that load the assets; the file's time in the address makes browsers fetch changed ones."""
    tags = []
    for name, file in assets.items():
        address = f".{ASSETS_URL}/{name}?{file.stat().st_mtime_ns}"
        is_style = name.endswith(".css")
        tags.append(
            f'<link rel="stylesheet" href="{address}">' if is_style else f'<script type="module" src="{address}"></script>'
        )
    return "\n".join(tags).encode()


class OwnPage:
    """Puts our scripts and style into gradio's page and takes out what it would fetch from elsewhere (ASGI)."""

    def __init__(self, app: Any, tags: bytes) -> None:
        self.app = app
        self.tags = tags

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await self.app(scope, receive, hold)
        await self._send_changed(held, send)

    async def _send_changed(self, held: list[Message], send: Send) -> None:
        start = held[0]
        body = b"".join(message.get("body", b"") for message in held[1:])
        if b"</head>" in body:
            body = FOREIGN.sub(b"", body).replace(b"</head>", self.tags + b"\n</head>", 1)
            headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            start["headers"] = [*headers, (b"content-length", str(len(body)).encode()), NO_FOREIGN_FRAME]
        await send(start)
        await send({"type": "http.response.body", "body": body})


class Doorkeeper:
    """Keeps pages of other origins and strange hosts out of all that is served: gradio's own endpoints start trainings (ASGI)."""

    def __init__(self, app: Any, door: Door) -> None:
        self.app = app
        self.door = door

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else ""
        if not refusal:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await error_answer(403, refusal)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": ""})

    def _refusal(self, scope: Message) -> str:
        headers: Mapping[str, str] = Headers(scope=scope)
        if scope["type"] == "http" and scope["path"] == "/" and _is_visit(headers):
            # A link on another page may lead here; a frame in it could have the user click what he does not see.
            headers = {name: value for name, value in headers.items() if name != "sec-fetch-site"}
        return self.door.refusal(headers)


def _is_visit(headers: Mapping[str, str]) -> bool:
    """Whether a browser opens the page in a tab of its own; one that does not say into what it loads is taken at its word."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"


def _add_assets(app: FastAPI, assets: dict[str, Path]) -> None:
    types = {".css": "text/css", ".mjs": "text/javascript"}

    async def asset(name: str) -> FileResponse:
        if name not in assets:
            raise HTTPException(404, f"there is no {name}")
        return FileResponse(assets[name], media_type=types[assets[name].suffix])

    app.add_api_route(f"{ASSETS_URL}/{{name}}", asset, methods=["GET"])
