"""What somebody does who has a dozen photographs: a first visit, a first training, another schedule in its middle, export.

Functions of a page with the tab open, for the practice host and a WebUI. None of them starts a training: the hosts' pages differ.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from browser_steps import OWN_LINE, choose_tab, run_row, show_run
from playwright.sync_api import Locator, Page, expect

BEFORE = 3
"""So many steps before the place at which a run resumes its new text has a boundary."""

SECOND, AFTER = 0.001, 4
STOPS = {"lrsched_start_from", "lrsched_text", "lrsched_send_embedding", "lrsched_copy_as", "lrsched_run_import"}
"""Some of what the Tab key reaches."""

MADE = """(least) => {
    const words = document.querySelector("#lrsched_run_numbers dd")?.textContent ?? "0";
    return Number(words.split(" ")[0].replace(",", "")) >= least;
}"""
CHART_PARTS = """() => {
    const chart = document.getElementById("lrsched_chart");
    const box = (selector) => chart.querySelector(selector).getBoundingClientRect();
    const stroke = (selector) => getComputedStyle(chart.querySelector(selector)).stroke.match(/\\d+/g).slice(0, 3).map(Number);
    return {
        past: [box("path.lrsched-look-past").left, box("path.lrsched-look-past").right],
        future: [box("path.lrsched-look-0").left, box("path.lrsched-look-0").right],
        mark: box(".lrsched-mark-resume").left, grey: stroke("path.lrsched-look-past"), blue: stroke("path.lrsched-look-0"),
    };
}"""
FOCUS = """() => {
    const node = document.activeElement;
    const box = node.getBoundingClientRect();
    const frame = node.closest(".lrsched-editor"); // of the text, which has no outline of its own
    const is_seen = frame ? getComputedStyle(frame).boxShadow !== "none" : getComputedStyle(node).outlineStyle !== "none";
    return {
        id: node.id || `${node.tagName} ${(node.ariaLabel ?? node.textContent).trim().slice(0, 40)}`,
        is_body: node === document.body, is_ours: node.closest(".lrsched") !== null, is_seen,
        is_in_view: box.width > 0 && box.bottom > 0 && box.top < innerHeight,
    };
}"""


# A first visit --------------------------------------------------------------------------------


def start_from(page: Page) -> None:
    """A preset by keyboard; the text has the focus then."""
    expect(page.locator("#lrsched_hello")).to_contain_text("see it before it runs")
    start, menu, text = page.locator("#lrsched_start_from"), page.locator("#lrsched_start_from_menu"), page.locator("#lrsched_text")
    expect(start).to_be_enabled()
    before = page.locator(OWN_LINE).get_attribute("d")
    start.press("Enter")
    expect(menu.locator("[role=menuitem]").first).to_be_focused()
    assert all(re.search(r"\w+.*\.", words) for words in menu.locator("span").all_inner_texts()), "each has its note"
    page.keyboard.press("ArrowDown")
    chosen = page.evaluate("document.activeElement.dataset.format")
    page.keyboard.press("Enter")
    expect(page.locator("#lrsched_preset")).to_have_value(chosen)
    expect(page.locator(OWN_LINE)).not_to_have_attribute("d", before or "")
    expect(text).to_be_focused()
    assert page.input_value("#lrsched_text") != ""


def read_help(page: Page) -> None:
    button, words = page.locator("#lrsched_help_open"), page.locator("#lrsched_help")
    button.press("Enter")
    expect(words).to_contain_text("Nothing is trained.")
    expect(button).to_have_attribute("aria-expanded", "true")
    button.press("Enter")
    expect(words).to_be_hidden()


def tab_through(page: Page, most: int = 150) -> list[str]:
    """Walks through our tab with the Tab key alone. The focused control is in view and visibly focused."""
    page.locator("#tabs > .tab-nav button").get_by_text("LR Schedule", exact=True).focus()
    stops: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        if focus["is_body"] or (stops and not focus["is_ours"]):
            break
        if focus["is_ours"]:
            assert focus["is_seen"], f"nothing shows that {focus['id']} has the focus"
            assert focus["is_in_view"], f"{focus['id']} has the focus out of view"
            stops.append(focus["id"])
    return stops


# A first training -----------------------------------------------------------------------------


def ask_which(page: Page, updates: int, rate: str) -> str:
    """The questions are answered far below the text; what they write is seen at once. Returns the text."""
    if page.locator("#lrsched_which[open]").count() == 0:
        page.locator("#lrsched_which summary").press("Enter")
    page.fill("#lrsched_which_updates", str(updates))
    page.fill("#lrsched_which_rate", rate)
    advised = page.inner_text("#lrsched_which_text")
    page.locator("#lrsched_which_use").press("Enter")
    expect(page.locator("#lrsched_text")).to_have_value(advised)
    expect(page.locator("#lrsched_text")).to_be_focused()
    expect(page.locator("#lrsched_text")).to_be_in_viewport()
    expect(page.locator("#lrsched_steps")).to_have_value(str(updates))
    return advised


def send(page: Page, text: str, steps: int) -> None:
    """The schedule and max steps, to the Train tab, where the same curve stands below the field."""
    button = page.locator("#lrsched_send_embedding")
    expect(button).to_be_enabled()
    button.press("Enter")
    choose_tab(page, "Train")
    expect(page.locator("#train_embedding_learn_rate textarea")).to_have_value(text)
    expect(page.locator("#train_steps input")).to_have_value(str(steps))
    expect(page.locator("#lrsched_inline_embeddingRate .lrsched-lines path").first).to_have_attribute("d", re.compile("^M.{20,}"))


def watch(page: Page, name: str, total: int) -> None:
    """From the Train tab to the run, while it trains: its title has the focus, and its numbers grow."""
    line = page.locator("#lrsched_training_status")
    expect(line).to_contain_text(f"{name} (embedding) is being trained: step ")
    line.get_by_role("button", name="Show the run").press("Enter")
    expect(page.locator("#lrsched_run_title")).to_have_text(f"{name} (embedding, running)")
    expect(page.locator("#lrsched_run_title")).to_be_focused()
    expect(page.locator("#lrsched_run_title")).to_be_in_viewport()
    expect(page.locator("#lrsched_run_status")).to_have_text(re.compile(rf"^Running: step \d+ of {total:,}"))
    page.wait_for_function(MADE, arg=BEFORE + 2)


def stop(page: Page, name: str) -> int:
    """Interrupts the run that is shown; the button goes, and the title has the focus. Returns how many updates were made."""
    page.locator("#lrsched_run_interrupt").press("Enter")
    expect(page.locator("#lrsched_run_title")).to_have_text(f"{name} (embedding, interrupted)")
    expect(page.locator("#lrsched_run_title")).to_be_focused()
    status = page.locator("#lrsched_run_status")
    expect(status).to_have_text(re.compile(r"^Interrupted after [\d,]+ of [\d,]+ updates\. Train again to resume\.$"))
    return int(status.inner_text().split()[2].replace(",", ""))


def find_again(page: Page, name: str, done: int, total: int, text: str) -> None:
    """In the Train tab after a reload, with the name chosen: what is there is offered, and every field comes back."""
    offer = page.locator("#lrsched_resume_embedding")
    expect(offer).to_contain_text(f"Continues at step {done:,} of {total:,} with{text}exactly where it was saved.")
    page.fill("#train_embedding_learn_rate textarea", "0.123")
    page.fill("#train_steps input", str(total + 1))
    offer.get_by_role("button", name="Use its last settings").press("Enter")
    expect(page.locator("#train_embedding_learn_rate textarea")).to_have_value(text)
    expect(page.locator("#train_steps input")).to_have_value(str(total))
    expect(page.locator("#lrsched_training_status")).to_contain_text(f"{name}: Interrupted after {done:,} of {total:,} updates.")


# Another schedule -------------------------------------------------------------------------------


def change_schedule(page: Page, name: str, done: int) -> tuple[str, int]:
    """
    A run that stopped is planned on with another text: in numbers what of it will be played, the past grey, the future blue, and
    a mark between them. Returns the text and the new max steps.
    """
    text, total = f"0.004:{done - BEFORE}, {SECOND}:{done + AFTER}, 1e-4", done + 2 * AFTER
    show_run(page, name)
    page.locator("#lrsched_run_continue").press("Enter")
    mark, note = page.locator("#lrsched_chart .lrsched-mark-label"), page.locator("#lrsched_run_note")
    expect(mark).to_have_text(f"continues at {done:,}")
    page.fill("#lrsched_steps", str(total))
    page.fill("#lrsched_text", text)
    expect(mark).to_have_text(f"new schedule from {done:,}")
    expect(note).to_contain_text(f"Resumes at step {done:,} of ")
    expect(note).to_contain_text(f"Steps {done:,} to {total:,} of the text will be played; 0.004:{done - BEFORE} ")
    expect(note).to_contain_text(f"{BEFORE} of the {BEFORE + AFTER} steps of {SECOND}:{done + AFTER} are over")
    drawn = page.evaluate(CHART_PARTS)
    assert drawn["past"][1] <= drawn["mark"] + 3, drawn
    assert abs(drawn["future"][0] - drawn["mark"]) <= 3, drawn
    assert max(drawn["grey"]) - min(drawn["grey"]) < 40, drawn
    assert drawn["blue"][2] - drawn["blue"][0] > 80, drawn
    return text, total


def play_from_the_beginning(page: Page, done: int) -> None:
    """There and back: all of the text over the steps that are left, then the part of it again."""
    mark, first = page.locator("#lrsched_chart .lrsched-mark-label"), page.locator("#lrsched_segments td:first-child").first
    page.select_option("#lrsched_run_mode", "restart")
    expect(mark).to_have_text(f"restarts at {done:,}")
    expect(first).to_have_text(re.compile(f"^{done:,} – "))
    expect(page.locator("#lrsched_run_note")).not_to_contain_text("will be played")
    page.select_option("#lrsched_run_mode", "continue")
    expect(mark).to_have_text(f"new schedule from {done:,}")
    expect(first).to_have_text(re.compile("^0 – "))


def expect_changed(page: Page, name: str, total: int) -> None:
    """After the training: on every chart of the run stands where its schedule became another."""
    choose_tab(page, "LR Schedule")
    show_run(page, name)
    expect(page.locator("#lrsched_run_title")).to_have_text(f"{name} (embedding, finished)")
    expect(page.locator("#lrsched_run_numbers > div").first).to_contain_text(f"{total:,} of {total:,}")
    for chart in ("#lrsched_run_rate", "#lrsched_run_picked"):
        expect(page.locator(f"{chart} .lrsched-mark-label")).to_have_text(["new schedule"])
    expect(page.locator("#lrsched_run_rate .lrsched-lines path")).to_have_count(2)


# Export -------------------------------------------------------------------------------------


def choose_in_menu(page: Page, button: Locator, label: str) -> None:
    """With the arrow keys, from the first entry."""
    button.press("Enter")
    for _ in range(20):
        if page.evaluate("document.activeElement.textContent.trim()") == label:
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(button).to_be_focused()


def copy_schedule(page: Page, label: str) -> str:
    """The schedule in another program's words, copied."""
    choose_in_menu(page, page.locator("#lrsched_copy_as"), label)
    expect(page.locator("#lrsched_export_title")).to_have_text(f"As {label}")
    expect(page.locator("#lrsched_export_copy")).to_be_enabled()
    expect(page.locator("#lrsched_export_trouble")).to_be_empty()
    copied = page.input_value("#lrsched_export_text")
    page.locator("#lrsched_export_copy").press("Enter")
    expect(page.locator("#lrsched_export_said")).to_have_text("Copied.")
    page.locator("#lrsched_export_close").press("Enter")
    expect(page.locator("#lrsched_copy_as")).to_be_focused()
    return copied


def paste_schedule(page: Page, label: str) -> None:
    """What is in the clipboard, out of another program's words into the editor; the focus stays beside what is said of it."""
    choose = page.locator("#lrsched_paste_from")
    choose.press("Enter")
    page.locator("#lrsched_paste_from_menu").get_by_role("menuitem", name=label, exact=True).press("Enter")
    expect(page.locator("#lrsched_import_text")).to_be_focused()
    page.keyboard.press("Control+v")
    page.locator("#lrsched_import_use").press("Enter")
    expect(page.locator("#lrsched_import_said")).to_contain_text("It is in the editor.")
    expect(page.locator("#lrsched_import_use")).to_be_focused()
    page.locator("#lrsched_import_close").press("Enter")
    expect(choose).to_be_focused()


def numbers_of_run(page: Page, label: str, target: Path) -> Path:
    """The numbers of the run that is shown, as a file."""
    with page.expect_download() as download:
        choose_in_menu(page, page.locator("#lrsched_run_numbers_as"), label)
    download.value.save_as(target)
    expect(page.locator("#lrsched_run_numbers_said")).to_have_text(
        f"Saved {download.value.suggested_filename}, where the browser keeps downloads."
    )
    return target


def take_run_elsewhere(page: Page, name: str, text: str, folder: Path) -> None:
    """A run's numbers in every form, and the run itself."""
    show_run(page, name)
    (row,) = rows_of(numbers_of_run(page, "Table, CSV", folder / "table.csv"))
    assert row["name"] == name
    assert text in row["rate_text"]
    curves = rows_of(numbers_of_run(page, "Curves, CSV", folder / "curves.csv"))
    assert {"progress", "smoothed loss"} <= {one["curve"] for one in curves}
    assert {one["id"] for one in curves} == {row["id"]}
    assert numbers_of_run(page, "Chart, PNG", folder / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert name in numbers_of_run(page, "Page, HTML", folder / "page.html").read_text()
    with page.expect_download() as download:
        page.locator("#lrsched_run_export").press("Enter")
    assert download.value.suggested_filename.endswith(f"{name}.lrsched.zip")
    expect(run_row(page, name)).to_have_attribute("aria-current", "true")


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))
