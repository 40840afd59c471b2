"""Training in a real WebUI by hand: the Train tab and our tab in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect
from webui_api import SIDE, Api
from webui_page import (
    LINE,
    choose,
    choose_tab,
    choose_train_tab,
    create,
    expect_said,
    fill_in,
    open_ours,
    open_page,
    opened,
    press_train,
    row_of,
)

from lib_lrsched import plan

pytestmark = pytest.mark.webui
BAD = "1e-3:500, 1e-4:100"
MESSAGE = "boundaries must rise: this one is at 100, the one before it at 500"


@pytest.fixture
def page(browser: Browser, api: Api) -> Iterator[Page]:
    with opened(browser, api.webui.url) as page:
        open_page(page)
        yield page


def expect_rates(rates: list[float], text: str, steps: int, start: int = 0) -> None:
    np.testing.assert_allclose(rates, plan(text, total_steps=steps).values(range(start, steps)), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("kind", "text", "steps"),
    [("embedding", "warmup(0.005):3, cosine(0.005, 1e-5)", 7), ("hypernetwork", "1e-4:2, 1e-5", 4)],
)
def test_what_is_made_and_trained_on_the_page_follows_its_text(page: Page, api: Api, kind: str, text: str, steps: int):
    name = f"by-hand-{kind}"
    create(page, kind, name)
    fill_in(page, api, kind, name, text, steps)
    expect(page.locator(f"#lrsched_inline_{kind}Rate .lrsched-lines path")).to_have_count(1)
    mark = api.webui.spy.mark()
    press_train(page, kind)
    expect_said(page, rf"Training finished at {steps} steps\..*saved to .*{name}\.pt")
    expect_rates(api.webui.spy.rates(mark), text, steps)
    choose_tab(page, "LR Schedule")
    expect(row_of(page, name)).to_contain_text(f"{kind}, {steps} of {steps}")
    expect(row_of(page, name)).to_contain_text("finished")
    expect(page.locator("#lrsched_run_rate .lrsched-lines path")).to_have_count(2)


def test_the_clip_threshold_is_taken_from_its_field(page: Page, api: Api):
    name = "clipped-by-hand"
    api.create("embedding", name)
    choose_train_tab(page, "Train")
    page.click("#refresh_train_embedding_name")
    fill_in(page, api, "embedding", name, "1e-3", 4)
    choose(page, page.get_by_label("Gradient Clipping"), "norm")
    page.get_by_placeholder("Gradient clip value").fill("1e-4:2, 1e-5")
    expect(page.locator("#lrsched_inline_clip .lrsched-lines path")).to_have_count(1)
    mark = api.webui.spy.mark()
    press_train(page, "embedding")
    expect_said(page, "Training finished at 4 steps")
    norms = [update["norm"] for update in api.webui.spy.updates(mark)]
    assert all(norm <= limit * 1.001 for norm, limit in zip(norms, [1e-4, 1e-4, 1e-5, 1e-5], strict=True))


@pytest.mark.parametrize("kind", ["embedding", "hypernetwork"])
def test_error_a_bad_text_is_shown_with_its_caret_twice_running(page: Page, api: Api, kind: str):
    """The second time too: the WebUI throws away the box's inside at every start."""
    name = f"mistaken-by-hand-{kind}"
    create(page, kind, name)
    fill_in(page, api, kind, name, BAD, 9)
    expect(page.locator(f"#lrsched_inline_{kind}Rate .lrsched-message-text")).to_have_text(MESSAGE)
    box = page.locator("#ti_error .error")
    for text, caret in ((BAD, "               ^^^"), ("0.1, 0.1x", "     ^^^^")):
        page.fill(f"#train_{kind}_learn_rate textarea", text)
        press_train(page, kind)
        expect(box).to_contain_text(text)
        expect(box).to_be_visible()
        assert f"\n    {text}\n    {caret}" in box.inner_text(), box.inner_text()
    assert box.evaluate("node => getComputedStyle(node).whiteSpace") == "pre-wrap"
    assert "monospace" in box.evaluate("node => getComputedStyle(node).fontFamily")
    assert box.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
    assert api.runs(name) == []
    page.fill(f"#train_{kind}_learn_rate textarea", "1e-5")
    page.fill("#train_steps input", "2")
    press_train(page, kind)
    expect_said(page, "Training finished at 2 steps")
    expect(box).to_have_count(0)


def test_what_would_stop_a_training_is_said_before_the_click_and_refused_after_it(page: Page, api: Api, tmp_path: Path):
    name = "ahead-by-hand"
    create(page, "embedding", name)
    fill_in(page, api, "embedding", name, "0.005", 3)
    lines = page.locator("#lrsched_preflight .lrsched-error")  # a hypernetwork that is still loaded would be no error
    expect(page.locator("#lrsched_inline_embeddingRate .lrsched-lines path")).to_have_count(1)
    expect(lines).to_have_count(0)
    page.fill("#train_dataset_directory textarea", str(tmp_path))
    choose(page, page.locator("#train_template_file input"), "none.txt")
    said = lines.all_inner_texts
    expect(lines).to_have_count(2)
    assert any(f"Error: no file in {str(tmp_path)!r} can be read as an image" in line for line in said()), said()
    template = "no line of the prompt template none.txt has [name] in it, so no prompt names 'ahead-by-hand'"
    assert any(f"Error: {template}" in line for line in said()), said()
    below = page.locator("#train_train_embedding")
    boxes = [page.locator("#lrsched_preflight").bounding_box(), below.bounding_box()]
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]
    page.fill("#train_dataset_directory textarea", str(api.images))
    expect(lines).to_have_count(1)
    press_train(page, "embedding")
    expect(page.locator("#ti_error .error")).to_contain_text(template)
    assert api.runs(name) == []
    choose(page, page.locator("#train_template_file input"), "subject_filewords.txt")
    expect(lines).to_have_count(0)
    press_train(page, "embedding")
    expect_said(page, "Training finished at 3 steps")


@pytest.mark.parametrize("kind", ["embedding", "hypernetwork"])
def test_an_interrupted_training_goes_on_with_the_settings_that_are_offered(page: Page, api: Api, kind: str):
    name, text = f"halfway-{kind}", "linear(1e-3, 1e-4):100, cosine(1e-4, 1e-6):300"
    create(page, kind, name)
    fill_in(page, api, kind, name, text, 300)
    mark = api.webui.spy.mark()
    press_train(page, kind)
    api.webui.spy.wait_for(3, mark)
    page.click("#train_interrupt_training")
    expect_said(page, r"Training interrupted at \d+ steps")
    done = len(api.webui.spy.rates(mark))
    expect(page.locator("#ti_output textarea")).to_have_value(re.compile(rf"interrupted at {done} steps"))
    page.fill(f"#train_{kind}_learn_rate textarea", "0.123")
    offer = page.locator(f"#lrsched_resume_{kind}")
    expect(offer).to_contain_text(f"Continues at step {done} of 300 with")
    offer.get_by_role("button").click()
    expect(offer).to_contain_text("Fields are set")  # all of them: max steps comes after the rate
    expect(page.locator(f"#train_{kind}_learn_rate textarea")).to_have_value(text)
    page.fill("#train_steps input", str(done + 3))
    mark = api.webui.spy.mark()
    press_train(page, kind)
    expect_said(page, rf"Training finished at {done + 3} steps")
    expect_rates(api.webui.spy.rates(mark), text, done + 3, done)


def test_a_trial_takes_every_field_and_the_last_settings_come_back_whole(page: Page, api: Api):
    name = "whole"
    create(page, "embedding", name)
    fill_in(page, api, "embedding", name, "0.005", 3)
    page.check("#train_shuffle_tags input")
    page.locator("#train_latent_sampling_method").get_by_label("random").check()
    with page.expect_request(lambda asked: asked.url.endswith("/trials/estimate")) as asked:
        page.locator("button", has_text="Find the rate").locator("visible=true").first.click()
    inputs = asked.value.post_data_json["inputs"]
    wanted = {"training_width": SIDE, "training_height": SIDE, "shuffle_tags": True, "latent_sampling_method": "random",
              "tag_drop_out": 0, "varsize": False, "use_weight": False, "learn_rate": "0.005", "create_image_every": 0}
    assert {field: inputs[field] for field in wanted} == wanted
    page.get_by_role("button", name="Cancel").locator("visible=true").click()
    press_train(page, "embedding")
    expect_said(page, r"Training finished at 3 steps")
    for field, number in (("training_width input[type=number]", "128"), ("create_image_every input", "7"),
                          ("save_embedding_every input", "7")):
        page.fill(f"#train_{field}", number)
        page.locator(f"#train_{field}").blur()
    page.uncheck("#train_shuffle_tags input")
    page.locator("#train_latent_sampling_method").get_by_label("once").check()
    page.locator("#lrsched_resume_embedding").get_by_role("button", name="Use its last settings").click()
    expect(page.locator("#lrsched_resume_embedding")).to_contain_text("Fields are set.")
    expect(page.locator("#train_training_width input[type=number]")).to_have_value(str(SIDE))
    expect(page.locator("#train_create_image_every input")).to_have_value("0")
    expect(page.locator("#train_save_embedding_every input")).to_have_value("0")
    expect(page.locator("#train_shuffle_tags input")).to_be_checked()
    expect(page.locator("#train_latent_sampling_method").get_by_label("random")).to_be_checked()


def test_the_tab_draws_shows_a_form_and_opens_a_run(page: Page, api: Api):
    api.create("embedding", "listed")
    api.train("embedding", "listed", "0.005:2, 1e-3", 4)
    open_ours(page)
    before = page.locator(LINE).get_attribute("d") or ""
    page.fill("#lrsched_text", "linear(0.005, 1e-5):60%, 1e-6")
    expect(page.locator(LINE)).not_to_have_attribute("d", before)
    expect(page.locator("#lrsched_segments tr")).to_have_count(2)
    page.click("#lrsched_text")
    page.keyboard.press("Control+Home")
    expect(page.locator("#lrsched_item")).to_be_visible()
    expect(page.locator("#lrsched_item input, #lrsched_item select").first).to_be_visible()
    row_of(page, "listed").click()
    expect(page.locator("#lrsched_run_title")).to_have_text("listed (embedding, finished)")
    page.click("#lrsched_run_open")
    expect(page.locator("#lrsched_text")).to_have_value("0.005:2, 1e-3")
    page.click("#lrsched_send_embedding")
    choose_train_tab(page, "Train")
    expect(page.locator("#train_embedding_learn_rate textarea")).to_have_value("0.005:2, 1e-3")
    expect(page.locator("#train_steps input")).to_have_value("4")


def test_a_text_goes_to_the_train_tab_with_its_name_and_comes_back_to_be_edited(page: Page, api: Api):
    """From a run: the name is chosen in the host's drop-down, read before the embedding was there; the rate comes back."""
    name = "sent-along"
    for kind in ("embedding", "hypernetwork"):
        api.create(kind, name)
    api.train("embedding", name, "0.005:2, 1e-3", 4)
    open_ours(page)
    row_of(page, name).click()
    page.click("#lrsched_run_open")
    expect(page.locator("#lrsched_text")).to_have_value("0.005:2, 1e-3")
    page.get_by_label(f"then go to the Train tab and choose {name}").check()
    page.click("#lrsched_send_embedding")
    expect(page.locator("#train_embedding input")).to_have_value(name)
    expect(page.locator("#train_embedding_learn_rate textarea")).to_be_visible()
    expect(page.locator("#train_embedding_learn_rate textarea")).to_have_value("0.005:2, 1e-3")
    expect(page.locator("#lrsched_arrival")).to_contain_text(f"{name} is chosen.")
    choose_tab(page, "LR Schedule")
    page.fill("#lrsched_text", "linear(0.01, 1e-5)")
    choose_train_tab(page, "Train")
    page.click("#refresh_train_hypernetwork_name")
    choose(page, page.locator("#train_hypernetwork input"), name)
    page.fill("#train_hypernetwork_learn_rate textarea", "cosine(1e-4, 1e-6)")
    page.fill("#train_steps input", "77")
    page.click("#lrsched_edit_hypernetworkRate")
    expect(page.locator("#lrsched_text")).to_be_focused()
    expect(page.locator("#lrsched_text")).to_have_value("cosine(1e-4, 1e-6)")
    expect(page.locator("#lrsched_steps")).to_have_value("77")
    expect(page.locator("#lrsched_origin")).to_contain_text(f"the hypernetwork rate of {name}")
    expect(page.locator("#lrsched_former")).to_contain_text("linear(0.01, 1e-5)")
    page.fill("#lrsched_text", "rex(1e-4, 1e-6)")
    page.click("#lrsched_origin_send")
    expect(page.locator("#train_hypernetwork_learn_rate textarea")).to_be_visible()
    expect(page.locator("#train_hypernetwork_learn_rate textarea")).to_have_value("rex(1e-4, 1e-6)")
    expect(page.locator("#train_embedding_learn_rate textarea")).to_have_value("0.005:2, 1e-3")
    expect(page.locator("#train_hypernetwork input")).to_have_value(name)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_can_be_read_on_a_narrow_window(browser: Browser, api: Api, theme: str):
    with opened(browser, api.webui.url) as page:
        page.set_viewport_size({"width": 400, "height": 900})
        open_page(page, f"/?__theme={theme}")
        open_ours(page)
        page.fill("#lrsched_text", "0.005:10, " + "cosine(0.005, 1e-5):+100, " * 4 + "1e-3")
        expect(page.locator("#lrsched_segments tr")).to_have_count(6)
        assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
        assert page.evaluate(OUTSIDE) == []
        for text in ("#lrsched_epochs", "#lrsched_text", ".lrsched-help p", "#lrsched_segments td"):
            assert page.evaluate(CONTRAST, text) >= 4.5, text


OUTSIDE = """() => [...document.querySelectorAll("#lrsched_page, #lrsched_page *")].filter((node) => {
    const box = node.getBoundingClientRect();
    return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1) && !node.closest(".lrsched-scroll, .lrsched-caret, code");
}).map((node) => node.outerHTML.slice(0, 80))"""

CONTRAST = """(selector) => {
    const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const seen = (colours) => {
        context.clearRect(0, 0, 1, 1);
        for (const colour of colours) {
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
        }
        const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((c) => c / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const node = document.querySelector(selector);
    const grounds = [];
    for (let place = node; place; place = place.parentElement) grounds.unshift(getComputedStyle(place).backgroundColor);
    const pair = [seen(grounds), seen([...grounds, getComputedStyle(node).color])];
    return Math.max(...pair) / Math.min(...pair);
}"""


def test_the_keyboard_alone_reaches_the_editor(page: Page):
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "LR Schedule":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#lrsched_text")).to_be_visible()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "lrsched_text":
            break
    page.keyboard.press("Control+A")
    page.keyboard.type("0.005:100, 1e-3")
    expect(page.locator("#lrsched_text")).to_have_value("0.005:100, 1e-3")
    expect(page.locator("#lrsched_segments tr")).to_have_count(2)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") != "lrsched_text"
