"""The fast attention in the place of a plain one for the length of a training: the same gradients, less to keep, all put back.

The practice host's own attention is the fast one. The plain one that the WebUI trains with stands in for its class's here.
"""

from __future__ import annotations

import functools
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import practice_rig
import pytest
import torch
from practice_rig import both_kinds
from torch import Tensor

from lib_lrsched.host import attention, checkpointing, fast_attention, options
from lib_lrsched.practice import unet
from lib_lrsched.practice.host import FAST_ATTENTION, practice_host
from lib_lrsched.practice.model import LATENT_CHANNELS
from lib_lrsched.training.settings import Settings

FAST = 'attention of the UNet: torch\'s scaled_dot_product_attention, because "Training speed" is fast'
NOTHING = "does not propagate gradients to the prompt, so nothing would be learned"
KEPT = "attention of the UNet stays the WebUI's own: "

passes: list[int] = []
"""Positions of each pass through the plain attention."""


def plain_attention_forward(self: Any, x: Tensor, context: Tensor | None = None) -> Tensor:
    """As LDM writes it: the whole matrix of scores is there, and kept for the backward pass."""
    passes.append(x.shape[1])
    context_k, context_v = unet.apply_hypernetworks(self.hypernetworks, x if context is None else context)
    q, k, v = self._split(self.to_q(x)), self._split(self.to_k(context_k)), self._split(self.to_v(context_v))
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)
    return self.to_out((weights @ v).transpose(1, 2).reshape(x.shape))


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """What the host has chosen."""
    passes.clear()
    monkeypatch.setattr(unet.CrossAttention, "forward", plain_attention_forward)
    yield
    left = list(fast_attention._layers)
    fast_attention._layers.clear()
    assert left == [], "every training has let go of its model"


class Trainings:
    """What begins and ends around the host's loops, on one model with two attentions."""

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = unet.UNet(LATENT_CHANNELS, 24, width=16, wide=32)
        self.shared = SimpleNamespace(sd_model=torch.nn.Module(), device=torch.device("cpu"), loaded_hypernetworks=[])
        self.shared.sd_model.model = torch.nn.Module()
        self.shared.sd_model.model.diffusion_model = self.network
        self.said: list[str] = []
        self.fast: Any = FAST_ATTENTION

    def begin(self, speed: str) -> fast_attention.FastAttention:
        settings = Settings(training_speed=speed)
        host = replace(practice_host("unused"), shared=self.shared, settings=lambda: settings, fast_attention=self.fast)
        return fast_attention.FastAttention(host, self.said.append)

    @property
    def arguments(self) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1)
        x, words = (torch.randn(shape, generator=generator) for shape in ((1, LATENT_CHANNELS, 16, 16), (1, 9, 24)))
        return x, torch.tensor([300]), words.requires_grad_()

    def gradient(self) -> Tensor:
        arguments = self.arguments
        self.network(*arguments).square().sum().backward()
        return arguments[2].grad

    def is_plain(self) -> bool:
        """Whether a pass now goes through the plain attention; one through some of the layers alone is neither."""
        passes.clear()
        self.network(*self.arguments)
        assert len(passes) in (0, 5)
        return bool(passes)


@pytest.fixture
def trainings():
    return Trainings()


@pytest.fixture
def elsewhere():
    """A thread that lives on."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


# For the length of a training -----------------------------------------------------------------


def test_fast_gives_the_gradient_of_the_plain_attention_and_ends_with_the_training(trainings):
    right = trainings.gradient()
    one = trainings.begin("fast")
    assert trainings.said == [FAST]
    assert not trainings.is_plain()
    found = trainings.gradient()
    assert right.norm() > 0
    assert (found - right).norm() <= 1e-5 * right.norm()
    one.undo()
    one.undo()
    assert trainings.is_plain()
    assert not any("forward" in vars(module) for module in trainings.network.modules())


def test_exact_leaves_everything_to_the_host(trainings):
    one = trainings.begin("exact")
    assert trainings.is_plain()
    assert trainings.said == []
    one.undo()


def test_what_it_keeps_for_the_backward_pass_grows_with_the_positions_alone(trainings):
    before = checkpointing.measure(trainings.network, trainings.arguments, {})
    one = trainings.begin("auto")
    after = checkpointing.measure(trainings.network, trainings.arguments, {})
    one.undo()
    scores = 2 * 4 * (1 / 4) ** 2 * 4  # two layers on the latent itself, of 4 heads at a quarter of the positions, in float32
    assert before.c == pytest.approx(scores, rel=0.01)
    assert after.c == 0
    assert after.bytes(1, 64 * 64) < 0.75 * before.bytes(1, 64 * 64)


def test_an_attention_that_the_host_exchanges_meanwhile_is_its_own_again_afterwards(trainings, monkeypatch):
    one = trainings.begin("fast")
    others: list[int] = []
    monkeypatch.setattr(unet.CrossAttention, "forward", lambda self, x, context=None: others.append(1) or x)
    trainings.network(*trainings.arguments)
    assert others == [], "the training continues with what it has"
    one.undo()
    trainings.network(*trainings.arguments)
    assert len(others) == 5


# What speaks against it -----------------------------------------------------------------------


def test_a_host_without_it_keeps_its_own(trainings):
    trainings.fast = None
    one = trainings.begin("fast")
    assert trainings.is_plain()
    assert trainings.said == [f"{KEPT}this version of the WebUI, or of torch, has no other"]
    one.undo()


def test_one_that_passes_a_wrong_gradient_is_taken_out_again(trainings):
    def spoilt(self: Any, x: Tensor, context: Tensor | None = None) -> Tensor:
        return FAST_ATTENTION(self, x, context).detach() + 0 * (x if context is None else context).sum()

    trainings.fast = spoilt
    one = trainings.begin("fast")
    assert trainings.is_plain()
    assert trainings.said == [f"{KEPT}the attention in force (spoilt) {NOTHING}"]
    one.undo()


def test_layers_that_another_extension_has_replaced_stay_as_they_are(trainings):
    theirs = trainings.network.mid_attn[0].attn2
    theirs.forward = functools.partial(plain_attention_forward, theirs)
    one = trainings.begin("fast")
    passes.clear()
    trainings.network(*trainings.arguments)
    assert len(passes) == 1
    assert trainings.said == [FAST.replace(", because", ", but for 1 layers that another extension has replaced, because")]
    one.undo()
    assert "forward" in vars(theirs)


def test_what_another_extension_puts_over_ours_passes_on_to_the_hosts_afterwards(trainings):
    one = trainings.begin("fast")
    layer = trainings.network.up_attn.attn
    ours = layer.forward
    layer.forward = functools.partial(ours)
    one.undo()
    assert trainings.is_plain()


# Two at once ----------------------------------------------------------------------------------


def test_beside_a_training_that_is_to_be_exact_all_have_the_hosts(trainings, elsewhere):
    first = trainings.begin("fast")
    second = elsewhere.submit(trainings.begin, "exact").result()
    assert trainings.is_plain()
    second.undo()
    assert not trainings.is_plain(), "the first goes on as it began"
    first.undo()


def test_one_that_begins_beside_an_exact_one_keeps_the_hosts_to_its_end(trainings, elsewhere):
    first = elsewhere.submit(trainings.begin, "exact").result()
    second = trainings.begin("fast")
    assert trainings.said == [f"{KEPT}another training is running, which is to be exact"]
    first.undo()
    assert trainings.is_plain(), "what was said stays true"
    second.undo()


def test_a_training_whose_end_was_missed_does_not_count(trainings):
    missed = trainings.begin("exact")
    second = trainings.begin("fast")
    assert not trainings.is_plain()
    missed.undo()
    assert not trainings.is_plain()
    second.undo()
    assert trainings.is_plain()


# In a run with the hooks on -------------------------------------------------------------------


@both_kinds
def test_a_run_says_which_attention_it_has_and_learns_the_same(ground, kind):
    found, starts = {}, {}
    for speed in ("exact", "fast"):
        ground.install(training_speed=speed)
        passes.clear()
        with practice_rig.OptimizerSpy() as spy:
            ground.train(kind, "0.005", 3, name=speed)
        found[speed], starts[speed] = spy.seen[0].before, len(passes)
        run = next(run for run in ground.runs() if run.name == speed)
        assert (FAST in [message for _, message in ground.events(run)]) == (speed == "fast")
    assert starts["exact"] > 0
    assert starts["fast"] == 0
    one, other = (torch.cat([gradient.flatten() for gradient in found[speed]]) for speed in ("exact", "fast"))
    assert one.norm() > 0
    assert (one - other).norm() <= 1e-5 * one.norm()
    assert attention.name_in_force(ground.model) == "plain_attention_forward"


def test_a_run_that_breaks_off_puts_it_back(ground, monkeypatch):
    ground.install(training_speed="fast")
    practice_rig.fail_at(monkeypatch, 2, RuntimeError("broken"))
    ground.train("embedding", "0.005", 5)
    assert ground.run().state == "failed"
    assert passes == []
    assert "forward" not in vars(ground.model.model.diffusion_model.attn)


def test_what_a_training_computes_with_is_compared_when_it_is_resumed(ground):
    """Another attention for images changes nothing of a fast one."""
    host = replace(ground.host(), settings=lambda: Settings(training_speed="fast"))
    assert fast_attention.name_of(host) == FAST_ATTENTION.__name__
    assert fast_attention.name_of(replace(host, settings=Settings)) == "plain_attention_forward"


# The setting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("stored", "speed"), [
    ({}, "exact"), ({"lrsched_free_memory": "off"}, "exact"), ({"lrsched_free_memory": "on"}, "fast"),
    ({"lrsched_free_memory": "auto"}, "auto"), ({"lrsched_free_memory": "on", "lrsched_training_speed": "exact"}, "exact"),
    ({"lrsched_free_memory": "sometimes"}, "exact"), ({"lrsched_training_speed": "on"}, "exact"),
])
def test_the_speed_is_read_from_the_settings_of_earlier_versions_too(monkeypatch, stored, speed):
    opts = SimpleNamespace(**stored, data=dict(stored))
    monkeypatch.setitem(sys.modules, "modules", SimpleNamespace(shared=SimpleNamespace(opts=opts)))
    assert options.read().training_speed == speed
    options._take_over(opts)
    assert opts.data.get("lrsched_training_speed", "exact") == stored.get("lrsched_training_speed", speed), "as the page shows it"
