"""Stored runs in the tab: looked into, deleted, out as one file, in elsewhere; and nothing from outside is believed."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import io
import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

torch = pytest.importorskip("torch")

import httpx  # noqa: E402  # with torch comes the rest of the test extra
import practice_rig  # noqa: E402
from fastapi import FastAPI  # noqa: E402
from practice_rig import NAME, both_kinds, same_bits, weights  # noqa: E402
from training_steps import train_and_die  # noqa: E402

from lib_lrsched.errors import RequestError, RunStateError  # noqa: E402
from lib_lrsched.host import hooks  # noqa: E402
from lib_lrsched.practice import initialize  # noqa: E402
from lib_lrsched.snapshot import archive, snapshot, validation_set  # noqa: E402
from lib_lrsched.storage.history import History  # noqa: E402
from lib_lrsched.storage.run_state import RunState  # noqa: E402
from lib_lrsched.web import endpoints, run_endpoints  # noqa: E402

TEXT = "linear(0.01, 0.001)"
CHOICES = {"batch": 2, "shuffle_tags": True}


def _newest(ground: Any, run: RunState) -> tuple[snapshot.Folder, snapshot.Snapshot]:
    """The folder of a run's snapshots, and the newest in it."""
    folder = snapshot.Folder(ground.runtime.store.snapshots_path(run.id), run.id)
    _, found, _ = folder.newest()
    assert found is not None
    return folder, found


def ask(runtime: Any, method: str, path: str, **options: Any) -> httpx.Response:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=_app(runtime))
        async with httpx.AsyncClient(transport=transport, base_url="http://webui") as client:
            return await client.request(method, f"/lrsched/v1{path}", **options)

    return asyncio.run(request())


@functools.lru_cache(maxsize=2)  # two runtimes: of this machine and of `elsewhere`
def _app(runtime: Any) -> FastAPI:
    app = FastAPI()
    endpoints.add_routes(app, runtime)
    return app


def exported(runtime: Any, run_id: str) -> bytes:
    answer = ask(runtime, "GET", f"/runs/{run_id}/file")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="{run_id}.lrsched.zip"'
    return answer.content


def elsewhere(ground: Any, tmp_path: Path) -> None:
    """Another machine: an empty WebUI with the same model and the same images."""
    hooks.uninstall()
    data = ground.data
    initialize.setup(tmp_path / "elsewhere", practice_rig.small_model())
    ground.root = tmp_path / "elsewhere"
    (ground.root / "data").symlink_to(data)
    ground.install(autosave_every=2)


def changed(data: bytes, change: Any) -> bytes:
    """The file with its members changed: a dict of name to bytes in, the same out."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, content in change(members).items():
            file.writestr(name, content)
    return target.getvalue()


# Looking and deleting ---------------------------------------------------------------------


@both_kinds
def test_the_saved_states_of_a_run_are_shown(ground, kind):
    ground.install(autosave_every=3)
    ground.train(kind, TEXT, 10, batch=2)
    run = ground.run()
    shown = ask(ground.runtime, "GET", f"/runs/{run.id}/bundles").json()["bundles"]
    assert [one["step"] for one in shown] == [10, 9, 6]
    assert {(one["good"], one["optimizer"]) for one in shown} == {(True, "AdamW")}
    assert (shown[1]["batches_taken"], shown[1]["batches_per_epoch"]) == (1, 2)
    assert shown[0]["trained"][0].endswith(" float32")
    assert all(one["size_bytes"] > 1000 for one in shown)


def test_a_damaged_state_is_shown_as_damaged_and_passed_over(ground):
    ground.install(autosave_every=3)
    ground.create("embedding", NAME)
    train_and_die(ground, "embedding", 8, text=TEXT)
    run = ground.run()
    newest, *_ = sorted(ground.state_dir.glob("runs/*/bundles/*.safetensors"), reverse=True)
    whole = newest.read_bytes()
    for damage in (b"", whole[:100], whole[:-1], whole[:-9] + b"\xff" + whole[-8:], b"nonsense" * 40):
        newest.write_bytes(damage)
        shown = ask(ground.runtime, "GET", f"/runs/{run.id}/bundles").json()["bundles"]
        assert [one["good"] for one in shown] == [False, True]
        assert str(newest) in shown[0]["message"]
    trained = ground.train("embedding", TEXT, 10)
    assert [leg.start_step for leg in ground.run().legs] == [0, 3]
    assert trained.step == 10
    assert any("it is skipped" in message for _, message in ground.events())


def test_a_snapshot_of_another_run_is_passed_over(ground):
    ground.install(autosave_every=3)
    ground.train("embedding", TEXT, 4, name="other")
    ground.create("embedding", NAME)
    train_and_die(ground, "embedding", 5, text=TEXT)
    runs = {run.name: run.id for run in ground.runs()}
    foreign = sorted(ground.state_dir.glob(f"runs/{runs['other']}/bundles/*.safetensors"))[-1]
    (ground.state_dir / "runs" / runs[NAME] / "bundles" / "00000099.safetensors").write_bytes(foreign.read_bytes())
    ground.train("embedding", TEXT, 8)
    (run,) = (run for run in ground.runs() if run.name == NAME)
    assert [leg.start_step for leg in run.legs] == [0, 3]
    assert any(f"belongs to the run '{runs['other']}'; it is skipped" in message for _, message in ground.events(run))


def test_a_run_is_deleted_with_all_its_files(ground):
    ground.install()
    ground.train("embedding", TEXT, 4)
    run = ground.run()
    assert ask(ground.runtime, "DELETE", f"/runs/{run.id}").json()["runs"] == []
    assert not list((ground.state_dir / "runs").iterdir())
    gone = ask(ground.runtime, "DELETE", f"/runs/{run.id}")
    assert (gone.status_code, gone.json()["error"]["message"]) == (404, f"no run {run.id}")


@pytest.mark.parametrize("run_id", ["..", "%2e%2e", "../presets", "a/../../x", ".deleted-x", "/etc", "%2Fetc%2Fpasswd", "%00"])
def test_error_no_name_from_outside_leaves_the_folder(ground, run_id):
    ground.install()
    ground.train("embedding", TEXT, 2)
    before = ground.listing()
    for method, path in (("DELETE", f"/runs/{run_id}"), ("GET", f"/runs/{run_id}/file"), ("GET", f"/runs/{run_id}/bundles")):
        assert ask(ground.runtime, method, path).status_code in (307, 400, 404, 405)  # a client resolves dots itself
    assert ground.listing() == before


def test_error_another_page_cannot_delete(ground):
    ground.install()
    ground.train("embedding", TEXT, 2)
    run = ground.run()
    refused = ask(ground.runtime, "DELETE", f"/runs/{run.id}", headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403
    assert "https://evil.example" in refused.json()["error"]["message"]
    assert ask(ground.runtime, "DELETE", f"/runs/{run.id}", headers={"Origin": "null"}).status_code == 403
    cross = {"Origin": "http://webui", "Sec-Fetch-Site": "cross-site"}
    assert ask(ground.runtime, "DELETE", f"/runs/{run.id}", headers=cross).status_code == 403
    assert ask(ground.runtime, "DELETE", f"/runs/{run.id}", headers={"Origin": "http://webui"}).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin"}, {"X-Forwarded-Host": "my.site"}, {"X-Forwarded-Host": "my.site, proxy"}]
)
def test_behind_a_proxy_that_changes_the_host_our_own_page_is_known(ground, headers):
    ground.install()
    ground.train("embedding", TEXT, 2)
    deleted = ask(ground.runtime, "DELETE", f"/runs/{ground.run().id}", headers={"Origin": "https://my.site", **headers})
    assert deleted.status_code == 200


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://webui", "Sec-Fetch-Site": "cross-site"}, {"Origin": "http://[webui"}, {"Origin": ""},
])  # fmt: skip
def test_error_a_page_of_another_origin_gets_no_answer_from_anything(ground, headers):
    ground.install()
    ground.train("embedding", TEXT, 2)
    before = ground.listing()
    for route in routes(ground.runtime):
        for method in route.methods or {"GET", "OPTIONS", "BREW"}:
            path = route.path.removeprefix("/lrsched/v1")
            refused = ask(ground.runtime, method, path, headers=headers, json={"data_root": str(ground.data)})
            assert refused.status_code == 403, (method, route.path)
            assert refused.json()["error"]["message"].startswith("refused: the request comes from another page")
    assert ground.listing() == before


def routes(runtime: Any) -> list[Any]:
    app = FastAPI()
    endpoints.add_routes(app, runtime)
    return [route for route in app.routes if getattr(route, "path", "").startswith("/lrsched/v1")]


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://webui"}, {"Sec-Fetch-Site": "none"}, {"User-Agent": "curl/8"},
                                     {"Origin": "https://my.site", "X-LRSched-Page": "1"}])
def test_our_own_page_and_programs_get_their_answers(ground, headers):
    ground.install()
    body = {"texts": ["0.005"], "total_steps": 10}
    assert ask(ground.runtime, "POST", "/preview", json=body, headers=headers).status_code == 200
    assert ask(ground.runtime, "GET", "/runs", headers=headers).status_code == 200


# Out and in -------------------------------------------------------------------------------


@both_kinds
def test_a_run_goes_on_elsewhere_to_the_same_bits(ground, kind, tmp_path):
    ground.install(autosave_every=2)
    ground.create(kind, "whole")
    expected = weights(ground.train(kind, TEXT, 14, name="whole", **CHOICES))
    ground.create(kind, NAME)
    train_and_die(ground, kind, 7, steps=14, text=TEXT, **CHOICES)
    (run,) = (run for run in ground.runs() if run.name == NAME)
    file = exported(ground.runtime, run.id)
    elsewhere(ground, tmp_path)
    answer = ask(ground.runtime, "POST", "/runs", content=file)
    assert answer.status_code == 200, answer.text
    (stored,) = ground.runs()
    assert (stored.id, stored.name, stored.step) == (answer.json()["id"], NAME, 6)
    trained = ground.train(kind, TEXT, 14, **{**CHOICES, "seed": 99})
    assert same_bits(weights(trained), expected)
    assert [record.step for record in ground.records()] == list(range(14))


def test_what_a_run_started_from_goes_with_it(ground, tmp_path):
    ground.install(autosave_every=2, progress_every=1)
    ground.train("embedding", TEXT, 6)
    first = ground.records()[0].baseline_loss
    file = exported(ground.runtime, ground.run().id)
    elsewhere(ground, tmp_path)
    assert ask(ground.runtime, "POST", "/runs", content=file).status_code == 200
    ground.install(progress_every=1)
    ground.train("embedding", TEXT, 8)
    assert first is not None
    assert [record.baseline_loss is None for record in ground.records()] == [False] * 8


def test_what_it_is_validated_on_and_its_best_go_with_it_also_under_another_name(ground, tmp_path):
    ground.install(autosave_every=2, validate_every=2)
    ground.train("embedding", "0.05", 4)
    file = exported(ground.runtime, ground.run().id)
    before = validation_set.read(ground.runtime.store.validation_path(ground.run().id))
    (ground.data / "validation").mkdir()
    elsewhere(ground, tmp_path)
    assert ask(ground.runtime, "POST", "/runs?name=second", content=file).status_code == 200
    best = snapshot.read(ground.runtime.store.best_path(ground.run().id))
    assert (best.facts.run, best.facts.name) == (ground.run().id, "second")
    ground.train("embedding", "0.05", 8, name="second")
    after = validation_set.read(ground.runtime.store.validation_path(ground.run().id))
    assert before is not None
    assert after is not None
    assert after.samples == before.samples
    assert len({share for _, share in validated(ground)}) == 4, "the prompts name what is trained now"


def validated(ground: Any) -> list[tuple[int, float]]:
    return History.open(ground.runtime.store.history_path(ground.run().id), append=False).validated()


def test_a_damaged_baseline_does_not_keep_a_run_from_going_elsewhere(ground, tmp_path):
    ground.install(autosave_every=2)
    ground.train("embedding", TEXT, 6)
    ground.runtime.store.baseline_path(ground.run().id).write_bytes(b"damaged")
    file = exported(ground.runtime, ground.run().id)
    elsewhere(ground, tmp_path)
    assert ask(ground.runtime, "POST", "/runs", content=file).status_code == 200


@both_kinds
def test_it_can_be_given_another_name(ground, kind):
    """The placeholder is another word then, so that prompts differ: it goes on, and says so."""
    ground.install(autosave_every=2)
    ground.train(kind, TEXT, 6)
    file = exported(ground.runtime, ground.run().id)
    answer = ask(ground.runtime, "POST", "/runs?name=second", content=file)
    assert answer.status_code == 200, answer.text
    trained = ground.train(kind, TEXT, 9, name="second")
    assert trained.step == 9
    (run,) = (run for run in ground.runs() if run.name == "second")
    assert "placeholder token is second, was mine" in [message for _, message in ground.events(run)]


@both_kinds
def test_error_the_name_is_taken(ground, kind):
    ground.install()
    ground.train(kind, TEXT, 3)
    before = ground.listing()
    refused = ask(ground.runtime, "POST", "/runs", content=exported(ground.runtime, ground.run().id))
    assert refused.status_code == 409
    article = "an" if kind == "embedding" else "a"
    words = f"there is {article} {kind} '{NAME}' already: give the run another name"
    assert refused.json()["error"]["message"] == words
    assert ground.listing() == before


def test_error_a_run_without_a_saved_state_cannot_be_exported(ground):
    ground.install(autosave_every=0, autosave_minutes=0.0)
    ground.train("embedding", TEXT, 3)
    refused = ask(ground.runtime, "GET", f"/runs/{ground.run().id}/file")
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        409, f"{ground.run().id} has no snapshot to export",
    )


@pytest.mark.parametrize("name", ["../x", "a/b", "/abs", ".hidden", "a\\b", "x" * 101, "a\nb", "con:"])
def test_error_no_name_for_a_file(ground, name):
    ground.install()
    ground.train("embedding", TEXT, 2)
    file = exported(ground.runtime, ground.run().id)
    before = ground.listing()
    refused = ask(ground.runtime, "POST", "/runs", content=file, params={"name": name})
    assert refused.status_code == 400
    assert ground.listing() == before


def _without(name: str) -> Any:
    return lambda members: {key: value for key, value in members.items() if key != name}


def _with(name: str, content: bytes) -> Any:
    return lambda members: {**members, name: content}


def _state(**fields: Any) -> Any:
    """As somebody would write it who means it: without the digest, as 0.1.0 wrote it, or else that alone would be seen."""

    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        data = {**json.loads(members["run.json"]), **fields}
        data.pop("digest", None)
        return {**members, "run.json": json.dumps(data).encode()}

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without("bundle.safetensors"), "expected the file of an exported run, but bundle.safetensors is not in it"),
        (_without("run.json"), "expected the file of an exported run, but run.json is not in it"),
        (_with("run.json", b"{"), "run.json: expected JSON"),
        (_with("run.json", b'{"digest": ""}'), "run.json: version: expected a whole number from 0, but the field is missing"),
        (lambda members: _with("run.json", members["run.json"].replace(b'"batch": 1', b'"batch": 2'))(members),
         "run.json: its digest does not fit"),
        (_state(step=-1), "run.json: step: expected a whole number from 0, got -1"),
        (_state(name="other"), "belongs to embedding 'mine'"),
        (_state(kind="lora"), "run.json: kind: expected one of embedding, hypernetwork, got 'lora'"),
        (_with("bundle.safetensors", b"x" * 100), "bundle.safetensors: expected a safetensors file"),
        (_with("data.safetensors", b"x" * 100), "data.safetensors: expected a safetensors file"),
        (_with("history.jsonl", b"nonsense\n"), "history.jsonl: line 1"),
        (_with("history.jsonl", b'{"lrsched_history": 1, "columns": []}\n'), "history.jsonl: line 1"),
    ],
)
def test_error_a_file_from_outside_is_looked_at_before_anything_is_used(ground, tmp_path, change, words):
    ground.install()
    ground.train("embedding", TEXT, 4)
    file = exported(ground.runtime, ground.run().id)
    elsewhere(ground, tmp_path)
    before = ground.listing()
    refused = ask(ground.runtime, "POST", "/runs", content=changed(file, change))
    assert refused.status_code == 400
    assert words in refused.json()["error"]["message"]
    assert ground.listing() == before


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nonsense", bytes(1000)])
def test_error_no_zip(ground, content):
    ground.install()
    refused = ask(ground.runtime, "POST", "/runs", content=content)
    assert refused.status_code == 400
    assert "expected the file of an exported run (a zip), but it cannot be read" in refused.json()["error"]["message"]


def refused_import(ground: Any, file: bytes) -> str:
    """Why the file is not taken in; nothing is left behind."""
    before = ground.listing()
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(tempfile, "tempdir", folder):
        refused = ask(ground.runtime, "POST", "/runs", content=file)
        assert not list(Path(folder).iterdir())
    assert (refused.status_code, set(refused.json())) == (400, {"error"}), refused.text
    assert ground.listing() == before
    return refused.json()["error"]["message"]


def packed(members: dict[str, bytes], method: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return target.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_error_a_damaged_stream_in_the_file(ground, tmp_path, method):
    ground.install()
    ground.train("embedding", TEXT, 4)
    with zipfile.ZipFile(io.BytesIO(exported(ground.runtime, ground.run().id))) as file:
        file = packed({name: file.read(name) for name in file.namelist()}, method)
    elsewhere(ground, tmp_path)
    for place in range(30, 400, 13):
        damaged = bytearray(file)
        damaged[place : place + 9] = b"\xff" * 9
        said = refused_import(ground, bytes(damaged))
        assert "expected" in said
    assert ask(ground.runtime, "POST", "/runs", content=file).status_code == 200, "compressed by another program"


def test_error_a_small_file_that_unpacks_to_a_large_one(ground, monkeypatch):
    ground.install()
    ground.train("embedding", TEXT, 4)
    file = exported(ground.runtime, ground.run().id)
    with zipfile.ZipFile(io.BytesIO(file)) as members:
        contents = {name: members.read(name) for name in members.namelist()}
    bomb = packed({**contents, "history.jsonl": contents["history.jsonl"] + b" " * (90 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 20
    monkeypatch.setattr(archive, "_copy_at_most", lambda *_: pytest.fail("something was unpacked"))
    said = refused_import(ground, bomb)
    assert said.startswith(f"expected the file of an exported run, but its {len(bomb)} bytes would unpack to ")


def test_error_a_file_that_is_too_large_is_not_written(ground, monkeypatch):
    ground.install()
    monkeypatch.setattr(run_endpoints, "LARGEST_UPLOAD_BYTES", 1 << 20)
    monkeypatch.setattr(run_endpoints.tempfile, "mkstemp", lambda **_: pytest.fail("something was written"))
    refused = ask(ground.runtime, "POST", "/runs", content=bytes(2 << 20))
    assert (refused.status_code, refused.json()["error"]["message"]) == (413, "expected a body of at most 1 MiB")


def test_an_upload_that_breaks_off_leaves_nothing_and_is_no_mistake_of_ours(ground, tmp_path, monkeypatch, caplog):
    ground.install()
    app = FastAPI()
    endpoints.add_routes(app, ground.runtime)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, sent = ground.listing(), []
    came = iter([{"type": "http.request", "body": b"PK", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(came)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/lrsched/v1/runs", "query_string": b"", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert (sent[0]["status"], caplog.text) == (400, "")
    assert not list(tmp_path.glob("lrsched-*"))
    assert ground.listing() == before


def test_error_no_room_to_unpack_a_run(ground, tmp_path, monkeypatch):
    ground.install()
    ground.train("embedding", TEXT, 4)
    file = exported(ground.runtime, ground.run().id)
    elsewhere(ground, tmp_path)
    before = ground.listing()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    refused = ask(ground.runtime, "POST", "/runs", content=file)
    assert refused.status_code == 409
    assert "and 0 MiB are free in" in refused.json()["error"]["message"]
    assert ground.listing() == before


def _learned(change: Any) -> Any:
    """A change of what the optimizer has learned of parameter 0."""

    def apply(parts: dict[str, Any]) -> None:
        change(parts["optimizer"]["state"][0])

    return apply


@pytest.mark.parametrize(("change", "words"), [
    (_learned(lambda one: one.update(step=torch.tensor(-1.0))), "expected a step, a whole number from 0, got -1"),
    (_learned(lambda one: one.update(step=torch.tensor(float("nan")))), "expected a step, a whole number from 0, got nan"),
    (_learned(lambda one: one.update(step=2.5)), "expected a step, a whole number from 0, got 2.5"),
    (_learned(lambda one: one.pop("exp_avg_sq")), "the state of parameter 0 has no exp_avg_sq, which AdamW needs"),
    (_learned(lambda one: one.pop("step")), "the state of parameter 0 has no step, which AdamW needs"),
    (_learned(lambda one: one["exp_avg"].fill_(float("nan"))), "expected finite numbers for exp_avg, got nan"),
    (_learned(lambda one: one["exp_avg"].fill_(float("inf"))), "expected finite numbers for exp_avg, got inf"),
    (_learned(lambda one: one["exp_avg_sq"].fill_(-1.0)), "expected numbers from 0 for exp_avg_sq, got -1"),
    (_learned(lambda one: one["exp_avg_sq"].fill_(float("nan"))), "expected numbers from 0 for exp_avg_sq, got nan"),
    (_learned(lambda one: one.update(exp_avg=torch.zeros(3))), "for exp_avg, got one of torch.float32 and shape (3,)"),
    (_learned(lambda one: one.update(exp_avg="x")), "for exp_avg, got 'x'"),
    (_learned(lambda one: one.update(step=None)), "expected a number or a tensor of one float for step, got None"),
    (lambda parts: parts["optimizer"].update(state=[]), "expected the state of 1 parameters"),
    (lambda parts: parts["optimizer"]["state"].update({7: {}}), "expected the state of 1 parameters"),
    (lambda parts: parts["scaler"].update(scale=-1.0), "GradScaler: expected a number from 0 for scale, got -1.0"),
    (lambda parts: parts["scaler"].update(scale="x"), "GradScaler: expected a number from 0 for scale, got 'x'"),
])  # fmt: skip
def test_error_an_optimizer_s_state_from_outside_that_would_end_each_training(ground, tmp_path, change, words):
    ground.install()
    ground.train("embedding", TEXT, 4)
    run = ground.run()
    folder, found = _newest(ground, run)
    change(found.parts)
    folder.add(found)
    assert ask(ground.runtime, "GET", f"/runs/{run.id}/bundles").json()["bundles"][0]["good"]
    file = exported(ground.runtime, run.id)
    # In the run itself it is not used, and that is said.
    assert ground.train("embedding", TEXT, 6).step == 6
    if "GradScaler" not in words:
        assert any("the optimizer's saved state does not fit and starts over" in message for _, message in ground.events())
    elsewhere(ground, tmp_path)
    assert words in refused_import(ground, file)


def test_a_saved_state_whose_place_in_the_data_is_nonsense_is_listed(ground):
    ground.install()
    ground.train("embedding", TEXT, 4)
    run = ground.run()
    folder, found = _newest(ground, run)
    for order in ({}, {"taken": "x", "batches": 3}, {"taken": torch.ones(2), "batches": torch.ones(())}):
        folder.add(snapshot.Snapshot(found.facts, {**found.parts, "order": order}))
        (newest, *_) = ask(ground.runtime, "GET", f"/runs/{run.id}/bundles").json()["bundles"]
        assert (newest["batches_taken"], newest["batches_per_epoch"]) == (None, None)


@pytest.mark.parametrize("field", ["total_steps", "start_step", "origin", "steps_per_epoch", "images_per_step"])
def test_error_a_leg_that_no_run_can_have_made(ground, tmp_path, field):
    ground.install()
    ground.train("embedding", TEXT, 4)
    file = exported(ground.runtime, ground.run().id)
    elsewhere(ground, tmp_path)

    def absurd(members: dict[str, bytes]) -> dict[str, bytes]:
        state = json.loads(members["run.json"])
        state["legs"][0][field] = 2**62
        del state["digest"]  # it would be the first to tell
        return {**members, "run.json": json.dumps(state).encode()}

    assert refused_import(ground, changed(file, absurd)) == (
        f"run.json: legs[0].{field}: expected at most 9007199254740991, got {2**62}"
    )


@pytest.mark.parametrize("field", ["step", "total_steps", "origin"])
def test_error_a_saved_state_at_a_step_that_no_run_can_have_reached(ground, tmp_path, field):
    ground.install()
    ground.train("embedding", TEXT, 4)
    run = ground.run()
    folder, found = _newest(ground, run)
    folder.add(dataclasses.replace(found, facts=dataclasses.replace(found.facts, **{field: 10**18})))
    file = exported(ground.runtime, run.id)
    elsewhere(ground, tmp_path)
    assert refused_import(ground, file) == f"bundle.safetensors: facts.{field}: expected at most 9007199254740991, got {10**18}"


@pytest.mark.parametrize("field", ["step", "total_steps"])
def test_error_a_run_of_more_steps_than_can_be_counted(ground, tmp_path, field):
    ground.install()
    ground.train("embedding", TEXT, 4)
    file = exported(ground.runtime, ground.run().id)
    elsewhere(ground, tmp_path)
    said = refused_import(ground, changed(file, _state(**{field: 2**62})))
    assert said == f"run.json: {field}: expected at most 9007199254740991, got {2**62}"


RECORD = b"[1, 0.1, 0.1, 0.1, 0.1, 1.0]\n"


@pytest.mark.parametrize(("added", "words"), [
    (RECORD * 20_000, "history.jsonl: expected at most 10080 lines for 4 steps, got more"),
    (RECORD[:-1] * 50_000, "history.jsonl: line 8: expected at most 1048576 bytes, got more"),
])  # fmt: skip
def test_error_a_history_that_no_run_of_so_many_steps_has(ground, tmp_path, added, words):
    ground.install()
    ground.train("embedding", TEXT, 4)
    file = exported(ground.runtime, ground.run().id)
    elsewhere(ground, tmp_path)
    longer = changed(file, lambda members: {**members, "history.jsonl": members["history.jsonl"] + added})
    assert refused_import(ground, longer) == words


def test_other_members_and_paths_in_the_file_are_not_looked_at(ground, tmp_path):
    ground.install()
    ground.train("embedding", TEXT, 4)
    file = exported(ground.runtime, ground.run().id)
    elsewhere(ground, tmp_path)
    hostile = changed(file, lambda members: {**members, "../../evil.pt": b"x", "/abs.pt": b"x", "evil.pkl": b"x"})
    assert ask(ground.runtime, "POST", "/runs", content=hostile).status_code == 200
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name or path.name == "abs.pt"]


@pytest.mark.parametrize(
    ("design", "words"),
    [
        ({"enable_sizes": [10**6]}, "the design is wider than the weights that came with it"),
        ({"layer_structure": [1, 10**6, 1]}, "the design is wider than the weights that came with it"),
        ({"enable_sizes": "16"}, "expected lists of numbers"),
        ({"layer_structure": [1.0, float("inf"), 1.0]}, "expected lists of numbers"),
        ({"layer_structure": [1.0, float("nan"), 1.0]}, "expected lists of numbers"),
        ({"enable_sizes": [10**400]}, "expected lists of numbers"),
        ({"activation_func": "x" * 100}, "extra.activation_func: expected a short text or nothing"),
        ({"more": 1}, "extra: expected enable_sizes, "),
    ],
)
def test_error_a_design_that_would_not_fit_its_weights(ground, design, words, tmp_path):
    ground.install()
    ground.train("hypernetwork", TEXT, 3)
    run = ground.run()
    folder, found = _newest(ground, run)
    parts = {**found.parts, "extra": {**found.parts["extra"], **design}}
    folder.add(snapshot.Snapshot(found.facts, parts))
    path = tmp_path / "out.zip"
    with path.open("wb") as target:
        ground.runtime.transfer.export_run(run.id, target)
    with pytest.raises(RunStateError, match=words):
        ground.runtime.transfer.import_run(path, "new")


def test_error_nothing_is_taken_in_while_something_is_trained(ground, tmp_path, monkeypatch):
    runtime = ground.install()
    monkeypatch.setattr(runtime.trainings, "threads", lambda: {1})
    with pytest.raises(RequestError, match="a training is running"):
        runtime.transfer.import_run(tmp_path / "x.zip", "")
