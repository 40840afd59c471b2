"""Late answers in the view of a run: two made-up runs, and routes that answer when the test releases them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import open_tab, run_row, show_run, wait_until
from playwright.sync_api import Locator, Page, Route, expect
from test_learning_ui import RUN

REFUSED = {"error": {"message": "no <b>luck</b>", "span": None}}
SNAPSHOT = {
    "file": "", "good": True, "checked": True, "message": "", "size_bytes": 1000, "time_s": 1.7e9, "digest": "", "rate_text": "0.1",
    "optimizer": "AdamW", "multiplier": 1.0, "torch": "", "trained": ["1x64 float32"], "batches_taken": 1, "batches_per_epoch": 2,
}  # fmt: skip
IMAGE = {"index": 0, "step": 1, "prompt": "a photo", "file": "a.png"}


class Server:
    """Answers everything below /runs: `first` and `second`, ended, with snapshots after 40, 30 and 20 updates.

    Attributes:
        runs, in_progress, usable: may be changed; the next answer is of what they are then.
        from_step: the snapshot that the next training of `first` resumes from.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        more = {"title": "", "note": "", "images": 0, "size_bytes": 1000}
        self.runs = {name: RUN | more | {"id": name, "name": name} for name in ("first", "second")}
        self.in_progress: list[dict[str, Any]] = []
        self.steps = [40, 30, 20]
        self.from_step: int | None = None
        page.route("**/lrsched/v1/runs**", self._answer)
        page.route("**/lrsched/v1/runs/**", self._answer)
        page.route("**/lrsched/v1/resume?**", lambda route: route.fulfill(json=self.resume("first")))

    def resume(self, name: str) -> dict[str, Any]:
        return {"run": {"id": name}, "from_step": self.from_step, "step": self.from_step or 40}

    def _answer(self, route: Route) -> None:
        path = re.sub(r".*/lrsched/v1/runs/?|\?.*", "", route.request.url)
        name, _, what = path.partition("/")
        if not name:
            active = [one["run"] for one in self.in_progress]
            host = {"name": "", "hooked": True, "why": ""}
            found: dict[str, Any] = {"runs": list(self.runs.values()), "unread": 0, "size_bytes": 1, "active": active, "host": host,
                                     "in_progress": self.in_progress}  # fmt: skip
        elif what == "bundles":
            found = {"bundles": [SNAPSHOT | {"number": step, "step": step} for step in self.steps], "best": None}
        elif what == "":
            found = {
                "run": self.runs[name], "settings": {}, "points": {"step": [0]}, "events": [], "next_since": 1, "complete": True,
                "s_per_step": None, "s_left": None, "learning": {"said": "", "share": None, "error": None}, "usable": ["best"],
            }  # fmt: skip
            found["points"] |= {column: [0.1] for column in ("planned", "actual", "loss", "smooth", "grad_norm", "time_s")}
        else:
            found = {"kind": "embedding", "inputs": {}, "options": {}}
        route.fulfill(content_type="application/json", body=json.dumps(found))

    def hold(self, address: str, method: str) -> list[Route]:
        """Collects the requests of this kind from now on; the test answers them."""
        held: list[Route] = []
        pattern = re.compile(f"/lrsched/v1/{address}$")
        self.page.route(pattern, lambda route: held.append(route) if route.request.method == method else route.fallback())
        return held

    def settle(self) -> None:
        """Waits until the page has received all earlier answers."""
        self.page.evaluate("() => fetch('/lrsched/v1/runs').then((answer) => answer.json())")

    def looks(self) -> None:
        """Waits for a list that was requested after this call."""
        for _ in range(2):
            with self.page.expect_response(lambda response: response.url.endswith("/runs")):
                run_row(self.page, "first").click()


@pytest.fixture
def server_of_two(page: Page) -> Server:
    server = Server(page)
    open_tab(page)
    show_run(page, "first")
    return server


def refuse(route: Route, status: int = 409) -> None:
    route.fulfill(status=status, json=REFUSED)


def test_a_profile_is_never_replaced_without_a_question(page: Page, server_of_two: Server) -> None:
    asked, sent = server_of_two.hold("runs/first/profile", "GET"), server_of_two.hold("profiles", "POST")
    page.click("#lrsched_run_profile")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    wait_until(page, lambda: asked)
    asked.pop(0).fallback()
    wait_until(page, lambda: sent)
    refuse(sent[0])
    expect(page.locator("#lrsched_run_profile_said")).to_have_text('There is a profile "first" already.')
    assert asked == [], "the second press came before the question"
    page.unroute(re.compile("/lrsched/v1/runs/first/profile$"))
    page.press("#lrsched_run_profile_name", "Enter")
    wait_until(page, lambda: len(sent) > 1)
    sent[1].fulfill(json={})
    expect(page.locator("#lrsched_run_profile_said")).to_have_text('Saved as the profile "first".')
    assert [route.request.post_data_json["replace"] for route in sent] == [False, True]


def row(page: Page, step: int) -> Locator:
    """The row of a snapshot."""
    step_of = page.locator("[data-label=Step]").get_by_text(str(step), exact=True)
    return page.locator("#lrsched_run_snapshots_rows tr", has=step_of)


def choose_step(page: Page, step: int) -> None:
    row(page, step).get_by_role("button", name="Resume from here").click()


def test_choices_of_a_snapshot_are_made_in_turn_and_an_older_answer_does_not_undo_them(page: Page, server_of_two: Server) -> None:
    read, chosen = server_of_two.hold(r"resume\?.*", "GET"), server_of_two.hold("runs/first/resume-from", "POST")
    page.click("#lrsched_run_snapshots_open")
    wait_until(page, lambda: read)
    choose_step(page, 20)
    choose_step(page, 30)
    wait_until(page, lambda: chosen)
    server_of_two.settle()
    assert len(chosen) == 1, "the second waits for the first"
    for step in (20, 30):
        wait_until(page, lambda: chosen)
        route = chosen.pop()
        assert route.request.post_data_json == {"step": step}
        route.fulfill(json={"from_step": step, "step": step})
    expect(row(page, 30)).to_contain_text("resumes from here")
    read[0].fulfill(json=server_of_two.resume("first"))  # as it was before
    server_of_two.settle()
    expect(row(page, 30)).to_contain_text("resumes from here")
    wait_until(page, lambda: len(read) > 2)
    refuse(read[2], 500)
    server_of_two.settle()
    run_row(page, "first").click()  # a list is asked for
    wait_until(page, lambda: len(read) > 3)
    server_of_two.from_step = 30
    read[-1].fulfill(json=server_of_two.resume("first"))
    expect(page.locator("#lrsched_run_size")).to_contain_text("The run takes 1 kB on the disk. All 2 runs together take 1 B.")
    expect(row(page, 30)).to_contain_text("resumes from here")


def test_what_is_kept_is_told_and_the_choice_of_a_deleted_one_is_the_servers(page: Page, server_of_two: Server) -> None:
    server_of_two.from_step = 30
    page.route("**/resume-from", lambda route: refuse(route))
    page.route("**/keep-last", lambda route: route.fulfill(json={"freed_bytes": 2000, "deleted": 2, "step": 40}))
    page.click("#lrsched_run_snapshots_open")
    expect(row(page, 30)).to_contain_text("resumes from here")
    page.click("#lrsched_run_keep_last")
    server_of_two.from_step, server_of_two.steps = None, [40]
    page.click("#lrsched_run_keep_yes")
    expect(page.locator("#lrsched_run_kept_said")).to_have_text("Deleted 2 snapshots, 2 kB; that after 40 updates is kept.")
    expect(row(page, 40)).to_contain_text("resumes from here")


def test_snapshots_that_were_not_loaded_are_told_at_their_own_run(page: Page, server_of_two: Server) -> None:
    server_of_two.runs["second"] |= {"state": "running"}  # the page requests no snapshots of a running one
    held = server_of_two.hold("runs/first/bundles", "GET")
    page.click("#lrsched_run_snapshots_open")
    wait_until(page, lambda: held)
    page.click("#lrsched_run_snapshots_open")
    show_run(page, "second")
    why = page.locator("#lrsched_run_export_why")
    expect(why).to_contain_text("The run is in progress")
    refuse(held[0])
    server_of_two.settle()
    assert "The run is in progress" in why.inner_text()


def test_error_a_refused_interrupt_stays_until_something_else_runs(page: Page, server_of_two: Server) -> None:
    now = {"what": "trial", "kind": "embedding", "name": "tried", "run": None, "trial": "tried", "step": 1, "total_steps": 9}
    server_of_two.in_progress = [now | {"s_left": None, "is_ending": False}]
    server_of_two.looks()
    held = server_of_two.hold(r"trials/tried\?.*", "DELETE")
    said = page.locator("#lrsched_now_said")
    for is_again in (False, True):
        page.click("#lrsched_now_interrupt")
        wait_until(page, lambda: held)
        assert not is_again or said.inner_text() == ""
        refuse(held.pop())
        expect(said).to_have_text("no <b>luck</b>")
    server_of_two.looks()
    assert said.inner_text() == "no <b>luck</b>"
    server_of_two.in_progress[0]["trial"] = "another"
    server_of_two.looks()
    expect(said).to_be_empty()


def test_what_is_typed_after_save_is_not_lost(page: Page, server_of_two: Server) -> None:
    held = server_of_two.hold("runs/first/label", "POST")
    title, note = page.locator("#lrsched_run_label_title"), page.locator("#lrsched_run_label_note")
    page.click("#lrsched_run_label_open")
    for more in ("", "and more"):
        title.fill("a name")
        title.press("Enter")
        wait_until(page, lambda: held)
        note.fill(more)
        server_of_two.runs["first"] |= {"title": "a name"}
        held.pop().fulfill(json=server_of_two.runs["first"])
        expect(page.locator("#lrsched_run_label strong")).to_have_text("a name")
        if more == "":
            expect(title).to_be_hidden()
            page.click("#lrsched_run_label_open")
    server_of_two.settle()
    assert note.input_value() == "and more"
    assert note.is_visible()


def test_nothing_of_the_run_before_is_pressed_or_seen_while_another_one_loads(page: Page, server_of_two: Server) -> None:
    server_of_two.runs["first"] |= {"state": "running", "images": 1}
    server_of_two.runs["second"] |= {"images": 1}
    large = page.locator("#lrsched_run_large .lrsched-large")
    page.route("**/runs/first/images", lambda route: route.fulfill(json={"images": [IMAGE], "gone": 0, "message": ""}))
    server_of_two.hold("runs/second/images", "GET")
    held = server_of_two.hold(r"runs/second\?.*", "GET")
    run_row(page, "first").click()
    expect(large.first).to_be_visible()
    run_row(page, "second").click()
    wait_until(page, lambda: held)
    expect(large.first).to_be_hidden()
    page.click("#lrsched_run_interrupt")  # a script error fails the test
    held[0].fallback()
    expect(page.locator("#lrsched_run_title")).to_contain_text("second (")


def test_an_import_is_told_although_the_list_does_not_come(page: Page, server_of_two: Server, tmp_path: Path) -> None:
    file = tmp_path / "handed.zip"
    file.write_bytes(b"anything")
    page.route("**/lrsched/v1/runs?name=*", lambda route: route.fulfill(json={"id": "second"}))
    page.route(re.compile("/lrsched/v1/runs$"), lambda route: refuse(route, 500))
    page.set_input_files("#lrsched_run_import_file", file)
    expect(page.locator("#lrsched_run_import_said")).to_have_text("Imported.")


def test_error_a_refusal_names_its_run_where_another_one_is_shown_by_then(page: Page, server_of_two: Server) -> None:
    waits = {
        "first": ("DELETE", ["delete", "delete_yes"], "Not deleted"),
        "first/use": ("POST", ["use_best", "use_yes"], "Nothing was changed"),
        "first/label": ("POST", ["label_open", "label_save"], "Not saved"),
        "first/check": ("POST", ["snapshots_open", "check"], "Not checked"),
    }
    held = {path: server_of_two.hold(f"runs/{path}", method) for path, (method, _, _) in waits.items()}
    for path, (_, buttons, _) in waits.items():
        for button in buttons:
            page.click(f"#lrsched_run_{button}")
        wait_until(page, lambda path=path: held[path])
    show_run(page, "second")
    expect(page.locator("#lrsched_run_label_title")).to_be_hidden()
    for path, (_, _, words) in waits.items():
        refuse(held[path][0])
        expect(page.locator("#lrsched_run_import_said")).to_have_text(f"first: {words}: no <b>luck</b>")
    for place in ("files", "use", "kept"):
        expect(page.locator(f"#lrsched_run_{place}_said")).to_be_empty()
