"""The endpoints of the runs page, over the practice host: labels, images by number, comparison as files, profiles, housekeeping."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi import FastAPI
from PIL import Image
from test_api import Client, get, message, post

torch = pytest.importorskip("torch")

from practice_rig import NAME, Ground  # noqa: E402

from lib_lrsched.storage import run_images  # noqa: E402
from lib_lrsched.web.endpoints import add_routes  # noqa: E402

EVERY = {"previews_every": 2, "preview_steps": 1}


@pytest.fixture
def client(ground: Ground) -> Client:
    app = FastAPI()
    add_routes(app, ground.install(autosave_every=2))
    return Client(app)


@pytest.fixture
def run_id(ground: Ground, client: Client) -> str:
    """A run of 6 updates with three preview images."""
    ground.train("embedding", "0.01", 6, **EVERY)
    return ground.run().id


def test_a_run_gets_a_title_and_a_note_that_its_exported_file_has_too(client: Client, ground: Ground, run_id: str):
    assert post(client, f"/runs/{run_id}/label", {"title": "best", "note": "first\nsecond"})["title"] == "best"
    assert post(client, f"/runs/{run_id}/label", {"title": "better"})["note"] == "first\nsecond", "what is not given stays"
    (listed,) = get(client, "/runs")["runs"]
    assert (listed["title"], listed["note"], listed["images"]) == ("better", "first\nsecond", 3)
    assert get(client, f"/runs/{run_id}")["run"] == listed
    data = client.get(f"/lrsched/v1/runs/{run_id}/file").content
    there = client.post("/lrsched/v1/runs?name=brought", content=data).json()["id"]
    (brought,) = (run for run in get(client, "/runs")["runs"] if run["id"] == there)
    assert (brought["title"], brought["note"], brought["images"]) == ("better", "first\nsecond", 0)
    said = message(post(client, f"/runs/{run_id}/label", {"title": "two\nlines"}, 400))
    assert said == "title: expected one line of at most 100 characters"
    assert post(client, "/runs/none/label", {"title": "x"}, 404)["error"]["message"] == "no run none"


def test_images_are_served_by_number_and_only_those_that_the_run_recorded(client: Client, ground: Ground, run_id: str):
    listed = get(client, f"/runs/{run_id}/images")
    assert [(one["index"], one["step"], one["width"]) for one in listed["images"]] == [(0, 1, 8), (1, 3, 8), (2, 5, 8)]
    assert str(ground.root) not in json.dumps(listed)
    answer = client.get(f"/lrsched/v1/runs/{run_id}/images/1")
    kept = run_images.recorded(ground.runtime.store.images_path(run_id)).images[1]
    assert answer.content == Path(kept.path).read_bytes()
    assert (answer.headers["content-type"], answer.headers["x-content-type-options"]) == ("image/png", "nosniff")
    for number in ("3", "-1", "01x", "..%2f..%2frun.json", "9" * 30):
        assert client.get(f"/lrsched/v1/runs/{run_id}/images/{number}").status_code == 404, number
    Path(kept.path).write_bytes(b"\x89PNG\r\n\x1a\n another")
    assert client.get(f"/lrsched/v1/runs/{run_id}/images/1").status_code == 404
    assert [one["index"] for one in get(client, f"/runs/{run_id}/images")["images"]] == [0, 2]
    assert get(client, f"/runs/{run_id}/images")["gone"] == 1


def test_what_is_no_image_is_not_served_even_where_a_line_names_it(client: Client, ground: Ground, run_id: str):
    secret = ground.root / "secret.txt"
    secret.write_text("words")
    log = run_images.ImageLog(ground.runtime.store.images_path(run_id))
    log.add(run_images.saved_image(secret, step=9, prompt="", size=(1, 1), holds_embedding=False, time_s=1.0))
    log.close()
    assert client.get(f"/lrsched/v1/runs/{run_id}/images/3").status_code == 404


def test_a_thumbnail_is_as_small_as_asked_for(client: Client, ground: Ground, run_id: str):
    large = ground.root / "large.png"
    Image.new("RGBA", (300, 150), (10, 200, 30, 255)).save(large)
    log = run_images.ImageLog(ground.runtime.store.images_path(run_id))
    log.add(run_images.saved_image(large, step=9, prompt="", size=(300, 150), holds_embedding=False, time_s=1.0))
    log.close()
    answer = client.get(f"/lrsched/v1/runs/{run_id}/images/3?size=60")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.size, answer.headers["content-type"]) == ((60, 30), "image/jpeg")
    said = message(client.get(f"/lrsched/v1/runs/{run_id}/images/3?size=5").json())
    assert said == 'size: expected a whole number from 16 to 1024, or null, got "5"'


class Addresses(HTMLParser):
    """Whatever in a page leads elsewhere, and the tags in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]


def test_a_comparison_is_one_page_that_stands_by_itself(client: Client, ground: Ground, run_id: str):
    ground.train("embedding", "0.02", 6, name="other", **EVERY)
    other = next(run.id for run in ground.runs() if run.name == "other")
    post(client, f"/runs/{run_id}/label", {"title": "<script>alert(1)</script>", "note": f"in {ground.root}"})
    answer = client.get(f"/lrsched/v1/comparison/file?runs={run_id},{other}&format=html")
    assert 'filename="comparison.html"' in answer.headers["content-disposition"]
    page = Addresses(answer.text)
    assert "script" not in page.tags
    assert "&lt;script&gt;alert(1)" in answer.text
    assert {"svg", "table", "img"} <= page.tags
    assert len(page.found) == 6
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.found)
    assert "http" not in re.sub(r"http-equiv", "", answer.text)
    for secret in (str(ground.root), str(ground.root.parent), str(Path.home())):
        assert secret not in answer.text
    rows = client.get(f"/lrsched/v1/comparison/file?runs={run_id},{other}&format=csv").text.splitlines()
    assert len(rows) == 3
    assert str(ground.root) not in "".join(rows)


def test_a_comparison_over_the_wire(client: Client, ground: Ground, run_id: str):
    ground.train("embedding", "0.02", 4, name="other")
    other = next(run.id for run in ground.runs() if run.name == "other")
    found = post(client, "/comparison", {"runs": [other, run_id], "over": "images"})
    assert [run["id"] for run in found["runs"]] == [other, run_id]
    assert [one["values"] for one in found["settings"] if one["field"] == "rate_text"] == [["0.02", "0.01"]]
    assert [one["values"] for one in found["outcomes"] if one["field"] == "step"] == [[4, 6]]
    assert str(ground.root) not in json.dumps(found)
    expected = "runs: expected a list of 1 to 20 ids of runs, each once, got"
    assert message(post(client, "/comparison", {"runs": [other, other]}, 400)).startswith(expected)
    assert post(client, "/comparison", {"runs": ["none"]}, 404)


def test_a_profile_is_saved_read_back_and_says_what_is_gone(client: Client, ground: Ground):
    ground.create("embedding", NAME)
    good = {"embedding_name": NAME, "data_root": str(ground.data), "template_filename": "subject.txt", "steps": 100,
            "log_directory": str(ground.log), "clip_grad_mode": "norm"}
    wrong = {"embedding_name": "gone", "data_root": str(ground.root / "none"), "template_filename": "gone.txt", "steps": 100,
             "log_directory": f"{ground.data / '000 red thing.png'}/log", "clip_grad_mode": "both"}
    listed = post(client, "/profiles", {"name": "slow", "kind": "embedding", "inputs": good, "options": {"ema": 0.9}})
    assert [(one["name"], one["kind"]) for one in listed["profiles"]] == [("slow", "embedding")]
    assert str(ground.root) not in json.dumps(listed)
    assert get(client, "/profiles/slow?check=1")["missing"] == []
    assert get(client, "/profiles/slow")["missing"] is None
    assert get(client, "/profiles/slow")["inputs"] == good
    body = {"name": "slow", "inputs": wrong, "options": {"ema": 2, "none": 1}}
    assert message(post(client, "/profiles", body, 409)) == "there is a profile 'slow' already"
    post(client, "/profiles", {**body, "replace": True})
    missing = get(client, "/profiles/slow?check=1")["missing"]
    assert [one["field"] for one in missing] == [*(name for name in wrong if name != "steps"), "options.ema", "options.none"]
    assert missing[-1] == {"field": "options.none", "value": 1, "why": "this version has no such option"}
    assert client.request("DELETE", "/lrsched/v1/profiles/slow").json()["profiles"] == []
    assert message(get(client, "/profiles/slow", 404)) == "there is no profile 'slow'"


def test_a_run_is_a_profile(client: Client, ground: Ground, run_id: str):
    found = get(client, f"/runs/{run_id}/profile?check=1")
    inputs = found["inputs"]
    assert (inputs["embedding_name"], inputs["learn_rate"], inputs["steps"]) == (NAME, "0.01", 6)
    assert (inputs["data_root"], inputs["create_image_every"], found["options"]["progress_every"]) == (str(ground.data), 2, 8)
    assert found["missing"] == []


def test_housekeeping_over_the_wire(client: Client, ground: Ground, run_id: str):
    before = get(client, "/runs")
    assert before["size_bytes"] == before["runs"][0]["size_bytes"]
    assert [one["step"] for one in get(client, f"/runs/{run_id}/bundles")["bundles"]] == [6, 4, 2]
    chosen = post(client, f"/runs/{run_id}/resume-from", {"step": 4})
    assert (chosen["step"], chosen["from_step"], chosen["exact"], chosen["run"]["id"]) == (4, 4, True, run_id)
    assert post(client, f"/runs/{run_id}/resume-from", {"step": None})["from_step"] is None
    said = message(post(client, f"/runs/{run_id}/resume-from", {"step": 3}, 400))
    assert said == "the run has no snapshot after 3 updates; kept are: 2, 4, 6"
    assert [one["checked"] for one in post(client, f"/runs/{run_id}/check", {})["bundles"]] == [True] * 3
    freed = post(client, f"/runs/{run_id}/keep-last", {})
    assert (freed["deleted"], freed["step"]) == (2, 6)
    assert get(client, "/runs")["size_bytes"] == before["size_bytes"] - freed["freed_bytes"]
    for path in ("check", "keep-last"):
        assert post(client, f"/runs/none/{path}", {}, 404)


def test_a_run_in_progress_keeps_its_snapshots(client: Client, ground: Ground, run_id: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ground.runtime.trainings, "runs_in_use", lambda: {run_id})
    said = message(post(client, f"/runs/{run_id}/keep-last", {}, 409))
    assert said == f"{run_id} is still running; its snapshots can be deleted when it has ended"
