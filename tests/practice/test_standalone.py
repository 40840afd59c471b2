"""The standalone page without a browser: what is put into gradio's page and taken out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")

from lib_lrsched.host.door import Door
from lib_lrsched.practice import app as standalone

PAGE = (
    b'<head><link rel="preconnect" href="https://fonts.googleapis.com" />'
    b'<link\n rel="preconnect"\n href="https://fonts.gstatic.com"\n/>'
    b'<script\n src="https://cdnjs.cloudflare.com/x.js"\n async\n></script>'
    b'<script src="./own.js"></script></head><body>\xc3\xa9</body>'
)


def answer(app: Any, path: str, method: str = "GET") -> tuple[dict[bytes, bytes], bytes]:
    """Headers and body of what an ASGI application sends."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(StopIteration):  # nothing in it waits, so that it needs no event loop
        app({"type": "http", "path": path, "method": method}, None, send).send(None)
    return dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


async def gradio_page(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/html"), (b"content-length", str(len(PAGE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE[:50], "more_body": True})
    await send({"type": "http.response.body", "body": PAGE[50:]})


def test_the_page_gets_our_tags_and_loses_those_of_other_servers() -> None:
    headers, body = answer(standalone.OwnPage(gradio_page, b"<script ours>"), "/")
    assert body == b'<head><script src="./own.js"></script><script ours>\n</head><body>\xc3\xa9</body>'
    expected = {b"content-type": b"text/html", b"content-length": str(len(body)).encode()}
    assert headers == expected | {b"content-security-policy": b"frame-ancestors 'self'"}


@pytest.mark.parametrize(("path", "method"), [("/config", "GET"), ("/", "POST")])
def test_other_answers_pass_unchanged(path: str, method: str) -> None:
    assert answer(standalone.OwnPage(gradio_page, b"<script ours>"), path, method)[1] == PAGE


def told(kind: str, path: str, headers: dict[str, str], method: str = "GET") -> str:
    """What is sent when somebody asks: "inside", or the status or close code with which the server is shut."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "inside"})

    app = standalone.Doorkeeper(inside, Door(local_only=True))
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    with pytest.raises(StopIteration):
        app({"type": kind, "path": path, "method": method, "headers": raw}, None, send).send(None)
    return str(sent[0].get("status") or sent[0].get("code") or sent[0]["type"])


NAVIGATION = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}


@pytest.mark.parametrize(("kind", "path", "headers", "expected"), [
    ("http", "/", {"host": "127.0.0.1:7860"}, "inside"),
    ("http", "/", {"host": "localhost:7860", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "inside"),
    ("http", "/", {"host": "127.0.0.1:7860", **NAVIGATION, "sec-fetch-dest": "document"}, "inside"),
    ("http", "/", {"host": "127.0.0.1:7860", **NAVIGATION, "sec-fetch-dest": "iframe"}, "403"),
    ("http", "/", {"host": "127.0.0.1:7860", **NAVIGATION, "sec-fetch-dest": "object"}, "403"),
    ("http", "/", {"host": "127.0.0.1:7860", **NAVIGATION, "sec-fetch-dest": "iframe", "sec-fetch-site": "same-origin"}, "inside"),
    ("websocket", "/queue/join", {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860"}, "inside"),
    ("lifespan", "", {}, "inside"),
    ("http", "/", {"host": "evil.com:7860"}, "403"),
    ("http", "/", {"host": "evil.com:7860", "sec-fetch-mode": "navigate"}, "403"),
    ("http", "/run/predict", {"host": "evil.com"}, "403"),
    ("http", "/run/predict", {"host": "127.0.0.1:7860", "origin": "http://evil.com"}, "403"),
    ("http", "/run/predict", {"host": "127.0.0.1:7860", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "403"),
    ("http", "/lrsched/v1/runs", {"host": "127.0.0.1:7860", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "403"),
    ("websocket", "/queue/join", {"host": "127.0.0.1:7860", "origin": "http://evil.com"}, "1008"),
    ("websocket", "/queue/join", {"host": "evil.com:7860", "origin": "http://evil.com:7860"}, "1008"),
])  # fmt: skip
def test_the_page_is_for_this_machine_and_its_own_origin(kind: str, path: str, headers: dict[str, str], expected: str) -> None:
    assert told(kind, path, headers) == expected


def test_the_application_knows_at_which_address_it_is_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On an address that others reach, the server's name in a request is not one of this machine."""
    import uvicorn

    built: list[Any] = []
    monkeypatch.setattr(standalone, "build_app", lambda *given: built.append(given))
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: built.append(options["host"]))
    standalone.serve(tmp_path, host="0.0.0.0")
    assert built == [(tmp_path, "0.0.0.0", None), "0.0.0.0"]


@pytest.mark.parametrize("first", ["train", "schedule"])
def test_the_tab_that_was_chosen_is_open(first: str) -> None:
    tabs = [part for part in standalone.build_blocks(first).get_config_file()["components"] if part["type"] in ("tabs", "tabitem")]
    outer = next(part["props"] for part in tabs if part["props"].get("elem_id") == "tabs")
    assert outer["selected"] == first
    assert first in [part["props"].get("id") for part in tabs]


def test_the_opener_is_a_script_of_its_own_with_the_run() -> None:
    tag = standalone.opener("20260101-000000-embedding-a").decode().strip()
    assert tag.startswith("<script>")
    assert tag.endswith('("20260101-000000-embedding-a");</script>')
    assert tag.count("</") == 1


def test_the_assets_are_the_style_sheet_and_the_entry() -> None:
    assets = standalone.asset_files()
    assert list(assets) == ["style.css", "lrsched.mjs"]
    tags = standalone.asset_tags(assets).decode().splitlines()
    assert tags[1].startswith('<script type="module" src="./lrsched/assets/lrsched.mjs?')


def test_error_assets_that_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(standalone, "REPOSITORY", tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        standalone.asset_files()
    expected = f"expected style.css and javascript/lrsched.mjs in {tmp_path}; the page runs from a checkout of the repository"
    assert str(caught.value) == expected
