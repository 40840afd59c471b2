"""What only a GPU shows: nothing in the loop waits for it, gradients are clipped unscaled, generators are put back.

Skipped where torch sees none.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from lib_lrsched.optimizer import step_hook  # noqa: E402  # torch is optional, see importorskip
from lib_lrsched.snapshot import generators  # noqa: E402  # torch is optional, see importorskip
from lib_lrsched.storage.store import Store  # noqa: E402
from lib_lrsched.training.options import Options  # noqa: E402
from lib_lrsched.training.request import Request  # noqa: E402
from lib_lrsched.training.run import TrainingRun  # noqa: E402
from lib_lrsched.training.session import Session  # noqa: E402
from lib_lrsched.training.settings import Settings  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

TEXT = "warmup(0.005):10, cosine(0.005, 1e-5)"
UPDATES = 120


def grad_scaler(device: str, enabled: bool) -> Any:
    """The WebUI's torch 2.1 has it in torch.cuda.amp alone, where newer ones warn of it."""
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler(device, enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled and device == "cuda")


@contextmanager
def no_wait() -> Iterator[None]:
    """Inside, a wait for the device raises."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_debug_mode_sees_a_wait():
    with no_wait(), pytest.raises(RuntimeError, match="synchroniz"):
        torch.ones(1, device="cuda").item()


@pytest.mark.parametrize("mode", ["disabled", "value", "norm"])
@pytest.mark.parametrize("scaled", [True, False])
def test_no_hook_in_the_loop_waits_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, scaled: bool):
    """But for saving: so often as the settings say the state is copied to the host, which nothing else can do."""
    weight = torch.nn.Parameter(torch.full((8, 768), 0.1, device="cuda"))
    settings = Settings(autosave_every=0, autosave_minutes=0.0, freeze=False, free_memory="off", run=Options(max_norm=2.0, ema=0.9))
    shared = SimpleNamespace(sd_model=None, opts=SimpleNamespace(practice_quiet=True), state=SimpleNamespace(interrupted=False))
    host: Any = SimpleNamespace(shared=shared, settings=lambda: settings, folder_of=lambda _: str(tmp_path))
    clip = "" if mode == "disabled" else "0.01"
    asked = Request("embedding", "on_cuda", TEXT, UPDATES, clip_mode=mode, clip_text=clip)
    checks: Any = SimpleNamespace(
        cautions=lambda _: [], surroundings=lambda _: {}, nothing_learned=lambda _: "", scaler=lambda: None,
        before_start=lambda *_: None, save_final=lambda _: None,
    )  # fmt: skip
    session = Session(host, TrainingRun(asked, Store(tmp_path)), checks)
    troubles: list[Exception] = []
    monkeypatch.setattr(session.reporter, "failed", troubles.append)  # else it would swallow what is looked for
    embedding = SimpleNamespace(vec=weight, step=0)
    scheduler: Any = session.construct(TEXT, 0, {"embedding": embedding})
    clipper: Any = session.construct(clip, 0, {}) if clip else None
    session.begin()
    optimizer = torch.optim.AdamW([weight], lr=0.005)
    scaler = grad_scaler("cuda", scaled)
    wrapped = optimizer.step

    for step in range(UPDATES):
        with no_wait() if step else nullcontext():  # the first one keeps what the run started from
            scheduler.apply(optimizer, step)
        loss = (weight * weight).sum()
        with no_wait():
            session.callbacks.call("after_forward", SimpleNamespace(noise=None))
        scaler.scale(loss).backward()
        value = loss.item()  # the loop's own wait
        if clipper is not None:
            with no_wait():
                clipper.step(step)
        scaler.unscale_(optimizer)
        with no_wait():
            wrapped()  # with our hooks; GradScaler's own step() would read whether there was an overflow
        scaler.update()
        embedding.step += 1
        optimizer.zero_grad(set_to_none=True)
        with no_wait():
            session.updated(step + 1, {"loss": f"{value:.7f}", "learn_rate": scheduler.learn_rate})
    assert session.snapshots.good.trained[0].device.type == "cuda", "what can be gone back to has stayed there"
    session.loop_ended()
    assert troubles == []
    records = session.run.history.since(0)
    assert len(records["step"]) == UPDATES
    assert all(norm is not None and norm > 0 for norm in records["grad_norm"])
    assert records["vector_norm"][0] == pytest.approx(0.1 * 768**0.5, rel=1e-5)
    assert records["vector_distance"][-1] > records["vector_distance"][1] > records["vector_distance"][0] == 0.0
    assert all((share is None) == (mode == "disabled") for share in records["clip_share"])


@pytest.mark.parametrize("mode", ["value", "norm"])
@pytest.mark.parametrize("fused", [True, False])
def test_gradients_are_clipped_at_the_true_threshold_under_grad_scaler(mode: str, fused: bool):
    """As without a scaler on the CPU."""
    start, slope = torch.linspace(-1, 1, 12), torch.linspace(-2, 3, 12)

    def stepped(device: str, enabled: bool) -> torch.Tensor:
        weight = torch.nn.Parameter(start.clone().to(device))
        optimizer = torch.optim.AdamW([weight], lr=0.1, fused=fused and device == "cuda")
        step_hook.StepHook(optimizer, lambda: (mode, 0.5))
        scaler = grad_scaler(device, enabled)
        scaler.scale((weight * slope.to(device)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        return weight.detach().cpu()

    torch.testing.assert_close(stepped("cuda", True), stepped("cpu", False), rtol=1e-5, atol=1e-6)


def test_the_generators_of_all_devices_go_back_where_they_were():
    random.seed(1)
    torch.manual_seed(2)
    torch.rand(3, device="cuda")
    kept = generators.take()
    assert len(kept.cuda) == torch.cuda.device_count()

    def drawn() -> list[Any]:
        return [random.random(), torch.rand(2).tolist(), torch.rand(5, device="cuda").tolist()]

    first = drawn()
    assert drawn() != first
    generators.put(generators.from_parts(generators.to_parts(kept)))
    assert drawn() == first
