"""From the editor to the Train tab and back: where a text goes, what it trains, and which former texts are kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import choose_tab, create_embedding, open_tab, run_row, show_run, write
from playwright.sync_api import Page, expect

TEXT = "#lrsched_text"
ORIGIN = "#lrsched_origin"
FORMER = "#lrsched_former"
ARRIVAL = "#lrsched_arrival"
OWN = "linear(0.02, 1e-4):400, 1e-5"
RATE = "#train_embedding_learn_rate textarea"
NETWORK_RATE = "#train_hypernetwork_learn_rate textarea"
SAID = "#lrsched_transfer_said"
GO = "#lrsched_send_go_text"
KEEP_A_DAMAGED_TEXT = """localStorage.setItem("lrsched.editor", '{"text": "", "texts": {"clip": null}}')"""
KEEP_ONE_MORE = """() => {
    const former = JSON.parse(localStorage.getItem("lrsched.former"));
    const origin = {target: "embedding", name: "edited"};
    localStorage.setItem("lrsched.former", JSON.stringify([...former, {kind: "rate", text: "0.123", fields: {}, origin}]));
}"""
CHOOSE_AND_EDIT_AT_ONCE = """async (name) => {
    await lrsched.fields.chooseName("embedding", name);
    document.getElementById("lrsched_edit_embeddingRate").click();
}"""
REVEAL_WHAT_IS_NOT_DRAWN = """() => {
    lrsched.tab.watcher.view.panel.hidden = true;
    lrsched.tab.watcher.view.reveal();
}"""


def test_a_field_is_edited_in_the_tab_and_sent_back_and_the_former_text_is_kept(page: Page) -> None:
    create_embedding(page, "edited")
    page.fill("#train_steps input", "900")
    page.fill("#train_gradient_step input", "2")
    page.fill(RATE, "warmup(0.004):10%, cosine(0.004, 1e-5)")
    choose_tab(page, "LR Schedule")
    write(page, OWN)
    choose_tab(page, "Train")
    page.locator("#lrsched_edit_embeddingRate").press("Enter")
    expect(page.locator(TEXT)).to_be_focused()
    expect(page.locator(TEXT)).to_have_value("warmup(0.004):10%, cosine(0.004, 1e-5)")
    expect(page.locator("#lrsched_steps")).to_have_value("900")
    expect(page.locator("#lrsched_accumulate")).to_have_value("2")
    expect(page.locator(ORIGIN)).to_contain_text("From the Train tab: the embedding rate of edited.")
    expect(page.locator("#lrsched_segments tr td:first-child")).to_have_text(["0 – 90", "90 – 900"])
    # The former text was not sent; it and the new text's origin survive a reload.
    expect(page.locator(FORMER)).to_contain_text(f"Your former text: {OWN}")
    page.reload()
    choose_tab(page, "LR Schedule")
    expect(page.locator(ORIGIN)).to_contain_text("the embedding rate of edited")
    expect(page.locator(GO)).to_have_text("then go to the Train tab and choose edited")  # there nothing is chosen after a reload
    write(page, "rex(0.004, 1e-6)")
    page.evaluate(KEEP_ONE_MORE)  # another tab of the browser
    page.get_by_role("button", name="Restore").press("Enter")
    expect(page.locator(TEXT)).to_have_value(OWN)
    expect(page.locator("#lrsched_steps")).to_have_value("2000")
    expect(page.locator(ORIGIN)).to_be_hidden()
    expect(page.locator(GO)).to_have_text("then go to the Train tab")
    expect(page.locator(FORMER)).to_contain_text("0.123")
    page.get_by_role("button", name="Restore").first.press("Enter")  # this one was not sent either, and keeps its origin
    expect(page.locator(TEXT)).to_have_value("rex(0.004, 1e-6)")
    expect(page.locator(FORMER)).to_contain_text(OWN)
    write(page, "0.123")
    page.locator(f"{FORMER} li", has_text="0.123").get_by_role("button", name="Restore").press("Enter")
    expect(page.locator(FORMER)).not_to_contain_text("0.123")
    expect(page.locator(TEXT)).to_be_focused()  # though it had that text already
    write(page, "rex(0.004, 1e-6)")
    page.locator("#lrsched_origin_send").press("Enter")
    expect(page.locator(RATE)).to_be_visible()
    expect(page.locator(RATE)).to_have_value("rex(0.004, 1e-6)")
    expect(page.locator("#train_steps input")).to_have_value("900")
    expect(page.locator(ARRIVAL)).to_have_text("Sent: embedding rate, max steps, batch, accumulation, folder. edited is chosen.")
    expect(page.locator("#train_embedding input")).to_have_value("edited")  # the reload had forgotten it
    expect(page.locator(ARRIVAL)).to_be_focused()
    page.fill(RATE, "0.003")
    expect(page.locator(ARRIVAL)).to_be_hidden()


@pytest.mark.long
def test_each_field_has_its_own_way_back(page: Page) -> None:
    page.goto("/lrsched/v1/scripts")
    page.evaluate(KEEP_A_DAMAGED_TEXT)
    page.goto("/")
    page.fill(NETWORK_RATE, "cosine(1e-4, 1e-6)")
    page.locator("#lrsched_edit_hypernetworkRate").click()
    expect(page.locator(ORIGIN)).to_contain_text("From the Train tab: the hypernetwork rate.")
    expect(page.locator(FORMER)).to_be_hidden()  # the editor had only the page's own text
    page.fill(TEXT, "cosine(")
    expect(page.locator("#lrsched_origin_send")).to_be_disabled()
    write(page, "rex(1e-4, 1e-6)")
    page.select_option("#lrsched_kind", "clip")
    expect(page.locator(ORIGIN)).to_be_hidden()
    page.click("#lrsched_send_clip")
    expect(page.locator(SAID)).to_contain_text("Gradient clipping is switched off there: choose value or norm beside it.")
    page.select_option("#lrsched_kind", "rate")
    choose_tab(page, "Train")
    page.wait_for_function("lrsched.fields.setClipMode('norm')")
    page.locator("#lrsched_edit_clip").click()
    expect(page.locator(ORIGIN)).to_contain_text("From the Train tab: the clip threshold.")
    expect(page.locator(TEXT)).to_have_value("1")
    page.select_option("#lrsched_kind", "rate")
    expect(page.locator(ORIGIN)).to_contain_text("From the Train tab: the hypernetwork rate.")
    page.click("#lrsched_origin_send")
    expect(page.locator(NETWORK_RATE)).to_have_value("rex(1e-4, 1e-6)")
    expect(page.locator(RATE)).to_have_value("0.005")
    expect(page.locator(ARRIVAL)).to_contain_text("Sent: hypernetwork rate")


@pytest.mark.long
@pytest.mark.usefixtures("runs_of_all_sorts")
def test_a_plan_for_a_run_chooses_what_it_trains_and_says_where_it_cannot(page: Page, folder: Path) -> None:
    open_tab(page)
    page.evaluate(REVEAL_WHAT_IS_NOT_DRAWN)
    show_run(page, "paused")
    expect(run_row(page, "paused")).to_be_focused()  # a run that is drawn late does not take the focus
    page.click("#lrsched_run_open")
    expect(page.locator(GO)).to_have_text("then go to the Train tab and choose paused")
    page.select_option("#lrsched_preset", "Embedding: cosine")
    expect(page.locator(GO)).to_have_text("then go to the Train tab")  # another text is not that run's
    page.click("#lrsched_run_continue")
    go = page.get_by_label("then go to the Train tab and choose paused")
    go.check()
    page.click("#lrsched_send_embedding")
    expect(page.locator("#train_embedding input")).to_have_value("paused")
    expect(page.locator(ARRIVAL)).to_contain_text("the resume mode of paused. paused is chosen.")
    expect(page.locator("#lrsched_resume_embedding")).to_contain_text("paused")
    page.evaluate(CHOOSE_AND_EDIT_AT_ONCE, "over")  # before the Train tab was looked at again
    expect(page.locator("#lrsched_run option:checked")).to_have_text(re.compile("^over – "))
    choose_tab(page, "Train")
    page.evaluate(CHOOSE_AND_EDIT_AT_ONCE, "paused")
    expect(page.locator("#lrsched_run option:checked")).to_have_text(re.compile("^paused – "))
    page.locator("#lrsched_origin_close").press("Enter")
    expect(page.locator(ORIGIN)).to_be_hidden()
    page.click("#lrsched_send_hypernetwork")
    expect(page.locator(ARRIVAL)).to_contain_text("The text was opened for the embedding paused.")
    choose_tab(page, "LR Schedule")
    page.select_option("#lrsched_run", "")
    show_run(page, "over")
    page.click("#lrsched_run_open")
    expect(page.locator(GO)).to_have_text("then go to the Train tab")
    page.click("#lrsched_send_embedding")
    expect(page.locator(ARRIVAL)).to_contain_text("The text was opened for over; paused stays chosen.")
    choose_tab(page, "LR Schedule")
    page.select_option("#lrsched_run", label=page.locator("#lrsched_run option", has_text=re.compile("^paused – ")).inner_text())
    file = folder / "embeddings" / "paused.pt"
    aside = file.rename(folder / "aside.pt")
    try:
        page.goto("/")
        choose_tab(page, "LR Schedule")
        expect(go).to_be_checked()
        expect(page.locator("#lrsched_run_note")).to_be_visible()
        page.click("#lrsched_send_embedding")
        expect(page.locator(ARRIVAL)).to_contain_text("paused could not be chosen: the Train tab does not list it")
        expect(page.locator(ARRIVAL)).to_have_class(re.compile("lrsched-bad"))
    finally:
        aside.rename(file)
    usual = {"kind": "embedding", "name": "paused", "way": "continue"}  # the server keeps the mode for the tests after this one
    assert page.request.post("/lrsched/v1/resume", data=usual, headers={"X-LRSched-Page": "1"}).ok
