"""A real browser on the standalone page: one server and one browser for all tests, which forgets everything after each.

Without chromium the tests are skipped, unless LRSCHED_REQUIRE_BROWSER=1 asks for them.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

if os.environ.get("LRSCHED_REQUIRE_BROWSER") == "1":
    import playwright.sync_api as playwright_api
else:
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import open_tab, write  # playwright is optional
from chromium import ARGUMENTS, find
from standalone_server import REPOSITORY, free_port, serving  # playwright is optional

WAIT_MS = 30_000  # for what the page is to show: a busy machine trains slowly
VIEWPORT: Any = {"width": 1400, "height": 1000}


@pytest.fixture(scope="session")
def chromium() -> str:
    if (found := find()) is None:
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
    """The runs of practice_runs.py, made by another process than the server; one of these processes was killed."""
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


class Window:
    """The browser of the tests in this folder, opened when the first of them asks for it.

    Attributes:
        kept: the page of the last test, where it can be used once more: another window costs as much as what a test does in it.
        planner: the page of the tests that use `kept_open`, in its own profile, and the default values of its fields.
    """

    def __init__(self, chromium: str, server: str) -> None:
        self._stack = contextlib.ExitStack()
        self._chromium, self.server = chromium, server
        self.kept: list[playwright_api.Page] = []
        self.planner: tuple[playwright_api.Page, dict[str, str]] | None = None

    @cached_property
    def browser(self) -> playwright_api.Browser:
        playwright = self._stack.enter_context(playwright_api.sync_playwright())
        playwright_api.expect.set_options(timeout=WAIT_MS)
        browser = playwright.chromium.launch(executable_path=self._chromium, args=ARGUMENTS)
        self._stack.callback(browser.close)
        return browser

    @cached_property
    def profile(self) -> playwright_api.BrowserContext:
        """That of most pages: what was loaded once, above all gradio, is not loaded and compiled again for each test."""
        context = self.browser.new_context(viewport=VIEWPORT, base_url=self.server)
        self._stack.callback(context.close)
        return context

    @cached_property
    def scripts(self) -> tuple[playwright_api.Page, str]:
        """A page of our server's that imports scripts only, and their version; in a profile of its own, since no test clears it."""
        page = self.browser.new_context(base_url=self.server).new_page()
        page.goto("/lrsched/v1/scripts")
        return page, page.evaluate("JSON.parse(document.body.textContent).version")

    def close(self) -> None:
        self._stack.close()
        for name in ("browser", "profile", "scripts"):
            self.__dict__.pop(name, None)
        self.kept.clear()
        self.planner = None


WINDOW = pytest.StashKey[Window]()


@pytest.fixture(scope="session")
def shared(chromium: str, server: str, pytestconfig: pytest.Config) -> Iterator[Window]:
    window = pytestconfig.stash.setdefault(WINDOW, Window(chromium, server))
    yield window
    window.close()  # after Ctrl-C too, where the hook below is not called


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """While playwright is open its event loop runs, and no test of another folder could run one."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        window = item.config.stash.get(WINDOW, None)
        if window is not None:
            window.close()


@pytest.fixture
def browser(shared: Window) -> playwright_api.Browser:
    return shared.browser


@pytest.fixture
def profile(shared: Window) -> playwright_api.BrowserContext:
    return shared.profile


@pytest.fixture
def own_profile() -> None:
    """For a test whose page changes its profile, as page.clock does: later tests get another one."""


@pytest.fixture
def kept_open() -> None:
    """For a test that only uses text, chart and form: its page is already open at the tab, with the default fields.

    Loading a page takes longer than most such tests. The fields are reset; the browser's storage is not cleared.
    """


@pytest.fixture
def page(request: pytest.FixtureRequest, shared: Window, server: str) -> Iterator[playwright_api.Page]:
    """A page with empty storage; a script error in it fails the test."""
    if "own_profile" in request.fixturenames:
        context = shared.browser.new_context(viewport=VIEWPORT, base_url=server)
        with _script_errors(page := context.new_page()) as errors:
            yield page
        context.close()
        assert errors == []
        return
    if "kept_open" in request.fixturenames:
        failed = request.session.testsfailed
        page = _planner(shared)
        with _script_errors(page) as errors:
            yield page
        if request.session.testsfailed > failed:
            page.context.close()
            shared.planner = None
        assert errors == []
        return
    profile, kept = shared.profile, shared.kept
    page = kept.pop() if kept else profile.new_page()
    others, failed = set(profile.pages), request.session.testsfailed
    with _script_errors(page) as errors, _changes(page) as changes:
        yield page
        if page.is_closed():
            page = profile.new_page()
            changes.append("close")
        for opened in set(profile.pages) - others - {page}:
            opened.close()
        is_clock_faked = page.evaluate("'__pwClock' in window")
        if page.url.startswith(server):
            page.evaluate("sessionStorage.clear()")
        page.goto("about:blank")  # a page may store something while it unloads: before the storage is cleared
    profile.set_offline(False)
    profile.unroute_all()
    profile.clear_permissions()
    _forget(page, server)
    if changes or request.session.testsfailed > failed:
        page.close()
    else:
        page.mouse.move(0, 0)
        kept.append(page)
    assert errors == []
    assert not is_clock_faked, 'page.clock is of the whole profile: mark the test usefixtures("own_profile")'


def _planner(window: Window) -> playwright_api.Page:
    """The page that stays open at the tab, with its fields reset."""
    if window.planner is None:
        page = window.browser.new_context(viewport=VIEWPORT, base_url=window.server).new_page()
        open_tab(page)
        window.planner = page, page.evaluate(FIELDS)
        return page
    page, fields = window.planner
    page.mouse.move(0, 0)
    for field, value in page.evaluate(FIELDS).items():
        if value != fields[field]:
            write(page, fields[field]) if field == "lrsched_text" else page.fill(f"#{field}", fields[field])
    page.click("#lrsched_chart_axis [data-axis=linear]")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    playwright_api.expect(page.locator("#lrsched_handles")).not_to_have_class(re.compile("waiting"))
    return page


FIELDS = """Object.fromEntries(Array.from(document.querySelectorAll(
    "#lrsched_text, #lrsched_steps, #lrsched_pictures, #lrsched_batch, #lrsched_accumulate, #lrsched_folder"),
    (field) => [field.id, field.value]))"""


@contextlib.contextmanager
def _script_errors(page: playwright_api.Page) -> Iterator[list[str]]:
    """Those of the page meanwhile."""

    def note(error: Any) -> None:
        errors.append(str(error))

    page.set_default_timeout(WAIT_MS)
    errors: list[str] = []
    page.on("pageerror", note)
    yield errors
    page.remove_listener("pageerror", note)


@contextlib.contextmanager
def _changes(page: playwright_api.Page) -> Iterator[list[str]]:
    """The calls meanwhile that would be felt by the next test on the page; _LASTING names them."""
    called: list[str] = []

    def noting(name: str) -> Callable[..., Any]:
        original = getattr(page, name)

        def noted(*args: Any, **options: Any) -> Any:
            called.append(name)
            return original(*args, **options)

        return noted

    for name in _LASTING:
        setattr(page, name, noting(name))
    yield called
    for name in _LASTING:
        delattr(page, name)


_LASTING = (
    "add_init_script",
    "emulate_media",
    "expose_binding",
    "expose_function",
    "on",
    "once",
    "route",
    "route_from_har",
    "route_web_socket",
    "set_extra_http_headers",
    "set_viewport_size",
)


def _forget(page: playwright_api.Page, server: str) -> None:
    """Everything that a site can store, but for the cache."""
    session = page.context.new_cdp_session(page)
    session.send("Storage.clearDataForOrigin", {"origin": server, "storageTypes": "cookies,local_storage,indexeddb,cache_storage"})
    session.detach()
    page.context.clear_cookies()


@pytest.fixture
def call(shared: Window) -> Callable[..., Any]:
    """Calls a function of a script in the browser: call("base/text.js", "difference", "abc", "abd")."""
    page, version = shared.scripts

    def called(script: str, name: str, *args: Any, then: str = "(result) => result") -> Any:
        source = f"""async (args) => {{
            const module = await import("/lrsched/v1/scripts/{version}.0/{script}");
            return ({then})(module.{name}(...args));
        }}"""
        return page.evaluate(source, list(args))

    return called
