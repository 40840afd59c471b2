"""The page's scripts: an update is seen at once, and what their pure parts compute."""

from __future__ import annotations

import shutil
from itertools import pairwise
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


@pytest.mark.parametrize(("text", "caret", "place"), [
    ("0.005", 2, 5), ("warmup(0.005, 1e-5):5%, 1", 3, 22), ("cosine(1, 0", 8, 11), ("1:5,  # a, b\n 2", 4, 15),
    ("1:5, 2 # x, (", 5, 6), ("", 0, 0),
])  # fmt: skip
def test_an_item_boundary_is_outside_brackets_words_and_comments(call, text, caret, place):
    assert call("base/text.js", "itemBoundary", text, caret) == place


@pytest.mark.parametrize(("name", "beyond", "high", "low"), [
    ("linearAxis", "", 0.0053, 0), ("linearAxis", "ceiling: 0.05", 0.05, 0), ("linearAxis", "ceiling: 0.001", 0.0053, 0),
    ("logAxis", "", 0.00682, 7.33e-6), ("logAxis", "ceiling: 0.05, floor: 1e-7", 0.05, 1e-7),
    ("logAxis", "hasZero: true, ceiling: 0.05, floor: 1e-7", 0.05, 0), ("logAxis", "ceiling: 0.001, floor: 1", 0.00682, 7.33e-6),
])  # fmt: skip
def test_an_axis_reaches_as_far_as_it_is_asked_to(call, name, beyond, high, low):
    then = f"""() => {{
        const {{toPixel, toValue, ticks}} = module.{name}(1e-5, 0.005, 100, 0, {{format: String, {beyond}}});
        return [toValue(0), toValue(100), toPixel(toValue(0)), ticks.length];
    }}"""
    top, bottom, pixel, ticks = call("chart/scale.js", f"{name}.name.toString", then=then)
    assert (top, bottom) == (pytest.approx(high, rel=0.01), pytest.approx(low, rel=0.01))
    assert pixel == pytest.approx(0)
    assert ticks >= 2


def test_an_axis_grows_the_faster_the_further_and_never_leaps(call):
    found = [call("chart/growth.js", "growth", beyond, 16) for beyond in (-5, 0, 10, 40, 1000, 5000)]
    assert found[:2] == [1, 1]
    assert found == sorted(found)
    assert found[4] == found[5]
    assert call("chart/growth.js", "growth", 1000, 60_000) == call("chart/growth.js", "growth", 1000, 100)
    halves = call("chart/growth.js", "growth", 40, 20) ** 2
    assert halves == pytest.approx(call("chart/growth.js", "growth", 40, 40)), "as fast on a slow screen as on a quick one"


def former(*texts: str) -> list[dict[str, str]]:
    return [{"kind": "rate", "text": text} for text in texts]


@pytest.mark.parametrize(("kept", "before", "text", "after"), [
    ([], "a", "b", ["a"]), ([], "a", "a", []), ([], " ", "b", []), (["b", "c"], "a", "b", ["a", "c"]),
    (["a", "c"], "a", "b", ["a", "c"]), (list("cdefghijkl"), "a", "b", ["a", *"cdefghijk"]), (["a", "c"], "", "b", ["a", "c"]),
])  # fmt: skip
def test_a_former_text_is_kept_once_and_not_beside_the_editor(call, kept, before, text, after):
    found = call("planner/former_texts.js", "withFormer", former(*kept), former(before)[0], text)
    assert [one["text"] for one in found] == after


def test_a_former_clip_text_is_another_than_the_same_rate(call):
    clip = {"kind": "clip", "text": "1"}
    assert call("planner/former_texts.js", "withFormer", [clip], former("0.5")[0], "1") == [*former("0.5"), clip]


def param(*words: str, kind: str = "rate", choices: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"word": words[0], "words": words, "kind": kind, "choices": choices, "meaning": ""}


SHAPES = [
    {"name": "cosine", "meaning": "a", "params": [param("from", "a"), param("to", "b")]},
    {"name": "warmup", "meaning": "b", "params": [param("curve", kind="word", choices=("linear", "log"))]},
    {"name": "repeat", "meaning": "c", "params": []},
]


@pytest.mark.parametrize(("before", "offered"), [
    ("co", ["cosine("]), ("0.005:5%, CO", ["cosine("]), ("repeat(2, wa", ["warmup("]), ("cosine(", None), ("cosine(fr", ["from="]),
    ("cosine(a=1, f", None), ("warmup(1, curve=l", ["linear", "log"]), ("1e", None),
    ("0.005:10", ["%", "ep", "img"]), ("0.005:10e", ["ep"]),
    ("# co", None), ("cosine(1, 0):5%, # wa", None), ("cosine", ["cosine("]), ("foo(co", ["cosine("]),
])  # fmt: skip
def test_what_can_stand_at_a_place(call, before, offered):
    found = call("editor/completion.js", "completionsAt", before, len(before), SHAPES)
    assert (found and [one["text"] for one in found["options"]]) == offered


def test_of_a_long_text_the_part_that_differs_is_shown(call):
    assert call("base/text.js", "excerpt", "0.005:100", "0.005 100", 20) == "0.005:100"
    old, new = "1, " * 50 + "end 2" + ", 3" * 50, "1, " * 50 + "END 2" + ", 3" * 50
    shown = call("base/text.js", "excerpt", new, old, 40)
    assert "END 2" in shown
    assert shown.startswith("… ")
    assert shown.endswith(" …")
    assert len(shown) <= 44


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


def test_a_question_in_parts_knows_whether_a_newer_one_was_asked(call):
    then = """async () => {
        const latest = new module.Latest();
        const first = latest.begin();
        const before = first();
        const slow = latest.of(() => Promise.resolve("slow"));
        const second = latest.begin();
        return [before, first(), await slow, second()];
    }"""
    assert call("base/latest.js", "Latest.name.toString", then=then) == [True, False, None, True]


def test_changes_are_made_one_after_another_and_each_hears_its_own_refusal(call):
    then = """async () => {
        const [changes, begun, ends] = [new module.InTurn(), [], []];
        const make = (name) => changes.run(() => new Promise((resolve, reject) => {
            begun.push(name);
            ends.push({resolve, reject});
        }));
        const wait = () => new Promise((resolve) => setTimeout(resolve, 1));
        const [first, second] = [make("first").catch((error) => error.message), make("second")];
        await wait();
        const before = [...begun, changes.isBusy];
        ends[0].reject(new Error("refused"));
        await wait();
        ends[1].resolve("made");
        await changes.settled;
        return [before, begun, await first, await second, changes.isBusy];
    }"""
    wanted = [["first", True], ["first", "second"], "refused", "made", False]
    assert call("base/in_turn.js", "InTurn.name.toString", then=then) == wanted


def test_a_server_that_is_away_is_asked_again_after_growing_pauses(call):
    pauses = [call("base/retry.js", "pauseAfter", failures, 1_000) for failures in (1, 2, 3, 4, 5, 50)]
    assert pauses == [1_000, 2_000, 4_000, 8_000, 15_000, 15_000]
    away = {"message": "The server is not reachable.", "passing": True}
    assert call("base/retry.js", "whileTrying", away) == "The server is not reachable. Trying again."
    assert call("base/retry.js", "whileTrying", {"message": "no such run", "passing": False}) == "no such run"


def test_a_poller_has_one_look_on_its_way_and_looks_again_where_that_was_wanted(call):
    then = """async () => {
        const own = performance.getEntriesByType("resource").find(({name}) => name.endsWith("/base/poller.js")).name;
        const {ApiError} = await import(new URL("api.js", own));
        const [seen, troubles, ends] = [[], [], []];
        const look = (isNewest) => new Promise((resolve, reject) => {
            seen.push(isNewest);
            ends.push({resolve, reject});
        });
        const onTrouble = (error) => troubles.push(error && error.message);
        const poller = new module.Poller({look, onTrouble, isWatched: () => true, check_ms: 1, retry_ms: 1e6});
        const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
        const until = async (count) => {
            while (seen.length < count) await wait(1);
        };
        poller.soon();
        poller.soon(); // the look is on its way still
        const [count, isNewest] = [seen.length, seen[0]()];
        ends[0].resolve(1e6); // too old: another one was wanted
        await until(2);
        ends[1].reject(new ApiError("away"));
        await wait(30);
        const afterFailure = seen.length;
        poller.soon();
        ends[2].resolve(1e6);
        await wait(30);
        poller.stop();
        return [count, isNewest, afterFailure, seen.length, troubles];
    }"""
    assert call("base/poller.js", "Poller.name.toString", then=then) == [1, False, 2, 3, [None, "away", None]]


def test_a_question_gives_the_focus_back_unless_it_went_elsewhere(call):
    then = """async () => {
        const node = (tag, ...children) => {
            const made = document.createElement(tag);
            made.append(...children);
            return made;
        };
        const [text, yes, no, back, other] = [node("p"), node("button"), node("button"), node("button"), node("button")];
        const box = node("div", text, node("span", yes, no));
        box.hidden = true;
        document.body.append(box, back, other);
        const question = new module.Question(box);
        const names = new Map([[yes, "yes"], [no, "no"], [back, "back"], [other, "other"]]);
        const state = () => [box.hidden, yes.disabled, names.get(document.activeElement) ?? ""];
        const soon = () => new Promise((resolve) => setTimeout(resolve));
        const seen = [];
        let done = null;
        const until = () => new Promise((resolve) => (done = resolve));
        question.ask({text: "Really?", yes: "Yes", back, onYes: () => seen.push("done")});
        seen.push(text.textContent, yes.textContent, ...state());
        no.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape", bubbles: true}));
        seen.push(...state());
        question.ask({back, onYes: () => seen.push(...state())});
        yes.click();
        question.ask({back, onYes: until, stays: true});
        yes.click();
        seen.push(...state().slice(0, 2));
        done();
        await soon();
        seen.push(...state());
        question.ask({back, onYes: async () => other.focus(), stays: true});
        yes.click();
        await soon();
        seen.push(...state());
        for (const one of [box, back, other]) one.remove();
        return seen;
    }"""
    shut, gone = [True, False, "back"], [True, False, "other"]
    expected = ["Really?", "Yes", False, False, "no", *shut, *shut, False, True, *shut, *gone]
    assert call("base/question.js", "Question.name.toString", then=then) == expected


def test_a_question_on_its_way_is_neither_left_nor_answered_by_another_ones_end(call):
    then = """async () => {
        const [box, text, yes, no] = ["div", "p", "button", "button"].map((tag) => document.createElement(tag));
        box.append(text, yes, no);
        document.body.append(box);
        const question = new module.Question(box);
        const [ends, seen] = [[], []];
        const ask = () => question.ask({back: null, onYes: () => new Promise((resolve) => ends.push(resolve)), stays: true});
        const see = () => seen.push([box.hidden, yes.disabled, no.disabled]);
        ask();
        yes.click();
        no.click();
        box.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"}));
        see();
        question.close();
        ask(); // of something else
        see();
        yes.click();
        ends[0]();
        await new Promise((resolve) => setTimeout(resolve));
        see();
        ends[1]();
        await new Promise((resolve) => setTimeout(resolve));
        see();
        box.remove();
        return seen;
    }"""
    expected = [[False, True, True], [False, False, False], [False, True, True], [True, False, False]]
    assert call("base/question.js", "Question.name.toString", then=then) == expected


def test_which_runs_go_on(call):
    states = ["pending", "running", "finished", "interrupted", "failed", "crashed"]
    assert [state for state in states if call("base/run_states.js", "goesOn", {"state": state})] == ["pending", "running"]
    assert call("base/run_states.js", "goesOn", None) is False


def test_names_are_sorted_as_people_do(call):
    assert call("base/text.js", "compareNames", "cat 9", "cat 10") < 0
    assert call("base/text.js", "compareNames", "Éclair", "eclair") == 0


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
    assert call("trials/words.js", "statusOf", waiting) == "Waits until the training of 'other' has ended."


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
    assert call("trials/words.js", "statusOf", running) == words


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


EMA = {"name": "ema", "label": "Average of the weights: decay", "type": "number", "needs": ""}
VALIDATE = {"name": "validate_every", "label": "Validate every N updates", "type": "whole", "needs": ""}
STOP = {"name": "stop_after", "label": "Stop when validation has not improved N times in a row", "type": "whole",
        "needs": "validate_every"}  # fmt: skip
SPREAD = {"name": "spread_timesteps", "label": "Evenly spread timesteps", "type": "switch", "needs": ""}
FACTOR = {"name": "rate_by_timestep", "label": "Rate by timestep", "type": "text", "needs": ""}
DESCRIBED = [VALIDATE, STOP, EMA, SPREAD, FACTOR]
OFF = {"validate_every": 0, "stop_after": 0, "ema": 0, "spread_timesteps": False, "rate_by_timestep": ""}


def in_force(defaults: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """An answer of GET /options."""
    base = OFF | (defaults or {})
    return {"name": "cat", "options": base | options, "defaults": base, "chosen": {}, "run": None, "descriptions": DESCRIBED}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ""),
        ({"validate_every": 50, "ema": 0.98}, "Validate every 50 updates, average of the weights: decay 0.98"),
        ({"spread_timesteps": True, "rate_by_timestep": "1:3, 2"}, "Evenly spread timesteps, rate by timestep: 1:3, 2"),
        ({"stop_after": 3}, "Stop when validation has not improved 3 times in a row"),
    ],
)
def test_what_differs_from_the_defaults_is_one_line(call, options, words):
    assert call("options/option_words.js", "differing", in_force(**options)) == words


def test_what_is_off_against_the_defaults_says_so(call):
    answer = in_force({"validate_every": 50, "spread_timesteps": True}, validate_every=0, spread_timesteps=False)
    assert call("options/option_words.js", "differing", answer) == "Validate: off, evenly spread timesteps: off"


@pytest.mark.parametrize(
    ("described", "text", "value"),
    [(EMA, " 0.98 ", 0.98), (EMA, "", 0), (EMA, "Off", 0), (EMA, "0,98", "0,98"), (EMA, "Infinity", "Infinity"),
     (VALIDATE, "1e2", 100), (FACTOR, " 1:3, 2 ", "1:3, 2"), (SPREAD, True, True)],
)  # fmt: skip
def test_what_is_typed_into_an_option_is_sent_as_its_value(call, described, text, value):
    assert call("options/option_words.js", "typed", described, text) == value


def test_an_option_that_does_nothing_without_another_goes_with_it(call):
    answer = in_force() | {"chosen": {"validate_every": 50, "stop_after": 3, "ema": 0.9}}
    change = lambda *args: call("options/option_words.js", "withChange", answer, *args)  # noqa: E731
    assert change("validate_every", 0) == {"validate_every": 0, "ema": 0.9}
    assert change("validate_every", 20) == {"validate_every": 20, "stop_after": 3, "ema": 0.9}


def test_back_to_the_defaults_chooses_them_where_a_run_has_others(call):
    back = lambda answer: call("options/option_words.js", "backToDefaults", answer)  # noqa: E731
    assert back(in_force(ema=0.9)) == {}
    of_a_run = in_force({"stop_after": 3}, ema=0.9, stop_after=0) | {"run": "r"}
    assert back(of_a_run) == {"ema": 0}, "which would be refused with stop_after"


NEW_RUN = "The next training of cat is a new run, with the defaults of the settings page."


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        ({}, {"isLive": False}, NEW_RUN),
        ({"run": "r"}, {"isLive": False}, "The next training of cat resumes its run at step 40, with that run's own options."),
        ({"chosen": {"ema": 0.9}}, {"isLive": False}, f"{NEW_RUN} What is changed here is for that training alone."),
        ({"run": "r"}, {"isLive": True}, "cat is being trained with these. What is changed here is for its next training."),
    ],
)
def test_where_the_options_come_from(call, change, settings, words):
    assert call("options/option_words.js", "origin", in_force() | change, {"step": "40", **settings}) == words


@pytest.mark.parametrize(
    ("found", "every", "words"),
    [
        (None, 0, ""),
        ({"images": 0}, 0, ""),
        ({"images": 3}, 50, ""),
        ({"images": 1}, 0, "The data set has a folder validation with one image."),
        ({"images": 3}, 0, "The data set has a folder validation with 3 images."),
        ({"images": None}, 0, "The data set has a folder validation."),
    ],
)
def test_validation_is_offered_where_there_are_images_for_it(call, found, every, words):
    answer = in_force(validate_every=every) | {"validation_folder": found}
    assert call("options/option_words.js", "offered", answer) == words


def test_a_refusal_at_its_field_is_a_sentence(call):
    said = call("options/option_words.js", "refusal", "ema: expected a number from 0 and below 1, got 1.5", "ema")
    assert said == "Expected a number from 0 and below 1, got 1.5."


LOOKS = {"validation": [[10, 0.1], [20, 0.3], [30, 0.2]], "validation_ema": [[10, 0.05], [20, 0.2], [30, 0.25]], "best_step": 20}


def lines_of(call: Any, answer: dict[str, Any], progress: list[float | None]) -> Any:
    """What the first chart of a run has."""
    then = f"""() => {{
        const points = {{columns: {{step: {list(range(len(progress)))}}}, column: () => {[0.1 if p else p for p in progress]!r}}};
        return module.progressLines(points, args[0]);
    }}""".replace("None", "null")
    return call("runs/progress_lines.js", "progressLines.name.toString", answer, then=then)


def test_validation_and_the_average_stand_beside_progress_with_the_best_marked(call):
    found = lines_of(call, LOOKS, [0.1, 0.2])
    looked = [10, 20, 30]
    lines = [("progress", [0, 1]), ("validation", looked), ("average", looked)]
    assert [(one["name"], one["x"]) for one in found["series"]] == lines
    assert [(mark["x"], mark["label"]) for mark in found["marks"]] == [(20, "best")]
    assert [name for _, name in found["legend"]] == ["progress", "validation", "average"]
    alone = lines_of(call, {"validation": [], "validation_ema": [], "best_step": None}, [0.1])
    assert ([one["name"] for one in alone["series"]], alone["marks"], alone["legend"]) == (["progress"], [], [])
    unmeasured = lines_of(call, LOOKS, [None])
    assert [one["name"] for one in unmeasured["series"]] == ["validation", "average"]


def test_the_newest_look_in_numbers(call):
    assert call("runs/progress_lines.js", "newestLook", LOOKS) == ["20 %", "best 30 %, after 20 updates"]
    assert call("runs/progress_lines.js", "newestLook", {"validation": [[1, 0.1]], "best_step": 1}) == ["10 %", "the best so far"]
    assert call("runs/progress_lines.js", "newestLook", {"validation": []}) is None


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("best", 'Replace "cat" with the best state, as it was after 20 updates, with 30 %'),
        ("average", 'Replace "cat" with the average of the weights, as it was after 40 updates, with 25 %'),
    ],
)
def test_what_is_asked_before_it_takes_the_file_s_place(call, what, words):
    asked = call("runs/use_words.js", "question", what, {"run": {"name": "cat", "step": 40}, **LOOKS})
    assert asked == [f"{words} of the loss gone in validation?", "What cat.pt holds now is kept as cat.pt.bak.",
                     "The next training of cat is then a new run from it: the step stays, the optimizer is new."]  # fmt: skip


@pytest.mark.parametrize(
    ("window", "seen"),
    [(None, [0, 100]), ([20, 40], [20, 40]), ([-5, 40], [0, 40]), ([90, 300], [90, 100]), ([200, 300], [0, 100])],
)
def test_what_is_seen_through_a_window(call, window, seen):
    assert call("chart/window.js", "visible", [0, 100], window) == seen


@pytest.mark.parametrize(
    ("start", "end", "window"),
    [
        (20.4, 39.2, [20, 40]),
        (39.2, 20.4, [20, 40]),
        (50.2, 50.4, [49, 53]),
        (99.7, 99.9, [96, 100]),
        (-3, 2, [0, 5]),
        (0, 100, None),
    ],
)
def test_a_drag_gives_whole_steps_and_some_of_them(call, start, end, window):
    assert call("chart/window.js", "dragged", start, end, [0, 100]) == window


def test_zooming_keeps_the_step_under_the_crosshair_in_place(call):
    zoomed = lambda *args: call("chart/window.js", "scaled", *args)  # noqa: E731
    assert zoomed(None, 20, 0.5, [0, 100]) == [10, 60]
    assert zoomed([10, 60], 20, 2, [0, 100]) is None
    assert zoomed([40, 60], None, 2, [0, 100]) == [30, 70]
    assert zoomed([0, 20], 0, 2, [0, 100]) == [0, 40]
    assert zoomed([50, 54], 52, 0.5, [0, 100]) == [50, 54], "four steps are the least"


@pytest.mark.parametrize(("step", "window"), [(25, [20, 40]), (40, [21, 41]), (5, [5, 25]), (100, [80, 100])])
def test_a_window_follows_the_keys(call, step, window):
    assert call("chart/window.js", "following", [20, 40], step, [0, 100]) == window
    assert call("chart/window.js", "following", None, step, [0, 100]) is None


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(0, 30, [0, 4]), (5, 25, [1, 3]), (10, 20, [1, 3]), (11, 19, [2, 2]), (-9, -1, [0, 0]), (31, 99, [4, 4])],
)
def test_which_values_lie_between(call, low, high, found):
    assert call("chart/scale.js", "between", [0, 10, 20, 30], low, high) == found
    assert call("chart/scale.js", "between", [], low, high) == [0, 0]


@pytest.mark.parametrize(
    ("steps", "window", "whole"),
    [
        ([0, 1, 2, 3], [1, 3], True),
        ([0, 2, 4, 6], [1, 5], False),
        ([5, 6, 7], [0, 100], True),
        ([], [1, 3], True),
        ([0, 9], [2, 5], False),
    ],
)
def test_more_points_are_asked_for_where_some_are_missing(call, steps, window, whole):
    assert call("runs/run_stretch.js", "isWhole", steps, window) == whole


def test_a_stretch_takes_the_place_of_what_the_whole_run_has_there(call):
    whole = {"step": [0, 10, 20, 30], "loss": [1, 2, 3, 4], "old": [5, 6, 7, 8]}
    stretch = {"step": [10, 11, 12, 20], "loss": [2, 2.1, 2.2, 3], "new": [1, 1, 1, 1]}
    assert call("runs/run_stretch.js", "joined", whole, stretch) == {
        "step": [0, 10, 11, 12, 20, 30], "loss": [1, 2, 2.1, 2.2, 3, 4], "old": [5, *[None] * 4, 8],
        "new": [None, 1, 1, 1, 1, None],
    }  # fmt: skip


def test_smoothing_in_words_and_as_the_server_takes_it(call):
    assert [call("runs/smoothing.js", "decayOf", reach) for reach in (1, 2, 50, 1000)] == [0, 0.5, None, 0.999]
    assert call("runs/smoothing.js", "smoothingWords", 200) == "smoothed over about 200 updates"
    assert call("runs/smoothing.js", "smoothingWords", 1) == "not smoothed"


def image(step: int, index: int | None = None, *, holds_embedding: bool = False) -> dict[str, Any]:
    return {"step": step, "index": step if index is None else index, "holds_embedding": holds_embedding}


def strip(call: Any, images: list[dict[str, Any]], wanted: int = -1, **more: Any) -> list[list[float]]:
    """[step, left] of the thumbnails, 60 pixels wide, of a chart of 100 to 500 pixels over the steps 0 to 400."""
    then = """() => module.placed(args[0], {x: (step) => 100 + step, width: 60, room: [70, 514], ...args[1],
        isWanted: ({index}) => index === args[2]}).map(({image, left}) => [image.step, left])"""
    return call("runs/strip_places.js", "placed.name.toString", images, {"range": [0, 400], **more}, wanted, then=then)


def test_thumbnails_stand_at_their_steps_and_not_over_each_other(call):
    assert strip(call, [image(100), image(300)]) == [[100, 170], [300, 370]]
    assert [step for step, _ in strip(call, [image(step) for step in range(0, 401, 20)])] == [0, 60, 120, 180, 240, 300, 400]
    assert strip(call, [image(0), image(400)]) == [[0, 70], [400, 454]], "the last one does not hang over the edge"
    many = strip(call, [image(step) for step in range(0, 401, 20)], 140)
    assert [140, 210] in many, "one that is pinned is always there"
    assert all(right - left >= 60 for (_, left), (_, right) in pairwise(many))
    assert strip(call, [image(100), image(300)], range=[200, 400]) == [[300, 370]]


def test_a_copy_with_the_embedding_in_it_is_shown_where_it_is_alone(call):
    images = [image(10, 0), image(10, 1, holds_embedding=True), image(20, 2, holds_embedding=True)]
    assert [one["index"] for one in call("runs/strip_places.js", "oneForEach", images)] == [0, 2]


def test_what_lies_side_by_side(call):
    a, b, c = image(1), image(2), image(3)
    pair = lambda *args: call("runs/strip_places.js", "pair", *args)  # noqa: E731
    assert [pair([], a), pair([a], b), pair([a], a), pair([a, b], c)] == [[a, None], [a, b], [a, None], [a, b]]
    assert pair([], None) == [None, None]
    pin = lambda *args: call("runs/strip_places.js", "pinned", *args)  # noqa: E731
    assert [pin([], a), pin([a], b), pin([a, b], c), pin([a, b], a)] == [[a], [a, b], [a, c], [b]]


def event(event_: str, step: int, message: str = "") -> dict[str, Any]:
    return {"event": event_, "step": step, "message": message, "time_s": 1.7e9}


def test_hundreds_of_copies_are_ticks_and_one_line_of_the_list(call):
    copies = [event("copy", step, f"cat-{step}.pt") for step in range(10, 3_000, 10)]
    events = [event("leg", 0, "starts"), *copies, event("rescue", 500, "NaN"), event("resume", 700), event("finished", 3_000)]
    run = {"total_steps": 3_000, "legs": [{"start_step": 700, "mode": "restart"}]}
    marks = call("runs/run_marks.js", "eventMarks", events, run)
    assert [mark["kind"] for mark in marks if not mark["isTick"]] == ["rescue", "resume"]
    assert [mark["label"] for mark in marks if mark["label"]] == ["rescue", "restarted"]
    assert marks[0] == {"x": 10, "kind": "copy", "text": "copy saved: cat-10.pt", "label": "", "isTick": True}
    lines = [one["event"] for one in call("runs/run_marks.js", "listed", events)]
    assert lines == ["leg", "copies saved", "rescue", "resume", "finished"]
    assert call("runs/run_marks.js", "eventsTitle", events) == "Events, 1 rescue, 299 copies"


GOES = {"state": "running", "step": 120, "total_steps": 400, "message": ""}


@pytest.mark.parametrize(
    ("run", "more", "words"),
    [
        ({}, {"s_left": 192}, "Running: step 120 of 400, 3 min 12 s left."),
        ({}, {}, "Running: step 120 of 400."),
        ({}, {"isEnding": True}, "Interrupted: it ends before its next update and is saved."),
        ({"state": "pending"}, {}, "Preparing: the images are read, then it resumes at step 120."),
        ({"state": "finished", "step": 400}, {}, "Finished. Raise max steps to continue, or start over."),
        (
            {"state": "finished", "step": 400, "message": "nothing was learned"},
            {},
            "Finished: nothing was learned. Raise max steps to continue, or start over.",
        ),
        (
            {"state": "finished", "message": "it no longer improves"},
            {},
            "Finished after 120 of 400 updates: it no longer improves. Train again to resume, or start over.",
        ),
        ({"state": "finished", "step": 400}, {"putBack": True}, "Finished: what was trained is as it was before."),
        ({"state": "interrupted"}, {"isEnding": True}, "Interrupted after 120 of 400 updates. Train again to resume."),
        ({"state": "crashed"}, {}, "Broke off after 120 of 400 updates. Train again to resume."),
    ],
)
def test_where_a_run_stands(call, run, more, words):
    assert call("runs/run_status.js", "statusOf", GOES | run, more) == words


NOW = {"what": "training", "kind": "embedding", "name": "cat", "run": "r", "trial": None, "step": 1_200, "total_steps": 4_000,
       "s_left": 60.4, "is_ending": False}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ["Training", "cat", "step 1,200 of 4,000, 1 min 00 s left"]),
        ({"s_left": None}, ["Training", "cat", "step 1,200 of 4,000"]),
        ({"is_ending": True}, ["Training", "cat", "interrupted: it ends before its next update"]),
        ({"what": "preparing", "step": 0}, ["Preparing", "cat", "reading the images"]),
        ({"what": "preparing"}, ["Preparing", "cat", "resumes at step 1,200"]),
        ({"what": "trial", "s_left": 0.1}, ["Trial for", "cat", "update 1,200 of 4,000, 1 s left"]),
    ],
)
def test_the_line_above_everything(call, change, words):
    assert call("runs/now_line.js", "nowWords", NOW | change) == words


def test_where_nothing_is_left_to_train_the_past_alone_is_drawn(call: Any) -> None:
    past = {"x": [0, 13], "y": [1e-4, 1e-3]}
    result = {"x": [0, 5, 13], "y": [0.004, 0.001, 1e-4], "past": past, "boundaries": [], "total_steps": 14, "stop": 14}
    left = call("chart/schedule_lines.js", "scheduleLines", [[result, 0, "rate"]], 5, "new")
    assert [(line["look"], line["x"]) for line in left["series"]] == [("past", [0, 13]), (0, [5, 13])]
    over = call("chart/schedule_lines.js", "scheduleLines", [[result, 0, "rate"]], 14, "continue")
    assert [line["look"] for line in over["series"]] == ["past"]
