"""The endpoints on trials, asked over HTTP as the browser asks them, over the practice host."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

pytest.importorskip("torch")

from practice_rig import NAME, SIDE

from lib_lrsched.web.endpoints import add_routes


@pytest.fixture
def ask(ground: Any) -> Any:
    app = FastAPI()
    add_routes(app, ground.install())
    ground.create("embedding")

    def asked(method: str, path: str, **options: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://webui/lrsched/v1") as client:
                return await client.request(method, path, **options)

        return asyncio.run(go())

    return asked


def body(ground: Any, **changes: Any) -> dict[str, Any]:
    inputs = {"learn_rate": "0.01", "steps": 100, "data_root": str(ground.data), "training_width": SIDE, "training_height": SIDE}
    return {"kind": "embedding", "name": NAME, "inputs": inputs, "grid": [1, 0.1], "updates": 9, **changes}


def ended(trial_id: str) -> None:
    for thread in threading.enumerate():
        if thread.name.endswith(trial_id):
            thread.join(60)


def test_a_trial_is_started_looked_at_and_deleted(ground: Any, ask: Any):
    assert ask("POST", "/trials/estimate", json=body(ground)).json() == {
        "candidates": 2, "updates": 27, "seconds": None, "why": "nothing with this batch and image size was trained here yet",
    }  # fmt: skip
    trial_id = ask("POST", "/trials", json=body(ground, images={"prompt": "a thing", "steps": 2})).json()["id"]
    ended(trial_id)
    answer = ask("GET", f"/trials/{trial_id}").json()
    assert (answer["state"], [one["factor"] for one in answer["candidates"]]) == ("finished", [0.1, 1.0])
    image = ask("GET", f"/trials/{trial_id}/images/1")
    assert (image.status_code, image.headers["content-type"], image.content[:4]) == (200, "image/png", b"\x89PNG")
    assert ask("GET", f"/trials/{trial_id}/images/2").status_code == 404
    assert [one["id"] for one in ask("GET", "/trials").json()["trials"]] == [trial_id]
    refused = ask("DELETE", f"/trials/{trial_id}", params={"state": "running"})
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        409, f"the trial {trial_id} is finished by now, not running: nothing was changed")
    assert ask("DELETE", f"/trials/{trial_id}", params={"state": "finished"}).json() == {"trials": []}
    assert ask("GET", f"/trials/{trial_id}").status_code == 404
    assert ask("DELETE", f"/trials/{trial_id}").status_code == 404


def test_texts_are_compared(ground: Any, ask: Any):
    trial_id = ask("POST", "/trials", json=body(ground, grid=None, texts=["0.01", "cosine(0.01, 1e-4)"])).json()["id"]
    ended(trial_id)
    answer = ask("GET", f"/trials/{trial_id}").json()
    assert (answer["what"], [(one["text"], one["factor"]) for one in answer["candidates"]]) == (
        "texts", [("0.01", None), ("cosine(0.01, 1e-4)", None)])


@pytest.mark.parametrize(
    ("change", "message", "span"),
    [
        ({"texts": ["0.01"]}, 'texts: expected a list of 2 to 50 texts, or null, got ["0.01"]', None),
        ({"grid": [1, 1.0]}, "grid: expected a list of 2 to 50 different factors above 0, or null, got [1, 1.0]", None),
        ({"updates": 1001}, "updates: expected a whole number from 1 to 1000, got 1001", None),
        ({"images": {"seed": -1}},
         'images: expected an object with prompt, negative_prompt, seed and steps, or null, got {"seed": -1}', None),
        ({"grid": None, "texts": ["0.01", "0.1, cosin(1, 2)"]},
         "no shape `cosin`; did you mean `cosine`? (in 0.1, cosin(1, 2))", [5, 10]),
        ({"name": "nobody"}, "there is no embedding 'nobody': create it first, or refresh the list", None),
    ],
)
def test_error_a_wrong_request_is_refused_in_words(ground: Any, ask: Any, change: dict[str, Any], message: str, span: Any):
    answer = ask("POST", "/trials", json=body(ground, **change))
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)
    assert answer.json()["error"]["span"] == span
    assert ask("GET", "/trials").json() == {"trials": []}
