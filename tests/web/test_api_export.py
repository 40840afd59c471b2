"""The export and the table of shapes over HTTP, and the two commands on the command line."""

from __future__ import annotations

import asyncio
import functools
import io
import json
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from lib_lrsched import plan
from lib_lrsched.cli.main import main
from lib_lrsched.schedule.shapes import REQUIRED, SHAPES
from lib_lrsched.web.endpoints import add_routes


def ask(method: str, path: str, body: Any = None) -> httpx.Response:
    """One request to an app that has nothing but the endpoints. (Exports and shapes ask no store and no run.)"""

    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=_app()), base_url="http://host/lrsched/v1") as client:
            return await client.request(method, path, json=body)

    return asyncio.run(go())


@functools.cache
def _app() -> FastAPI:
    app = FastAPI()
    add_routes(app, SimpleNamespace())  # type: ignore[arg-type]
    return app


def test_a_text_is_exported():
    answer = ask("POST", "/export", {"text": "0.005:100, exp(1e-3)", "total_steps": 200, "format": "a1111", "error": 0.3})
    assert answer.status_code == 200
    assert answer.json() == {
        "text": "0.00352:139, 0.00188:178, 0.00119",
        "note": "3 segments for max steps 200; at most 29.84% from the plan at any step",
        "worst_error": pytest.approx(0.2984, abs=1e-4),
    }


def test_the_nearest_form_says_how_near_it_is():
    request = {"text": "warmup(0.005):5%, cosine(0.005, 1e-5)", "total_steps": 2000, "format": "kohya"}
    answer = ask("POST", "/export", request).json()
    assert answer["text"].startswith("--learning_rate=0.005 --lr_scheduler=cosine_with_min_lr --lr_warmup_steps=100 ")
    assert answer["note"].startswith("the nearest form, not exact: sd-scripts has a rate of 0 in the first update; ")
    assert answer["worst_error"] == 1.0


def test_epochs_are_those_of_the_data_set():
    request = {"text": "0.005:3ep, 1e-3", "total_steps": 200, "format": "diffusers", "pictures": 12, "batch": 2, "accumulate": 3}
    assert ask("POST", "/export", request).json()["text"] == "1:6,0.2"


TOTAL = "total_steps: expected a whole number from 1 to 1000000"


@pytest.mark.parametrize(
    ("request_", "message", "span"),
    [
        ({}, "text: expected a text, got nothing", None),
        ({"text": "1"}, "format: expected a text, got nothing", None),
        ({"text": "1", "format": "a1111"}, f"{TOTAL}, got nothing", None),
        ({"text": "1", "format": "a1111", "total_steps": 10**7}, f"{TOTAL}, got 10000000", None),
        ({"text": "1", "format": "a1111", "total_steps": True}, f"{TOTAL}, got true", None),
        ({"text": "1", "format": "a1111", "total_steps": 9, "error": "2%"},
         'error: expected a finite number, or null, got "2%"', None),
        ({"text": "1", "format": "a1111", "total_steps": 9, "error": 2},
         "expected an error from 0 to below 1, such as 0.02 or 2%, got 2", None),
        ({"text": "1", "format": "gif", "total_steps": 9},
         "no format `gif`; there are a1111, pytorch, diffusers, deepspeed, kohya", None),
        ({"text": "1:4, cosin(0)", "format": "a1111", "total_steps": 9}, "no shape `cosin`; did you mean `cosine`?", [5, 10]),
        ({"text": "1:4, plateau(1)", "format": "kohya", "total_steps": 9},
         "`plateau` looks at the loss, and sd-scripts cannot", [5, 15]),
        ([], "expected a JSON object, sent as application/json", None),
    ],
)  # fmt: skip
def test_error_a_refusal_has_the_one_form(request_: Any, message: str, span: list[int] | None):
    answer = ask("POST", "/export", request_)
    assert answer.status_code == 400
    assert answer.json() == {"error": {"message": message, "span": span}}


def test_the_table_of_shapes_is_the_planners():
    shapes = ask("GET", "/shapes").json()["shapes"]
    assert [shape["name"] for shape in shapes] == [*SHAPES, "repeat"]
    for shape in shapes[:-1]:
        row = SHAPES[shape["name"]]
        assert (shape["example"], shape["reference"], shape["joins"]) == (row.example, row.reference, row.joins)
        assert [p["name"] for p in shape["params"]] == [p.name for p in row.params]
        assert [p["required"] for p in shape["params"]] == [p.default is REQUIRED for p in row.params]
    assert set(shapes[0]["params"][0]) == {
        "name", "word", "words", "label", "kind", "required", "default", "meaning", "low", "high", "open_low", "open_high",
        "choices",
    }  # fmt: skip


def test_a_form_can_be_filled_from_the_table():
    for shape in ask("GET", "/shapes").json()["shapes"]:
        made = plan(shape["example"], total_steps=1000)
        assert np.all(np.isfinite(made.values([0, made.stop - 1])))
        for param in shape["params"]:
            assert param["kind"] in ("rate", "number", "whole", "time", "word", "flag", "items")
            assert (param["choices"] != []) == (param["kind"] == "word")
            assert param["meaning"]
            assert not param["required"] or param["default"] is None


# The command line -------------------------------------------------------------------------------


def test_export_prints_the_text_alone_on_standard_output(capsys: pytest.CaptureFixture[str]):
    assert main(["export", "0.005:10, 1e-3", "--steps", "20", "--to", "diffusers", "--base", "0.01"]) == 0
    out, err = capsys.readouterr()
    assert out == "0.5:10,0.1\n"
    assert err == "multipliers of the optimizer's rate, which is 0.01; train 20 updates; exact at every step\n"


@pytest.mark.parametrize("error", ["50%", "0.5"])
def test_export_takes_an_error_in_percent_or_as_a_part(error: str, capsys: pytest.CaptureFixture[str]):
    assert main(["export", "exp(0.004, 0.001)", "--steps", "20", "--to", "a1111", "--error", error, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "0.00209:16, 0.00118"


def test_export_knows_epochs(capsys: pytest.CaptureFixture[str]):
    assert main(["export", "0.005:3ep, 1e-3", "--steps", "20", "--steps-per-epoch", "4", "--to", "a1111"]) == 0
    assert capsys.readouterr().out == "0.005:12, 0.001\n"


def test_import_reads_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    given = {"type": "WarmupDecayLR", "params": {"total_num_steps": 2000, "warmup_num_steps": 100, "warmup_type": "linear"}}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(given)))
    assert main(["import", "--from", "deepspeed", "-"]) == 0
    out, err = capsys.readouterr()
    assert out == "0:1, linear(0, 0.001):101, linear(0.001, 0):2001\n"
    assert err == "max steps 2000\n"


def test_epochs_are_imported_with_the_steps_of_one(capsys: pytest.CaptureFixture[str]):
    assert main(["import", "--from", "kohya", "--steps-per-epoch", "5", "--", "--learning_rate=1 --max_train_epochs=4"]) == 0
    assert capsys.readouterr() == ("1\n", "max steps 20; 4 epochs of 5 steps, as sd-scripts counts its own data set\n")


def test_import_as_json(capsys: pytest.CaptureFixture[str]):
    assert main(["import", "--from", "diffusers", "--base", "0.005", "1:10,0.1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"text": "0.005:10, 0.0005", "total_steps": None, "note": ""}


NONE = "none of DeepSpeed's WarmupLR, WarmupDecayLR, WarmupCosineLR, OneCycle and LRRangeTest gives these rates"


@pytest.mark.parametrize(
    ("arguments", "message", "span", "fix"),
    [
        (["export", "cosine(1, 0)", "--steps", "9", "--to", "deepspeed"],
         f"{NONE} (cosine); the nearest is off by 1 (0 in the place of 1 at step 0), 100% of the highest rate", None, None),
        (["export", "plateau(1)", "--steps", "9", "--to", "kohya"], "`plateau` looks at the loss, and sd-scripts cannot",
         [0, 10], None),
        (["export", "1:3, cosin(0)", "--steps", "9", "--to", "a1111"], "no shape `cosin`; did you mean `cosine`?", [5, 10],
         "1:3, cosine(0)"),
        (["import", "--from", "a1111", "nan"], "`nan`: expected a rate, a finite number of 0 or more, got `nan`", None, None),
    ],
)  # fmt: skip
def test_error_exit_code_is_2(
    arguments: list[str], message: str, span: list[int] | None, fix: str | None, capsys: pytest.CaptureFixture[str]
):
    assert main([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {"error": {"message": message, "span": span, "fix": fix}}
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == message


@pytest.mark.parametrize("given", ["100%", "-1%", "x", "nan", "1"])
def test_error_a_part_is_below_1(given: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["export", "1", "--steps", "9", "--to", "a1111", f"--error={given}"])
    assert caught.value.code == 2
    message = f"argument --error: expected a part from 0 to below 1, such as 2% or 0.02, got {given!r}\n"
    assert capsys.readouterr().err.endswith(message)
