"""The page's scripts: an update is seen at once, and what their pure parts compute."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import open_tab
from page_state import STARTED
from playwright.sync_api import Browser, Page, expect
from standalone_server import REPOSITORY, free_port, serving

FIRST_CELL = "#lrsched_segments td"
SIZES = """() => performance.getEntriesByType("resource")
    .filter(({name}) => name.includes("/base/format.js")).map(({transferSize}) => transferSize)"""


def relabel(scripts: Path, mark: str) -> None:
    """Changes a file that others import: counts get a mark in front."""
    file = scripts / "base" / "format.js"
    original = (REPOSITORY / "javascript" / "lrsched" / "base" / "format.js").read_text()
    changed = original.replace("whole.format(value)", f'"{mark}" + whole.format(value)')
    assert changed != original
    file.write_text(changed)


@pytest.mark.long
def test_after_an_update_no_old_part_runs(browser: Browser, tmp_path: Path) -> None:
    """The browser keeps what it has loaded, the address of what has changed is another one."""
    scripts, port = tmp_path / "scripts", free_port()
    shutil.copytree(REPOSITORY / "javascript" / "lrsched", scripts)
    context = browser.new_context()
    page = context.new_page()
    relabel(scripts, "old ")
    with serving(tmp_path / "data", port, scripts) as address:
        open_tab(page, address)
        expect(page.locator(FIRST_CELL).first).to_have_text("old 0 – old 100")
        open_tab(page, address)
        expect(page.locator(FIRST_CELL).first).to_have_text("old 0 – old 100")
        assert page.evaluate(SIZES) == [0], "it did come from the browser's cache, so that the test can fail"
        relabel(scripts, "changed while the server runs ")
        open_tab(page, address)
        expect(page.locator(FIRST_CELL).first).to_have_text("old 0 – old 100")
    relabel(scripts, "new ")
    with serving(tmp_path / "data", port, scripts) as address:
        open_tab(page, address)
        expect(page.locator(FIRST_CELL).first).to_have_text("new 0 – new 100")
    context.close()


def test_the_page_waits_for_a_server_that_does_not_know_our_routes_yet(page: Page) -> None:
    refused = []

    def refuse(route: Any) -> None:
        if len(refused) == 3:
            return route.continue_()
        refused.append(route.request.url)
        return route.fulfill(status=404, body="{}")

    page.route("**/lrsched/v1/scripts", refuse)
    page.goto("/")
    page.wait_for_function(STARTED)
    assert len(refused) == 3


def test_a_script_that_fails_to_load_is_asked_for_again(page: Page) -> None:
    failed = []

    def fail(route: Any) -> None:
        if failed:
            return route.continue_()
        failed.append(route.request.url)
        return route.abort()

    page.route("**/chart/scale.js", fail)
    page.goto("/")
    page.wait_for_function(STARTED)
    assert len(failed) == 1


# Pure parts ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def call(browser: Browser, server: str) -> Any:
    """Calls a function of a script in the browser: call("base/text.js", "difference", "abc", "abd")."""
    context = browser.new_context(base_url=server)
    page = context.new_page()
    page.goto("/lrsched/v1/scripts")
    version = page.evaluate("JSON.parse(document.body.textContent).version")

    def called(script: str, name: str, *args: Any, then: str = "(result) => result") -> Any:
        source = f"""async (args) => {{
            const module = await import("/lrsched/v1/scripts/{version}.0/{script}");
            return ({then})(module.{name}(...args));
        }}"""
        return page.evaluate(source, list(args))

    yield called
    context.close()


@pytest.mark.parametrize(
    ("low", "high", "count", "ticks"),
    [
        (0, 100, 5, [0, 20, 40, 60, 80, 100]),
        (0, 0.005, 5, [0, 0.001, 0.002, 0.003, 0.004, 0.005]),
        (-1, 1, 4, [-1, -0.5, 0, 0.5, 1]),
        (3, 3, 5, [3]),
    ],
)
def test_ticks_are_round_numbers(call, low, high, count, ticks):
    assert call("chart/scale.js", "niceTicks", low, high, count) == ticks


def test_ticks_of_steps_are_whole(call):
    assert call("chart/scale.js", "niceTicks", 0, 2, 10, {"whole": True}) == [0, 1, 2]


@pytest.mark.parametrize(("x", "index"), [(-5, 0), (0, 0), (4, 0), (5, 0), (6, 1), (10, 1), (99, 2)])
def test_the_nearest_point(call, x, index):
    assert call("chart/scale.js", "nearest", [0, 10, 20], x) == index


def test_no_point_is_nearest_in_an_empty_list(call):
    assert call("chart/scale.js", "nearest", [], 3) == -1


def test_a_logarithmic_axis_goes_there_and_back_and_has_a_floor_for_zero(call):
    then = """() => {
        const {toPixel, toValue, ticks} = module.logAxis(1e-5, 1e-2, 200, 0, {hasZero: true, format: String});
        return [toValue(toPixel(1e-3)), toPixel(0), toValue(toPixel(0)), ticks.map(({value}) => value)];
    }"""
    value, floor, zero, ticks = call("chart/scale.js", "logAxis.name.toString", then=then)
    assert value == pytest.approx(1e-3)
    assert (floor, zero) == (200, 0)
    assert ticks == [0, 1e-5, 1e-4, 1e-3, 1e-2]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("abc", "abc", [3, 0]),
        ("abc", "abXc", [2, 1]),
        ("aaa", "aa", [2, 0]),
        ("", "new", [0, 0]),
        ("0.005:100, 1e-3", "0.01:100, 1e-3", [3, 10]),
    ],
)
def test_what_differs_between_two_texts(call, before, after, found):
    start, tail = call("base/text.js", "difference", before, after)
    assert [start, tail] == found
    assert before[:start] + after[start : len(after) - tail] + before[len(before) - tail :] == after


def test_places_are_counted_as_python_counts(call):
    text = "a😀b"
    assert call("base/text.js", "toUnits", text, [2, 3]) == [3, 4]
    assert call("base/text.js", "toUnits", "abc", [1, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0"), (0.005, "0.005"), (0.00012345678, "0.0001235"), (2.5e-6, "2.5e-6"), (1e30, "1e30")]
)
def test_rates_are_short(call, value, text):
    assert call("base/format.js", "formatRate", value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.21, "0.21 s"), (59.6, "1 min 00 s"), (192, "3 min 12 s"), (3720, "1 h 02 min")])
def test_durations_in_words(call, seconds, text):
    assert call("base/format.js", "formatDuration", seconds) == text


@pytest.mark.parametrize(("size", "text"), [(950, "950 B"), (18_100, "18.1 kB"), (240_000_000, "240 MB")])
def test_sizes_in_words(call, size, text):
    assert call("base/format.js", "formatSize", size) == text


def test_the_latest_question_wins(call):
    then = """async (isFunction) => {
        const latest = new module.Latest();
        const slow = latest.of(() => new Promise((resolve) => setTimeout(() => resolve("first"), 50)));
        const failing = latest.of(() => Promise.reject(new Error("overtaken")));
        const last = latest.of(() => Promise.resolve("last"));
        return [await slow, await failing, await last];
    }"""
    assert call("base/latest.js", "Latest.name.toString", then=then) == [None, None, "last"]


def test_points_of_a_run_are_joined_and_a_new_leg_starts_over(call):
    then = """() => {
        const points = (step, y) => ({step, planned: y, actual: y, loss: y, smooth: y, time_s: y});
        const answer = (run, step, y) => ({run, points: points(step, y), events: [], next_since: step.at(-1)});
        const one = new module.RunPoints("id");
        const run = {initial_step: 0, total_steps: 10};
        const taken = [one.take(answer(run, [0, 1, 2], [5, 6, 7])), one.take(answer(run, [2, 3], [8, 9]))];
        const joined = [...one.columns.loss];
        taken.push(one.take(answer({...run, initial_step: 2}, [2], [1])));
        return [taken, joined, one.columns.step.length];
    }"""
    assert call("runs/run_points.js", "RunPoints.name.toString", then=then) == [[True, True, False], [5, 6, 8, 9], 0]


ESTIMATE = {"candidates": 9, "updates": 480, "seconds": 62.0, "why": "as fast as the last run of 'mine'"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "9 candidates, 480 updates in all, about 1 min 02 s (as fast as the last run of 'mine')."),
        (
            {"seconds": None, "why": "nothing was trained yet"},
            "9 candidates, 480 updates in all, how long that takes is not known (nothing was trained yet).",
        ),
    ],
)
def test_what_a_trial_would_cost(call, change, words):
    assert call("trials/words.js", "estimated", ESTIMATE | change) == words


@pytest.mark.parametrize(
    ("candidate", "state", "words"),
    [
        ({"progress": 0.315, "low": 0.174, "high": 0.4551}, "finished", ["31.5 %", "17 to 46 %"]),
        ({"progress": 0.2, "low": None, "high": None}, "finished", ["20 %", ""]),
        ({"progress": -0.07, "low": -0.1, "high": 0.002}, "finished", ["−7 %", "−10 to 0.2 %"]),
        ({"stopped_at": 9}, "finished", ["diverged at update 9", ""]),
        ({"running": True}, "running", ["running", ""]),
        ({}, "stopped", ["not finished", ""]),
    ],
)
def test_what_came_of_a_candidate(call, candidate, state, words):
    whole = {"progress": None, "low": None, "high": None, "stopped_at": None, "running": False} | candidate
    assert call("trials/words.js", "outcome", whole, state) == words


def test_a_trial_that_waits_says_for_what(call):
    waiting = {"state": "waiting", "message": "waits until the training of 'other' has ended", "candidates": []}
    assert call("trials/words.js", "standing", waiting) == "Waits until the training of 'other' has ended."


@pytest.mark.parametrize(
    ("state", "message", "words"),
    [
        ("failed", "CUDA out of memory", "Failed: CUDA out of memory"),
        ("stopped", "", "Stopped before its end: nothing is suggested."),
        ("finished", "", ""),
    ],
)
def test_how_a_trial_ended(call, state, message, words):
    assert call("trials/words.js", "ending", {"state": state, "message": message}) == words


@pytest.mark.parametrize(
    ("candidates", "left", "words"),
    [(0, None, "Measures the start: 30 of 480 updates."), (2, 0.2, "Candidate 2: 30 of 480 updates, 1 s left.")],
)
def test_how_far_a_trial_is(call, candidates, left, words):
    running = {"state": "running", "made": 30, "expected": 480, "seconds_left": left, "candidates": [{}] * candidates}
    assert call("trials/words.js", "standing", running) == words


def test_schedules_in_a_reason_are_told_from_its_words(call):
    assert call("trials/words.js", "cutAtTicks", "`0.1` and `cosine(1, 0)` are equal") == [
        ["0.1", True], [" and ", False], ["cosine(1, 0)", True], [" are equal", False],
    ]  # fmt: skip


def test_a_preset_gets_a_name_that_is_free(call):
    assert call("trials/words.js", "freeName", "Found for a", ["Found for a", "Found for a 2"]) == "Found for a 3"
    assert call("trials/words.js", "freeName", "Found for a", []) == "Found for a"


@pytest.mark.parametrize(("typed", "factors"), [("", None), (" ", None), ("0.1, 1 10;1e2", [0.1, 1, 10, 100]), ("1, x", [1, "x"])])
def test_factors_as_they_are_typed(call, typed, factors):
    assert call("trials/choices.js", "factorsOf", typed) == factors


def test_a_schedule_is_compared_once_and_an_empty_one_not_at_all(call):
    assert call("trials/choices.js", "differing", ["0.1", " 0.1 ", "", "0.2"]) == ["0.1", "0.2"]


def tried(*progress: float | None, what: str = "rates", state: str = "finished", suggested: str | None = "0.1") -> dict[str, Any]:
    """A trial with a candidate for each number: its only point, and what came of it."""
    candidates = [
        {"progress": one, "running": False, "curve": [[1, -9.0 if one is None else one]], "rate": 0.1, "factor": 1.0, "text": "0.1"}
        for one in progress
    ]
    return {"what": what, "state": state, "suggested": suggested, "updates": 48, "candidates": candidates}


def test_rates_are_shown_from_low_to_high_with_the_servers_numbers(call):
    trial = tried(0.1, 0.2, 0.3)
    for candidate, rate in zip(trial["candidates"], (0.1, 0.3, 0.03)):
        candidate["rate"] = rate
    shown = call("trials/curves.js", "ordered", trial)["candidates"]
    assert [(one["rate"], one["index"]) for one in shown] == [(0.03, 2), (0.1, 0), (0.3, 1)]
    shown = call("trials/curves.js", "ordered", trial | {"what": "texts"})["candidates"]
    assert [one["index"] for one in shown] == [0, 1, 2]


def test_one_that_diverges_does_not_flatten_the_others(call):
    found = call("trials/curves.js", "chartOf", tried(0.1, 0.3, None))
    assert found["lowest"] == -0.3
    assert [line["weight"] for line in found["data"]["series"]] == ["", "thick", ""]
    assert call("trials/curves.js", "chartOf", tried(None, -0.2))["lowest"] == -0.01


def test_no_candidate_is_the_best_where_nothing_is_suggested(call):
    assert call("trials/curves.js", "bestOf", tried(0.1, 0.3, None)) == 1
    assert call("trials/curves.js", "bestOf", tried(0.1, 0.3, suggested=None)) == -1


def test_rates_keep_their_colours_while_more_of_them_come(call):
    looks = lambda *args, **more: call("trials/curves.js", "looksOf", tried(*args, **more))  # noqa: E731
    assert looks(0.1, 0.2, state="running") == ["ramp-0", "ramp-1-dashed"]
    assert looks(0.1, 0.2, 0.3) == ["ramp-0", "ramp-4-dashed", "ramp-8"]
    assert looks(0.1, 0.2, what="texts") == [0, 1]


def test_as_many_rates_as_a_finder_tries_can_be_told_apart(call):
    assert len(set(call("trials/curves.js", "looksOf", tried(*[0.1] * 17)))) == 17
