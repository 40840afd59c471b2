"""The options of a run in the Train tab, and what its view makes of validation and the average."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import create_embedding, open_tab, run_row, show_run, train, wait_until
from playwright.sync_api import Locator, Page, Route, expect

from lib_lrsched.practice.service import CONCEPT

BOX = "#lrsched_options"
SUM = f"{BOX} .lrsched-options-sum"


def field(page: Page, name: str) -> Locator:
    return page.locator(f"#lrsched_option_{name}")


def put(page: Page, name: str, text: str) -> None:
    """Types into a field and leaves it with the keyboard."""
    field(page, name).fill(text)
    page.keyboard.press("Tab")


@pytest.fixture
def opened(page: Page, request: pytest.FixtureRequest) -> Page:
    """The Train tab with a new embedding and the options open, by keyboard."""
    create_embedding(page, f"opt{abs(hash(request.node.name))}")
    expect(page.locator(SUM)).to_have_text("the defaults")
    page.locator(f"{BOX} summary").focus()
    page.keyboard.press("Enter")
    expect(field(page, "progress_every")).to_have_value("8")
    return page


def test_a_choice_is_sent_at_once_a_wrong_one_is_refused_at_its_field_and_all_are_taken_back(opened: Page, tmp_path: Path) -> None:
    put(opened, "max_norm", "3")
    put(opened, "ema", "1.5")  # while the other is on its way
    trouble = opened.locator("#lrsched_option_ema_trouble")
    expect(trouble).to_have_text("Expected a number from 0 and below 1, got 1.5. In force: off.")
    expect(field(opened, "ema")).to_have_attribute("aria-invalid", "true")
    expect(field(opened, "stop_after")).to_be_disabled()

    shutil.copytree(CONCEPT, tmp_path / "data")
    shutil.copytree(CONCEPT, tmp_path / "data" / "validation")
    of_folder = lambda answer: "/preflight" in answer.url and str(tmp_path) in (answer.request.post_data or "")  # noqa: E731
    with opened.expect_response(of_folder) as looked:
        opened.fill("#train_dataset_directory textarea", str(tmp_path / "data"))
    assert "has a folder validation" in looked.value.text()
    offer = opened.locator(".lrsched-options-offer")
    expect(offer).to_contain_text(re.compile(r"has a folder validation with \d+ images\."))
    expect(opened.locator("#lrsched_preflight")).to_be_hidden()
    offer.get_by_role("button").click()
    expect(field(opened, "validate_every")).to_have_value("100")
    expect(offer).to_be_hidden()

    expect(field(opened, "stop_after")).to_be_enabled()
    expect(field(opened, "ema")).to_have_value("1.5")
    put(opened, "ema", "0.98")
    expect(trouble).to_have_text("")
    field(opened, "spread_timesteps").check()
    expect(opened.locator(f"{BOX} .lrsched-is-chosen")).to_have_count(4)
    words = "Limit the norm of an embedding's vectors: 3, validate every 100 updates, average of the weights: decay 0.98, "
    expect(opened.locator(SUM)).to_have_text(f"{words}evenly spread timesteps")
    put(opened, "max_norm", "x")
    opened.get_by_role("button", name="Back to defaults").click()
    expect(opened.locator(SUM)).to_have_text("the defaults")
    expect(field(opened, "max_norm")).to_have_value("")
    expect(field(opened, "spread_timesteps")).not_to_be_checked()


def test_a_profile_that_is_saved_while_a_choice_is_on_its_way_has_it(opened: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    opened.route("**/lrsched/v1/options*", hold)
    field(opened, "spread_timesteps").check()
    opened.locator("#lrsched_profiles").get_by_role("button", name="Save as…").click()
    opened.locator("#lrsched_profiles input").fill("of a slow server")
    wait_until(opened, lambda: held)
    with opened.expect_request(lambda request: request.method == "POST" and request.url.endswith("/profiles")) as saved:
        opened.keyboard.press("Enter")
        held[0].continue_()
    assert json.loads(saved.value.post_data or "{}")["options"]["spread_timesteps"] is True
    expect(opened.locator("#lrsched_profiles")).to_contain_text('Saved as "of a slow server".')


def test_a_profile_that_is_saved_before_the_options_are_known_waits_for_them(opened: Page) -> None:
    held: list[Route] = []
    name = opened.input_value("#train_embedding input")
    released: list[bool] = []
    opened.route(f"**/lrsched/v1/options?*name={name}b*", lambda route: route.continue_() if released else held.append(route))
    create_embedding(opened, f"{name}b")
    box = opened.locator("#lrsched_profiles")
    box.get_by_role("button", name="Save as…").click()
    box.locator("input").fill("too early")
    wait_until(opened, lambda: held)
    with opened.expect_request(lambda request: request.method == "POST" and request.url.endswith("/profiles")) as saved:
        opened.keyboard.press("Enter")
        opened.evaluate("0")  # it is pressed before the server answers
        released.append(True)
        for route in held:
            route.continue_()
    assert saved.value.post_data_json["options"]["progress_every"] == 8
    expect(box).to_contain_text('Saved as "too early".')


def test_a_factor_by_timestep_has_its_chart_its_errors_and_presets_with_their_source(opened: Page) -> None:
    loss = opened.locator(".lrsched-option-text", has=field(opened, "loss_by_timestep"))
    loss.get_by_role("button", name="Presets").focus()
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Enter")
    expect(field(opened, "loss_by_timestep")).to_have_value(re.compile(r"^linear\(0\.004, 0\.177\):36, "))
    expect(loss).to_contain_text("Hang et al. 2023")
    expect(loss).to_contain_text("Timesteps 0, the least noise, to 999. Mean 0.917.")
    expect(opened.locator(SUM)).to_contain_text("Loss by timestep: linear(0.004")
    loss.get_by_role("slider").focus()
    opened.keyboard.press("End")
    expect(loss.get_by_role("slider")).to_have_attribute("aria-valuetext", "timestep 999: 1")
    put(opened, "loss_by_timestep", "1:300, 0.5:oops")
    expect(loss.locator(".lrsched-error")).to_contain_text("expected a number, got `oops`")
    expect(opened.locator("#lrsched_option_loss_by_timestep_trouble")).to_have_text(re.compile(r"^In force: linear\(0\.004.*1\.$"))


@pytest.mark.long
def test_error_a_profile_is_not_saved_without_its_options_and_the_reason_is_shown(opened: Page) -> None:
    name = opened.input_value("#train_embedding input")
    refused = {"error": {"message": "no luck"}}
    opened.route(f"**/lrsched/v1/options?*name={name}c*", lambda route: route.fulfill(status=409, json=refused))
    create_embedding(opened, f"{name}c")
    sent: list[str] = []
    opened.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    box = opened.locator("#lrsched_profiles")
    box.get_by_role("button", name="Save as…").click()
    box.locator("input").fill("without options")
    opened.keyboard.press("Enter")
    expect(box).to_contain_text("no luck")
    assert [one for one in sent if one.startswith("POST") and one.endswith("/profiles")] == []


@pytest.mark.long
def test_a_training_starts_after_the_choice_that_the_press_on_train_itself_sends_and_not_where_it_is_refused(opened: Page) -> None:
    held: list[Route] = []
    opened.route("**/lrsched/v1/options", lambda route: held.append(route))
    opened.evaluate("""globalThis.starts = 0;
        document.addEventListener('click', ({target}) => { if (target.id === 'train_train_embedding') globalThis.starts += 1; })""")
    opened.fill("#train_embedding_learn_rate textarea", "0.005")
    opened.fill("#train_steps input", "2")
    field(opened, "max_norm").fill("x")
    for presses in (1, 2):  # the second while the first waits
        opened.click("#train_train_embedding")
        wait_until(opened, lambda: held)
        assert opened.evaluate("starts") == 0, presses
    held.pop().continue_()
    expect(opened.locator("#lrsched_option_max_norm_trouble")).to_contain_text("Expected a number")
    expect(opened.locator("#lrsched_training_refused")).to_contain_text("Not started: an option or the resume mode was refused.")
    assert opened.evaluate("starts") == 0

    field(opened, "max_norm").fill("y")
    opened.hover("#train_train_embedding")
    opened.mouse.down()
    wait_until(opened, lambda: held)
    held.pop().continue_()
    expect(opened.locator("#lrsched_option_max_norm_trouble")).to_contain_text('got "y"')  # before the release
    opened.evaluate("lrsched.helpers.trainingStatus.refuse('')")
    opened.hover("#train_train_embedding")  # the message may have moved it
    opened.mouse.up()
    expect(opened.locator("#lrsched_training_refused")).to_contain_text("Not started: ")
    assert opened.evaluate("starts") == 0

    field(opened, "max_norm").fill("3")
    opened.click("#train_train_embedding")
    wait_until(opened, lambda: held)
    assert opened.evaluate("starts") == 0
    held.pop().continue_()
    opened.wait_for_function("starts === 1")
    expect(opened.locator("#lrsched_training_refused")).to_be_hidden()
    expect(opened.locator(SUM)).to_contain_text("norm of an embedding's vectors: 3")
    expect(opened.locator("#ti_output textarea")).to_have_value(re.compile("finished at 2 steps"))


@pytest.mark.long
def test_the_options_of_a_run_are_shown_again_and_its_average_is_used_after_a_question(opened: Page) -> None:
    put(opened, "ema", "0.9")
    put(opened, "validate_every", "2")
    name = opened.input_value("#train_embedding input")
    opened.fill("#train_batch_size input", "8")  # what is validated passes through the model in such batches
    train(opened, "0.005", 2)
    expect(opened.locator("#ti_output textarea")).to_have_value(re.compile("finished at 2 steps"))
    opened.evaluate("lrsched.helpers.resumes.embedding.again()")
    origin = f"The next training of {name} resumes its run at step 2, with that run's own options."
    expect(opened.locator(f"{BOX} details > p").first).to_have_text(origin)
    expect(opened.get_by_role("button", name="As its run has them")).to_be_disabled()
    expect(field(opened, "ema")).to_have_value("0.9")
    expect(opened.locator(f"{BOX} .lrsched-is-chosen")).to_have_count(0)

    open_tab(opened)
    expect(run_row(opened, name)).to_contain_text("finished")
    show_run(opened, name)
    expect(opened.locator("#lrsched_run_progress_legend > span")).to_have_text(["progress", "validation", "average"])
    refused = {"error": {"message": "a training is running or being prepared; wait until it has ended", "span": None}}
    opened.route("**/use", lambda route: route.fulfill(status=409, content_type="application/json", body=json.dumps(refused)))
    said, use = opened.locator("#lrsched_run_use_said"), opened.locator("#lrsched_run_use_average")
    use.click()
    expect(opened.locator("#lrsched_run_use_text")).to_contain_text(f"What {name}.pt holds now is kept as {name}.pt.bak.")
    opened.click("#lrsched_run_use_yes")
    expect(said).to_have_text(f"Nothing was changed: {refused['error']['message']}")
    expect(use).to_be_focused()
    opened.unroute("**/use")
    use.click()
    opened.keyboard.press("Escape")
    expect(opened.locator("#lrsched_run_use_ask")).to_be_hidden()
    opened.keyboard.press("Enter")
    opened.click("#lrsched_run_use_yes")
    expect(said).to_have_text(re.compile(rf"^{name}\.pt is now the average of .*The next training of {name} is a new run from it"))
