"""A WebUI that is killed in the middle of a training, started again, and told to train again: the same bits as without."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")

import httpx
import torch
from webui_api import Api, tensors
from webui_server import WebUI, started

pytestmark = pytest.mark.webui
STEPS = 14
KILLED_AFTER = 7
TEXT = {"embedding": "warmup(0.005):4, cosine(0.005, 1e-5)", "hypernetwork": "warmup(1e-4):4, cosine(1e-4, 1e-6)"}
CHOICES: dict[str, dict[str, Any]] = {
    "plain": {"create_image_every": 5, "preview_from_txt2img": True, "preview_prompt": "a thing", "preview_seed": 3},
    "drawn": {"batch_size": 2, "latent_sampling_method": "random", "shuffle_tags": True, "tag_drop_out": 0.2},
    "accumulated": {"gradient_step": 3, "shuffle_tags": True, "clip_grad_mode": "norm", "clip_grad_value": "0.5"},
}
KINDS = ("embedding", "hypernetwork")


def train_until_killed(api: Api, kind: str, name: str, **choices: Any) -> None:
    """The server exits after some updates, without any cleanup."""
    mark = api.webui.spy.mark()

    def ask() -> None:
        try:
            api.train(kind, name, TEXT[kind], STEPS, **choices)
        except (httpx.HTTPError, AssertionError):
            return  # nobody answers any more

    thread = threading.Thread(target=ask)
    thread.start()
    api.webui.spy.wait_for(KILLED_AFTER, mark)
    api.webui.process.kill()
    api.webui.process.wait()
    thread.join()


def run_of(api: Api, name: str) -> tuple[dict[str, Any], list[str]]:
    (run,) = api.runs(name)
    answer = api.get(f"/lrsched/v1/runs/{run['id']}")
    return answer["run"], [event["message"] for event in answer["events"]]


def open_api(webui: WebUI, images: Path) -> Api:
    return Api(webui, images, webui.data.parent / "logs")


def test_a_killed_training_goes_on_to_the_same_bits(checkpoint: Path, images: Path, tmp_path: Path):
    """Each combination is killed once; in between the WebUI is started anew, as a person would do it."""
    whole: dict[tuple[str, str], list[torch.Tensor]] = {}
    with started(tmp_path, checkpoint) as webui:
        api = open_api(webui, images)
        api.post("/sdapi/v1/options", {"lrsched_autosave_every": 2})
        for kind in KINDS:
            for word, choices in CHOICES.items():
                name = f"{word}-{kind}"
                api.create(kind, name)
                first = (tmp_path / f"{name}.pt")
                shutil.copy2(api.trained(kind, name), first)
                webui.spy.seed(5)
                assert "error: None" in api.train(kind, name, TEXT[kind], STEPS, **choices)
                whole[kind, word] = tensors(torch.load(api.trained(kind, name)))
                shutil.copy2(first, api.trained(kind, name))
                # Its hash is in the WebUI's cache by name: it would take the optimizer's state for that of the file put back.
                api.trained(kind, name).with_name(f"{name}.pt.optim").unlink()
        shutil.rmtree(webui.data / "lrsched")
        webui.spy.seed(5)
    for kind in KINDS:
        for word, choices in CHOICES.items():
            with started(tmp_path, checkpoint) as webui:
                webui.spy.seed(5)
                train_until_killed(open_api(webui, images), kind, f"{word}-{kind}", **choices)
    with started(tmp_path, checkpoint) as webui:
        api = open_api(webui, images)
        webui.spy.seed(99)
        for kind in KINDS:
            for word, choices in CHOICES.items():
                name = f"{word}-{kind}"
                offer = api.get("/lrsched/v1/resume", kind=kind, name=name)
                assert (offer["exact"], offer["file_step"], offer["run"]["state"]) == (True, 0, "crashed")
                assert KILLED_AFTER - 2 <= offer["step"] <= KILLED_AFTER + 1
                assert "error: None" in api.train(kind, name, TEXT[kind], STEPS, **choices)
                run, messages = run_of(api, name)
                assert (run["state"], run["step"]) == ("finished", STEPS)
                assert any(message.startswith("resumed exactly") for message in messages), messages
                now = tensors(torch.load(api.trained(kind, name)))
                assert all(torch.equal(a, b) for a, b in zip(whole[kind, word], now, strict=True)), name
