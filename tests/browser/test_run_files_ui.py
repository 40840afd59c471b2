"""What is kept of a run, in the tab: its snapshots, the run as one file, out and in again, and its end."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import OFFER, choose, choose_tab, open_tab, run_row, show_run, train
from page_state import STARTED
from playwright.sync_api import Page, expect
from practice_runs import TEXT

pytestmark = pytest.mark.usefixtures("runs_of_all_sorts")

STATES = "#lrsched_run_snapshots_rows tr"
SAID = "#lrsched_run_import_said"


# Snapshots -----------------------------------------------------------------------------


def test_saved_states_are_shown_and_a_damaged_one_with_what_is_wrong(page: Page, folder: Path) -> None:
    open_tab(page)
    show_run(page, "spoilt")
    button = page.locator("#lrsched_run_snapshots_open")
    button.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.locator(f"{STATES} td:first-child")).to_have_text(["20", "10"])
    first = page.locator(STATES).first
    expect(first).to_contain_text(re.compile(r"[\d.]+ kB"))
    expect(first).to_contain_text("weights (1x64 float32), optimizer (AdamW), random numbers, data position (8 of 12 batches)")
    expect(first.locator("[data-label=State]")).to_have_text("good")
    expect(page.locator("#lrsched_run_export")).to_have_attribute("href", re.compile("/lrsched/v1/runs/.*spoilt/file$"))
    files = sorted(folder.glob("lrsched/runs/*spoilt/bundles/*.safetensors"))
    files[-1].write_bytes(files[-1].read_bytes()[:-9])
    reopen(page)
    expect(first.locator("[data-label=State]")).to_contain_text("expected")
    expect(first.locator("td:first-child")).to_have_text("–")
    expect(page.locator("#lrsched_run_export")).to_have_attribute("aria-disabled", "false")
    files[0].write_bytes(b"nonsense")
    reopen(page)
    expect(page.locator("#lrsched_run_export_why")).to_have_text("It cannot be exported: none of its snapshots is good.")
    expect(page.locator("#lrsched_run_export")).not_to_have_attribute("href", re.compile("."))
    for file in files:
        file.unlink()
    reopen(page)
    expect(page.locator("#lrsched_run_export_why")).to_have_text("It cannot be exported: it has no snapshot.")
    expect(page.locator("#lrsched_run_snapshots_none")).to_be_visible()


def reopen(page: Page) -> None:
    page.click("#lrsched_run_snapshots_open")
    page.click("#lrsched_run_snapshots_open")


@pytest.mark.long
def test_a_run_that_goes_on_can_be_neither_exported_nor_deleted(page: Page) -> None:
    page.goto("/")
    page.wait_for_function(STARTED)
    page.fill("#train_new_embedding_name textarea", "occupied")
    page.click("#train_create_embedding")
    expect(page.locator("#train_embedding input")).to_have_value("occupied")
    train(page, TEXT, 5000)
    choose_tab(page, "LR Schedule")
    expect(run_row(page, "occupied").locator(".lrsched-state")).to_have_text("running")
    words = "The run is in progress; export and delete are available when it ends."
    expect(page.locator("#lrsched_run_export_why")).to_have_text(words)
    expect(page.locator("#lrsched_run_delete")).to_be_disabled()
    choose_tab(page, "Train")
    offer = page.locator(OFFER)
    expect(offer).to_contain_text(re.compile(r"Is being trained, at step \d+ of 5,000, with"))
    expect(offer.locator("select")).to_be_hidden()
    page.click("#train_interrupt_training")
    expect(offer.locator("select")).to_be_visible()
    choose_tab(page, "LR Schedule")
    expect(page.locator("#lrsched_run_export")).to_have_attribute("aria-disabled", "false")
    expect(page.locator("#lrsched_run_delete")).to_be_enabled()


# Out, away and in again ---------------------------------------------------------------------


def exported(page: Page, name: str, target: Path) -> Path:
    show_run(page, name)
    link = page.locator("#lrsched_run_export")
    expect(link).to_have_attribute("href", re.compile(f"{name}/file$"))
    with page.expect_download() as download:
        link.press("Enter")
    assert download.value.suggested_filename.endswith(f"{name}.lrsched.zip")
    download.value.save_as(target)
    return target


def hand_in(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#lrsched_run_import").press("Enter")
    chooser.value.set_files(file)


def test_a_run_is_exported_deleted_and_imported_again_by_keyboard(page: Page, tmp_path: Path) -> None:
    open_tab(page)
    file = exported(page, "parcel", tmp_path / "parcel.lrsched.zip")
    delete, keep = page.locator("#lrsched_run_delete"), page.locator("#lrsched_run_delete_no")
    delete.press("Enter")
    expect(page.locator("#lrsched_run_ask")).to_contain_text('Delete the run of "parcel" for good, with its numbers')
    expect(keep).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#lrsched_run_ask")).to_be_hidden()
    expect(delete).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(run_row(page, "parcel")).to_have_count(0)
    expect(page.locator(SAID)).to_have_text('Deleted the run of "parcel".')
    expect(page.locator(".lrsched-run[aria-current=true]")).to_be_focused()

    hand_in(page, file)
    taken = "there is an embedding 'parcel' already: give the run another name"
    expect(page.locator(SAID)).to_have_text(f"{file.name}: {taken}")
    name = page.locator("#lrsched_run_import_name")
    expect(name).to_be_focused()
    page.keyboard.type("../parcel")
    page.keyboard.press("Enter")
    expect(page.locator(SAID)).to_contain_text("expected a name of 1 to 100 letters, digits and . _ -, got '../parcel'")
    name.fill("second parcel")
    page.keyboard.press("Enter")
    imported = 'Imported "second parcel" (embedding, step 20 of 20). The Train tab lists it.'
    expect(page.locator(SAID)).to_have_text(imported)
    expect(name).to_be_hidden()
    expect(run_row(page, "second parcel")).to_have_attribute("aria-current", "true")
    expect(page.locator("#lrsched_run_title")).to_have_text("second parcel (embedding, finished)")
    choose_tab(page, "Train")
    choose(page, page.locator("#train_embedding input"), "second parcel")
    expect(page.locator(OFFER)).to_contain_text(f"Continues at step 20 of 20 with{TEXT}exactly where it was saved.")


def test_error_a_damaged_file_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    open_tab(page)
    expect(run_row(page, "woven")).to_be_visible()
    count = page.locator(".lrsched-run").count()
    damaged = tmp_path / "torn <b>.lrsched.zip"
    damaged.write_bytes(b"PK\x03\x04 torn")
    hand_in(page, damaged)
    words = f"{damaged.name}: expected the file of an exported run (a zip), but it cannot be read: "
    expect(page.locator(SAID)).to_contain_text(words)
    expect(page.locator("#lrsched_run_import_more")).to_be_hidden()
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("anything.txt", "no run")
    damaged.write_bytes(other.getvalue())
    hand_in(page, damaged)
    expect(page.locator(SAID)).to_contain_text("bundle.safetensors and run.json is not in it")
    expect(page.locator("#lrsched_run_import")).to_be_enabled()
    assert page.locator(".lrsched-run").count() == count


@pytest.mark.long
def test_a_file_can_be_dropped_onto_the_runs(page: Page) -> None:
    open_tab(page)
    expect(run_row(page, "woven")).to_be_visible()
    drop = """() => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(["nonsense"], "dropped.zip"));
        const runs = document.querySelector("#lrsched_runs");
        const tell = (name) => runs.dispatchEvent(new DragEvent(name, {dataTransfer, bubbles: true, cancelable: true}));
        return [tell("dragover"), tell("drop")];
    }"""
    assert page.evaluate(drop) == [False, False]  # else the browser would open the file in place of the page
    expect(page.locator(SAID)).to_contain_text("dropped.zip: expected the file of an exported run (a zip)")


@pytest.mark.long
def test_an_import_says_how_far_it_is_and_can_be_stopped(page: Page, tmp_path: Path) -> None:
    open_tab(page)
    page.route("**/lrsched/v1/runs?name=*", lambda route: None)  # a server that takes its time
    slow = tmp_path / "slow.zip"
    slow.write_bytes(bytes(5000))
    hand_in(page, slow)
    expect(page.locator(SAID)).to_contain_text(re.compile(r"slow\.zip: (sending, \d+ % of 5 kB|sent, the server is checking it)\."))
    expect(page.locator("#lrsched_run_import")).to_be_disabled()
    stop = page.locator("#lrsched_run_import_stop")
    expect(stop).to_have_text("Stop")
    stop.press("Enter")
    expect(page.locator(SAID)).to_have_text("slow.zip: Cancelled.")
    expect(page.locator("#lrsched_run_import")).to_be_enabled()
    expect(stop).to_have_text("Close")
    stop.press("Enter")
    expect(page.locator(SAID)).to_be_hidden()
    expect(page.locator("#lrsched_run_import")).to_be_focused()


@pytest.mark.parametrize(("width", "theme"), [
    (400, "dark"),
    *(pytest.param(*other, marks=pytest.mark.long) for other in ((400, "light"), (1400, "dark"), (1400, "light"))),
])  # fmt: skip
def test_what_is_opened_hangs_over_no_edge(page: Page, theme: str, width: int, tmp_path: Path) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_tab(page, f"/?__theme={theme}")
    show_run(page, "again")
    page.click("#lrsched_run_snapshots_open")
    expect(page.locator(STATES)).to_have_count(3)
    page.click("#lrsched_run_delete")
    page.click("#lrsched_run_continue")
    expect(page.locator("#lrsched_segments tr td:first-child")).to_have_text(["0 – 60"])
    expect(page.locator("#lrsched_handles")).not_to_have_class(re.compile("waiting"))
    nonsense = tmp_path / f"{'n' * 120}.zip"
    nonsense.write_bytes(b"nonsense")
    hand_in(page, nonsense)
    expect(page.locator(SAID)).to_contain_text("expected the file")
    outside = """() => [...document.querySelectorAll("#lrsched_page *")].filter((node) => {
        const box = node.getBoundingClientRect();
        return box.width > 0 && box.right > innerWidth + 1 && !node.closest(".lrsched-scroll, .lrsched-caret, code");
    }).map((node) => node.outerHTML.slice(0, 80))"""
    assert page.evaluate(outside) == []
    choose_tab(page, "Train")
    choose(page, page.locator("#train_embedding input"), "fallen")
    expect(page.locator(f"{OFFER} select")).to_be_visible()
    inside = f"""() => {{
        const edge = document.querySelector("{OFFER}").parentElement.getBoundingClientRect().right;
        return [...document.querySelectorAll("{OFFER} *")].every((node) => node.getBoundingClientRect().right <= edge);
    }}"""
    assert page.evaluate(inside)
