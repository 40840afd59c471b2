"""Above the buttons that start a training: what would stop or spoil it, as the fields are."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import create_embedding
from playwright.sync_api import Page, Request, Route, expect

LIST = "#lrsched_preflight"
RATE = "#train_embedding_learn_rate textarea"
FOLDER = "#train_dataset_directory textarea"
NO_FOLDER = f"{__file__}/logs"  # a file stands where the folder would have to be


@pytest.fixture
def train_tab(page: Page, request: pytest.FixtureRequest) -> Page:
    create_embedding(page, f"ahead{abs(hash(request.node.name))}")
    expect(page.locator("#lrsched_inline_embeddingRate .lrsched-svg")).to_be_visible()
    return page


def test_nothing_is_said_of_a_training_that_can_start(train_tab: Page) -> None:
    with train_tab.expect_response("**/lrsched/v1/preflight") as asked:
        train_tab.fill("#train_steps input", "77")
    assert asked.value.json() == {"findings": []}
    expect(train_tab.locator(LIST)).to_be_hidden()


def test_a_folder_without_images_is_said_before_the_click_and_until_it_is_mended(train_tab: Page, tmp_path: Path) -> None:
    good = train_tab.input_value(FOLDER)
    train_tab.fill(FOLDER, str(tmp_path))
    lines = train_tab.locator(f"{LIST} li")
    words = f"Error: no file in {str(tmp_path)!r} can be read as an image; captions (.txt) beside images do not count"
    expect(lines).to_have_text([words])
    above, below = train_tab.locator(LIST).bounding_box(), train_tab.locator("#train_train_embedding").bounding_box()
    assert above is not None
    assert below is not None
    assert above["y"] + above["height"] <= below["y"]
    train_tab.fill(FOLDER, good)
    expect(train_tab.locator(LIST)).to_be_hidden()


def test_errors_come_before_what_is_to_be_minded(train_tab: Page) -> None:
    train_tab.fill("#train_log_directory textarea", NO_FOLDER)
    train_tab.fill("#train_steps input", "100")
    train_tab.fill(RATE, "0.005:50")
    lines = train_tab.locator(f"{LIST} li")
    expect(lines).to_have_count(2)
    expect(lines.nth(0)).to_contain_text(f"Error: the log directory {NO_FOLDER!r} does not exist and cannot be created")
    expect(lines.nth(1)).to_have_text(
        "Warning: the schedule ends at step 50 of 100, and training with it; leave out the last end to continue at the last rate"
    )


def test_of_two_kinds_each_finding_names_its_own(train_tab: Page) -> None:
    train_tab.locator("#train_tabs > .tab-nav button", has_text="Create hypernetwork").click()
    train_tab.fill("#train_new_hypernetwork_name textarea", "other")
    train_tab.click("#train_create_hypernetwork")
    expect(train_tab.locator("#train_hypernetwork input")).to_have_value("other")
    train_tab.fill("#train_log_directory textarea", NO_FOLDER)
    train_tab.fill("#train_steps input", "100")
    train_tab.fill(RATE, "0.005:50")
    lines = train_tab.locator(f"{LIST} li")
    expect(lines).to_have_count(2)
    expect(lines.nth(0)).to_contain_text("Error: the log directory")
    expect(lines.nth(1)).to_contain_text("Embedding, warning: the schedule ends at step 50")


def test_without_a_name_nothing_is_asked(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/preflight") else None)
    page.goto("/")
    expect(page.locator("#train_embedding input")).to_have_value("")
    with page.expect_response("**/lrsched/v1/preview"):
        page.fill(FOLDER, "/nowhere")
    expect(page.locator(LIST)).to_be_hidden()
    assert asked == []


@pytest.mark.parametrize("path", ["preflight", "preview"])
@pytest.mark.long
def test_a_slow_server_is_asked_one_thing_at_a_time_and_the_newest_next(train_tab: Page, path: str) -> None:
    held: list[Route] = []
    asked: list[int] = []
    train_tab.on("request", lambda request: asked.extend(_steps(request)) if request.url.endswith(path) else None)
    train_tab.route(f"**/lrsched/v1/{path}", lambda route: held.append(route))
    for steps in (301, 302, 303):
        train_tab.fill("#train_steps input", str(steps))
        train_tab.wait_for_timeout(700)  # longer than the pause in typing
    first = asked[0] if asked else None
    assert first in (300, 301), "of the fixture's steps, where they were due to be asked again"
    assert asked == [first]
    with train_tab.expect_request(lambda request: request.url.endswith(path) and 303 in _steps(request)):
        for route in held:
            route.continue_()
    assert asked == [first, 303]
    train_tab.unroute_all(behavior="ignoreErrors")


def _steps(request: Request) -> list[int]:
    """Max steps in a question on the embedding's rate."""
    body = request.post_data_json
    if "0.005" not in (request.post_data or ""):
        return []
    return [int(body["inputs"]["steps"] if "inputs" in body else body["total_steps"])]
