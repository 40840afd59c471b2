"""The extension is a good guest in a real WebUI: logins, other origins, prefixes, no queue, its settings, its names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from pathlib import Path

from playwright.sync_api import Browser, Page, expect
from webui_api import Api
from webui_page import (
    LINE,
    choose_tab,
    choose_train_tab,
    expect_said,
    fill_in,
    open_ours,
    open_page,
    opened,
    press_train,
    row_of,
)
from webui_proxy import below
from webui_server import WebUI, started

pytestmark = pytest.mark.webui
PREFIX = "/sd"


@pytest.fixture(scope="module")
def guarded(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """A WebUI that asks for a login."""
    with started(tmp_path_factory.mktemp("guarded"), checkpoint, "--gradio-auth", "someone:secret") as server:
        yield server


@pytest.fixture(scope="module")
def visitor(guarded: WebUI) -> Iterator[httpx.Client]:
    """Somebody who has signed in."""
    with httpx.Client(base_url=guarded.url, trust_env=False) as client:
        assert client.post("/login", data={"username": "someone", "password": "secret"}).status_code == 200
        yield client


def endpoints(url: str) -> list[tuple[str, str]]:
    """Every endpoint of ours as (method, path), with something in the place of a path's parameters, and one that is not there."""
    paths = httpx.get(f"{url}/openapi.json", trust_env=False).json()["paths"]
    ours = [(method.upper(), re.sub(r"\{.*?\}", "some", path)) for path, methods in paths.items() for method in methods
            if path.startswith("/lrsched/")]
    assert len(ours) >= 12
    return [*ours, ("GET", "/lrsched/v1/nothing")]


def test_error_every_endpoint_asks_for_a_login_where_the_webui_does(guarded: WebUI, visitor: httpx.Client):
    for method, path in endpoints(guarded.url):
        refused = httpx.request(method, guarded.url + path, trust_env=False)
        assert refused.status_code == 401, (method, path)
        assert refused.json()["error"]["message"], (method, path)
        assert visitor.request(method, path).status_code != 401, (method, path)
    assert visitor.get("/lrsched/v1/runs").json()["host"]["hooked"]


def test_the_tab_works_after_a_login(guarded: WebUI, visitor: httpx.Client, browser: Browser):
    cookies = [{"name": name, "value": value, "url": guarded.url} for name, value in visitor.cookies.items()]
    with opened(browser, guarded.url) as page:
        page.context.add_cookies(cookies)
        open_page(page)
        open_ours(page)
        expect(page.locator("#lrsched_runs_none")).to_contain_text("No runs yet")


def test_error_everything_is_refused_to_another_origin(guarded: WebUI, visitor: httpx.Client):
    """A page elsewhere can send a browser here, with the cookie."""
    preset = {"name": "from elsewhere", "text": "0.005", "note": ""}
    marks = ({"Origin": "http://elsewhere.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"})
    for method, path in endpoints(guarded.url):
        for headers in marks:
            answer = visitor.request(method, path, json=preset, headers=headers)
            assert answer.status_code == 403, (method, path, headers)
            assert answer.json()["error"]["message"]
    assert "from elsewhere" not in [preset["name"] for preset in visitor.get("/lrsched/v1/presets").json()["presets"]]
    own = {"Origin": guarded.url}
    assert visitor.post("/lrsched/v1/presets", json={**preset, "name": "from here"}, headers=own).status_code == 200
    assert visitor.delete("/lrsched/v1/presets/from here", headers=own).status_code == 200


def test_error_a_name_that_points_here_is_refused_where_only_this_machine_is_served(webui: WebUI):
    """DNS rebinding: a page of evil.example that has its name point to this machine is of one origin with it."""
    for method, path in endpoints(webui.url):
        answer = httpx.request(method, webui.url + path, headers={"Host": "evil.example:7860"}, trust_env=False)
        assert answer.status_code == 403, (method, path)
        assert "evil.example" in answer.json()["error"]["message"]
    assert httpx.get(f"{webui.url}/lrsched/v1/shapes", headers={"Host": "localhost:1234"}, trust_env=False).status_code == 200


@pytest.fixture(scope="module")
def prefixed(checkpoint: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, str]]:
    """A WebUI below a prefix and without gradio's queue, and the address of the proxy before it.

    Both together, for without its queue gradio needs no websocket, which the proxy has not.
    """
    folder = tmp_path_factory.mktemp("prefixed")
    with (
        started(folder, checkpoint, "--subpath", PREFIX.strip("/"), "--no-gradio-queue") as server,
        below(PREFIX, server.url) as url,
    ):
        yield Api(server, images, folder / "logs"), url


def train_by_hand(page: Page, api: Api, name: str, text: str, steps: int) -> list[float]:
    """The rates of a training from the Train tab."""
    choose_train_tab(page, "Train")
    page.click("#refresh_train_embedding_name")
    fill_in(page, api, "embedding", name, text, steps)
    mark = api.webui.spy.mark()
    press_train(page, "embedding")
    expect_said(page, f"Training finished at {steps} steps")
    return api.webui.spy.rates(mark)


def test_below_a_prefix_and_without_a_queue_it_plans_and_trains(prefixed: tuple[Api, str], browser: Browser):
    api, url = prefixed
    api.create("embedding", "prefixed")
    with opened(browser, url) as page:
        open_page(page, PREFIX + "/")
        open_ours(page)
        assert train_by_hand(page, api, "prefixed", "0.005:1, 1e-3", 3) == [0.005, 1e-3, 1e-3]
        choose_tab(page, "LR Schedule")
        expect(row_of(page, "prefixed")).to_contain_text("embedding, 3 of 3")
        expect(page.locator(LINE)).to_be_attached()


def test_after_reload_ui_training_is_hooked_again_once(prefixed: tuple[Api, str], browser: Browser):
    """Where there is a queue, gradio now and then waits for ever for pages that went away, with or without the extension."""
    api, url = prefixed
    api.create("embedding", "reloaded")
    starts = api.webui.starts()
    with opened(browser, url) as page:
        open_page(page, PREFIX + "/")
        assert train_by_hand(page, api, "reloaded", "0.005:1, 1e-3", 2) == [0.005, 1e-3]
        choose_tab(page, "Settings")
        page.click("#settings_restart_gradio")
        api.webui.wait_until_said("Restarting UI", starts)
    api.webui.wait_for_start(starts + 1)
    with opened(browser, url) as page:
        open_page(page, PREFIX + "/")
        assert train_by_hand(page, api, "reloaded", "0.005:1, 1e-3:4, 1e-5", 6) == [1e-3, 1e-3, 1e-5, 1e-5]
        assert api.points("reloaded")["step"] == list(range(6))
        open_ours(page)
        expect(row_of(page, "reloaded")).to_contain_text("embedding, 6 of 6")


def test_the_webui_keeps_nothing_of_ours_among_its_defaults(api: Api):
    kept = json.loads((api.webui.data / "ui-config.json").read_text())
    assert any(key.startswith("train/") for key in kept)
    assert [key for key in kept if "lrsched" in key.lower() or "lr schedule" in key.lower()] == []


def test_no_id_stands_twice(api: Api):
    ids = Counter(one["props"]["elem_id"] for one in api.get("/config")["components"] if one["props"].get("elem_id"))
    assert {"lrsched_body", "tab_lrsched_tab", "setting_lrsched_enabled"} <= set(ids)
    assert [name for name, count in ids.items() if "lrsched" in name and count > 1] == []


def test_every_setting_explains_itself(api: Api, browser: Browser):
    with opened(browser, api.webui.url) as page:
        open_page(page)
        choose_tab(page, "Settings")
        page.locator("#settings > .tab-nav").get_by_role("button", name="LR Schedule", exact=True).click()
        rows = page.locator("[id^=setting_lrsched_]")
        expect(rows.first).to_be_visible()
        assert rows.count() >= 4
        for row in rows.all():
            expect(row.locator(".info")).to_have_text(re.compile(r"\(.{6,}\)"))
