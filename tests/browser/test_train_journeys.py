"""Past runs in the Train tab: their settings used again, profiles, snapshots, and how the last training ended."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import train_journeys as steps
from browser_steps import choose, choose_tab, create_embedding, open_tab, train, wait_for_frames, wait_until
from page_state import STARTED
from playwright.sync_api import Page, Route, expect
from train_journeys import STATUS

RATE = "warmup(0.004):10, cosine(0.004, 1e-4)"
OUTPUT = "#ti_output textarea"
CONCEPT = Path(__file__).resolve().parents[2] / "lib_lrsched" / "practice" / "concept"


def test_a_person_takes_up_settings(page: Page, tmp_path: Path) -> None:
    create_embedding(page, "taken")
    steps.set_width(page, 24)
    train(page, RATE, 12)
    expect(page.locator(OUTPUT)).to_have_value(re.compile("^Training finished at 12 steps"))
    expect(page.locator(STATUS)).to_contain_text("taken: Finished: 12 updates.")
    page.reload()
    expect(page.locator(STATUS)).to_contain_text("taken: Finished: 12 updates.")
    steps.fill_from_run(page, "taken", 24, RATE)
    steps.keep_and_load(page, "cats, <b>large</b>", 40)
    folder = tmp_path / "cats"
    shutil.copytree(CONCEPT, folder)
    steps.miss_a_folder(page, "of a folder that goes", str(folder), lambda: shutil.rmtree(folder))
    steps.replace_and_delete(page, "of a folder that goes")
    steps.save_run_as_profile(page, "taken", "as it was")
    steps.error_a_run_that_is_gone(page, "taken")
    # A name that is chosen stays; the profile's own stands in the list.
    create_embedding(page, "another")
    steps.load_profile(page, "as it was")
    expect(page.locator("#train_embedding input")).to_have_value("another")
    expect(page.locator(f"{steps.DIFFERENCES} li")).to_have_text(["Embedding: another here, taken in the profile"])
    expect(page.locator("#train_embedding_learn_rate textarea")).to_have_value(RATE)


def test_of_two_profiles_that_are_loaded_the_later_is_filled_in_and_a_list_that_comes_late_hides_no_new_one(page: Page) -> None:
    create_embedding(page, "twofold")
    for width in (40, 48):
        steps.set_width(page, width)
        steps.save_profile(page, f"twofold {width}")
    held: list[Route] = []
    page.route("**/profiles/twofold%2040?check=1", lambda route: held.append(route))
    load = "(name) => { void lrsched.helpers.reference.takeProfile(name).then((said) => { globalThis.said = [name, said]; }); }"
    page.evaluate(load, "twofold 40")
    wait_until(page, lambda: held)
    page.evaluate(load, "twofold 48")
    page.wait_for_function("globalThis.said?.[0] === 'twofold 48'")
    held[0].continue_()
    page.wait_for_function("globalThis.said[0] === 'twofold 40'")
    assert page.evaluate("globalThis.said[1]") is None
    expect(page.locator(steps.WIDTH)).to_have_value("48")
    expect(page.locator(steps.DIFFERENCES)).to_contain_text('Every field is as in the profile "twofold 48".')

    lists: list[Route] = []
    page.route("**/lrsched/v1/profiles", lambda route: lists.append(route) if route.request.method == "GET" else route.continue_())
    page.evaluate("lrsched.helpers.profiles.again()")
    wait_until(page, lambda: lists)
    old = lists[0].fetch()
    steps.save_profile(page, "twofold new")
    with page.expect_response(lambda answer: answer.request.method == "GET" and answer.url.endswith("/profiles")):
        lists[0].fulfill(response=old)
    wait_for_frames(page)
    expect(page.locator(f"{steps.PROFILES} select")).to_have_value("twofold new")

    saves: list[Route] = []
    page.route("**/lrsched/v1/profiles", lambda route: saves.append(route) if route.request.method == "POST" else route.continue_())
    steps.ask_profile(page, "twofold once")
    wait_until(page, lambda: saves)
    page.keyboard.press("Enter")
    page.locator(f"{steps.PROFILES} input").fill("another name")
    saves[0].continue_()
    expect(page.locator(steps.PROFILES)).to_contain_text('Saved as "twofold once".')
    assert len(saves) == 1


@pytest.mark.long
def test_options_of_a_run_whose_name_cannot_be_chosen_go_to_no_other(page: Page) -> None:
    create_embedding(page, "bystander")
    found = {"kind": "embedding", "inputs": {"embedding_name": "nobody"}, "options": {"spread_timesteps": True}, "missing": []}
    page.route("**/runs/made/profile?check=1", lambda route: route.fulfill(json=found))
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    assert page.evaluate("lrsched.helpers.reference.takeRun({id: 'made', name: 'nobody'})") == ""
    assert [one for one in sent if one.startswith("POST") and one.endswith("/options")] == []
    words = ["Embedding: bystander here, nobody in the run", "Evenly spread timesteps: off here, on in the run"]
    expect(page.locator(f"{steps.DIFFERENCES} li")).to_have_text(words)


@pytest.mark.long
def test_a_person_keeps_house(page: Page) -> None:
    create_embedding(page, "house")
    train(page, RATE, 60)
    expect(page.locator(OUTPUT)).to_have_value(re.compile("^Training finished at 60 steps"))
    steps.check_snapshots(page, "house")
    steps.resume_from_kept(page, "house", 50, 60)
    train(page, RATE, 66)
    expect(page.locator(OUTPUT)).to_have_value(re.compile("^Training finished at 66 steps"))
    expect(page.locator("#lrsched_resume_embedding")).to_contain_text("Continues at step 66 of 66")
    steps.keep_only_the_last(page, "house", 66)
    page.click("#lrsched_run_events_title")
    expect(page.locator("#lrsched_run_events")).to_contain_text("resumes at step 50 of 66")


@pytest.mark.long
def test_what_goes_on_and_each_rescue_stand_below_the_buttons_whatever_is_chosen(page: Page) -> None:
    create_embedding(page, "goes on")
    train(page, "0.005", 5000)
    line = page.locator(STATUS)
    expect(line).to_contain_text(re.compile(r"goes on \(embedding\) is being trained: step \d+ of 5,000\."))
    page.reload()
    expect(page.locator("#train_embedding input")).to_have_value("")
    expect(line).to_contain_text("goes on (embedding) is being trained: step ")
    line.get_by_role("button", name="Show the run").press("Enter")
    expect(page.locator("#lrsched_run_title")).to_have_text("goes on (embedding, running)")
    choose_tab(page, "Train")
    page.click("#train_interrupt_training")
    expect(line).to_contain_text("goes on: Interrupted after")

    def with_rescues(route: Any) -> None:
        answer = route.fetch()
        found = answer.json()
        found["last"] |= {"state": "failed", "outcome": "failed after 40 of 300 updates; update 41: the loss is nan",
                          "rescues": [{"step": 12, "message": "the rate is halved <i>"}, {"step": 30, "message": "and again"}]}
        route.fulfill(response=answer, json=found)

    page.route("**/lrsched/v1/training", with_rescues)
    expect(line.locator(".lrsched-training-status-rescue")).to_have_text(
        ["Rescue at step 12: The rate is halved <i>.", "Rescue at step 30: And again."]
    )
    expect(line).to_contain_text("goes on: Failed after 40 of 300 updates; update 41: the loss is nan.")
    expect(line.locator(".lrsched-bad")).to_be_visible()
    page.unroute_all(behavior="ignoreErrors")


@pytest.mark.long
def test_the_lines_on_a_name_move_no_button_beside_it(page: Page) -> None:
    create_embedding(page, "still")
    page.goto("/")
    page.wait_for_function(STARTED)
    boxes = [page.locator(f"#refresh_train_{kind}_name") for kind in ("embedding", "hypernetwork")]
    before = [box.bounding_box() for box in boxes]
    name = page.locator("#train_embedding").bounding_box()
    choose(page, page.locator("#train_embedding input"), "taken" if run_exists(page, "taken") else "still")
    expect(page.locator("#lrsched_inline_embeddingRate .lrsched-svg")).to_be_visible()
    page.wait_for_timeout(1500)
    assert [box.bounding_box() for box in boxes] == before
    assert page.locator("#train_embedding").bounding_box() == name


def run_exists(page: Page, name: str) -> bool:
    """Of a test before this one; with a run there are lines that could move something."""
    return any(run["name"] == name for run in page.request.get("/lrsched/v1/runs").json()["runs"])


def test_an_error_in_the_editor_switches_send_off_and_one_in_a_field_stands_at_it(page: Page) -> None:
    open_tab(page)
    send, said = page.locator("#lrsched_send_embedding"), page.locator("#lrsched_transfer_said")
    page.fill("#lrsched_text", "cosine(")
    expect(send).to_be_disabled()
    expect(said).to_have_text("Send is off while the text has an error.")
    page.fill("#lrsched_text", "cosine(0.005, 1e-5)")
    expect(send).to_be_enabled()
    expect(said).to_be_empty()
    page.fill("#lrsched_steps", "0")
    expect(page.locator("#lrsched_steps_note")).to_have_text("Max steps: a whole number from 1")
    expect(page.locator("#lrsched_steps")).to_have_attribute("aria-invalid", "true")
    page.fill("#lrsched_batch", "1.5")
    expect(page.locator("#lrsched_batch_note")).to_have_text("Batch size: a whole number from 1")
    page.fill("#lrsched_steps", "100")
    page.fill("#lrsched_batch", "")
    expect(page.locator("#lrsched_steps_note")).to_be_hidden()
    expect(page.locator("#lrsched_segments tr td:first-child")).to_have_text(["0 – 100"])


@pytest.mark.parametrize(("width", "theme"), [(500, "dark"), pytest.param(1400, "light", marks=pytest.mark.long)])
def test_nothing_of_ours_hangs_over_an_edge(page: Page, theme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    create_embedding(page, f"narrow{width}")
    page.goto(f"/?__theme={theme}")
    choose(page, page.locator("#train_embedding input"), f"narrow{width}")
    page.fill("#train_steps input", "")
    steps.ask_profile(page, "w" * 80)
    expect(page.locator(steps.PROFILES)).to_contain_text("Saved as")
    steps.load_profile(page, "w" * 80)
    page.fill(steps.FOLDER, "/" + "f" * 200)
    expect(page.locator(f"{steps.DIFFERENCES} li").first).to_be_visible()
    expect(page.locator("#lrsched_trouble_steps")).to_have_text("Max steps: a whole number from 1")
    outside = """() => [...document.querySelectorAll("#lrsched_profiles *, #lrsched_differences *, #lrsched_training_status *, "
        + "#lrsched_preflight *, #lrsched_resumes *, .lrsched-field-trouble")].filter((node) => {
        const box = node.getBoundingClientRect();
        return box.width > 0 && box.right > innerWidth + 1;
    }).map((node) => node.outerHTML.slice(0, 80))"""
    assert page.evaluate(outside) == []
    page.locator(steps.PROFILES).get_by_role("button", name="Delete", exact=True).press("Enter")
    page.locator(steps.PROFILES).get_by_role("button", name="Delete it").press("Enter")
    expect(page.locator(steps.PROFILES)).to_contain_text("Deleted")
