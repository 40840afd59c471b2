"""What only a GPU shows: nothing in the loop waits for it, gradients are clipped unscaled, generators are put back, and the fast
attention has the gradient of the plain one in half precision and takes the memory that was estimated.

Skipped where torch sees none.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from lib_lrsched.host import checkpointing, fast_attention, hooks  # noqa: E402  # torch is optional, see importorskip
from lib_lrsched.optimizer import step_hook  # noqa: E402  # torch is optional, see importorskip
from lib_lrsched.practice import service, shared, unet  # noqa: E402  # torch is optional, see importorskip
from lib_lrsched.practice.host import FAST_ATTENTION, practice_host  # noqa: E402  # torch is optional, see importorskip
from lib_lrsched.practice.model import LATENT_CHANNELS, load_model  # noqa: E402  # torch is optional, see importorskip
from lib_lrsched.snapshot import generators  # noqa: E402  # torch is optional, see importorskip
from lib_lrsched.storage.store import Store  # noqa: E402
from lib_lrsched.training.loss_seam import Batch  # noqa: E402  # torch is optional, see importorskip
from lib_lrsched.training.options import Options  # noqa: E402
from lib_lrsched.training.request import Request  # noqa: E402
from lib_lrsched.training.run import TrainingRun  # noqa: E402
from lib_lrsched.training.session import Session  # noqa: E402
from lib_lrsched.training.settings import Settings  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

TEXT = "warmup(0.005):10, cosine(0.005, 1e-5)"
UPDATES = 120
DEVICE = "cuda"


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


@contextmanager
def waits() -> Iterator[list[str]]:
    """What waited for the device inside."""
    found: list[str] = []
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            yield found
        found += [str(one.message) for one in seen if "synchroniz" in str(one.message)]
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_debug_mode_sees_a_wait():
    with no_wait(), pytest.raises(RuntimeError, match="synchroniz"):
        torch.ones(1, device=DEVICE).item()
    with waits() as found:
        torch.ones(1, device=DEVICE).item()
    assert len(found) == 1


@pytest.mark.parametrize("mode", ["disabled", "value", "norm"])
@pytest.mark.parametrize("scaled", [True, False])
def test_no_hook_in_the_loop_waits_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, scaled: bool):
    """But for saving: so often as the settings say the state is copied to the host, which nothing else can do. And for the loss,
    which is read once right before the loop reads it.
    """
    weight = torch.nn.Parameter(torch.full((8, 768), 0.1, device=DEVICE))
    options = Options(max_norm=2.0, ema=0.9)
    settings = Settings(autosave_every=0, autosave_minutes=0.0, freeze=False, training_speed="exact", run=options)
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
    scaler = grad_scaler(DEVICE, scaled)
    wrapped = optimizer.step

    for step in range(UPDATES):
        with no_wait() if step else nullcontext():  # the first one keeps what the run started from
            scheduler.apply(optimizer, step)
        batch = Batch(weight.detach(), None, torch.tensor([500], device=DEVICE), ["a thing"])
        with no_wait():
            session.callbacks.call("before_forward", batch)
        loss = (weight * weight).sum()
        batch.loss = loss.detach()
        with waits() as ours:
            session.callbacks.call("after_forward", batch)
        assert len(ours) == 1
        value = loss.item()  # the loop's own wait
        scaler.scale(loss).backward()
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
    assert session.snapshots.good.trained[0].device.type == DEVICE, "what can be gone back to has stayed there"
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
        optimizer = torch.optim.AdamW([weight], lr=0.1, fused=fused and device == DEVICE)
        step_hook.StepHook(optimizer, lambda: (mode, 0.5))
        scaler = grad_scaler(device, enabled)
        scaler.scale((weight * slope.to(device)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        return weight.detach().cpu()

    torch.testing.assert_close(stepped(DEVICE, True), stepped("cpu", False), rtol=1e-5, atol=1e-6)


def test_the_generators_of_all_devices_go_back_where_they_were():
    random.seed(1)
    torch.manual_seed(2)
    torch.rand(3, device=DEVICE)
    kept = generators.take()
    assert len(kept.cuda) == torch.cuda.device_count()

    def drawn() -> list[Any]:
        return [random.random(), torch.rand(2).tolist(), torch.rand(5, device=DEVICE).tolist()]

    first = drawn()
    assert drawn() != first
    generators.put(generators.load_state_dict(generators.state_dict(kept)))
    assert drawn() == first


# Speed ----------------------------------------------------------------------------------------


def plain_attention_forward(self: Any, x: Any, context: Any = None) -> Any:
    """With the whole matrix of scores, as LDM computes it."""
    context_k, context_v = unet.apply_hypernetworks(self.hypernetworks, x if context is None else context)
    q, k, v = self._split(self.to_q(x)), self._split(self.to_k(context_k)), self._split(self.to_v(context_v))
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)
    return self.to_out((weights @ v).transpose(1, 2).reshape(x.shape))


def a_pass(side: int) -> tuple[Any, Any, Any]:
    generator = torch.Generator().manual_seed(1)
    x, words = (torch.randn(shape, generator=generator) for shape in ((1, LATENT_CHANNELS, side, side), (1, 20, 64)))
    return x.to(DEVICE), torch.tensor([300], device=DEVICE), words.to(DEVICE).requires_grad_()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The practice model on the card, with the attention that the WebUI trains with, and frozen."""
    monkeypatch.setattr(unet.CrossAttention, "forward", plain_attention_forward)
    monkeypatch.setattr(shared, "device", torch.device(DEVICE))
    return load_model(DEVICE).requires_grad_(False)


def fast_on(model: Any) -> fast_attention.FastAttention:
    settings = Settings(training_speed="fast")
    host: Any = SimpleNamespace(shared=SimpleNamespace(sd_model=model, device=torch.device(DEVICE)), settings=lambda: settings,
                                fast_attention=FAST_ATTENTION, autocast=nullcontext)
    return fast_attention.FastAttention(host, lambda said: None)


def test_the_fast_attention_has_the_plain_ones_gradient_in_half_precision(model: Any):
    def gradient() -> Any:
        passed = a_pass(32)
        with torch.autocast(DEVICE, torch.float16 if DEVICE == "cuda" else torch.bfloat16):
            loss = model.model.diffusion_model(*passed).float().square().mean()
        (loss * 1024).backward()
        return passed[2].grad

    plain = gradient()
    one = fast_on(model)
    try:
        assert one.is_wanted
        fast = gradient()
    finally:
        one.undo()
    assert plain.norm() > 0
    assert (fast - plain).norm() <= 0.02 * plain.norm()


WORKSPACE_BYTES = 2**28
"""What cuDNN may take beside it for a convolution."""


def test_an_update_takes_no_more_memory_than_is_held_free_for_it(model: Any):
    """RESERVE times the estimate: what is kept for the backward pass, and the gradients beside it."""
    network, one = model.model.diffusion_model, fast_on(model)
    try:
        need = checkpointing.measure(network, a_pass(16), {})
        network(*a_pass(32)).square().mean().backward()  # makes what is made once
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        network(*a_pass(256)).square().mean().backward()
        taken = torch.cuda.max_memory_allocated() - before
    finally:
        one.undo()
    kept = need.bytes(1, 256 * 256)
    assert 0.5 * kept <= taken <= checkpointing.RESERVE["cuda"] * kept + WORKSPACE_BYTES


@pytest.mark.parametrize("kind", service.KINDS)
@pytest.mark.parametrize("speed", ["exact", "auto", "fast"])
def test_the_practice_host_trains_on_the_card(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, speed: str):
    monkeypatch.setattr(shared.opts, "practice_quiet", True)
    service.initialize.setup(tmp_path, model.requires_grad_(True).eval())
    runtime = hooks.install(practice_host(tmp_path, lambda: Settings(training_speed=speed, autosave_every=2)))
    try:
        service.create(kind, "mine")
        service.train(kind, "mine", "0.005", 4, seed=3)
    finally:
        hooks.uninstall()
    (run,) = runtime.store.runs()
    assert (run.state, run.step) == ("finished", 4)
    said = runtime.store.history_path(run.id).read_text()
    assert ("attention of the UNet: torch's" in said) == ("checkpointing of the UNet is left out" in said) == (speed != "exact")
    assert "a hook failed" not in said
