"""A narrow window, a zoom of 200 %, the keyboard alone and a screen reader: the chart is near its text, every control has a name,
nothing is cut, and what the browser draws by itself follows the theme.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import choose_tab, create_embedding, open_tab, show_run, write
from playwright.sync_api import Browser, FloatRect, Page, expect

MOST_PRESSES = 6
"""Of Tab, from the text to the chart's first handle."""

TEXT = ("warmup(0.005):5%, cyclic(1e-4, 0.005, rise=50):60%, repeat(2, cosine(0.005, 1e-5):100), "
        "restarts(0.004, 1e-5, first_cycle=100)")
ITS_OWN = ".lrsched, .lrsched *"

NAMELESS = """(ours) => {
    const name = (node) => {
        const by = (node.getAttribute("aria-labelledby") ?? "").split(/\\s+/).filter(Boolean);
        const labels = [...(node.labels ?? [])].map((label) => {
            const copy = label.cloneNode(true);
            for (const control of copy.querySelectorAll("input, select, textarea, button, small")) control.remove();
            return copy.textContent;
        });
        const speaks = /^(BUTTON|A|SUMMARY|H\\d)$/.test(node.tagName) || /^(option|menuitem)$/.test(node.getAttribute("role"));
        return [...by.map((id) => document.getElementById(id)?.textContent ?? ""), node.getAttribute("aria-label") ?? "", ...labels,
            speaks ? node.textContent : "", node.title ?? ""].join(" ").trim();
    };
    const controls = "button, input, select, textarea, summary, a[href], [tabindex], [role=slider], [role=listbox], dialog";
    const isNameless = (node) => node.matches(controls) && node.checkVisibility() && !/[\\p{L}\\d]/u.test(name(node));
    return [...document.querySelectorAll(ours)].filter(isNameless).map((node) => node.outerHTML.slice(0, 160));
}"""

TWICE = """() => {
    const ids = [...document.querySelectorAll("[id^=lrsched]")].map((node) => node.id); // gradio doubles those of its own blocks
    return ids.filter((id, i) => ids.indexOf(id) !== i);
}"""

CUT = """(ours) => [...document.querySelectorAll(ours)].filter((node) => {
    if (!node.checkVisibility() || node.closest(".lrsched-scroll, .lrsched-unseen, .lrsched-backdrop, svg, pre")) return false;
    const style = getComputedStyle(node);
    const clips = style.overflowX === "hidden" || style.overflowX === "clip";
    const box = node.getBoundingClientRect();
    const isWordless = !node.textContent.trim();
    const isCut = clips && !isWordless && node.scrollWidth > node.clientWidth + 1 && !node.title;
    return isCut || (box.width > 0 && box.right > innerWidth + 1);
}).map((node) => node.outerHTML.slice(0, 160))"""

OTHER_SCHEME = """([ours, scheme]) => [...document.querySelectorAll(ours)]
    .filter((node) => getComputedStyle(node).colorScheme !== scheme)
    .map((node) => node.outerHTML.slice(0, 120))"""


@pytest.fixture
def zoomed(browser: Browser, server: str) -> Iterator[Page]:
    """A window 1000 px wide at a zoom of 200 %: 500 px of the page, each two of the screen."""
    context = browser.new_context(viewport={"width": 500, "height": 450}, device_scale_factor=2, base_url=server)
    yield context.new_page()
    context.close()


def check(page: Page, where: str) -> None:
    """What holds of every control and every text that is seen."""
    assert page.evaluate(NAMELESS, ITS_OWN) == [], f"{where}: controls without a name"
    assert page.evaluate(TWICE) == [], f"{where}: ids that stand twice"
    assert page.evaluate(CUT, ITS_OWN) == [], f"{where}: cut"
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1], where


def presses(page: Page, there: str) -> int:
    """How often Tab is pressed from the text until what has the focus matches."""
    page.locator("#lrsched_text").focus()
    for number in range(1, 60):
        page.keyboard.press("Tab")
        if page.evaluate("(there) => document.activeElement.matches(there)", there):
            return number
    raise AssertionError(f"60 presses of Tab do not lead to {there}")


def check_the_way_to_the_chart(page: Page) -> None:
    open_tab(page)
    write(page, "warmup(0.005):5%, cosine(0.005, 1e-5):60%, 1e-5")
    expect(page.locator("#lrsched_handles .lrsched-handle").first).to_be_visible()
    assert presses(page, "#lrsched_shapes button") == 1
    assert presses(page, "#lrsched_handles .lrsched-handle") == 4  # behind the shapes, the axis and the chart itself
    write(page, TEXT)
    expect(page.locator("#lrsched_messages")).to_contain_text("jumps")  # its button is one press more
    expect(page.locator("#lrsched_handles")).not_to_have_class(re.compile("waiting"))
    assert presses(page, "#lrsched_handles .lrsched-handle") <= MOST_PRESSES
    # What Tab comes to stands further down, or further right: the eye goes where the keyboard goes.
    text, shapes, chart, form = (box(page, name) for name in ("text", "shapes", "chart", "item"))
    if page.evaluate("innerWidth") < 900:
        assert text["y"] < shapes["y"] < chart["y"] < form["y"]
        assert chart["y"] - (shapes["y"] + shapes["height"]) < 120, "only the chart's own head lies between"
    else:
        assert chart["x"] > text["x"] + text["width"]
        assert abs(chart["y"] - text["y"]) < 60
        assert form["y"] - (shapes["y"] + shapes["height"]) < 80, "the form follows the text, whatever the chart's height"


def box(page: Page, name: str) -> FloatRect:
    found = page.locator(f"#lrsched_{name}").bounding_box()
    assert found is not None
    return found


def test_the_chart_follows_its_text_at_500_pixels_and_in_a_wide_window(page: Page) -> None:
    check_the_way_to_the_chart(page)
    page.set_viewport_size({"width": 500, "height": 900})
    page.evaluate("localStorage.clear()")
    check_the_way_to_the_chart(page)


@pytest.mark.long
def test_at_a_zoom_of_200_percent_the_chart_follows_its_text(zoomed: Page) -> None:
    check_the_way_to_the_chart(zoomed)
    check(zoomed, "zoom 200 %")


def test_the_shapes_are_one_stop_with_arrow_keys(page: Page) -> None:
    open_tab(page)
    write(page, "0.005:100, 1e-3")
    row = page.get_by_role("toolbar", name="Insert a shape after the segment at the cursor")
    buttons = row.locator("button")
    assert row.locator("[tabindex='0']").count() == 1
    page.locator("#lrsched_text").focus()
    page.keyboard.press("Tab")
    expect(buttons.first).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(buttons.last).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(buttons.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(buttons.last).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#lrsched_text")).to_be_focused()
    page.keyboard.press("Tab")
    expect(buttons.last).to_be_focused()  # where it was left
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#lrsched_text")).to_have_value(re.compile("linear"))


def open_all(page: Page) -> Iterator[str]:
    """Everything in the tab that can be opened, one after the other; says where it is."""
    write(page, TEXT)
    expect(page.locator("#lrsched_item h4")).to_be_visible()
    yield "planner"
    page.click("#lrsched_help_open")
    page.click("#lrsched_compare_add")
    for summary in page.locator("#lrsched_page .lrsched-columns summary:visible").all():
        summary.click()
    yield "help, comparison, form"
    for menu, entry, panel in (("copy_as", "a1111", "export"), ("paste_from", "deepspeed", "import")):
        page.click(f"#lrsched_{menu}")
        check(page, menu)
        page.click(f"#lrsched_{menu}_menu [data-format={entry}]")
        expect(page.locator(f"#lrsched_{panel}")).to_be_visible()
        yield panel
    page.click("#lrsched_trial_find")
    expect(page.locator("#lrsched_page .lrsched-trial-start:visible")).to_have_count(1)
    page.locator("#lrsched_page .lrsched-trial-start:visible summary").first.click()
    yield "the start of a trial"
    show_run(page, "gallery")
    page.click("#lrsched_run_snapshots_open")
    expect(page.locator("#lrsched_run_snapshots_rows tr").first).to_be_visible()
    page.click("#lrsched_run_events_title")
    page.click("#lrsched_run_delete")
    yield "a run"
    page.locator("#lrsched_run_strip button:visible").last.click()
    yield "its images"
    for name in ("paused", "again"):
        page.locator(".lrsched-run", has_text=name).first.focus()
        page.keyboard.press("Space")
    page.click("#lrsched_runs_compare")
    expect(page.locator("#lrsched_compared_outcomes tbody tr").first).to_be_visible()
    yield "runs beside each other"


@pytest.mark.long
@pytest.mark.usefixtures("runs_of_all_sorts")
def test_every_control_has_a_name_no_id_stands_twice_and_nothing_is_cut_at_500_pixels(page: Page) -> None:
    page.set_viewport_size({"width": 500, "height": 900})
    open_tab(page, "/?__theme=dark")
    for where in open_all(page):
        check(page, where)
        assert page.evaluate(OTHER_SCHEME, [ITS_OWN, "dark"]) == [], f"{where}: scrollbars of the other theme"
    create_embedding(page, "reached")
    choose_tab(page, "Train")
    page.locator("#lrsched_options summary").first.click()
    expect(page.locator("#lrsched_option_progress_every")).to_be_visible()
    check(page, "the Train tab")
    assert page.evaluate(OTHER_SCHEME, [ITS_OWN, "light"]) == []  # it was opened anew, without a theme


def break_it(page: Page, script: str) -> Callable[[], None]:
    page.evaluate(script)
    return lambda: check(page, "broken")


@pytest.mark.long
def test_the_checks_above_notice_what_they_are_for(page: Page) -> None:
    open_tab(page)
    check(page, "as it is")
    for script, found in (
        ("const [one] = document.querySelectorAll('#lrsched_shapes button'); one.textContent = one.title = ''", "name"),
        ("document.querySelector('#lrsched_preset_note').id = 'lrsched_text'", "twice"),
        ("document.querySelector('#lrsched_hello p').style.cssText = 'overflow: hidden; white-space: nowrap; width: 40px'", "cut"),
    ):
        with pytest.raises(AssertionError, match=found):
            break_it(page, script)()
        page.reload()
        open_tab(page)
