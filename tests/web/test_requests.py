"""The models of the requests: what each field takes, and with which words it refuses the rest."""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from lib_lrsched.preview.curve import MAX_POINTS, MAX_STEPS, MAX_TEXTS, CurveRequest
from lib_lrsched.web import requests, schedule_endpoints
from lib_lrsched.web.endpoints import PREFIX, add_routes
from lib_lrsched.web.requests import NO_OBJECT, PreviewRequest

PREVIEW = {"texts": ["1"], "total_steps": 100}
EDIT = {"text": "0.1:5, 1", "total_steps": 100}
EXPORT = {"text": "1", "format": "diffusers", "total_steps": 9, "base": 1}


@functools.cache
def app() -> FastAPI:
    made = FastAPI()
    add_routes(made, SimpleNamespace())  # type: ignore[arg-type] nothing here asks for a run
    return made


def post(path: str, body: str) -> httpx.Response:
    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app()), base_url=f"http://host{PREFIX}") as client:
            return await client.post(path, content=body, headers={"content-type": "application/json"})

    return asyncio.run(go())


def refused(path: str, body: str) -> str:
    answer = post(path, body)
    assert answer.status_code == 400, answer.text
    assert answer.json() == {"error": {"message": answer.json()["error"]["message"], "span": None}}
    return answer.json()["error"]["message"]


STEPS = f"total_steps: expected a whole number from 1 to {MAX_STEPS}, got"
TEXTS = f"texts: expected a list of 1 to {MAX_TEXTS} texts, got"
IMAGES = "pictures: expected a whole number from 0 to 10000000, or null, got"
SIZE = "expected a whole number from 1 to 1000000, or null, got"
POINTS = f"points: expected a whole number from 16 to {MAX_POINTS}, or null, got"
ITEM = "edit.item: expected a list of whole numbers, such as [0], got"
NO_EDIT = "edit: expected an object whose `do` is one of set, unset, end, unit, shape, insert, delete, boundary, rate, got"


def edit(do: str, **fields: Any) -> dict[str, Any]:
    return {"edit": {"do": do, "item": [0], **fields}}


@pytest.mark.parametrize(("path", "good", "changed", "said"), [
    ("/preview", PREVIEW, {"texts": None}, f"{TEXTS} nothing"),
    ("/preview", PREVIEW, {"texts": []}, f"{TEXTS} []"),
    ("/preview", PREVIEW, {"texts": "1"}, f'{TEXTS} "1"'),
    ("/preview", PREVIEW, {"texts": ["1"] * (MAX_TEXTS + 1)}, f"{TEXTS} {json.dumps(['1'] * (MAX_TEXTS + 1))}"),
    ("/preview", PREVIEW, {"texts": ["1", 2]}, f'{TEXTS} ["1", 2]'),
    ("/preview", PREVIEW, {"kind": "momentum"}, 'kind: expected one of rate, clip, timestep, got "momentum"'),
    ("/preview", PREVIEW, {"kind": None}, "kind: expected one of rate, clip, timestep, got nothing"),
    ("/preview", PREVIEW, {"kind": []}, "kind: expected one of rate, clip, timestep, got []"),
    ("/preview", PREVIEW, {"total_steps": None}, f"{STEPS} nothing"),
    ("/preview", PREVIEW, {"total_steps": 0}, f"{STEPS} 0"),
    ("/preview", PREVIEW, {"total_steps": MAX_STEPS + 1}, f"{STEPS} 1000000001"),
    ("/preview", PREVIEW, {"total_steps": 10**299}, f"{STEPS} 1{'0' * 99}..."),
    ("/preview", PREVIEW, {"total_steps": 5.0}, f"{STEPS} 5.0"),
    ("/preview", PREVIEW, {"total_steps": 5.7}, f"{STEPS} 5.7"),
    ("/preview", PREVIEW, {"total_steps": "5"}, f'{STEPS} "5"'),
    ("/preview", PREVIEW, {"total_steps": True}, f"{STEPS} true"),
    ("/preview", PREVIEW, {"pictures": -1}, f"{IMAGES} -1"),
    ("/preview", PREVIEW, {"pictures": [5]}, f"{IMAGES} [5]"),
    ("/preview", PREVIEW, {"pictures": False}, f"{IMAGES} false"),
    ("/preview", PREVIEW, {"batch": 0}, f"batch: {SIZE} 0"),
    ("/preview", PREVIEW, {"accumulate": 10**7}, f"accumulate: {SIZE} 10000000"),
    ("/preview", PREVIEW, {"initial_step": -1}, f"initial_step: expected a whole number from 0 to {MAX_STEPS}, or null, got -1"),
    ("/preview", PREVIEW, {"points": 15}, f"{POINTS} 15"),
    ("/preview", PREVIEW, {"points": MAX_POINTS + 1}, f"{POINTS} 2001"),
    ("/preview", PREVIEW, {"optimizer": ["SGD"]}, 'optimizer: expected a class name such as AdamW, or null, got ["SGD"]'),
    ("/preview", PREVIEW, {"run": 3}, "run: expected the id of a run, or null, got 3"),
    ("/preview", PREVIEW, {"way": "back"}, 'way: expected one of continue, new, restart, file, file-restart, or null, got "back"'),
    ("/preview", PREVIEW, {"rate_text": 0.1}, "rate_text: expected a text, or null, got 0.1"),
    ("/preview", PREVIEW, {"data_root": 1}, "data_root: expected the name of a folder, or null, got 1"),
    ("/export", EXPORT, {"base": "nan"}, 'base: expected a finite number, or null, got "nan"'),
    ("/export", EXPORT, {"base": True}, "base: expected a finite number, or null, got true"),
    ("/export", EXPORT, {"base": float("nan")}, "base: expected a finite number, or null, got NaN"),
    ("/export", EXPORT, {"base": float("inf")}, "base: expected a finite number, or null, got Infinity"),
    ("/preflight", {"kind": "embedding", "name": "x"}, {"inputs": [["steps", 1]]},
     'inputs: expected an object, got [["steps", 1]]'),
    ("/edit", EDIT, {}, f"{NO_EDIT} nothing"),
    ("/edit", EDIT, {"edit": {"do": "paint"}}, f'{NO_EDIT} {{"do": "paint"}}'),
    ("/edit", EDIT, {"edit": {"do": ["set"]}}, f'{NO_EDIT} {{"do": ["set"]}}'),
    ("/edit", EDIT, {"edit": [["do", "delete"], ["item", [0]]]}, f'{NO_EDIT} [["do", "delete"], ["item", [0]]]'),
    ("/edit", EDIT, {"edit": {"do": "delete"}}, f"{ITEM} nothing"),
    ("/edit", EDIT, edit("delete", item=0), f"{ITEM} 0"),
    ("/edit", EDIT, edit("delete", item=[]), f"{ITEM} []"),
    ("/edit", EDIT, edit("delete", item=[True]), f"{ITEM} [true]"),
    ("/edit", EDIT, edit("set", param="v"), "edit.value: expected a text, got nothing"),
    ("/edit", EDIT, edit("set", param="v", value=1), "edit.value: expected a text, got 1"),
    ("/edit", EDIT, edit("unset"), "edit.param: expected a text, got nothing"),
    ("/edit", EDIT, edit("end", value=5), "edit.value: expected a text, or null, got 5"),
    ("/edit", EDIT, edit("unit", unit=None), "edit.unit: expected a text, got nothing"),
    ("/edit", EDIT, edit("unit", unit="%", relative=1), "edit.relative: expected true, false, or null, got 1"),
    ("/edit", EDIT, edit("shape"), "edit.shape: expected a text, got nothing"),
    ("/edit", EDIT, edit("boundary", step=0), f"edit.step: expected a whole number from 1 to {MAX_STEPS}, got 0"),
    ("/edit", EDIT, edit("rate", param="v", value="1"), 'edit.value: expected a finite number, got "1"'),
])  # fmt: skip
def test_error_a_refusal_names_field_expectation_and_what_came(path: str, good: Any, changed: Any, said: str):
    assert refused(path, json.dumps(good | changed)) == said


@pytest.mark.parametrize("body", ["", "null", "[]", "5", '"x"', '[["texts", ["1"]], ["total_steps", 5]]'])
def test_error_a_body_that_is_no_object(body: str):
    assert refused("/preview", body) == NO_OBJECT


def test_what_is_null_or_left_out_has_the_default_of_the_drawing():
    wanted = CurveRequest(texts=["1"], total_steps=100)
    assert PreviewRequest(**PREVIEW).curves(None, None) == wanted
    names = ("pictures", "batch", "accumulate", "data_root", "initial_step", "points", "run", "way", "rate_text", "optimizer")
    assert PreviewRequest(**PREVIEW, **dict.fromkeys(names)).curves(None, None) == wanted
    assert PreviewRequest(**PREVIEW, pictures=0).curves(0, None) == wanted


def test_what_is_sent_reaches_the_drawing_as_it_came():
    sent = {"id": ["a", 7], "kind": "clip", "batch": 2, "accumulate": 3, "initial_step": 4, "points": 50}
    sent["rate_text"] = "2"
    made = PreviewRequest(**PREVIEW, **sent, way="new", data_root="x").curves(12, "SGD")
    assert made == CurveRequest(**PREVIEW, **sent, choice="new", images=12, optimizer="SGD")


@pytest.mark.parametrize("base", [1, 2.5, 10**299, 1e308])
def test_a_number_may_be_whole_or_not(base: float):
    assert post("/import", json.dumps({"text": "1:1, 0", "format": "diffusers", "base": base})).json()["text"].endswith(", 0")


def test_fields_that_no_model_knows_are_ignored():
    assert post("/preview", json.dumps(PREVIEW | {"colour": "red", "__init__": 1, "self": 2})).status_code == 200


def test_every_edit_has_a_model_and_something_that_makes_it():
    assert list(requests.EDITS) == list(schedule_endpoints.EDITS)


def test_every_field_says_what_it_expects():
    models = {one for one in vars(requests).values() if isinstance(one, type) and issubclass(one, BaseModel)} - {BaseModel}
    silent = {f"{model.__name__}.{name}" for model in models for name, said in requests._expected(model).items() if not said}
    assert silent == {f"{model.__name__}.do" for model in requests.EDITS.values()} | {"PreviewRequest.id"}


def test_the_servers_description_has_the_fields():
    schemas = app().openapi()["components"]["schemas"]
    assert schemas["PreviewRequest"]["properties"]["total_steps"]["maximum"] == MAX_STEPS
    assert schemas["EditRequest"]["properties"]["edit"]["discriminator"]["propertyName"] == "do"


def test_the_preview_is_drawn_without_pydantic_and_fastapi():
    found = subprocess.run(
        [sys.executable, "-c", "import sys, lib_lrsched.preview.curve; print({'pydantic', 'fastapi'} & set(sys.modules))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.strip() == "set()"
