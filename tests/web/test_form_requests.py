"""The endpoints of the form, the chart's handles and the menus."""

from __future__ import annotations

import asyncio
import functools
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from lib_lrsched.web.endpoints import add_routes


def ask(path: str, body: Any) -> tuple[int, Any]:
    """One request to an app that has nothing but the endpoints; none of these asks a store or a run."""

    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=_app()), base_url="http://host/lrsched/v1") as client:
            return await client.post(path, json=body)

    answer = asyncio.run(go())
    return answer.status_code, answer.json()


@functools.cache
def _app() -> FastAPI:
    app = FastAPI()
    add_routes(app, SimpleNamespace())  # type: ignore[arg-type]
    return app


def test_a_text_has_items_and_points():
    status, answer = ask("/items", {"text": "0.005:2ep, 1e-3", "total_steps": 100, "pictures": 12, "batch": 2, "accumulate": 3})
    assert status == 200
    assert [item["text"] for item in answer["items"]] == ["0.005:2ep", "1e-3"]
    assert answer["boundaries"] == [{"item": [0], "step": 4, "low": 1, "high": 99, "most": None}]
    assert answer["handles"][0] == {"item": [0], "param": "v", "label": "value", "step": 0, "rate": 0.005, "moves": [[[0], "v"]]}


def test_a_text_that_cannot_be_planned_has_items_and_no_points():
    status, answer = ask("/items", {"text": "0.005:2ep, 1e-3", "total_steps": 100})
    assert (status, len(answer["items"]), answer["boundaries"], answer["handles"]) == (200, 2, [], [])


def test_an_edit_gives_the_text_and_the_item_in_it():
    change = {"do": "insert", "item": [0]}
    assert ask("/edit", {"text": "0.005:10, 1e-3", "edit": change, "total_steps": 100}) == (
        200, {"text": "0.005:10, 0.005:55, 1e-3", "item": [1], "span": [10, 18]},
    )


def test_another_programs_schedule_becomes_a_text():
    assert ask("/import", {"text": "1:10,0.1", "format": "diffusers", "base": 0.005}) == (
        200, {"text": "0.005:10, 0.0005", "total_steps": None, "note": ""},
    )


def test_epochs_of_another_program_are_counted_with_the_steps_of_one():
    given = "--learning_rate=1 --lr_scheduler=linear --max_train_epochs=4"
    assert ask("/import", {"text": given, "format": "kohya", "steps_per_epoch": 30})[1]["text"] == "linear(1, 0):120"


@pytest.mark.parametrize(
    ("path", "body", "message", "span"),
    [
        ("/items", {}, "text: expected a text, got nothing", None),
        ("/items", [], "expected a JSON object, sent as application/json", None),
        ("/items", {"text": "cosin(1, 2)"}, "no shape `cosin`; did you mean `cosine`?", [0, 5]),
        ("/items", {"text": "repeat(1)"},
         "repeat takes a count and at least one segment, as in repeat(3, cosine(0.005, 1e-5):100)", [0, 9]),
        ("/items", {"text": "1", "total_steps": 0},
         "total_steps: expected a whole number from 1 to 1000000000, or null, got 0", None),
        ("/edit", {"text": "1", "total_steps": 9, "edit": {"do": "set", "item": []}},
         "edit.item: expected a list of whole numbers, such as [0], got []", None),
        ("/edit", {"text": "1", "edit": {"do": "delete", "item": [0]}},
         "total_steps: expected a whole number from 1 to 1000000000, got nothing", None),
        ("/edit", {"text": "1:5, 2:7", "total_steps": 9, "edit": {"do": "end", "item": [0], "value": "8"}},
         "boundaries must rise: this one is at 7, the one before it at 8", [7, 8]),
        ("/import", {"text": "1:10,0.1", "format": "diffusers"},
         "diffusers' rules are multipliers: give the optimizer's rate as the base rate", None),
        ("/import", {"text": "1", "format": "kohya", "steps_per_epoch": 0},
         "steps_per_epoch: expected a whole number from 1 to 1000000000, or null, got 0", None),
        ("/import", {"text": "1", "format": "diffusers", "base": "x"}, 'base: expected a finite number, or null, got "x"', None),
    ],
)  # fmt: skip
def test_error_what_cannot_be_done_is_said_in_the_one_form(path: str, body: Any, message: str, span: list[int] | None):
    assert ask(path, body) == (400, {"error": {"message": message, "span": span}})
