"""The planning half of the tab: editor, chart, comparison, presets, the way to the Train tab."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import LINE, choose_tab, open_tab, wait_for_frames, wait_until, write
from page_state import STARTED
from PIL import Image
from playwright.sync_api import Page, Route, expect

from lib_lrsched import ScheduleError, plan


def labels(page: Page, chart: str = "#lrsched_chart") -> list[str]:
    return page.locator(f"{chart} .lrsched-labels text").all_text_contents()


def test_the_page_opens_with_a_drawn_chart_and_fetches_nothing_from_elsewhere(page: Page, server: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_tab(page)
    assert page.input_value("#lrsched_text") == "warmup(0.005):5%, cosine(0.005, 1e-5)"
    expect(page.locator("#lrsched_segments tr")).to_have_count(2)
    assert [url for url in asked if not url.startswith((server, "data:", "blob:"))] == []


def test_the_scripts_add_one_global_name(page: Page) -> None:
    page.goto("/")
    page.wait_for_function(STARTED)
    own = "Object.keys(globalThis).filter((name) => /lrsched|Chart|Planner|Editor|Crosshair/i.test(name))"
    assert page.evaluate(own) == ["lrsched"]


@pytest.mark.usefixtures("kept_open")
def test_the_fields_give_percent_and_epochs_their_meaning(page: Page) -> None:
    page.fill("#lrsched_pictures", "12")
    page.fill("#lrsched_batch", "2")
    write(page, "0.005:3ep, 1e-3:50%, 1e-4")
    expect(page.locator("#lrsched_segments tr td:first-child")).to_have_text(["0 – 18", "18 – 1,000", "1,000 – 2,000"])
    expect(page.locator("#lrsched_epochs")).to_have_text("6 steps per epoch, 333.3 epochs.")


@pytest.mark.usefixtures("kept_open")
def test_a_bad_text_is_marked_at_its_place_and_explained_with_carets(page: Page) -> None:
    text = "warmup(0.005):5%, cosin(0.005, 1e-5)"
    write(page, text)
    expect(page.locator(".lrsched-mark-text-error")).to_have_text("cosin")
    with pytest.raises(ScheduleError) as caught:
        plan(text, total_steps=2000)
    message, _, caret = str(caught.value).partition("\n")
    expect(page.locator("#lrsched_messages .lrsched-message-text")).to_have_text(message)
    assert page.locator("#lrsched_messages .lrsched-caret").inner_text() == caret
    expect(page.locator("#lrsched_chart")).to_have_class(re.compile("lrsched-stale"))
    expect(page.locator("#lrsched_text")).to_have_attribute("aria-invalid", "true")


@pytest.mark.long
@pytest.mark.usefixtures("kept_open")
def test_a_mark_stands_at_its_place_after_characters_outside_the_basic_plane(page: Page) -> None:
    write(page, "0.005:10, # 🙂🙂\ncosin(1, 2)")
    expect(page.locator(".lrsched-mark-text-error")).to_have_text("cosin")


@pytest.mark.usefixtures("kept_open")
def test_an_error_at_the_end_of_the_text_is_marked(page: Page) -> None:
    write(page, "cosine(0.005, 1e-5")
    expect(page.locator(".lrsched-mark-text-error")).to_have_count(1)


@pytest.mark.long
def test_a_long_text_scrolls_with_its_marks(page: Page) -> None:
    open_tab(page)
    write(page, "\n".join(f"0.005:{step}," for step in range(1, 60)) + "\ncosin(1, 2)")
    heights = page.eval_on_selector("#lrsched_text", "area => [area.clientHeight, area.scrollHeight]")
    assert heights[0] == heights[1] > 1000
    lines = "node => node.getClientRects()[0].bottom - document.querySelector('#lrsched_text').getBoundingClientRect().bottom"
    assert -40 < page.locator(".lrsched-mark-text-error").evaluate(lines) < 0


@pytest.mark.usefixtures("kept_open")
def test_a_fix_button_corrects_the_text_and_can_be_undone(page: Page) -> None:
    write(page, "warmup(0.005, 100), cosine(1e-5)")
    fix = page.locator("#lrsched_messages button:text('Fix')")
    expect(fix).to_have_text("Fix: warmup(0.005):100, cosine(1e-5)")
    fix.click()
    expect(page.locator("#lrsched_text")).to_have_value("warmup(0.005):100, cosine(1e-5)")
    expect(page.locator("#lrsched_messages")).to_be_empty()
    page.keyboard.press("Control+z")
    expect(page.locator("#lrsched_text")).to_have_value("warmup(0.005, 100), cosine(1e-5)")


def test_an_error_has_a_fix_button_where_it_is_known_what_was_meant(page: Page) -> None:
    open_tab(page)
    write(page, "100:0.005, 1e\u22123")
    page.click("#lrsched_messages .lrsched-error button:text('Fix')")
    expect(page.locator("#lrsched_text")).to_have_value("0.005:100, 1e-3")
    expect(page.locator("#lrsched_messages")).to_be_empty()
    choose_tab(page, "Train")
    page.fill("#train_embedding_learn_rate textarea", "0,005")
    page.click("#lrsched_inline_embeddingRate button:text('Fix')")
    expect(page.locator("#train_embedding_learn_rate textarea")).to_have_value("0.005")


def test_chips_put_a_shape_at_a_boundary_and_never_into_a_word(page: Page) -> None:
    open_tab(page)
    text = page.locator("#lrsched_text")

    def chip(name: str) -> None:
        page.click(f".lrsched-snippet:text-is('{name}')")

    chip("warmup")
    expect(text).to_have_value("warmup(0.005):5%")
    chip("linear")
    expect(text).to_have_value("warmup(0.005):5%, linear(0.005, 1e-5)")
    write(page, "0.005")
    chip("cosine")
    expect(text).to_have_value("0.005:50%, cosine(0.005, 1e-5)")
    write(page, "warmup(0.005):100, exp(0.005, 1e-5)")
    text.focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    chip("constant")
    expect(text).to_have_value("warmup(0.005):100, 0.005:1050, exp(0.005, 1e-5)")
    text.focus()
    page.keyboard.press("Home")
    chip("warmup")
    expect(text).to_have_value("warmup(0.005):5%, warmup(0.005):100, 0.005:1050, exp(0.005, 1e-5)".replace("5%", "50"))
    write(page, "0.005:1e, 0.004")
    page.eval_on_selector("#lrsched_text", "area => { area.focus(); area.setSelectionRange(3, 3); }")
    chip("cosine")
    expect(text).to_have_value("0.005:1e, cosine(0.005, 1e-5), 0.004")


@pytest.mark.usefixtures("kept_open")
def test_while_one_types_nothing_is_called_wrong_and_nothing_jumps(page: Page) -> None:
    chips = page.locator(".lrsched-snippet").first
    place = chips.bounding_box()
    page.click("#lrsched_text")
    for rate in range(5, 15):  # until an answer comes within the pause after which a text is called wrong
        page.keyboard.press("Control+a")  # what is typed takes its place: an empty text would be called wrong after the pause
        text = f"cosin(0.00{rate}"
        with page.expect_response(lambda answer: "/preview" in answer.url and text in (answer.request.post_data or "")):
            page.keyboard.type(text[:-1])
            begun = time.monotonic()
            page.keyboard.type(text[-1])
        wait_for_frames(page)
        said, there = page.locator("#lrsched_messages").inner_text(), chips.bounding_box()
        if time.monotonic() - begun < 0.65:
            break
    assert said == ""
    assert there == place
    expect(page.locator("#lrsched_messages")).to_contain_text("this bracket is never closed")
    page.keyboard.press("Escape")
    page.keyboard.type(", 1e-5)")
    expect(page.locator("#lrsched_messages")).to_contain_text("did you mean `cosine`?")
    expect(page.locator("#lrsched_messages")).not_to_have_attribute("inert", "")
    page.keyboard.type(":")
    expect(page.locator("#lrsched_messages")).to_have_attribute("inert", "")


@pytest.mark.usefixtures("kept_open")
def test_names_parameters_and_units_are_completed_by_keys_alone(page: Page) -> None:
    area, options = page.locator("#lrsched_text"), page.locator("#lrsched_completion [role=option]")
    area.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("re")
    expect(options.locator("code")).to_have_text(["rex(", "restarts(", "repeat("])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(area).to_have_attribute("aria-activedescendant", "lrsched_completion_1")
    page.keyboard.press("Enter")
    expect(area).to_have_value("restarts(")
    page.keyboard.type("0.005, cy")
    page.keyboard.press("Tab")
    page.keyboard.type("4):1500i")
    expect(options.locator("code")).to_have_text(["img"])
    page.keyboard.press("Tab")
    expect(area).to_have_value("restarts(0.005, cycles=4):1500img")
    page.keyboard.type(", ")
    page.keyboard.press("Control+ ")
    expect(options).to_have_count(17)
    page.keyboard.press("Escape")
    expect(page.locator("#lrsched_completion")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(area).to_have_value("restarts(0.005, cycles=4):1500img, \n")
    page.keyboard.type("# cos")
    expect(page.locator("#lrsched_completion")).to_be_hidden()


def test_the_axis_can_be_linear_or_logarithmic_and_is_kept_over_a_reload(page: Page) -> None:
    open_tab(page)
    assert "0.002" in labels(page)
    page.click("#lrsched_chart_axis [data-axis=log]")
    expect(page.locator("#lrsched_chart .lrsched-labels")).to_contain_text("1e-5")
    assert "0.002" not in labels(page)
    page.reload()
    choose_tab(page, "LR Schedule")
    expect(page.locator("#lrsched_chart_axis [data-axis=log]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#lrsched_chart .lrsched-labels")).to_contain_text("1e-5")


@pytest.mark.long
@pytest.mark.usefixtures("kept_open")
def test_a_logarithmic_axis_gives_zero_a_place_of_its_own(page: Page) -> None:
    write(page, "linear(0.005, 0):1000, 0")
    page.click("#lrsched_chart_axis [data-axis=log]")
    expect(page.locator("#lrsched_chart .lrsched-labels text").get_by_text("0", exact=True)).to_have_count(2)


@pytest.mark.usefixtures("kept_open")
def test_the_crosshair_shows_step_and_value_to_mouse_and_keys(page: Page) -> None:
    write(page, "0.005:1000, 0.001")
    chart = page.locator("#lrsched_chart")
    chart.focus()
    page.keyboard.press("Home")
    expect(chart).to_have_attribute("aria-valuetext", "step 0: 0.005")
    page.keyboard.press("ArrowRight")
    expect(chart).to_have_attribute("aria-valuetext", "step 1: 0.005")
    page.keyboard.press("End")
    expect(page.locator("#lrsched_chart .lrsched-tip")).to_have_text("step 1,9990.001")
    page.keyboard.press("Escape")
    expect(page.locator("#lrsched_chart .lrsched-tip")).to_be_hidden()
    chart.hover(position={"x": 200, "y": 100})
    expect(page.locator("#lrsched_chart .lrsched-tip")).to_contain_text("0.005")


@pytest.mark.long
def test_schedules_can_be_laid_over_each_other_named_and_removed(page: Page) -> None:
    open_tab(page)
    for text in ("0.005", "0.004", "0.003", "0.002", "0.001"):
        write(page, text)
        page.click("#lrsched_compare_add")
    write(page, "linear(0.005, 1e-5)")
    expect(page.locator(LINE)).to_have_count(6)
    expect(page.locator("#lrsched_compare_add")).to_be_disabled()
    for look in ("stroke", "strokeDasharray"):
        assert len(set(page.eval_on_selector_all(LINE, f"lines => lines.map(line => getComputedStyle(line).{look})"))) == 6
    page.locator(".lrsched-compare-label").first.fill("steady")
    page.locator(".lrsched-compare-label").first.press("Enter")
    page.reload()
    choose_tab(page, "LR Schedule")
    expect(page.locator(".lrsched-compare-label").first).to_have_value("steady")
    page.click("[aria-label='Remove steady']")
    expect(page.locator(LINE)).to_have_count(5)


def test_presets_are_saved_overwritten_and_deleted_for_good_after_a_question(page: Page) -> None:
    open_tab(page)
    expect(page.locator("#lrsched_preset optgroup[label='Built in'] option").first).to_be_attached()
    write(page, "exp(0.003, 1e-6)")
    page.fill("#lrsched_preset_name", "my <b>own</b>")
    page.click("#lrsched_preset_save")
    expect(page.locator("#lrsched_preset_said")).to_have_text("Saved as my <b>own</b>.")
    write(page, "exp(0.003, 1e-7)")
    page.fill("#lrsched_preset_name", "my <b>own</b>")
    page.locator("#lrsched_preset_name").press("Enter")
    expect(page.locator("#lrsched_preset_ask_text")).to_have_text(
        "There is a preset my <b>own</b> already: exp(0.003, 1e-6). Overwrite it?")
    expect(page.locator("#lrsched_preset_no")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#lrsched_preset_name")).to_be_focused()
    open_tab(page)
    expect(page.locator("#lrsched_preset option", has_text="my <b>own</b>")).to_be_attached()
    page.select_option("#lrsched_preset", "my <b>own</b>")
    expect(page.locator("#lrsched_text")).to_have_value("exp(0.003, 1e-6)")
    write(page, "exp(0.002, 1e-6)")
    page.fill("#lrsched_preset_name", "my <b>own</b>")
    page.click("#lrsched_preset_save")
    page.click("#lrsched_preset_yes")
    expect(page.locator("#lrsched_preset_said")).to_have_text("Saved as my <b>own</b>.")
    expect(page.locator("#lrsched_preset_ask")).to_be_hidden()
    page.click("#lrsched_preset_delete")
    question = "Delete the preset my <b>own</b> for good? It is exp(0.002, 1e-6)."
    expect(page.locator("#lrsched_preset_ask_text")).to_have_text(question)
    page.click("#lrsched_preset_no")
    expect(page.locator("#lrsched_preset")).to_have_value("my <b>own</b>")
    page.click("#lrsched_preset_delete")
    page.click("#lrsched_preset_yes")
    expect(page.locator("#lrsched_preset_said")).to_have_text("Deleted my <b>own</b>.")
    open_tab(page)
    expect(page.locator("#lrsched_preset optgroup[label='Built in'] option").first).to_be_attached()
    expect(page.locator("#lrsched_preset option", has_text="my <b>own</b>")).to_have_count(0)


@pytest.mark.usefixtures("kept_open")
def test_error_a_preset_that_does_not_parse_is_refused_in_words(page: Page) -> None:
    write(page, "1e-3:500, 1e-4:100")
    page.fill("#lrsched_preset_name", "bad")
    page.click("#lrsched_preset_save")
    expect(page.locator("#lrsched_preset_said")).to_have_text("boundaries must rise: this one is at 100, the one before it at 500")
    write(page, "0.001")
    page.fill("#lrsched_preset_name", page.locator("#lrsched_preset optgroup[label='Built in'] option").first.inner_text())
    page.click("#lrsched_preset_save")
    expect(page.locator("#lrsched_preset_said")).to_contain_text("comes with the extension")


def test_a_late_answer_does_not_overwrite_a_newer_one(page: Page) -> None:
    open_tab(page)
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        texts = json.loads(route.request.post_data or "{}")["texts"]
        if texts[0] == "0.111":
            held.append(route)
        else:
            route.continue_()

    page.route("**/lrsched/v1/preview", hold_the_first)
    with page.expect_request("**/lrsched/v1/preview"):
        page.fill("#lrsched_text", "0.111")
    wait_until(page, lambda: held)  # a request is seen before its route is
    page.fill("#lrsched_text", "0.222")
    segment = page.locator("#lrsched_segments tr td:nth-child(2)")
    with page.expect_response(lambda answer: "0.222" in (answer.request.post_data or "")):
        held[0].continue_()
    expect(segment).to_have_text(["0.222"])
    wait_for_frames(page)
    expect(segment).to_have_text(["0.222"])


def test_text_and_fields_are_there_again_after_a_reload(page: Page) -> None:
    open_tab(page)
    page.fill("#lrsched_steps", "777")
    write(page, "linear(0.004, 1e-6)")
    page.reload()
    choose_tab(page, "LR Schedule")
    expect(page.locator("#lrsched_text")).to_have_value("linear(0.004, 1e-6)")
    expect(page.locator("#lrsched_steps")).to_have_value("777")
    expect(page.locator("#lrsched_segments tr td:first-child")).to_have_text(["0 – 777"])


@pytest.mark.usefixtures("kept_open")
def test_error_what_is_wrong_with_a_field_stands_at_it_in_words(page: Page, tmp_path: Path) -> None:
    note = page.locator("#lrsched_steps_note")
    for typed, more in (("0", ""), ("", ""), ("2.5", ""), ("2000000000", " to 1,000,000,000")):
        page.fill("#lrsched_steps", typed)
        expect(note).to_have_text(f"Max steps: a whole number from 1{more}")
    expect(page.locator("#lrsched_steps")).to_have_attribute("aria-invalid", "true")
    page.fill("#lrsched_steps", "100")
    expect(note).to_be_hidden()
    write(page, "0.005:3ep, 1e-3")
    page.click("#lrsched_messages button:text-is('Enter the folder')")
    expect(page.locator("#lrsched_folder")).to_be_focused()
    data = tmp_path / "images"
    data.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8)).save(data / f"{number}.png")
    page.keyboard.type(f'"{data}"')
    expect(page.locator("#lrsched_folder_note")).to_contain_text(f"No such file or directory; leave out the quotes: {data}")
    page.fill("#lrsched_folder", str(data))
    expect(page.locator("#lrsched_folder_note")).to_be_hidden()
    expect(page.locator("#lrsched_messages")).not_to_contain_text("epochs need")
    page.fill("#lrsched_batch", "5000")
    expect(page.locator("#lrsched_batch_note")).to_have_text("Batch size: there are 3 images, so the WebUI takes 3")
    expect(page.locator("#lrsched_batch")).not_to_have_attribute("aria-invalid", "true")


def test_rate_and_clip_have_a_text_each(page: Page) -> None:
    open_tab(page)
    write(page, "cosine(0.004, 1e-5)")
    page.focus("#lrsched_kind")
    page.select_option("#lrsched_kind", "clip")
    expect(page.locator("#lrsched_text")).to_have_value("1")
    expect(page.locator("#lrsched_kind")).to_be_focused()
    write(page, "linear(1, 0.1)")
    page.select_option("#lrsched_kind", "rate")
    expect(page.locator("#lrsched_text")).to_have_value("cosine(0.004, 1e-5)")
    expect(page.locator("#lrsched_segments tr td:nth-child(2)")).to_have_text(["cosine(0.004, 1e-5)"])
    page.reload()
    choose_tab(page, "LR Schedule")
    expect(page.locator("#lrsched_text")).to_have_value("cosine(0.004, 1e-5)")
    page.select_option("#lrsched_kind", "clip")
    expect(page.locator("#lrsched_text")).to_have_value("linear(1, 0.1)")


@pytest.mark.long
def test_a_server_that_is_gone_is_said_and_asked_again(page: Page) -> None:
    open_tab(page)
    page.route("**/lrsched/v1/**", lambda route: route.abort())
    page.fill("#lrsched_text", "0.003")
    expect(page.locator("#lrsched_status")).to_have_text("The server is not reachable. Trying again.")
    expect(page.locator("#lrsched_runs_trouble")).to_have_text("The server is not reachable. Trying again.")
    page.unroute("**/lrsched/v1/**")
    expect(page.locator("#lrsched_segments tr td:nth-child(2)")).to_have_text(["0.003"])
    expect(page.locator("#lrsched_runs_trouble")).to_be_hidden()


def test_send_to_train_tab_fills_the_fields_and_reads_them_back(page: Page) -> None:
    open_tab(page)
    page.fill("#lrsched_steps", "432")
    page.fill("#lrsched_batch", "3")
    write(page, "cosine(0.007, 1e-6)")
    page.click("#lrsched_send_embedding")
    expect(page.locator("#lrsched_transfer_said")).to_have_text("Sent: embedding rate, max steps, batch, accumulation.")
    page.click("#lrsched_send_hypernetwork")
    choose_tab(page, "Train")
    expect(page.locator("#train_embedding_learn_rate textarea")).to_have_value("cosine(0.007, 1e-6)")
    expect(page.locator("#train_hypernetwork_learn_rate textarea")).to_have_value("cosine(0.007, 1e-6)")
    expect(page.locator("#train_steps input")).to_have_value("432")
    expect(page.locator("#train_batch_size input")).to_have_value("3")
    page.fill("#train_embedding_learn_rate textarea", "0.0123")
    choose_tab(page, "LR Schedule")
    page.click("#lrsched_fetch_train")
    expect(page.locator("#lrsched_text")).to_have_value("0.0123")


def test_a_clip_schedule_goes_to_the_clip_field(page: Page) -> None:
    open_tab(page)
    page.select_option("#lrsched_kind", "clip")
    expect(page.locator("#lrsched_send_embedding")).to_be_hidden()
    write(page, "linear(1, 0.1)")
    expect(page.locator("#lrsched_chart_title")).to_have_text("Clip threshold over steps")
    page.click("#lrsched_send_clip")
    expect(page.locator("[placeholder='Gradient clip value']")).to_have_value("linear(1, 0.1)")
