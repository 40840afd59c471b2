"""The lane against a real WebUI: one server for each way to start it, made when the first test asks for it.

`make test-webui WEBUI_ROOT=...` runs it; otherwise, and where there is no checkout, its tests are skipped and say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import ARGUMENTS, find
from webui_api import Api, draw_images
from webui_checkout import why_not
from webui_server import EXTENSION, WebUI, make_checkpoint, started

collect_ignore = ["host_side"]  # runs in the WebUI's Python


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    for item in items:
        if reason and item.get_closest_marker("webui"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def checkpoint(pytestconfig: pytest.Config) -> Path:
    """The folder of the random checkpoint; kept in pytest's cache."""
    return make_checkpoint(pytestconfig.cache.mkdir("webui"))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_images(tmp_path_factory.mktemp("pictures") / "set")


@pytest.fixture(scope="session")
def webui(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """A WebUI with the extension, started as most people do."""
    with started(tmp_path_factory.mktemp("webui"), checkpoint) as server:
        yield server


@pytest.fixture(scope="session")
def api(webui: WebUI, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Api:
    return Api(webui, images, tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def stock(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """A WebUI in whose settings the extension is disabled."""
    with started(tmp_path_factory.mktemp("stock"), checkpoint, disabled=(EXTENSION,)) as server:
        yield server


@pytest.fixture(scope="module")  # while playwright is open its event loop runs
def browser() -> Iterator[Any]:
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if (chromium := find()) is None:
        pytest.skip("no chromium on the PATH")
    with playwright_api.sync_playwright() as playwright:
        playwright_api.expect.set_options(timeout=60_000)
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()
