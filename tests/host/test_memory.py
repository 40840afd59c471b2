"""Gradient checkpointing left out where there is memory for it: the same gradients, a true estimate, and everything put back.

On the practice host's blocks, which are patched as the WebUI's are: on their classes, with the reentrant kind.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import practice_rig
import pytest
import torch
from torch import Tensor, nn

from lib_lrsched.host import checkpointing, hooks, options
from lib_lrsched.host.seams import Patches, Seam
from lib_lrsched.practice import loop, sd_hijack_checkpoint, service, shared, unet
from lib_lrsched.practice.host import practice_host
from lib_lrsched.practice.hypernetwork_layers import Hypernetwork
from lib_lrsched.practice.model import LATENT_CHANNELS, DiffusionWrapper, PracticeModel
from lib_lrsched.practice.text import TextEncoder
from lib_lrsched.training.callbacks.freezing import FrozenModel
from lib_lrsched.training.settings import Settings

GIGABYTE = 2**30
both_kinds = pytest.mark.parametrize("kind", service.KINDS)


@functools.cache
def small_model() -> PracticeModel:
    """A practice model with the real blocks, narrow."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = PracticeModel()
        model.cond_stage_model = TextEncoder(width=16, blocks=1, heads=2)
        model.model = DiffusionWrapper(unet.UNet(LATENT_CHANNELS, model.cond_stage_model.context_width, width=16, wide=32))
    model.hypernetworks = []
    return model.eval()


class Loops:
    """What the hooks do around the host's loops, and the UNet's passes in them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model = small_model()
        self.said: list[str] = []
        self.free: int | None = GIGABYTE
        self.threads: list[ThreadPoolExecutor] = []
        self._host = practice_host("unused")
        monkeypatch.setattr(shared, "sd_model", self.model)
        monkeypatch.setattr(checkpointing, "free_bytes", lambda device: self.free)

    def begin(self, choice: str) -> checkpointing.Checkpointing:
        sd_hijack_checkpoint.add()
        host = replace(self._host, settings=lambda: Settings(training_speed=choice))
        return checkpointing.Checkpointing(host, lambda action: action(), self.said.append)

    def begin_elsewhere(self, choice: str) -> checkpointing.Checkpointing:
        """In another thread, which lives on."""
        self.threads.append(ThreadPoolExecutor(1))
        return self.threads[-1].submit(self.begin, choice).result()

    def end(self, one: checkpointing.Checkpointing) -> None:
        sd_hijack_checkpoint.remove()
        one.undo()

    def loss(self, side: int = 8, batch: int = 1, context: Tensor | None = None) -> Tensor:
        generator = torch.Generator().manual_seed(side)
        x = torch.randn(batch, LATENT_CHANNELS, side, side, generator=generator)
        if context is None:
            context = torch.randn(batch, 9, self.model.cond_stage_model.context_width, generator=generator)
        return self.model.loss_at(x, context, torch.arange(batch), torch.zeros_like(x))


@pytest.fixture
def loops(monkeypatch):
    made = Loops(monkeypatch)
    yield made
    for thread in made.threads:
        thread.shutdown()
    checkpointing._live.clear()
    sd_hijack_checkpoint.remove()
    small_model().model.diffusion_model._forward_pre_hooks.clear()
    small_model().zero_grad()


# What is in force -----------------------------------------------------------------------------


def test_fast_leaves_it_out_for_the_length_of_the_run(loops):
    run = loops.begin("fast")
    assert not sd_hijack_checkpoint.is_active()
    assert loops.said == ['gradient checkpointing of the UNet is left out: "Training speed" is fast']
    loops.end(run)
    assert not sd_hijack_checkpoint.is_active()
    again = loops.begin("exact")
    assert sd_hijack_checkpoint.is_active(), "the host's own switch works as before"
    loops.end(again)


def test_exact_leaves_everything_to_the_host(loops):
    run = loops.begin("exact")
    loops.loss().backward()
    assert sd_hijack_checkpoint.is_active()
    assert loops.said == []
    assert not loops.model.model.diffusion_model._forward_pre_hooks
    loops.end(run)


def test_auto_decides_at_the_first_pass_with_gradients(loops):
    run = loops.begin("auto")
    with torch.no_grad():
        loops.loss(16)  # a preview
    assert sd_hijack_checkpoint.is_active()
    assert loops.said == []
    loops.loss(8)
    assert not sd_hijack_checkpoint.is_active()
    (said,) = loops.said
    assert said.startswith("gradient checkpointing of the UNet is left out: keeping what it computes takes ")
    assert said.endswith(" MB, 1.0 GB are free")
    loops.loss(8)
    assert len(loops.said) == 1
    loops.end(run)
    assert not loops.model.model.diffusion_model._forward_pre_hooks


def test_auto_keeps_it_where_memory_is_short_and_says_how_short(loops):
    loops.free = 1000
    run = loops.begin("auto")
    loops.loss(8)
    assert sd_hijack_checkpoint.is_active()
    (said,) = loops.said
    assert said.startswith("gradient checkpointing of the UNet stays on: keeping what it computes takes ")
    loops.free = GIGABYTE
    loops.loss(16)
    assert sd_hijack_checkpoint.is_active(), "once kept it is kept: the run would change its mind with every image"
    loops.end(run)


def test_auto_puts_it_back_for_a_larger_image_that_has_no_room(loops):
    run = loops.begin("auto")
    loops.loss(8)
    assert not sd_hijack_checkpoint.is_active()
    loops.free = 1000
    loops.loss(8)
    assert not sd_hijack_checkpoint.is_active(), "this much was granted"
    loops.loss(8, batch=2)
    assert sd_hijack_checkpoint.is_active()
    assert [said.split(":")[0].split()[-1] for said in loops.said] == ["out", "on"]
    loops.end(run)


def test_auto_keeps_it_where_free_memory_is_not_known(loops):
    loops.free = None
    run = loops.begin("auto")
    loops.loss()
    assert sd_hijack_checkpoint.is_active()
    assert "how much memory is free on cpu is not known" in loops.said[0]
    loops.end(run)


def test_a_network_that_cannot_be_measured_keeps_it_and_is_not_tried_again(loops, monkeypatch):
    tried = []

    def broken(*_: object) -> None:
        tried.append(1)
        raise RuntimeError("no small latents here")

    monkeypatch.setattr(checkpointing, "measure", broken)
    run = loops.begin("auto")
    with pytest.raises(RuntimeError, match="no small latents here"):  # the guard of a session would print it
        loops.loss()
    assert sd_hijack_checkpoint.is_active()
    loops.loss()
    assert tried == [1]
    loops.end(run)


def test_a_model_without_a_unet_in_its_usual_place_is_left_alone(loops, monkeypatch):
    monkeypatch.setattr(shared, "sd_model", nn.Linear(1, 1))
    run = loops.begin("auto")
    assert sd_hijack_checkpoint.is_active()
    loops.end(run)


# Two at once ----------------------------------------------------------------------------------


def test_a_run_that_is_not_alone_keeps_it(loops):
    first, second = loops.begin("fast"), loops.begin_elsewhere("fast")
    assert sd_hijack_checkpoint.is_active()
    assert loops.said[1] == "gradient checkpointing of the UNet stays on: another training is running"
    loops.end(second)
    assert not sd_hijack_checkpoint.is_active(), "the first goes on as it began"
    loops.end(first)


def test_the_end_of_one_run_does_not_take_it_from_another(loops):
    first, second = loops.begin("fast"), loops.begin_elsewhere("auto")
    loops.end(first)
    assert sd_hijack_checkpoint.is_active(), "the host switches it off for both"
    loops.end(second)
    assert not sd_hijack_checkpoint.is_active()


def test_nothing_is_decided_while_another_run_is_live(loops):
    first, second = loops.begin("auto"), loops.begin_elsewhere("exact")
    loops.loss()
    assert sd_hijack_checkpoint.is_active()
    loops.end(second)
    sd_hijack_checkpoint.add()  # what the host leaves behind for the first
    loops.loss()
    assert not sd_hijack_checkpoint.is_active()
    loops.end(first)


def test_a_run_whose_end_was_missed_does_not_count_as_another(loops):
    missed = loops.begin("auto")
    loops.loss()
    gone = loops.begin_elsewhere("auto")
    loops.threads.pop().shutdown()
    run = loops.begin("fast")
    assert not sd_hijack_checkpoint.is_active()
    assert checkpointing._live == [run]
    assert not loops.model.model.diffusion_model._forward_pre_hooks
    for one in (missed, gone, run):
        loops.end(one)


# The host's functions -------------------------------------------------------------------------


def test_the_hosts_own_functions_are_called_behind_our_seams(loops):
    ended = []

    def seam(original: Callable[[], None]) -> Callable[[], None]:
        @functools.wraps(original)
        def replacement() -> None:
            ended.append(1)
            original()

        return replacement

    patches = Patches()
    patches.put([Seam(sd_hijack_checkpoint, "remove", seam)])
    try:
        run = loops.begin("fast")
        assert ended == [], "our seam would take it for the end of the run"
        assert not sd_hijack_checkpoint.is_active()
        run.undo()
    finally:
        patches.undo()


def test_a_strangers_function_is_not_called(loops, monkeypatch):
    called = []
    monkeypatch.setattr(sd_hijack_checkpoint, "remove", lambda: called.append(1))
    run = loops.begin("fast")
    assert called == []
    assert loops.said == [
        f"gradient checkpointing of the UNet stays on: another extension has replaced functions of {sd_hijack_checkpoint.__name__}"
    ]
    run.undo()


def test_ldms_own_checkpointing_is_off_while_a_model_is_frozen(loops):
    block = loops.model.model.diffusion_model.mid_attn[0]
    block.checkpoint, block.use_checkpoint = True, True  # as SD 2 configs have it
    try:
        freeze = FrozenModel(loops.model, [])
        run = loops.begin("fast")
        assert (block.checkpoint, block.use_checkpoint) == (False, False)
        loops.end(run)
        assert (block.checkpoint, block.use_checkpoint) == (False, False), "it fails on frozen weights"
        freeze.undo()
        assert (block.checkpoint, block.use_checkpoint) == (True, True)
        run = loops.begin("fast")
        assert block.use_checkpoint is False
        loops.end(run)
        assert block.use_checkpoint is True
    finally:
        del block.checkpoint, block.use_checkpoint


def test_a_network_with_a_checkpointing_that_has_no_switch_keeps_the_hosts(loops, monkeypatch):
    stranger = type("AttentionBlock", (nn.Module,), {"__module__": "ldm.modules.diffusionmodules.openaimodel"})
    monkeypatch.setitem(loops.model.model.diffusion_model._modules, "stranger", stranger())
    run = loops.begin("fast")
    assert sd_hijack_checkpoint.is_active()
    assert "checkpointing of their own" in loops.said[0]
    loops.end(run)


# Gradients and the estimate -------------------------------------------------------------------


def gradients(loops: Loops, choice: str, kind: str) -> list[Tensor]:
    width = loops.model.cond_stage_model.context_width
    with torch.random.fork_rng():
        torch.manual_seed(1)
        context = torch.randn(2, 9, width, requires_grad=kind == "embedding")
        network = Hypernetwork("h", enable_sizes=[width], layer_structure=[1, 2, 1], weight_init="XavierNormal")
        network.train()
    trained = [context] if kind == "embedding" else network.weights()
    loops.model.hypernetworks = [] if kind == "embedding" else [network]
    freeze, run = FrozenModel(loops.model, trained), loops.begin(choice)
    try:
        loops.loss(16, batch=2, context=context).backward()
    finally:
        loops.model.hypernetworks = []
        loops.end(run)
        freeze.undo()
    return [tensor.grad for tensor in trained]


@both_kinds
def test_gradients_without_it_agree_within_a_hundred_thousandth(loops, kind):
    with_it, without = gradients(loops, "exact", kind), gradients(loops, "fast", kind)
    assert sum(one.abs().sum() for one in with_it) > 0
    for one, other in zip(with_it, without, strict=True):
        assert (one - other).norm() <= 1e-5 * one.norm()


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (3, 16, 16), (2, 24, 40), (1, 64, 64)])
def test_the_estimate_is_what_autograd_keeps(batch, height, width):
    network, words = small_model().model.diffusion_model, small_model().cond_stage_model.context_width
    seen = torch.zeros(2, LATENT_CHANNELS, 16, 16), torch.zeros(2, dtype=torch.int64), torch.zeros(2, 9, words)
    need = checkpointing.measure(network, seen, {})
    real = torch.zeros(batch, LATENT_CHANNELS, height, width), torch.zeros(batch, dtype=torch.int64), torch.zeros(batch, 9, words)
    total = kept_bytes(network, real)
    assert need.bytes(batch, height * width) == pytest.approx(total, rel=0.01)
    assert total > batch * height * width * 4 * 16 * 5, "a handful of maps of 16 channels at least"


def kept_bytes(network: nn.Module, args: tuple[Tensor, ...]) -> int:
    """What the graph of one pass holds, besides the network itself and the latent."""
    own = {p.untyped_storage().data_ptr() for p in (*network.parameters(), *network.buffers())}
    found: dict[int, tuple[int, Tensor]] = {}

    def pack(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes(), tensor.detach()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(args[0].requires_grad_(), *args[1:])
    return sum(size for pointer, (size, _) in found.items() if pointer not in own)


def test_measuring_leaves_random_numbers_and_gradients_alone(loops):
    network = loops.model.model.diffusion_model
    context = torch.zeros(1, 9, loops.model.cond_stage_model.context_width, requires_grad=True)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    noisy = nn.Dropout(0.5)
    handle = network.mid_res[0].register_forward_hook(lambda module, args, out: noisy(out))
    checkpointing.measure(network, (torch.zeros(1, LATENT_CHANNELS, 8, 8), torch.zeros(1, dtype=torch.int64), context), {})
    handle.remove()
    assert torch.equal(torch.get_rng_state(), before)
    assert context.grad is None
    assert all(parameter.grad is None for parameter in network.parameters())


def test_error_a_network_that_keeps_nothing():
    class Nothing(nn.Module):
        def forward(self, x, t):
            return x.detach()

    with pytest.raises(ValueError, match="does not grow with the latent: 0, 0, 0 bytes"):
        checkpointing.measure(Nothing(), (torch.zeros(1, 4, 8, 8), torch.zeros(1)), {})


# Free memory ----------------------------------------------------------------------------------


def test_free_memory_of_the_machine_is_known_with_and_without_psutil(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert 2**20 < checkpointing.free_bytes(cpu) < 2**50
    available = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=123 * 2**20))
    monkeypatch.setitem(sys.modules, "psutil", available)
    assert checkpointing.free_bytes(cpu) <= 123 * 2**20


def test_free_memory_of_cuda_counts_what_torch_holds_and_does_not_use(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5000, 10**6))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 300)
    assert checkpointing.free_bytes(torch.device("cuda")) == 5400


def test_free_memory_of_another_device_is_not_known():
    assert checkpointing.free_bytes(torch.device("mps")) is None


def test_running_out_of_memory_names_the_setting_and_is_remembered(loops, monkeypatch):
    failures = iter([3, 5, 5, 5])
    monkeypatch.setattr(checkpointing, "_failed_allocations", lambda: next(failures))
    monkeypatch.setattr(checkpointing, "_ran_out", threading.Event())
    loops.end(loops.begin("fast"))
    assert loops.said[-1].startswith("CUDA ran out of memory 2 times while gradient checkpointing was left out")
    assert loops.said[-1].endswith('if training failed, set "Training speed" to "auto" and start it again')
    run = loops.begin("auto")
    loops.loss()
    assert sd_hijack_checkpoint.is_active()
    assert loops.said[-1] == "gradient checkpointing of the UNet stays on: a training without it ran out of memory before"
    loops.end(run)


def test_the_setting_is_one_of_three_words():
    default = Settings()
    assert options.checked({"training_speed": "fast"}, default).training_speed == "fast"
    for wrong in ("sometimes", "on", None, True, 1):
        assert options.checked({"training_speed": wrong}, default).training_speed == default.training_speed


# In a run with the hooks on -------------------------------------------------------------------


@pytest.fixture
def train(tmp_path, monkeypatch):
    monkeypatch.setattr(shared.opts, "practice_quiet", True)
    numbers = iter(range(100))

    def run(kind: str, choice: str) -> tuple[practice_rig.OptimizerSpy, list[bool], list[str]]:
        """The spy, whether checkpointing was on at each loss, and the run's events."""
        root = tmp_path / str(next(numbers))
        service.open_at(root)
        hooks.uninstall()
        runtime = hooks.install(practice_host(root, lambda: Settings(training_speed=choice)))
        torch.manual_seed(7)
        service.create(kind, "mine")
        active: list[bool] = []
        original = loop.model_loss

        def model_loss(*args, **kwargs):
            loss = original(*args, **kwargs)
            active.append(sd_hijack_checkpoint.is_active())
            return loss

        with practice_rig.OptimizerSpy() as spy, monkeypatch.context() as patch:
            patch.setattr(loop, "model_loss", model_loss)
            service.train(kind, "mine", "0.005", 3, seed=3)
        (state,) = runtime.store.runs()
        return spy, active, runtime.store.history_path(state.id).read_text().splitlines()

    yield run
    hooks.uninstall()


@both_kinds
def test_a_run_says_what_it_did_and_learns_the_same(train, kind):
    with_it, active, lines = train(kind, "exact")
    assert active == [True] * 3
    assert not any("checkpointing" in line for line in lines)
    for choice in ("fast", "auto"):
        without, active, lines = train(kind, choice)
        assert active == [False] * 3
        assert sum("gradient checkpointing of the UNet is left out" in line for line in lines) == 1
        assert not sd_hijack_checkpoint.is_active()
        for one, other in zip(with_it.seen[0].before, without.seen[0].before, strict=True):
            assert (one - other).norm() <= 1e-5 * one.norm()
    assert checkpointing._live == []
    assert not shared.sd_model.model.diffusion_model._forward_pre_hooks
