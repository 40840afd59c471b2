"""What somebody does in the Train tab with past runs, as functions of a page: they hold on the practice host and in a WebUI.

Each begins with the Train tab open, or goes there; none of them trains, but for what it is told to call.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from browser_steps import choose_tab, show_run
from playwright.sync_api import Locator, Page, Route, expect

DIFFERENCES = "#lrsched_differences"
PROFILES = "#lrsched_profiles"
STATUS = "#lrsched_training_status"
STATES = "#lrsched_run_snapshots_rows tr"
FOLDER = "#train_dataset_directory textarea"
WIDTH = "#train_training_width input[type=number]"


def set_width(page: Page, width: int) -> None:
    page.fill(WIDTH, str(width))
    page.locator(WIDTH).blur()


def open_run(page: Page, name: str) -> None:
    choose_tab(page, "LR Schedule")
    show_run(page, name)


# Settings -----------------------------------------------------------------------------------


def fill_from_run(page: Page, name: str, width: int, rate: str) -> None:
    """From the run into the Train tab: every field is as it was, and what is changed after that is listed."""
    open_run(page, name)
    page.click("#lrsched_run_fill")
    expect(page.locator(DIFFERENCES)).to_contain_text(f"Every field is as in the run of {name}.")
    expect(page.locator("#train_embedding input")).to_have_value(name)
    expect(page.locator("#train_embedding_learn_rate textarea")).to_have_value(rate)
    expect(page.locator(WIDTH)).to_have_value(str(width))
    set_width(page, 2 * width)
    expect(page.locator(f"{DIFFERENCES} li")).to_have_text([f"Width: {2 * width} here, {width} in the run"])
    above, below = page.locator(DIFFERENCES).bounding_box(), page.locator("#train_train_embedding").bounding_box()
    assert above is not None
    assert below is not None
    assert above["y"] + above["height"] <= below["y"]


def ask_profile(page: Page, profile: str) -> None:
    page.locator(PROFILES).get_by_role("button", name="Save as…").press("Enter")
    expect(page.locator(f"{PROFILES} input")).to_be_focused()
    page.locator(f"{PROFILES} input").fill(profile)
    page.keyboard.press("Enter")


def save_profile(page: Page, profile: str) -> None:
    """By keyboard; it is chosen then."""
    ask_profile(page, profile)
    expect(page.locator(PROFILES)).to_contain_text(f'Saved as "{profile}".')
    expect(page.locator(f"{PROFILES} select")).to_have_value(profile)


def load_profile(page: Page, profile: str) -> None:
    page.locator(f"{PROFILES} select").select_option(profile)
    page.locator(PROFILES).get_by_role("button", name="Load").press("Enter")
    expect(page.locator(PROFILES)).to_contain_text(f'Filled from "{profile}".')


def keep_and_load(page: Page, profile: str, width: int) -> None:
    """A profile brings back what was changed since: a field, a switch and an option of the run."""
    set_width(page, width)
    page.check("#train_shuffle_tags input")
    choose_option(page).set_checked(True)
    save_profile(page, profile)
    set_width(page, 2 * width)
    page.uncheck("#train_shuffle_tags input")
    choose_option(page).set_checked(False)
    load_profile(page, profile)
    expect(page.locator(DIFFERENCES)).to_contain_text(f'Every field is as in the profile "{profile}".')
    expect(page.locator(WIDTH)).to_have_value(str(width))
    expect(page.locator("#train_shuffle_tags input")).to_be_checked()
    expect(choose_option(page)).to_be_checked()
    choose_option(page).set_checked(False)
    expect(page.locator(f"{DIFFERENCES} li")).to_have_text(["Evenly spread timesteps: off here, on in the profile"])


def choose_option(page: Page) -> Locator:
    """The switch of an option; the options are unfolded."""
    if page.locator("#lrsched_options details[open]").count() == 0:
        page.locator("#lrsched_options summary").press("Enter")
    return page.locator("#lrsched_option_spread_timesteps")


def miss_a_folder(page: Page, profile: str, folder: str, remove: Callable[[], None]) -> None:
    """A profile whose folder is gone by now says so, and so does the list above the buttons."""
    page.fill(FOLDER, folder)
    save_profile(page, profile)
    remove()
    page.fill(FOLDER, "elsewhere")
    load_profile(page, profile)
    expect(page.locator(DIFFERENCES)).to_contain_text(f"Dataset directory: {folder} in the profile; the data set directory")
    expect(page.locator("#lrsched_preflight")).to_contain_text(folder)
    expect(page.locator("#lrsched_trouble_folder")).to_contain_text("The data set directory")
    page.locator(DIFFERENCES).get_by_role("button", name="Close").press("Enter")
    expect(page.locator(DIFFERENCES)).to_be_hidden()


def replace_and_delete(page: Page, profile: str) -> None:
    """Both ask first; what is safe has the focus, and Escape leaves it all."""
    keep = page.locator(PROFILES).get_by_role("button", name="Keep it")
    ask_profile(page, profile)
    expect(page.locator(PROFILES)).to_contain_text(f'There is a profile "{profile}" already. Replace it?')
    expect(keep).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(PROFILES)).to_contain_text(f'Saved as "{profile}".')
    page.locator(PROFILES).get_by_role("button", name="Delete", exact=True).press("Enter")
    expect(page.locator(PROFILES)).to_contain_text(f'Delete the profile "{profile}" for good?')
    page.keyboard.press("Escape")
    expect(keep).to_be_hidden()
    expect(page.locator(f"{PROFILES} select")).to_have_value(profile)
    page.locator(PROFILES).get_by_role("button", name="Delete", exact=True).press("Enter")
    page.locator(PROFILES).get_by_role("button", name="Delete it").press("Enter")
    expect(page.locator(PROFILES)).to_contain_text(f'Deleted "{profile}".')
    expect(page.locator(f"{PROFILES} option[value='{profile}']")).to_have_count(0)


def save_run_as_profile(page: Page, name: str, profile: str) -> None:
    """From the run's own view; the Train tab offers it then."""
    open_run(page, name)
    for said in (f'Saved as the profile "{profile}".', f'There is a profile "{profile}" already.'):
        page.click("#lrsched_run_profile")
        page.fill("#lrsched_run_profile_name", profile)
        page.keyboard.press("Enter")
        expect(page.locator("#lrsched_run_profile_said")).to_have_text(said)
    page.locator("#lrsched_run_profile_save").press("Enter")
    expect(page.locator("#lrsched_run_profile_said")).to_have_text(f'Saved as the profile "{profile}".')
    choose_tab(page, "Train")
    expect(page.locator(f"{PROFILES} option[value='{profile}']")).to_have_count(1)


def error_a_run_that_is_gone(page: Page, name: str) -> None:
    """It was deleted meanwhile: the Train tab, which is open by then, says that nothing was filled."""
    open_run(page, name)
    page.route("**/profile?check=1", lambda route: route.fulfill(status=404, json={"error": {"message": "no run <b>x</b>"}}))
    page.click("#lrsched_run_fill")
    expect(page.locator(DIFFERENCES)).to_contain_text("Nothing was filled: no run <b>x</b>")
    page.unroute("**/profile?check=1")
    page.locator(DIFFERENCES).get_by_role("button", name="Close").click()
    expect(page.locator(DIFFERENCES)).to_be_hidden()


# Housekeeping ---------------------------------------------------------------------------------


def check_snapshots(page: Page, name: str) -> None:
    """A large snapshot was not read for the list: it is not called good before it was."""

    def unread(route: Route) -> None:
        answer = route.fetch()
        found = answer.json()
        for one in found["bundles"]:
            one["checked"] = False
        route.fulfill(response=answer, json=found)

    open_run(page, name)
    page.route("**/bundles", unread)
    page.click("#lrsched_run_snapshots_open")
    state = page.locator(f"{STATES} [data-label=State]")
    expect(state.first).to_have_text("not checked")
    expect(page.locator("#lrsched_run_size")).to_have_text(re.compile(r"^The run takes [\d.]+ [kM]?B on the disk\."))
    page.locator("#lrsched_run_check").press("Enter")
    expect(page.locator("#lrsched_run_kept_said")).to_have_text(re.compile("^Read whole, and intact: all "))
    expect(state.first).to_have_text("good")
    page.unroute("**/bundles")


def resume_from_kept(page: Page, name: str, step: int, newest: int) -> None:
    """A kept snapshot is chosen for the next training; the Train tab says so, and can take it back."""
    offer = page.locator("#lrsched_resume_embedding")
    for takes_back in (True, False):
        open_run(page, name)
        row = page.locator(STATES, has=page.locator("[data-label=Step]").get_by_text(str(step), exact=True))
        row.get_by_role("button", name="Resume from here").press("Enter")
        expect(page.locator("#lrsched_run_kept_said")).to_contain_text(f"The next training of {name} resumes from step {step}.")
        expect(row).to_contain_text("resumes from here")
        choose_tab(page, "Train")
        expect(offer).to_contain_text(f"Goes back to its snapshot after {step} updates: continues at step {step} of")
        if takes_back:
            offer.locator("select").select_option("restart")
            expect(offer).to_contain_text(f"The text's step 0 will be step {step}.")
            expect(offer).to_contain_text("Goes back to its snapshot")
            offer.get_by_role("button", name="Take it back").press("Enter")
            expect(offer).to_contain_text(f"Continues at step {newest} of")
            expect(offer.get_by_role("button", name="Take it back")).to_be_hidden()
            expect(offer.locator("select")).to_have_value("restart")
            with page.expect_response(lambda answer: answer.request.method == "POST" and "/resume" in answer.url):
                offer.locator("select").select_option("continue")


def keep_only_the_last(page: Page, name: str, step: int) -> None:
    open_run(page, name)
    if page.locator("#lrsched_run_snapshots").is_hidden():
        page.click("#lrsched_run_snapshots_open")
    button = page.locator("#lrsched_run_keep_last")
    expect(button).to_be_enabled()
    button.press("Enter")
    expect(page.locator("#lrsched_run_keep_text")).to_contain_text(f"Keep the snapshot after {step} updates, and delete the other")
    expect(page.locator("#lrsched_run_keep_no")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#lrsched_run_keep_ask")).to_be_hidden()
    button.press("Enter")
    page.locator("#lrsched_run_keep_yes").press("Enter")
    said = re.compile(rf"^Deleted \d+ snapshots?, .*; that after {step} updates is kept\.$")
    expect(page.locator("#lrsched_run_kept_said")).to_have_text(said)
    expect(page.locator(STATES)).to_have_count(1)
    expect(button).to_be_disabled()
