"""A person's first weeks: a first training that is stopped, resumed after a reload and given another schedule; export."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import journey_steps as steps
from browser_steps import choose, choose_tab, create_embedding, open_tab, train
from page_state import STARTED
from playwright.sync_api import Page, expect

LONG = 4000  # steps: somebody can stop it
OUTPUT = "#ti_output textarea"
OUTSIDE = """() => [...document.querySelectorAll("#lrsched_page *")].filter((node) => {
    const box = node.getBoundingClientRect();
    return box.width > 0 && box.right > innerWidth + 1 && !node.closest(".lrsched-scroll, .lrsched-caret, code");
}).map((node) => node.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize(("width", "theme"), [(500, "dark"), pytest.param(1300, "light", marks=pytest.mark.long)])
def test_a_first_training_is_stopped_resumed_and_changed(page: Page, theme: str, width: int) -> None:
    name = f"heron{width}"
    page.set_viewport_size({"width": width, "height": 900})
    create_embedding(page, name)
    page.goto(f"/?__theme={theme}")
    page.wait_for_function(STARTED)
    choose(page, page.locator("#train_embedding input"), name)
    choose_tab(page, "LR Schedule")
    text = steps.ask_which(page, LONG, "0.004")
    steps.send(page, text, LONG)
    page.click("#train_train_embedding")
    steps.watch(page, name, LONG)
    done = steps.stop(page, name)
    page.reload()
    choose_tab(page, "Train")
    choose(page, page.locator("#train_embedding input"), name)
    steps.find_again(page, name, done, LONG, text)
    choose_tab(page, "LR Schedule")
    other, total = steps.change_schedule(page, name, done)
    steps.play_from_the_beginning(page, done)
    assert page.evaluate(OUTSIDE) == []
    steps.send(page, other, total)
    page.click("#train_train_embedding")
    expect(page.locator(OUTPUT)).to_have_value(re.compile(f"^Training finished at {total} steps"))
    steps.expect_changed(page, name, total)
    assert page.evaluate(OUTSIDE) == []


@pytest.mark.long
def test_what_is_known_is_taken_elsewhere(page: Page, tmp_path: Path) -> None:
    create_embedding(page, "traveller")
    train(page, "0.004:8, 0.001", 16)
    expect(page.locator(OUTPUT)).to_have_value(re.compile("^Training finished at 16 steps"))
    open_tab(page)
    page.fill("#lrsched_steps", "200")
    page.fill("#lrsched_text", "warmup(0.005):20, linear(0.005, 1e-4)")
    expect(page.locator("#lrsched_segments td:first-child")).to_have_text(["0 – 20", "20 – 200"])
    copied = {label: steps.copy_schedule(page, label) for label in ("PyTorch", "kohya sd-scripts", "plain WebUI text")}
    assert "lr_scheduler" in copied["PyTorch"]
    assert "--lr_scheduler" in copied["kohya sd-scripts"]
    steps.paste_schedule(page, "plain WebUI text")
    expect(page.locator("#lrsched_text")).to_have_value(copied["plain WebUI text"])
    steps.take_run_elsewhere(page, "traveller", "0.004:8, 0.001", tmp_path)
