"""Trials in a real WebUI through the API: they find something, draw, end when told to, and leave nothing behind."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")

import httpx
import torch
from webui_api import OF_KIND, TRAINING, Api, tensors
from webui_checkout import ROOT

pytestmark = pytest.mark.webui
both_kinds = pytest.mark.parametrize("kind", ["embedding", "hypernetwork"])
TEXT = {"embedding": "warmup(0.005):20, 0.005:60, 1e-3", "hypernetwork": "warmup(1e-4):20, 1e-4:60, 1e-5"}
HALF, WHOLE = 50, 100
WAIT_S = 300
PAUSE_S = 0.1


def body(api: Api, kind: str, name: str, **changes: Any) -> dict[str, Any]:
    inputs = {**TRAINING, **OF_KIND[kind], "learn_rate": TEXT[kind], "steps": WHOLE, "data_root": str(api.images),
              "log_directory": str(api.logs)}
    return {"kind": kind, "name": name, "inputs": inputs, "grid": [0.1, 1.0, 10.0], "updates": 8, **changes}


def start(api: Api, kind: str, name: str, **changes: Any) -> str:
    return str(api.post("/lrsched/v1/trials", body(api, kind, name, **changes))["id"])


def wait(api: Api, trial_id: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline_s = time.monotonic() + WAIT_S
    while not until(trial := api.get(f"/lrsched/v1/trials/{trial_id}")):
        assert time.monotonic() < deadline_s, trial
        time.sleep(PAUSE_S)
    return dict(trial)


def has_ended(trial: dict[str, Any]) -> bool:
    return trial["ended_s"] is not None


def delete(api: Api, trial_id: str, state: str) -> None:
    address = f"{api.webui.url}/lrsched/v1/trials/{trial_id}"
    assert httpx.delete(address, params={"state": state}, timeout=WAIT_S, trust_env=False).status_code == 200


def files(api: Api) -> dict[Path, Any]:
    """What lies below the WebUI's folders, but for our own state; of the data folder with size and time, but for hashes.

    The files that SQLite keeps beside the database of hashes come and go with the host's connections.
    """
    own, cache = (api.webui.data / name for name in ("lrsched", "cache"))
    data = [path for path in api.webui.data.rglob("*") if own not in (path, *path.parents) and path.is_file()]
    data = [path for path in data if cache not in path.parents or not path.name.endswith(("-shm", "-wal"))]
    stamps = {path: path.stat() for path in data if cache not in path.parents}
    return {**dict.fromkeys((*data, *ROOT.rglob("*"), *api.logs.rglob("*"))),
            **{path: (stat.st_size, stat.st_mtime_ns) for path, stat in stamps.items()}}


def weights(api: Api, kind: str, name: str) -> list[torch.Tensor]:
    return tensors(torch.load(api.trained(kind, name)))


@both_kinds
def test_training_50_a_trial_and_training_to_100_is_training_to_100(api: Api, kind: str):
    whole, parts = f"trial-whole-{kind}", f"trial-parts-{kind}"
    for name in (whole, parts):
        api.create(kind, name)
    shutil.copy2(api.trained(kind, whole), api.trained(kind, parts))
    choices = {"latent_sampling_method": "random", "shuffle_tags": True, "tag_drop_out": 0.2}
    api.webui.spy.seed(5)
    assert "error: None" in api.train(kind, whole, TEXT[kind], WHOLE, **choices)
    assert "error: None" in api.train(kind, parts, TEXT[kind], HALF, **choices)
    api.webui.spy.seed(99)
    before = files(api)
    images = {"prompt": f"a photo of {parts}", "steps": 2}
    trial = wait(api, start(api, kind, parts, images=images), has_ended)
    said = [message for message in trial["messages"] if "is loaded and will be applied" not in message]  # of another test
    assert (trial["state"], trial["message"], said) == ("finished", "", [])
    assert [one["factor"] for one in trial["candidates"]] == [0.1, 1.0, 10.0]
    assert all(one["image"] for one in trial["candidates"])
    drawn = [png(api, trial["id"], number) for number in range(3)]
    assert len(set(drawn)) == 3, "each with its own weights"
    assert files(api) == before
    assert "error: None" in api.train(kind, parts, TEXT[kind], WHOLE, **choices)
    assert all(torch.equal(a, b) for a, b in zip(weights(api, kind, whole), weights(api, kind, parts), strict=True))
    api.webui.spy.seed(None)


def png(api: Api, trial_id: str, number: int) -> bytes:
    answer = httpx.get(f"{api.webui.url}/lrsched/v1/trials/{trial_id}/images/{number}", timeout=WAIT_S, trust_env=False)
    assert answer.status_code == 200
    assert answer.content.startswith(b"\x89PNG")
    return answer.content


@both_kinds
def test_a_trial_that_is_ended_leaves_all_as_it_was(api: Api, kind: str):
    name = f"trial-ended-{kind}"
    api.create(kind, name)
    before, offer = files(api), api.get("/lrsched/v1/resume", kind=kind, name=name)
    trial_id = start(api, kind, name, updates=200)
    running = wait(api, trial_id, lambda trial: any(one["curve"] for one in trial["candidates"]))
    assert running["state"] == "running"
    assert api.post("/internal/progress", {"id_task": f"task(lrsched-{trial_id})", "live_preview": False})["active"]
    delete(api, trial_id, "running")
    ended = wait(api, trial_id, has_ended)
    assert ended["state"] == "stopped"
    assert ended["made"] < ended["updates"] * 4
    assert files(api) == before
    assert api.get("/lrsched/v1/resume", kind=kind, name=name) == offer
    assert api.get("/internal/pending-tasks")["tasks"] == []
    assert api.get("/sdapi/v1/progress")["state"]["interrupted"] is False
    delete(api, trial_id, "stopped")
    assert "error: None" in api.train(kind, name, TEXT[kind], 3)


def test_a_trial_waits_for_a_training_and_a_waiting_one_that_is_ended_never_runs(api: Api):
    for name in ("trial-first", "trial-other"):
        api.create("embedding", name)
    mark = api.webui.spy.mark()
    training = threading.Thread(target=lambda: api.train("embedding", "trial-first", "1e-4", 4000))
    training.start()
    api.webui.spy.wait_for(3, mark)
    trial_id, dropped = start(api, "embedding", "trial-other"), start(api, "embedding", "trial-other")
    waiting = wait(api, trial_id, lambda trial: True)
    assert waiting["state"] == "waiting"
    delete(api, dropped, "waiting")
    assert wait(api, dropped, has_ended)["state"] == "stopped"
    assert waiting["message"] == "waits until the training of 'trial-first' has ended"
    api.interrupt()
    training.join()
    assert wait(api, trial_id, has_ended)["state"] == "finished"
    assert api.get(f"/lrsched/v1/trials/{dropped}")["made"] == 0
