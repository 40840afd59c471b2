"""The options of a run in a real WebUI: validation, the average and the timesteps of both kinds, and what they leave."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")

import torch
from webui_api import Api, tensors

pytestmark = pytest.mark.webui
CHOSEN = {"progress_every": 1, "validate_every": 4, "ema": 0.9, "spread_timesteps": True, "rate_by_timestep": "linear(1, 0.5)",
          "loss_by_timestep": "linear(0.5, 1.5)"}
RATE = {"embedding": "cosine(0.005, 1e-4)", "hypernetwork": "cosine(1e-4, 1e-5)"}
STEPS = 12


@pytest.mark.parametrize("kind", ["embedding", "hypernetwork"])
def test_a_run_with_everything_on(api: Api, kind: str):
    name = f"options-{kind}"
    api.create(kind, name)
    api.post("/lrsched/v1/options", {"kind": kind, "name": name, "options": CHOSEN})
    assert "error: None" in api.train(kind, name, RATE[kind], STEPS)
    found = api.get(f"/lrsched/v1/runs/{api.runs(name)[0]['id']}")
    assert {option: found["options"][option] for option in CHOSEN} == CHOSEN
    assert [step for step, _ in found["validation"]] == [4, 8, 12] == [step for step, _ in found["validation_ema"]]
    assert found["usable"] == ["average", "best"]
    assert all(0.5 <= factor <= 1 for factor in found["points"]["rate_factor"])
    assert len(set(found["points"]["rate_factor"])) > STEPS // 2
    file = api.trained(kind, name)
    weights, average = tensors(torch.load(file)), tensors(torch.load(file.with_name(f"{name}-ema.pt")))
    assert any(not torch.equal(one, other) for one, other in zip(weights, average, strict=True))
    settings = api.webui.data / "ui-config.json"
    assert not settings.exists() or "lrsched" not in json.dumps(json.loads(settings.read_text()))


def test_the_average_takes_the_files_place(api: Api):
    name = "options-embedding"
    run_id = api.runs(name)[0]["id"]
    file = api.trained("embedding", name)
    average = tensors(torch.load(file.with_name(f"{name}-ema.pt")))
    api.post(f"/lrsched/v1/runs/{run_id}/use", {"what": "average"})
    assert all(torch.equal(one, other) for one, other in zip(tensors(torch.load(file)), average, strict=True))
    assert "error: None" in api.train("embedding", name, RATE["embedding"], STEPS + 2)
    assert len(api.runs(name)) == 2
