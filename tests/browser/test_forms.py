"""The form of the item at the cursor, what can be dragged on the chart, and the way to other programs and back."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import open_tab, wait_for_frames, write
from playwright.sync_api import Locator, Page, expect

from lib_lrsched import plan

TEXT = "#lrsched_text"
GHOST = "#lrsched_chart .lrsched-ghost"


def put_cursor(page: Page, place: int) -> None:
    """The text was understood: until then the form is that of another text, and cannot be used."""
    page.eval_on_selector(TEXT, "(area, place) => { area.focus(); area.setSelectionRange(place, place); area.click(); }", place)
    expect(page.locator("#lrsched_item")).not_to_have_attribute("inert", "")


def title(page: Page) -> Locator:
    return page.locator("#lrsched_item h4")


def field(page: Page, name: str) -> Locator:
    return page.locator(f"#lrsched_item [data-param={name}]")


def handle(page: Page, label: str) -> Locator:
    """A handle that can be used: the server has answered to the text as it stands."""
    expect(page.locator("#lrsched_handles")).not_to_have_class(re.compile("waiting"))
    wait_for_frames(page)  # another axis is drawn in the next one
    return page.locator(f"#lrsched_handles [aria-label^='{label}']")


def middle(place: Locator) -> tuple[float, float]:
    box = place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pull(page: Page, place: Locator, x: float, y: float) -> None:
    """Presses on a handle and moves it so far, with the button still down."""
    left, top = middle(place)
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(left + x / 2, top + y / 2)
    page.mouse.move(left + x, top + y)


@pytest.mark.usefixtures("kept_open")
def test_the_form_follows_the_cursor_and_the_segment_that_is_chosen(page: Page) -> None:
    write(page, "warmup(0.005):5%, 0.004:50%, # hold\ncosine(1e-5)")
    put_cursor(page, 3)
    expect(title(page)).to_have_text("Segment 1 of 3")
    expect(field(page, "v")).to_have_value("0.005")
    expect(field(page, "start")).to_have_attribute("placeholder", "0")
    expect(field(page, "end")).to_have_value("5")
    put_cursor(page, 40)
    expect(title(page)).to_have_text("Segment 3 of 3")
    expect(field(page, "a")).to_have_attribute("placeholder", "left out")
    expect(page.locator("#lrsched_item")).to_contain_text("CosineAnnealingLR")
    page.locator("#lrsched_segments tr").nth(1).locator("td").first.click()
    expect(title(page)).to_have_text("Segment 2 of 3")
    page.locator("#lrsched_chart").click(position={"x": 500, "y": 250})
    expect(title(page)).to_have_text("Segment 3 of 3")
    page.click("#lrsched_item [data-role=before]")
    expect(title(page)).to_have_text("Segment 2 of 3")


def test_a_press_on_the_chart_counts_although_it_is_drawn_anew_before_the_release(page: Page) -> None:
    open_tab(page)
    write(page, "0.005:50, 0.001")
    put_cursor(page, 0)
    expect(title(page)).to_have_text("Segment 1 of 2")
    middle_x, y = middle(page.locator("#lrsched_chart"))
    page.mouse.move(middle_x + 150, y)
    page.mouse.down()
    page.eval_on_selector("#lrsched_chart svg", "drawing => drawing.replaceWith(drawing.cloneNode(true))")
    page.mouse.up()
    expect(title(page)).to_have_text("Segment 2 of 2")


@pytest.mark.usefixtures("kept_open")
def test_the_form_writes_the_text_and_undo_takes_it_back(page: Page) -> None:
    write(page, "warmup(0.005):5%, # rise\ncosine(0.005, 1e-5)")
    put_cursor(page, 0)
    expect(title(page)).to_have_text("Segment 1 of 2")
    field(page, "v").fill("0.004")
    field(page, "v").press("Enter")
    expect(page.locator(TEXT)).to_have_value("warmup(0.004):5%, # rise\ncosine(0.005, 1e-5)")
    expect(field(page, "v")).to_be_focused()
    field(page, "curve").select_option("log")
    expect(page.locator(TEXT)).to_have_value("warmup(0.004, curve=log):5%, # rise\ncosine(0.005, 1e-5)")
    field(page, "end").fill("10")
    field(page, "end").press("Tab")
    expect(page.locator(TEXT)).to_have_value("warmup(0.004, curve=log):10%, # rise\ncosine(0.005, 1e-5)")
    page.select_option("#lrsched_item .lrsched-end select", label="steps long")
    expect(page.locator(TEXT)).to_have_value("warmup(0.004, curve=log):+200, # rise\ncosine(0.005, 1e-5)")
    page.select_option("#lrsched_item [data-role=shape]", "constant")
    expect(page.locator(TEXT)).to_have_value("0.004:+200, # rise\ncosine(0.005, 1e-5)")
    expect(page.locator("#lrsched_segments tr td:nth-child(2)")).to_have_text(["0.004:+200", "cosine(0.005, 1e-5)"])
    page.focus(TEXT)
    page.keyboard.press("Control+z")
    expect(page.locator(TEXT)).to_have_value("warmup(0.004, curve=log):+200, # rise\ncosine(0.005, 1e-5)")


@pytest.mark.usefixtures("kept_open")
def test_the_text_writes_the_form(page: Page) -> None:
    write(page, "step(0.005, every=20%)")
    expect(field(page, "gamma")).to_have_value("")
    expect(field(page, "gamma")).to_have_attribute("placeholder", "0.1")
    write(page, "step(0.003, every=20%, gamma=0.7)")
    expect(field(page, "v")).to_have_value("0.003")
    expect(field(page, "gamma")).to_have_value("0.7")
    write(page, "step(0.003, every=")
    expect(page.locator("#lrsched_item")).to_have_attribute("inert", "")
    write(page, "repeat(2, 0.1:5, cosine(0.01):+4)")
    expect(field(page, "count")).to_have_value("2")
    page.click("#lrsched_item .lrsched-snippet:text-is('cosine(0.01):+4')")
    expect(title(page)).to_have_text("Segment 2 of 2 in the repeat")
    field(page, "b").fill("0.02")
    field(page, "b").press("Enter")
    expect(page.locator(TEXT)).to_have_value("repeat(2, 0.1:5, cosine(0.02):+4)")


@pytest.mark.usefixtures("kept_open")
def test_items_are_added_and_deleted_by_keyboard(page: Page) -> None:
    write(page, "0.005:100, 0.001")
    put_cursor(page, 0)
    expect(title(page)).to_have_text("Segment 1 of 2")
    page.focus("#lrsched_item [data-role=add]")
    page.keyboard.press("Enter")
    expect(page.locator(TEXT)).to_have_value("0.005:100, 0.005:1050, 0.001")
    expect(title(page)).to_have_text("Segment 2 of 3")
    page.focus("#lrsched_item [data-role=delete]")
    page.keyboard.press("Enter")
    expect(page.locator(TEXT)).to_have_value("0.005:100, 0.001")
    expect(page.locator("#lrsched_item [data-role=delete]")).to_be_focused()


@pytest.mark.usefixtures("kept_open")
def test_delete_that_is_pressed_twice_deletes_one_segment(page: Page) -> None:
    write(page, "0.005:100, 0.004:200, 0.003:300, 0.001")
    put_cursor(page, 0)
    expect(title(page)).to_have_text("Segment 1 of 4")
    with page.expect_response("**/lrsched/v1/items"):
        page.evaluate("for (const _ of [1, 2]) document.querySelector('#lrsched_item [data-role=delete]').click()")
    expect(title(page)).to_have_text("Segment 1 of 3")
    page.locator("#lrsched_item [data-role=delete]").click()
    expect(page.locator(TEXT)).to_have_value("0.003:300, 0.001")
    expect(title(page)).to_have_text("Segment 1 of 2")


@pytest.mark.usefixtures("kept_open")
def test_error_a_value_that_cannot_be_planned_is_said_and_the_text_stays(page: Page) -> None:
    write(page, "rex(0.005, 1e-5, d=0.5)")
    field(page, "d").fill("2")
    field(page, "d").press("Enter")
    expect(page.locator("#lrsched_item [role=alert]")).to_have_text("`d` is 0 or more and below 1, got 2")
    expect(field(page, "d")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(TEXT)).to_have_value("rex(0.005, 1e-5, d=0.5)")


@pytest.mark.usefixtures("kept_open")
def test_a_boundary_is_dragged_and_escape_lets_go(page: Page) -> None:
    write(page, "0.005:500, # first\n0.001")
    boundary = handle(page, "End of 0.005:500")
    expect(boundary).to_have_attribute("aria-valuetext", "step 500")
    pull(page, boundary, 60, 0)
    expect(page.locator(GHOST)).to_be_attached()
    expect(page.locator("#lrsched_handles .lrsched-handle-tip")).to_contain_text("step ")
    page.keyboard.press("Escape")
    expect(page.locator(GHOST)).to_have_count(0)
    page.mouse.up()
    expect(page.locator(TEXT)).to_have_value("0.005:500, # first\n0.001")
    expect(boundary).to_have_attribute("aria-valuetext", "step 500")
    pull(page, boundary, 60, 0)
    page.mouse.up()
    expect(page.locator(TEXT)).to_have_value(re.compile(r"^0.005:(6\d\d|7\d\d), # first\n0.001$"))
    step = int(page.input_value(TEXT)[6:9])
    expect(page.locator("#lrsched_segments tr td:first-child")).to_have_text([f"0 – {step}", f"{step} – 2,000"])
    expect(page.locator(GHOST)).to_have_count(0)
    page.focus(TEXT)
    page.keyboard.press("Control+z")
    expect(page.locator(TEXT)).to_have_value("0.005:500, # first\n0.001")


@pytest.mark.parametrize("axis", ["linear", "log"])
@pytest.mark.usefixtures("kept_open")
def test_a_rate_is_dragged_and_what_it_is_joined_to_comes_along(page: Page, axis: str) -> None:
    page.click(f"#lrsched_chart_axis [data-axis={axis}]")
    rate = handle(page, "from of cosine(0.005, 1e-5)")
    pull(page, rate, 0, 50)
    expect(page.locator(GHOST)).to_be_attached()
    page.mouse.up()
    expect(page.locator(TEXT)).not_to_have_value("warmup(0.005):5%, cosine(0.005, 1e-5)")
    expect(page.locator(TEXT)).to_have_value(re.compile(r"^warmup\((0\.\d+)\):5%, cosine\(\1, 1e-5\)$"))
    text = page.input_value(TEXT)
    value = plan(text, total_steps=2000).value(100)
    assert 0.001 < value < 0.0045
    expect(page.locator("#lrsched_segments tr").nth(1).locator("td").nth(2)).to_have_text(f"{value:g}")


@pytest.mark.long
@pytest.mark.usefixtures("kept_open")
def test_a_rate_inside_a_repeat_is_dragged_in_its_first_pass(page: Page) -> None:
    write(page, "0.001:100, repeat(5, cosine(0.005, 1e-4):300)")
    rate = handle(page, "from of cosine(0.005, 1e-4):300")
    expect(rate).to_have_count(1)
    pull(page, rate, 0, 60)
    page.mouse.up()
    expect(page.locator(TEXT)).not_to_have_value("0.001:100, repeat(5, cosine(0.005, 1e-4):300)")
    text = page.input_value(TEXT)
    assert re.fullmatch(r"0.001:100, repeat\(5, cosine\(0\.\d+, 1e-4\):300\)", text)
    values = plan(text, total_steps=2000).values([100, 400, 700])
    assert 0.001 < values[0] < 0.0045
    assert values.tolist() == [values[0]] * 3


@pytest.mark.usefixtures("kept_open")
def test_the_focus_of_a_handle_that_is_gone_goes_to_the_chart(page: Page) -> None:
    write(page, "0.005:5%, 0.001")
    boundary = handle(page, "End of")
    boundary.focus()
    expect(boundary).to_be_focused()
    page.locator(TEXT).evaluate("""(field) => {
        field.value = "0.002";
        field.dispatchEvent(new Event("input", {bubbles: true}));
    }""")
    expect(boundary).to_have_count(0)
    expect(page.locator("#lrsched_chart")).to_be_focused()


@pytest.mark.usefixtures("kept_open")
def test_arrow_keys_move_a_handle_and_enter_writes(page: Page) -> None:
    write(page, "0.005:5%, 0.001")
    boundary = handle(page, "End of")
    boundary.focus()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    shown = boundary.get_attribute("aria-valuenow")
    assert shown is not None
    assert int(shown) > 130
    page.keyboard.press("Enter")
    expect(page.locator(TEXT)).not_to_have_value("0.005:5%, 0.001")
    expect(page.locator(TEXT)).to_have_value(re.compile(r"^0.005:[\d.]+%, 0.001$"))
    expect(boundary).to_be_focused()
    assert plan(page.input_value(TEXT), total_steps=2000).segments[0].stop == int(shown)
    rate = handle(page, "value of 0.001").first
    rate.focus()
    page.keyboard.press("ArrowUp")
    assert float(rate.get_attribute("aria-valuenow") or 0) > 0.001
    page.keyboard.press("Escape")
    expect(rate).to_have_attribute("aria-valuenow", "0.001")


@pytest.mark.long
@pytest.mark.usefixtures("kept_open")
def test_what_cannot_be_dragged_has_no_handles(page: Page) -> None:
    write(page, ", ".join(f"0.005:{step}" for step in range(10, 450, 10)))
    expect(page.locator("#lrsched_segments tr")).to_have_count(44)
    expect(page.locator("#lrsched_handles .lrsched-handle")).to_have_count(0)
    assert page.locator(".lrsched-inline .lrsched-handle").count() == 0


@pytest.mark.long
def test_a_schedule_is_copied_as_phases_and_follows_the_text(page: Page, server: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server)
    open_tab(page)
    write(page, "0.005:100, linear(0.001)")
    page.focus("#lrsched_copy_as")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#lrsched_copy_as_menu [role=menuitem]")).to_have_count(5)
    page.keyboard.press("Enter")
    result = page.locator("#lrsched_export_text")
    expect(result).to_have_value(re.compile(r"^0\.00\d+:\d+, "))
    expect(page.locator("#lrsched_export_note")).to_contain_text("segments for max steps 2000; at most 2.00%")
    expect(page.locator("#lrsched_export_error")).to_have_attribute("placeholder", "2")
    expect(page.locator("#lrsched_export_base_field")).to_be_hidden()
    page.fill("#lrsched_export_error", "30")
    page.locator("#lrsched_export_error").press("Enter")
    expect(page.locator("#lrsched_export_note")).to_contain_text("3 segments")
    page.click("#lrsched_export_copy")
    expect(page.locator("#lrsched_export_said")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == result.input_value()
    write(page, "0.005:100, 0.001")
    expect(result).to_have_value("0.005:100, 0.001")
    write(page, "warmup(0.005):5%, cosine(0.005, 1e-5)")
    page.click("#lrsched_copy_as")
    page.get_by_role("menuitem", name="kohya sd-scripts").locator("visible=true").click()
    expect(result).to_have_value(re.compile("--lr_scheduler=cosine_with_min_lr --lr_warmup_steps=100 "))
    expect(page.locator("#lrsched_export_note")).to_contain_text("the nearest form, not exact: sd-scripts has a rate of 0 in")
    expect(page.locator("#lrsched_export_note")).to_contain_text("1.00% of the highest rate")
    expect(page.locator("#lrsched_export_trouble")).to_be_empty()


def test_error_what_a_program_cannot_say_is_said_in_words(page: Page) -> None:
    open_tab(page)
    write(page, "plateau(0.005)")
    expect(page.locator("#lrsched_chart_note")).to_have_text(
        "Steps 0 to 2,000: in training the loss decides when the rate falls. The line shows it without a fall.")
    expect(page.locator("#lrsched_item")).to_contain_text("decides when the rate falls; the chart shows it without a fall.")
    expect(page.locator("#lrsched_segments tr td").nth(3)).to_have_text("at most 0.005")
    page.click("#lrsched_copy_as")
    page.click("#lrsched_copy_as_menu [data-format=kohya]")
    expect(page.locator("#lrsched_export_trouble")).to_contain_text("`plateau` looks at the loss")
    expect(page.locator("#lrsched_export_copy")).to_be_disabled()
    expect(page.locator("#lrsched_export_error_field")).to_be_hidden()


def test_another_programs_schedule_is_pasted(page: Page) -> None:
    open_tab(page)
    page.click("#lrsched_paste_from")
    page.click("#lrsched_paste_from_menu [data-format=diffusers]")
    page.fill("#lrsched_import_text", "1:10,0.1:20,0.01")
    page.click("#lrsched_import_use")
    expect(page.locator("#lrsched_import_said")).to_contain_text("give the optimizer's rate")
    expect(page.locator("#lrsched_import_base")).to_have_attribute("placeholder", "needed for multipliers")
    expect(page.locator("#lrsched_import_epoch_field")).to_be_hidden()
    page.fill("#lrsched_import_base", "0.005")
    page.click("#lrsched_import_use")
    expect(page.locator(TEXT)).to_have_value("0.005:10, 0.0005:20, 5e-5")
    expect(page.locator("#lrsched_import_said")).to_contain_text("It is in the editor.")
    page.click("#lrsched_paste_from")
    page.click("#lrsched_paste_from_menu [data-format=kohya]")
    expect(page.locator("#lrsched_import_base_field")).to_be_hidden()
    page.fill("#lrsched_import_text", "--learning_rate=0.005 --lr_scheduler=cosine --max_train_steps=700")
    page.click("#lrsched_import_use")
    expect(page.locator(TEXT)).to_have_value("cosine(0.005, 0):700")
    expect(page.locator("#lrsched_steps")).to_have_value("700")
    page.click("#lrsched_paste_from")
    page.click("#lrsched_paste_from_menu [data-format=kohya]")
    page.fill("#lrsched_import_text", "--learning_rate=0.005 --lr_scheduler=linear --max_train_epochs=10")
    page.fill("#lrsched_import_epoch", "30")
    page.click("#lrsched_import_use")
    expect(page.locator(TEXT)).to_have_value("linear(0.005, 0):300")
    page.fill("#lrsched_import_text", '{"learning_rate": 0.005, "lr_scheduler": "cosine", "lr_warmup": "lots"}')
    page.click("#lrsched_import_use")
    expect(page.locator("#lrsched_import_said")).to_have_text(re.compile("^lr_warmup: expected a finite number"))
    page.click("#lrsched_paste_from")
    page.click("#lrsched_paste_from_menu [data-format=onetrainer]")
    box = page.locator("#lrsched_import_text")
    expect(box).to_have_attribute("placeholder", re.compile("learning_rate_scheduler"))
    box.fill(str(box.get_attribute("placeholder")))
    page.click("#lrsched_import_use")
    expect(page.locator(TEXT)).to_have_value("linear(0, 0.005):100, cosine(0.005, 0):600")
    expect(page.locator("#lrsched_steps")).to_have_value("600")
