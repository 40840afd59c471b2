"""A real browser on the standalone page: one server for all tests, a fresh browser profile for each.

Without chromium the tests are skipped, unless LRSCHED_REQUIRE_BROWSER=1 asks for them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if os.environ.get("LRSCHED_REQUIRE_BROWSER") == "1":
    import playwright.sync_api as playwright_api
else:
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from standalone_server import REPOSITORY, free_port, serving  # playwright is optional

WAIT_MS = 30_000  # for what the page is to show: a busy machine trains slowly
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        reason = "no chromium on the PATH"
        if os.environ.get("LRSCHED_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{reason}, and LRSCHED_REQUIRE_BROWSER=1 asks for it")
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server keeps everything in."""
    return tmp_path_factory.mktemp("standalone") / "data"


@pytest.fixture(scope="session")
def server(chromium: str, folder: Path) -> Iterator[str]:
    """The address of a standalone server over a fresh folder."""
    with serving(folder, free_port()) as address:
        yield address


@pytest.fixture(scope="session")
def runs_of_all_sorts(server: str, folder: Path) -> None:  # the server first: both would make the folder
    """The runs of practice_runs.py, made by another process than the server; one of them went away without a word."""
    if not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    script = Path(__file__).with_name("practice_runs.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, str(script), str(folder)], check=True, env=environment)


@pytest.fixture(scope="session")
def runs_to_compare(server: str, folder: Path) -> None:
    """The runs of compared_runs.py, made by another process than the server."""
    script = Path(__file__).with_name("compared_runs.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, str(script), str(folder)], check=True, env=environment)


@pytest.fixture(scope="module")  # while playwright is open its event loop runs, and no other test could run one
def browser(chromium: str) -> Iterator[playwright_api.Browser]:
    with playwright_api.sync_playwright() as playwright:
        playwright_api.expect.set_options(timeout=WAIT_MS)
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: playwright_api.Browser, server: str) -> Iterator[playwright_api.Page]:
    """A page with empty storage; a script error in it fails the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, base_url=server)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture(scope="module")
def call(browser: playwright_api.Browser, server: str) -> Iterator[Any]:
    """Calls a function of a script in the browser: call("base/text.js", "difference", "abc", "abd")."""
    context = browser.new_context(base_url=server)
    page = context.new_page()
    page.goto("/lrsched/v1/scripts")
    version = page.evaluate("JSON.parse(document.body.textContent).version")

    def called(script: str, name: str, *args: Any, then: str = "(result) => result") -> Any:
        source = f"""async (args) => {{
            const module = await import("/lrsched/v1/scripts/{version}.0/{script}");
            return ({then})(module.{name}(...args));
        }}"""
        return page.evaluate(source, list(args))

    yield called
    context.close()
