"""A person's first weeks on the page of a real WebUI, with the steps that the practice host's page is tested with."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import journey_steps as steps
from browser_steps import choose
from playwright.sync_api import Browser, Page, expect
from webui_api import Api
from webui_page import choose_train_tab, create, expect_said, fill_in, open_ours, open_page, opened, press_train

from lib_lrsched import plan

pytestmark = pytest.mark.webui
LONG = 900  # steps: somebody can stop it
WIDE, NARROW = {"width": 1300, "height": 1000}, {"width": 500, "height": 900}


def test_a_first_visit_by_keyboard(browser: Browser, api: Api):
    with opened(browser, api.webui.url) as page:
        page.set_viewport_size(NARROW)
        open_page(page, "/?__theme=dark")
        open_ours(page)
        steps.start_from(page)
        steps.read_help(page)
        stops = steps.tab_through(page)
        assert set(stops) >= steps.STOPS


@pytest.mark.parametrize(("size", "theme"), [(WIDE, "light"), pytest.param(NARROW, "dark", marks=pytest.mark.long)])
def test_a_first_training_is_stopped_resumed_and_changed(browser: Browser, api: Api, size: dict[str, int], theme: str):
    name = f"heron-{theme}"
    with opened(browser, api.webui.url) as page:
        page.set_viewport_size(size)
        open_page(page, f"/?__theme={theme}")
        create(page, "embedding", name)
        fill_in(page, api, "embedding", name, "0.005", 3)
        open_ours(page)
        text = steps.ask_which(page, LONG, "0.004")
        steps.send(page, text, LONG)
        begun = api.webui.spy.mark()
        press_train(page, "embedding")
        steps.watch(page, name, LONG)
        done = steps.stop(page, name)
        assert api.webui.spy.rates(begun) == pytest.approx(plan(text, total_steps=LONG).values(range(done)))
        come_back(page, name, f"/?__theme={theme}")
        steps.find_again(page, name, done, LONG, text)
        open_ours(page)
        other, total = steps.change_schedule(page, name, done)
        steps.play_from_the_beginning(page, done)
        steps.send(page, other, total)
        changed = api.webui.spy.mark()
        press_train(page, "embedding")
        expect_said(page, rf"Training finished at {total} steps")
        assert api.webui.spy.rates(changed) == pytest.approx(plan(other, total_steps=total).values(range(done, total)))
        steps.expect_changed(page, name, total)


def come_back(page: Page, name: str, path: str) -> None:
    """Loads the page anew and chooses the name; the host lists one that is new only after another look at its folder."""
    open_page(page, path)
    choose_train_tab(page, "Train")
    page.click("#refresh_train_embedding_name")
    choose(page, page.locator("#train_embedding input"), name)


def test_what_is_known_is_taken_elsewhere(browser: Browser, api: Api, tmp_path: Path):
    name, text = "traveller", "0.004:4, 0.001"
    api.create("embedding", name)
    api.post("/lrsched/v1/options", {"kind": "embedding", "name": name, "options": {"progress_every": 1}})
    assert "error: None" in api.train("embedding", name, text, 8)
    with opened(browser, api.webui.url) as page:
        open_page(page)
        open_ours(page)
        page.fill("#lrsched_steps", "200")
        page.fill("#lrsched_text", "warmup(0.005):20, linear(0.005, 1e-4)")
        expect(page.locator("#lrsched_segments td:first-child")).to_have_text(["0 – 20", "20 – 200"])
        copied = {label: steps.copy_schedule(page, label) for label in ("PyTorch", "plain WebUI text")}
        assert "lr_scheduler" in copied["PyTorch"]
        steps.paste_schedule(page, "plain WebUI text")
        expect(page.locator("#lrsched_text")).to_have_value(copied["plain WebUI text"])
        steps.take_run_elsewhere(page, name, text, tmp_path)
