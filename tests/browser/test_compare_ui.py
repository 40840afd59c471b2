"""The list of runs and the comparison: three runs are judged, last week's run is found."""

from __future__ import annotations

import csv
import getpass
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import compare_steps as steps
from browser_steps import open_tab, run_row
from compared_runs import RATES, STEPS, UNMEASURED, WANTED
from playwright.sync_api import Page, Route, expect

RUNS = list(RATES)
OUTSIDE = """() => [...document.querySelectorAll(".lrsched-runs *")].filter((node) => {
    const box = node.getBoundingClientRect();
    return box.width > 0 && box.right > innerWidth + 1 && !node.closest(".lrsched-scroll, .lrsched-caret, code");
}).map((node) => node.outerHTML.slice(0, 80))"""
SAID, NOTES = "#lrsched_compared_said", "#lrsched_compared_notes"


@pytest.mark.usefixtures("runs_to_compare")
def test_three_runs_are_judged(page: Page, folder: Path, tmp_path: Path) -> None:
    open_tab(page)
    steps.find(page, "64 steps of low")  # words that are in no run
    expect(page.locator("#lrsched_runs_unfound")).to_be_visible()
    page.click("#lrsched_runs_all")
    steps.tick(page, "low", "right")
    run_row(page, "right").press("ArrowUp")
    page.keyboard.press("Space")
    expect(run_row(page, "high")).to_have_attribute("aria-selected", "true")
    steps.compare(page, 3)
    expect(page.locator(steps.LINES)).to_have_count(3)
    assert page.locator("#lrsched_compared_legend button").all_inner_texts() == RUNS
    expect(page.locator("#lrsched_run_view")).to_be_hidden()

    steps.sort_by(page, "progress_end", "descending")
    assert steps.ranking(page)[0] == "right"
    assert steps.best_in(page, "progress_end") == ["right"]
    expect(steps.cell(page, "right", "progress_end")).to_have_text(re.compile(r"^\d+(\.\d+)? %best$"))
    steps.sort_by(page, "progress_end", "ascending")
    assert steps.ranking(page)[-1] == "right"
    expect(page.locator(f"{steps.SETTINGS} th")).to_have_text(["Learning rate"])
    expect(page.locator(f"{steps.SETTINGS} td")).to_have_text(list(RATES.values()))
    page.uncheck("#lrsched_compared_differing")
    expect(page.locator(steps.SETTINGS, has_text="Max steps").locator("td")).to_have_text([str(STEPS)] * 3)

    expect(page.locator(f"{steps.FIGURES} img")).to_have_count(3)
    first, last = steps.images_at(page, "Home"), steps.images_at(page, "End")
    assert [re.sub(r"\s+", " ", words) for words in first] == [f"{name} 31 updates" for name in RUNS]
    assert [re.sub(r"\s+", " ", words) for words in last] == [f"{name} 63 updates" for name in RUNS]
    images = page.locator(f"{steps.FIGURES} img")
    images.evaluate_all("all => Promise.all(all.map((one) => one.decode()))")  # raises where one is broken

    page.locator(f"{steps.FIGURES} button").first.click()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#lrsched_compared dialog figcaption")).to_have_text("right, after 63 updates")
    page.keyboard.press("Escape")
    expect(page.locator("#lrsched_compared dialog")).to_be_hidden()

    page.locator("#lrsched_compared_legend button").first.hover()
    expect(page.locator(f"{steps.LINES}.lrsched-faded")).to_have_count(2)
    page.select_option("#lrsched_compared_over", "time")
    expect(page.locator("#lrsched_compared_chart .lrsched-labels")).to_contain_text("time trained, seconds")
    page.reload()
    open_tab(page)
    expect(page.locator("#lrsched_compared_title")).to_have_text("3 runs compared")
    expect(page.locator("#lrsched_compared_chart .lrsched-labels")).to_contain_text("time trained, seconds")
    files_are_whole(page, folder, tmp_path)
    page.set_viewport_size({"width": 420, "height": 900})
    page.wait_for_function(f"({OUTSIDE})().length === 0")
    page.set_viewport_size({"width": 1400, "height": 1000})
    page.click("#lrsched_compared_close")
    expect(page.locator("#lrsched_run_view")).to_be_visible()
    expect(page.locator("#lrsched_runs_ticked_count")).to_have_text("3 ticked")


def files_are_whole(page: Page, folder: Path, tmp_path: Path) -> None:
    """What is exported has what is shown, and no path and no name of a person."""
    table = rows_of(steps.exported(page, "csv", tmp_path / "runs.csv"))
    assert [(row["name"], row["rate_text"]) for row in table] == list(RATES.items())
    assert float(table[1]["progress_end"]) > float(table[0]["progress_end"])
    curves = rows_of(steps.exported(page, "curves", tmp_path / "curves.csv"))
    assert {row["id"] for row in curves} == {row["id"] for row in table}
    html = steps.exported(page, "html", tmp_path / "comparison.html").read_text()
    assert all(rate in html for rate in RATES.values())
    assert html.count("data:image/") == 6
    for text in (html, (tmp_path / "runs.csv").read_text(), (tmp_path / "curves.csv").read_text()):
        assert not [word for word in (str(folder), str(Path.home()), f"/{getpass.getuser()}/") if word in text]
    with Image.open(steps.exported(page, "png", tmp_path / "comparison.png")) as image:
        assert image.width == 1920
        assert image.height > 900
        colours = {colour[:3] for _, colour in image.convert("RGB").getcolors(1 << 20)}
    lines = page.locator(steps.LINES).evaluate_all("all => all.map((one) => getComputedStyle(one).stroke)")
    drawn = {tuple(map(int, re.findall(r"\d+", line)[:3])) for line in lines}
    assert len(drawn) == 3
    assert drawn <= colours


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


@pytest.mark.usefixtures("runs_to_compare")
def test_last_weeks_run_is_found(page: Page) -> None:
    open_tab(page)
    expect(page.locator(steps.ROWS).nth(40)).to_be_attached()
    count = page.locator("#lrsched_runs_count")
    everything = int(count.inner_text().split()[0])
    steps.find(page, "zurich")
    expect(count).to_have_text(f"9 of {everything} runs")
    steps.find(page, "zurich HANDLE", kind="embedding", state="interrupted")
    expect(page.locator(f"{steps.ROWS} .lrsched-run-name")).to_have_text([WANTED])
    expect(page.locator(f"{steps.ROWS} .lrsched-run-steps")).to_have_text("Zürich 8, embedding, 140 of 280")
    steps.open_first(page)
    expect(page.locator("#lrsched_run_title")).to_have_text("Zürich 8 (embedding, interrupted)")
    expect(page.locator("#lrsched_run_label strong")).to_have_text(WANTED)
    steps.call_it(page, "the kettle to keep", "sent to Ada")
    expect(page.locator("#lrsched_run_label .lrsched-run-note")).to_have_text("sent to Ada")
    expect(page.locator("#lrsched_runs_unfound")).to_be_visible()  # the note has no handle any more
    steps.find(page, "ada kettle")
    expect(page.locator(f"{steps.ROWS} .lrsched-run-name")).to_have_text(["the kettle to keep"])
    page.reload()
    open_tab(page)
    expect(page.locator(f"{steps.ROWS} .lrsched-run-name")).to_have_text(["the kettle to keep"])
    expect(page.locator("#lrsched_run_title")).to_have_text("Zürich 8 (embedding, interrupted)")
    steps.find(page, "starling")
    expect(count).to_have_text(f"9 of {everything} runs")
    page.select_option("#lrsched_runs_order", "progress")
    expect(page.locator(f"{steps.ROWS} .lrsched-run-progress").get_by_text("–", exact=True)).to_have_count(0)
    shares = [float(text.split(" ")[0]) for text in page.locator(f"{steps.ROWS} .lrsched-run-progress").all_text_contents()]
    assert len(set(shares)) > 5
    assert shares == sorted(shares, reverse=True)
    assert page.locator("#lrsched_runs [tabindex='0']").count() == 1


@pytest.mark.long
@pytest.mark.usefixtures("runs_to_compare")
def test_what_cannot_be_compared_is_said(page: Page, folder: Path) -> None:
    open_tab(page)
    steps.tick(page, "starling 0", "lamp 4", UNMEASURED, "lamp 9")
    steps.compare(page, 4)
    notes = page.locator(NOTES)
    expect(notes).to_contain_text("compare it within a kind only")
    expect(notes).to_contain_text(f"Without a line: {UNMEASURED} (no progress was measured).")
    expect(steps.cell(page, UNMEASURED, "progress_end")).to_have_text("–")
    page.select_option("#lrsched_compared_curve", "loss")
    expect(page.locator(steps.LINES)).to_have_count(4)
    assert page.locator("#lrsched_compared_curve option:disabled").all_inner_texts() == ["Validation"]
    answer = page.request.delete("/lrsched/v1/runs/past-009-embedding", headers={"X-LRSched-Page": "1"})
    assert answer.ok, answer.text()
    expect(page.locator(SAID)).to_have_text("lamp 9 was deleted meanwhile.")
    expect(page.locator(steps.LINES)).to_have_count(3)
    for name in ("starling 0", "lamp 4"):
        run_row(page, name).locator(".lrsched-tick").click()
    expect(notes).to_contain_text("Tick another run in the list to compare it with this one.")
    run_row(page, UNMEASURED).press("Space")
    expect(page.locator("#lrsched_compared")).to_be_hidden()
    expect(page.locator("#lrsched_run_view")).to_be_visible()


# Many runs ---------------------------------------------------------------------------------


def many(count: int) -> dict[str, Any]:
    """A list of so many runs, as the server answers it."""
    run = {
        "kind": "embedding", "state": "finished", "step": 2000, "initial_step": 0, "total_steps": 2000, "clip_text": "",
        "clip_mode": "disabled", "clip_exact": False, "batch": 1, "accumulate": 1, "pictures": 12, "steps_per_epoch": 12,
        "message": "", "multiplier": 1.0, "origin": 0, "legs": [], "note": "", "images": 0,
        "outcome": "finished: 2,000 updates", "progress_best": 0.41, "progress_best_step": 1900, "validation_end": None,
        "validation_best": None, "best_step": None, "seconds": 600.0, "size_bytes": 1_000_000, "trouble": "",
    }  # fmt: skip
    runs = [
        {**run, "id": f"r{i}", "name": f"starling {i}", "title": "" if i % 3 else f"try {i}", "progress_end": i % 40 / 100,
         "created_s": 1.7e9 - 4e4 * i, "updated_s": 1.7e9 - 4e4 * i + 600, "ended_s": 1.7e9 - 4e4 * i + 600,
         "rate_text": f"warmup(0.00{i}):5%, cosine(0.00{i}, 1e-5)"}
        for i in range(count)
    ]  # fmt: skip
    host = {"name": "practice", "hooked": True, "why": ""}
    return {"runs": runs, "unread": 0, "size_bytes": 5, "active": [], "host": host, "messages": []}


FIRST_DRAWING = """async () => {
    const loaded = performance.getEntriesByType("resource").map(({name}) => name);
    const {RunRows} = await import(loaded.find((name) => name.endsWith("/runs/run_rows.js")));
    const {runs} = lrsched.tab.watcher;
    const place = document.getElementById("lrsched_runs").parentElement;
    const timed = (action) => {
        const begin = performance.now();
        action();
        place.offsetHeight;
        return performance.now() - begin;
    };
    const list = (role) => {
        const node = document.createElement("ul");
        node.className = "lrsched-runs-list";
        node.setAttribute("role", role);
        place.append(node);
        return node;
    };
    const bare = () => {
        const node = list("list");
        const took = timed(() => {
            for (const run of runs) {
                const row = document.createElement("li");
                for (let i = 0; i < 10; i++) {
                    row.append(Object.assign(document.createElement("span"), {textContent: run.rate_text}));
                }
                node.append(row);
            }
        });
        node.remove();
        return took;
    };
    const ours = () => {
        const node = list("listbox");
        const rows = new RunRows(node, {onOpen() {}, onTick() {}});
        const first = timed(() => rows.show(runs, "r0", () => null));
        const fresh = JSON.parse(JSON.stringify(runs));
        const again = timed(() => rows.show(fresh, "r0", () => null));
        node.remove();
        return [first, again];
    };
    const found = [];
    for (let i = 0; i < 5; i++) found.push([bare(), ...ours()]);
    const least = (i) => Math.min(...found.map((times) => times[i]));
    return {bare: least(0), first: least(1), again: least(2)};
}"""
CHANGES = """() => new Promise((resolve) => {
    let count = 0;
    const everything = {subtree: true, childList: true, attributes: true, characterData: true};
    new MutationObserver((changes) => (count += changes.length)).observe(document.getElementById("lrsched_runs"), everything);
    const {list, runs} = lrsched.tab.watcher;
    list.show(JSON.parse(JSON.stringify(runs)), list.chosen);
    setTimeout(() => resolve(count), 50);
})"""


@pytest.mark.long
def test_five_hundred_runs_cost_little(page: Page) -> None:
    """Measured against bare elements in as many rows, so that a busy machine slows both."""
    answers = {"/runs?": None, "/runs": many(500)}

    def answer(route: Route) -> None:
        path = route.request.url.partition("/lrsched/v1")[2]
        body = answers.get(path)
        route.fulfill(content_type="application/json", body=json.dumps(body)) if body else route.fulfill(status=404, body="{}")

    page.route("**/lrsched/v1/runs**", answer)
    page.route("**/lrsched/v1/runs/**", answer)
    open_tab(page)
    expect(page.locator("#lrsched_runs_count")).to_have_text("500 runs")
    assert page.evaluate(CHANGES) == 0, "an unchanged list is left alone"
    assert page.evaluate("document.getElementById('lrsched_runs').scrollHeight") > 500 * 60, "rows out of view keep their height"
    took = page.evaluate(FIRST_DRAWING)
    assert took["first"] < 8 * took["bare"], took
    assert took["again"] < took["first"] / 3, took
    page.locator(steps.ROWS).first.focus()
    page.keyboard.press("End")
    expect(page.locator(steps.ROWS).last).to_be_focused()
    expect(page.locator(steps.ROWS).last).to_be_in_viewport()
    for _ in range(21):
        page.keyboard.press("Space")
        page.keyboard.press("ArrowUp")
    expect(page.locator("#lrsched_runs_said")).to_have_text("At most 20 runs can be compared. Untick one first.")
    expect(page.locator("#lrsched_runs_compare")).to_have_text("Compare 20")
    looks = page.locator(f"{steps.ROWS}[aria-selected=true]").evaluate_all("all => all.map((one) => one.dataset.look)")
    assert len(set(looks)) == 20
    steps.find(page, "try 3 ")
    expect(page.locator("#lrsched_runs_ticked_count")).to_have_text("20 ticked, 13 not in this list")
    page.click("#lrsched_runs_untick")
    expect(page.locator("#lrsched_runs_ticked")).to_be_hidden()
