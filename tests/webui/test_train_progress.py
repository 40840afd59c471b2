"""Progress in a real WebUI: measured on the same noise, in its log file too, and without a bit of difference in what is trained."""

from __future__ import annotations

import pytest
import torch
from webui_api import Api, tensors

pytestmark = pytest.mark.webui
UPDATES = 200
SEED = 11


@pytest.mark.parametrize("kind", ["embedding", "hypernetwork"])
def test_weights_after_200_updates_are_the_same_bits_with_and_without(api: Api, kind: str):
    name, found = f"progress-{kind}", {}
    api.create(kind, name)
    start = api.trained(kind, name).read_bytes()  # a hypernetwork starts from random weights
    for every in (0, 8):
        api.trained(kind, name).write_bytes(start)
        api.post("/sdapi/v1/options", {"lrsched_progress_every": every})
        if kind == "embedding":
            api.post("/sdapi/v1/refresh-embeddings", {})
        api.post("/lrsched/v1/resume", {"kind": kind, "name": name, "way": "file"})
        api.webui.spy.seed(SEED)
        said = api.train(kind, name, "cosine(1e-3, 1e-5)", UPDATES)
        api.webui.spy.seed(None)
        assert "error: None" in said
        found[every] = tensors(torch.load(api.trained(kind, name)))
    assert len(found[0]) == len(found[8]) > 0
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[8]))
    points = api.points(name)
    measured = [step for step, loss in zip(points["step"], points["baseline_loss"]) if loss is not None]
    assert measured == list(range(0, UPDATES, 8))
    assert all(isinstance(share, float) and abs(share) < 0.5 for share in points["progress"])
    logged = [line["progress"] for line in api.logged(name)[-UPDATES:]]
    assert [step for step, share in enumerate(logged) if share] == measured


def test_progress_starts_at_0_for_an_embedding(api: Api):
    api.create("embedding", "progress-start")
    assert "error: None" in api.train("embedding", "progress-start", "1e-3", 3)
    points = api.points("progress-start")
    assert points["progress"][0] == pytest.approx(0, abs=1e-5)
    assert points["baseline_loss"][0] == pytest.approx(points["loss"][0], rel=1e-5)
