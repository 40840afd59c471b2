"""With the extension disabled the WebUI is as it was, and trains to the same bits as with it where the text is a plain one."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import torch
from playwright.sync_api import Browser
from webui_api import Api, tensors
from webui_page import open_page, opened
from webui_server import WebUI

pytestmark = pytest.mark.webui
STEPS = 6
SEED = 11
IDS = "[...document.querySelectorAll('[id]')].filter((node) => !node.closest('#tab_extensions')).map((node) => node.id)"
"""Without the list of extensions, which comes when it comes."""
HOSTS = {"setting_prioritized_callbacks_ui_tabs"}
"""The WebUI's own setting for the order of all extensions' tabs, since 1.8."""
TEXT = {"embedding": "0.005:2, 1e-3", "hypernetwork": "1e-4:2, 1e-5"}


@pytest.fixture
def stock_api(api: Api, stock: WebUI, tmp_path: Path) -> Api:
    return dataclasses.replace(api, webui=stock, logs=tmp_path / "logs")


@pytest.mark.parametrize("mode", ["disabled", "value", "norm"])
@pytest.mark.parametrize("kind", ["embedding", "hypernetwork"])
def test_a_plain_text_trains_to_the_same_bits(api: Api, stock_api: Api, kind: str, mode: str):
    name = f"same-{kind}-{mode}"
    for side in (api, stock_api):
        side.create(kind, name)
    shutil.copy(api.trained(kind, name), stock_api.trained(kind, name))  # a hypernetwork starts from random weights
    start = tensors(torch.load(api.trained(kind, name)))
    marks = {}
    for side in (api, stock_api):
        marks[side] = side.webui.spy.mark()
        side.webui.spy.seed(SEED)
        # Without copies the WebUI by itself would not make the folder that it writes its settings into, and fail.
        said = side.train(kind, name, TEXT[kind], STEPS, clip_grad_mode=mode, clip_grad_value="1e-3", **{f"save_{kind}_every": 4})
        assert "error: None" in said
        side.webui.spy.seed(None)
    ours, theirs = (tensors(torch.load(side.trained(kind, name))) for side in (api, stock_api))
    assert len(ours) == len(theirs) == len(start) > 0
    assert not all(torch.equal(a, b) for a, b in zip(start, ours))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs))
    assert api.webui.spy.updates(marks[api]) == stock_api.webui.spy.updates(marks[stock_api])
    assert [line["loss"] for line in api.logged(name)] == [line["loss"] for line in stock_api.logged(name)]


def test_it_adds_one_global_name_and_ids_of_its_own_and_disabled_none(api: Api, stock: WebUI, browser: Browser):
    names, ids = {}, {}
    for url in (api.webui.url, stock.url):
        with opened(browser, url) as page:
            open_page(page)
            names[url] = set(page.evaluate("Object.getOwnPropertyNames(globalThis)"))
            ids[url] = set(page.evaluate(IDS))
    assert names[api.webui.url] - names[stock.url] == {"lrsched"}
    counted = {url: {re.sub(r"\d+", "N", name) for name in found} for url, found in ids.items()}  # gradio numbers its parts
    added = counted[api.webui.url] - counted[stock.url]
    assert "lrsched_page" in added
    assert {name for name in added if "lrsched" not in name} <= HOSTS
    assert not any("lrsched" in name for name in ids[stock.url])
