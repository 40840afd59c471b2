"""A range test in a real WebUI: every update is measured, and afterwards weights, step and files are what they were."""

from __future__ import annotations

import pytest
import torch
from webui_api import Api, tensors

pytestmark = pytest.mark.webui
UPDATES = 30
SEED = 11
SEARCH = {"embedding": "range_test(1e-6, 0.1)", "hypernetwork": "range_test(1e-8, 1e-3)"}


@pytest.mark.parametrize("kind", ["embedding", "hypernetwork"])
def test_training_behind_a_range_test_is_training_without_one(api: Api, kind: str):
    name, found = f"range-{kind}", {}
    api.create(kind, name)
    start = api.trained(kind, name).read_bytes()
    for is_searched in (False, True):
        api.trained(kind, name).write_bytes(start)
        if kind == "embedding":
            api.post("/sdapi/v1/refresh-embeddings", {})
        if is_searched:
            api.post("/lrsched/v1/resume", {"kind": kind, "name": name, "way": "file"})
            api.webui.spy.seed(SEED)
            assert "error: None" in api.train(kind, name, SEARCH[kind], UPDATES, **{f"save_{kind}_every": 10})
            assert api.trained(kind, name).read_bytes() == start
            assert not list(api.logs.glob(f"*/{name}/{kind}s/*.pt"))
        api.post("/lrsched/v1/resume", {"kind": kind, "name": name, "way": "file"})
        api.webui.spy.seed(SEED)
        said = api.train(kind, name, "cosine(1e-3, 1e-5)", UPDATES)
        api.webui.spy.seed(None)
        assert "error: None" in said
        found[is_searched] = tensors(torch.load(api.trained(kind, name)))
    assert len(found[False]) == len(found[True]) > 0
    assert all(torch.equal(a, b) for a, b in zip(found[False], found[True]))
    (search,) = (run for run in api.runs(name) if run["rate_text"] == SEARCH[kind])
    assert (search["state"], search["step"]) == ("finished", UPDATES)
    answer = api.get(f"/lrsched/v1/runs/{search['id']}")
    assert answer["range_test"]["put_back"] is True
    assert all(loss is not None for loss in answer["points"]["baseline_loss"])
