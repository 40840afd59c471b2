"""The training speed in a real WebUI: the attention that is in force, close to the same result, and the WebUI's own afterwards."""

from __future__ import annotations

import pytest
import torch
from webui_api import Api, tensors

pytestmark = pytest.mark.webui
UPDATES = 6
SEED = 12
FAST = 'attention of the UNet: torch\'s scaled_dot_product_attention, because "Training speed" is '
OUT = "gradient checkpointing of the UNet is left out: "


@pytest.mark.parametrize("kind", ["embedding", "hypernetwork"])
def test_fast_learns_nearly_the_same_and_exact_has_its_bits_again(api: Api, kind: str):
    name, found, norms = f"speed-{kind}", [], []
    api.create(kind, name)
    start = api.trained(kind, name).read_bytes()  # a hypernetwork starts from random weights
    for speed in ("exact", "fast", "auto", "exact"):
        api.trained(kind, name).write_bytes(start)
        api.post("/sdapi/v1/options", {"lrsched_training_speed": speed})
        if kind == "embedding":
            api.post("/sdapi/v1/refresh-embeddings", {})
        api.post("/lrsched/v1/resume", {"kind": kind, "name": name, "way": "file"})
        api.webui.spy.seed(SEED)
        mark = api.webui.spy.mark()
        said = api.train(kind, name, "1e-3", UPDATES)
        api.webui.spy.seed(None)
        assert "error: None" in said
        updates = api.webui.spy.updates(mark)
        norms.append(updates[0]["norm"])
        attentions = {update["attention"] for update in updates}
        assert attentions == {"attention_CrossAttention_forward" if speed == "exact" else "scaled_dot_product_attention_forward"}
        events = [event["message"] for event in api.get(f"/lrsched/v1/runs/{api.runs(name)[0]['id']}")["events"]]
        assert (f"{FAST}{speed}" in events) == (speed != "exact"), events
        assert any(message.startswith(OUT) for message in events) == (speed != "exact"), events
        found.append(torch.cat([tensor.flatten() for tensor in tensors(torch.load(api.trained(kind, name)))]))
    exact, fast, auto, again = found
    assert torch.equal(exact, again)
    assert torch.equal(fast, auto)
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)
    # The keys' bias of a hypernetwork has a gradient of rounding alone, and Adam makes whole steps of it.
    assert 0 < (fast - exact).norm() <= 0.05 * exact.norm()
