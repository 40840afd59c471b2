"""What is being done in this process, and the endpoint that ends it as the host's own button does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from test_api import Client, get, message, post

torch = pytest.importorskip("torch")

from practice_rig import NAME, Ground, both_kinds  # noqa: E402

from lib_lrsched.practice import dataset, shared, textual_inversion  # noqa: E402
from lib_lrsched.web.endpoints import add_routes  # noqa: E402

Patch = pytest.MonkeyPatch


@pytest.fixture
def patch(monkeypatch: Patch) -> Patch:
    return monkeypatch


@pytest.fixture
def client(ground: Ground) -> Client:
    app = FastAPI()
    add_routes(app, ground.install(autosave_every=2))
    return Client(app)


def at_update(patch: Patch, number: int, act: Callable[[], Any]) -> list[Any]:
    """Has a training do something after so many updates; what came of it, in a list."""
    original, found = textual_inversion.write_loss, []

    def write_loss(log_directory: Any, filename: Any, step: int, epoch_len: int, values: Any) -> Any:
        answer = original(log_directory, filename, step, epoch_len, values)
        if step == number:
            found.append(act())
        return answer

    patch.setattr(textual_inversion, "write_loss", write_loss)
    return found


def in_preparation(patch: Patch, act: Callable[[], Any]) -> list[Any]:
    """Has a training do something as its data set is about to be made."""
    original, found = dataset.PersonalizedBase, []

    def preparing(*args: Any, **settings: Any) -> Any:
        found.append(act())
        return original(*args, **settings)

    patch.setattr(dataset, "PersonalizedBase", preparing)
    return found


@both_kinds
def test_a_training_is_interrupted_as_by_the_hosts_button(client: Client, ground: Ground, patch: Patch, kind: str):
    def press() -> tuple[Any, Any]:
        listed = get(client, "/runs")
        return listed, post(client, "/interrupt", {"kind": kind, "name": NAME, "run": listed["active"][0]})

    found = at_update(patch, 3, press)
    trained = ground.train(kind, "0.01", 9)
    (listed, answer), = found
    (one,) = listed["in_progress"]
    assert (one["what"], one["kind"], one["name"], one["run"]) == ("training", kind, NAME, listed["active"][0])
    assert (one["step"], one["total_steps"], one["is_ending"], one["trial"]) == (3, 9, False, None)
    assert answer["in_progress"][0]["is_ending"], "and ends before its next update"
    assert (trained.step, ground.run().state) == (3, "interrupted")
    assert get(client, "/runs")["in_progress"] == []
    patch.undo()
    shared.state.begin("test")
    assert ground.train(kind, "0.01", 9).step == 9, "it was saved, and resumes"
    assert ground.run().state == "finished"


def test_error_what_is_not_in_progress_is_not_interrupted(client: Client, ground: Ground, patch: Patch):
    request = {"kind": "embedding", "name": NAME, "run": None}
    said = message(post(client, "/interrupt", request, 409))
    assert said == f"the training of '{NAME}' is not in progress here, it may have ended meanwhile: nothing was changed"
    wrong = [{**request, "name": "other"}, {**request, "kind": "hypernetwork"}, {**request, "run": "another"}]
    found = at_update(patch, 2, lambda: [message(post(client, "/interrupt", one, 409)) for one in wrong])
    assert ground.train("embedding", "0.01", 4).step == 4
    assert all(f"; in progress is the training of '{NAME}': nothing was changed" in said for said in found[0])
    assert "kind: expected embedding or hypernetwork" in message(post(client, "/interrupt", {**request, "kind": "x"}, 400))


def test_error_two_at_once_are_not_ended_by_one_press(client: Client, ground: Ground, patch: Patch):
    runtime = ground.runtime
    here = at_update(patch, 2, lambda: runtime.in_progress())
    ground.train("embedding", "0.01", 3)
    patch.undo()
    other = here[0][0]._replace(name="other", run="other")
    patch.setattr(type(runtime), "in_progress", lambda _: [*here[0], other])
    said = message(post(client, "/interrupt", {"kind": "embedding", "name": NAME, "run": None}, 409))
    assert said.startswith("'other' is being trained at the same time, and an interrupt would end both")
    assert not shared.state.interrupted


def test_a_run_that_is_about_to_be_resumed_is_no_longer_interrupted(client: Client, ground: Ground, patch: Patch):
    at_update(patch, 3, shared.state.interrupt)
    ground.train("embedding", "0.01", 9)
    patch.undo()
    run_id = ground.run().id
    found = in_preparation(patch, lambda: (get(client, "/runs"), get(client, f"/runs/{run_id}")))
    shared.state.begin("test")
    ground.train("embedding", "0.01", 9)
    (listed, shown), = found
    assert (listed["runs"][0]["state"], listed["runs"][0]["message"], listed["active"]) == ("pending", "", [])
    (one,) = listed["in_progress"]
    assert (one["what"], one["run"], one["step"], one["total_steps"], one["s_left"]) == ("preparing", run_id, 3, 9, None)
    assert (shown["run"]["state"], shown["complete"]) == ("pending", False)
    assert get(client, f"/runs/{run_id}")["run"]["state"] == "finished"


def test_a_training_can_be_interrupted_while_its_images_are_read(client: Client, ground: Ground, patch: Patch):
    found = in_preparation(patch, lambda: post(client, "/interrupt", {"kind": "embedding", "name": NAME, "run": None}))
    with pytest.raises(InterruptedError):
        ground.train("embedding", "0.01", 9)
    (one,) = found[0]["in_progress"]
    assert (one["what"], one["run"], one["is_ending"]) == ("preparing", None, True)
    assert get(client, "/runs")["in_progress"] == []


def test_copies_that_were_saved_are_events(client: Client, ground: Ground):
    ground.train("embedding", "0.01", 6, copies_every=2)
    events = get(client, f"/runs/{ground.run().id}")["events"]
    copies = [(one["step"], one["message"]) for one in events if one["event"] == "copy"]
    assert copies == [(2, f"{NAME}-2.pt"), (4, f"{NAME}-4.pt"), (6, f"{NAME}-6.pt")]
