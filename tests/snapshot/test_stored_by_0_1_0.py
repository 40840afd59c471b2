"""Runs that version 0.1.0 stored in the middle of a training are still resumed.

    tests/golden/run_0_1_0/KIND/               the practice host's folder after a kill at update 14 of 24; the newest state is
                                               that of update 10
    tests/golden/run_0_1_0/KIND/expected.pt    what version 0.1.0 itself went on to

The state is put back to the bit. What is trained from there on is compared within 1e-5: another processor gives other bits.
The two biases of a hypernetwork's keys have no gradient, for attention is the same whatever is added to all keys. AdamW turns
the rounding errors that are left into updates, which are others on another processor: those two have to stay where they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402  # torch is optional, see importorskip
from stored_runs import STORED, stored  # noqa: E402

from lib_lrsched.cli.main import main  # noqa: E402

KEY_BIASES = (1, 3)
"""Among a hypernetwork's tensors: weight and bias of both layers for the keys, then the same for the values."""
MOVED_BY_ROUNDING = 1e-3
"""On two processors it was 4e-5; a weight that has a gradient moves by 5e-3 in the 14 updates."""
RATES = {"embedding": "warmup(0.005):6, cosine(0.005, 1e-5)", "hypernetwork": "warmup(1e-3):6, cosine(1e-3, 1e-5)"}

both_kinds = pytest.mark.parametrize("kind", RATES)


def command(kind: str, root: Path) -> list[str]:
    options = "--steps 24 --seed 5 --batch 2 --accumulate 2 --autosave-every 5 --clip 1:10,0.1 --clip-mode norm --json"
    return ["train", "--kind", kind, "--name", "mine", "--lr", RATES[kind], *options.split(), "--out", str(root)]


def tensors(kind: str, path: Path) -> list[Any]:
    data = torch.load(path, weights_only=True)
    if kind == "embedding":
        return [data["string_to_param"]["*"]]
    return [tensor for width in data if isinstance(width, int) for layers in data[width] for tensor in layers.values()]


def trained(kind: str) -> tuple[int, list[Any]]:
    """Step and weights of what the practice host trains now."""
    from lib_lrsched.practice import sd_hijack, shared

    embeddings, networks = sd_hijack.model_hijack.embedding_db.word_embeddings, shared.loaded_hypernetworks
    host_object = embeddings["mine"] if kind == "embedding" else networks[0]
    found = [host_object.vec] if kind == "embedding" else host_object.weights()
    return host_object.step, [tensor.detach().clone() for tensor in found]


@both_kinds
def test_a_run_of_0_1_0_is_restored_to_the_bit_and_goes_on_with_its_history(kind, tmp_path, capsys, monkeypatch):
    from lib_lrsched.host import hooks
    from lib_lrsched.practice import sd_hijack_checkpoint

    root, run = stored(kind, tmp_path)
    history = (run / "history.jsonl").read_bytes()
    (file,) = (run / "bundles").iterdir()
    kept = load_file(file)
    kept_weights = [kept[name] for name in sorted(kept, key=lambda name: (len(name), name)) if name.startswith("trained")]
    at_start = []
    original = sd_hijack_checkpoint.add
    monkeypatch.setattr(sd_hijack_checkpoint, "add", lambda: (at_start.append(trained(kind)), original())[1])
    try:
        assert main(command(kind, root)) == 0
    finally:
        hooks.uninstall()
    report = json.loads(capsys.readouterr().out)
    assert (report["first_step"], len(report["rates"])) == (10, 14)
    ((step, weights),) = at_start
    assert step == 10
    assert len(kept_weights) == len(weights) > 0
    assert all(torch.equal(one.reshape(-1), other.reshape(-1)) for one, other in zip(weights, kept_weights))
    result, expected_result = root / f"{kind}s" / "mine.pt", STORED / kind / "expected.pt"
    for i, (one, expected) in enumerate(zip(tensors(kind, result), tensors(kind, expected_result), strict=True)):
        if kind == "hypernetwork" and i in KEY_BIASES:
            torch.testing.assert_close(one, weights[i].reshape(one.shape), rtol=0, atol=MOVED_BY_ROUNDING)
        else:
            torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-5)
    after = (run / "history.jsonl").read_bytes()
    assert after.startswith(history), "a history only grows"
    assert len(after) > len(history)
    assert json.loads((run / "run.json").read_text())["state"] == "finished"
    assert not list((root / "lrsched").rglob("*damaged*"))
