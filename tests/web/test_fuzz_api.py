"""Whatever is sent to whatever endpoint: no answer is a failure of ours, and every refusal has the one form."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from practice_rig import NAME, Ground

from lib_lrsched.practice.service import CONCEPT
from lib_lrsched.storage.resume import CHOICES
from lib_lrsched.training.options import OPTIONS
from lib_lrsched.web.endpoints import add_routes

LONG = "9" * 400
NASTY = [
    "null", "true", "0", "-1", "1.5", "1e999", "-1e999", "NaN", LONG, "9" * 5_000, str(2**63), "1e308", '""', '" "', '"\\u0000"',
    '"a\\u0000b"', '"\\ud800"', '"\\udcff"', '"..\\/..\\/x"', '"' + "x" * 5_000 + '"', "[]", "{}", "[null]", '[["a"]]',
    '["\\u0000"]', '{"a": []}', "[1e999]", f"[{LONG}]", "[" * 40 + "]" * 40,
    '{"a":' * 90 + "1" + "}" * 90, "[" * 2_000 + "]" * 2_000, '"0.005"',
    '"cosine(0.005, 1e-5)"', '["0.005"]', '["\\ud800", "0.005:\\u0000"]',
]  # fmt: skip
"""JSON, some of it more than Python's own reader takes."""

BODIES: dict[str, dict[str, Any]] = {
    "/preview": {"id": 1, "texts": ["0.005"], "kind": "rate", "total_steps": 100, "pictures": None, "batch": 1, "accumulate": 1,
                 "data_root": "", "initial_step": 0, "points": 50, "run": None, "way": None, "optimizer": None,
                 "rate_text": None},
    "/preflight": {"kind": "embedding", "name": "mine", "inputs": {}},
    "/trials": {"kind": "embedding", "name": "mine", "inputs": {}, "grid": [0.1, 1], "texts": None, "updates": 9, "seed": 0,
                "images": None},
    "/trials/estimate": {"kind": "embedding", "name": "mine", "inputs": {}, "images": {"prompt": "a thing"}},
    "/export": {"text": "0.005", "total_steps": 100, "format": "a1111", "pictures": 1, "batch": 1, "accumulate": 1, "error": None,
                "base": None},
    "/import": {"text": "1:10,0.1", "format": "diffusers", "base": 0.005},
    "/items": {"text": "0.005", "total_steps": 100, "pictures": 1, "batch": 1, "accumulate": 1},
    "/edit": {"text": "0.005:10, 1", "total_steps": 100, "edit": {"do": "delete", "item": [0]}},
    "/resume": {"kind": "embedding", "name": "mine", "way": "continue", "rate_text": None},
    "/options": {"kind": "embedding", "name": "mine", "options": {"ema": 0.9}},
    "/presets": {"name": "mine", "text": "0.005", "note": ""},
    "/interrupt": {"kind": "embedding", "name": "mine", "run": None},
    "/runs/none/use": {"what": "average"},
    "/runs/none/label": {"title": "a", "note": "b"},
    "/runs/none/resume-from": {"step": 4, "way": None},
    "/comparison": {"runs": ["none"], "over": "step"},
    "/profiles": {"name": "a", "kind": None, "inputs": {"steps": 5}, "options": {"ema": 0.9}, "replace": True},
}  # fmt: skip
INPUTS = ("learn_rate", "batch_size", "gradient_step", "data_root", "log_directory", "training_width", "training_height", "steps",
          "clip_grad_mode", "clip_grad_value", "template_filename", "create_image_every", "save_embedding_every",
          "varsize")  # fmt: skip
DATA = str(CONCEPT)
EDIT = {"do": "set", "item": [0], "param": "v", "value": "1", "unit": "ep", "relative": True, "shape": "cosine", "step": 5}
EDITS = ("set", "unset", "end", "unit", "shape", "insert", "delete", "boundary", "rate")


def bodies(path: str) -> list[str]:
    """Every nasty value as the whole body, in the place of every field, and deeper where there is more below."""
    good = BODIES[path]
    found = [*NASTY, *(_with(good, field, value) for field in good for value in NASTY)]
    if path == "/preflight":
        found += [_with(good, "inputs", f'{{"{name}": {value}}}') for name in INPUTS for value in NASTY]
    if path == "/options":
        found += [_with(good, "options", f'{{"{name}": {value}}}') for name in OPTIONS for value in NASTY]
    if path == "/trials/estimate":
        inputs = {"learn_rate": "0.005", "steps": 100, "data_root": DATA}
        found += [_with(good, "inputs", _with(inputs, name, value)) for name in INPUTS for value in NASTY]
        images = ("prompt", "negative_prompt", "seed", "steps")
        found += [_with({**good, "inputs": inputs}, "images", f'{{"{name}": {value}}}') for name in images for value in NASTY]
        found += [_with({**good, "inputs": inputs}, name, value) for name in ("grid", "texts", "updates") for value in NASTY]
    if path == "/edit":
        edits = [{**EDIT, "do": do} for do in EDITS]
        found += [_with(good, "edit", _with(edit, field, value)) for edit in edits for field in EDIT for value in NASTY]
    return found


def _with(fields: dict[str, Any], name: str, value: str) -> str:
    rest = {other: one for other, one in fields.items() if other != name}
    return f'{json.dumps(rest)[:-1]}{", " if rest else ""}{json.dumps(name)}: {value}}}'


def ask_all(app: FastAPI, requests: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    """What was wrong with the answers."""

    async def go() -> list[str]:
        wrong = []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://webui/lrsched/v1") as client:
            for method, path, options in requests:
                answer = await client.request(method, path, **options)
                if complaint := _complaint(answer):
                    wrong.append(f"{method} {path} {str(options)[:150]}: {complaint}")
        return wrong

    return asyncio.run(go())


def _complaint(answer: httpx.Response) -> str:
    if answer.status_code < 400:
        return ""
    body = answer.json()
    if answer.status_code >= 500 and "run.json: " not in answer.text:  # a stored file that is damaged is not a failure of ours
        return f"{answer.status_code} {answer.text[:300]}"
    is_form = set(body) == {"error"} and set(body["error"]) == {"message", "span"} and isinstance(body["error"]["message"], str)
    return "" if is_form and body["error"]["message"] else f"no refusal: {answer.text[:300]}"


@pytest.fixture
def app(ground: Ground) -> FastAPI:
    """The endpoints over the practice host, with a run of each kind of thing that is there."""
    made = FastAPI()
    add_routes(made, ground.install())
    ground.create("embedding", NAME)
    return made


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("path", sorted(BODIES))
def test_no_value_of_any_field_is_a_failure(app: FastAPI, path: str, every: int):
    """The quick test takes every fourth body: other values for each field, since their number is not a multiple of four."""
    assert len(NASTY) % 4 != 0
    headers = {"content-type": "application/json"}
    assert ask_all(app, [("POST", path, {"content": body, "headers": headers}) for body in bodies(path)[::every]]) == []


WORDS = ["", "..", "%00", "%ED%A0%80", "%FF", "a%00b", "%2e%2e%2f", "x" * 3_000, "%F0%9F%98%80", LONG, "-1", "1.5", "NaN",
         "a b", "[]", "%0A", "%22"]  # fmt: skip
"""As they stand in an address."""


def test_no_address_is_a_failure(app: FastAPI):
    folders = ("/runs", "/presets", "/profiles", "/trials", "", "/preview")
    paths = [f"{path}/{word}" for path in folders for word in WORDS if path or word not in ("", "..")]
    paths += [f"/runs/{word}/{last}" for word in WORDS for last in ("bundles", "file", "images", "profile")]
    paths += [f"/runs/none/images/{word}" for word in WORDS] + [f"/comparison/file?format=csv&runs={word}" for word in WORDS]
    paths += [f"/trials/{word}/images/0" for word in WORDS] + [f"/trials/none/images/{word}" for word in WORDS]
    paths += [f"/trials/none?state={word}" for word in WORDS]
    paths += [f"/resume?kind=embedding&name={word}" for word in WORDS] + [f"/resume?kind={word}&name=mine" for word in WORDS]
    paths += [f"/runs/none?since={word}&until={word}&smoothing={word}" for word in WORDS]
    paths += [f"/options?kind=embedding&name={word}" for word in WORDS]
    methods = ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW")
    requests: list[tuple[str, str, dict[str, Any]]] = [(method, path, {}) for method in methods for path in paths]
    requests += [("GET", f"/resume?kind=embedding&name=mine&rate_text={word}", {}) for word in WORDS]
    requests += [("POST", f"/runs?name={word}", {"content": b"PK"}) for word in WORDS]
    assert ask_all(app, requests) == []


LEG = ("start_step", "total_steps", "steps_per_epoch", "images_per_step", "planner", "origin", "started_s")


def test_a_run_with_absurd_numbers_in_a_leg_is_shown(ground: Ground, app: FastAPI):
    ground.train("embedding", "0.005", 2)
    (run,) = ground.runs()
    path = ground.runtime.store.root / "runs" / run.id / "run.json"
    whole = json.loads(path.read_bytes())
    body = {"texts": ["0.005", "cosine(1, 0)"], "total_steps": 5, "run": run.id, "initial_step": 2}
    requests = [("POST", "/preview", {"json": {**body, "way": choice}}) for choice in (None, *CHOICES)]
    addresses = ("/runs", "/training", f"/runs/{run.id}", f"/runs/{run.id}/bundles", f"/resume?kind=embedding&name={NAME}")
    requests += [("GET", address, {}) for address in addresses]
    requests += [("GET", f"/comparison/file?runs={run.id}&format=html&over={over}", {}) for over in ("images", "time")]
    for field in LEG:
        for value in (0, 1, 2**62, 2**63 - 1):
            legs = [whole["legs"][0], {**whole["legs"][0], "start_step": 1, field: value}]
            path.write_text(json.dumps({**whole, "legs": legs}))
            assert ask_all(app, requests) == [], (field, value)
            for aside in path.parent.glob("run.json.damaged-*"):
                aside.unlink()
