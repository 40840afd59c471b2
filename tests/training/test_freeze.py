"""Leaving out gradients that nobody uses: same bits, everything put back, and really left out.

On the practice host's own network, whose gradient checkpointing is the reentrant kind as the WebUI's.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lib_lrsched.host import hooks
from lib_lrsched.practice import loop, service, shared
from lib_lrsched.practice.host import practice_host
from lib_lrsched.training.callbacks.freezing import FrozenModel
from lib_lrsched.training.settings import Settings

STEPS = 5
both_kinds = pytest.mark.parametrize("kind", service.KINDS)


@pytest.fixture
def train(tmp_path, monkeypatch):
    monkeypatch.setattr(shared.opts, "practice_quiet", True)
    numbers = iter(range(100))

    def run(kind: str, freeze: bool, **choices) -> list[torch.Tensor]:
        root = tmp_path / str(next(numbers))
        service.open_at(root)
        hooks.uninstall()
        hooks.install(practice_host(root, lambda: Settings(freeze=freeze, training_speed="exact")))
        torch.manual_seed(7)
        service.create(kind, "mine")
        trained = service.train(kind, "mine", "0.005", STEPS, seed=3, **choices).trained
        tensors = [trained.vec] if kind == "embedding" else trained.weights()
        return [tensor.detach().clone() for tensor in tensors]

    yield run
    hooks.uninstall()


@both_kinds
def test_a_run_trains_to_the_same_bits_with_and_without(train, kind):
    with_all = train(kind, False)
    without = train(kind, True)
    assert any(tensor.abs().sum() > 0 for tensor in without)
    assert all(torch.equal(a, b) for a, b in zip(with_all, without, strict=True))


@both_kinds
def test_no_gradient_of_the_model_is_computed_and_all_is_put_back(train, kind):
    train(kind, True)
    model = shared.sd_model
    before = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.zero_grad(set_to_none=True)
    train(kind, True)
    assert [name for name, parameter in model.named_parameters() if parameter.grad is not None] == []
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == before != set()
    assert not model.model.diffusion_model._forward_pre_hooks
    train(kind, False)
    assert any(parameter.grad is not None for parameter in model.parameters()), "the host computes them; this test could not fail"
    model.zero_grad(set_to_none=True)


@both_kinds
def test_an_exception_in_the_loop_puts_everything_back(train, kind, monkeypatch, capsys):
    def broken(*args, **kwargs):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "model_loss", broken)
        train(kind, True)
    capsys.readouterr()
    assert all(parameter.requires_grad for parameter in shared.sd_model.parameters())
    assert not shared.sd_model.model.diffusion_model._forward_pre_hooks


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.diffusion_model = nn.Linear(2, 2)
        self.fixed = nn.Parameter(torch.zeros(1), requires_grad=False)


def test_two_runs_hold_the_model_together():
    model = Tiny()
    first, second = FrozenModel(model, []), FrozenModel(model, [])
    first.undo()
    first.undo()
    assert not model.model.diffusion_model.weight.requires_grad
    second.undo()
    assert model.model.diffusion_model.weight.requires_grad
    assert not model.fixed.requires_grad, "what asked for no gradient before asks for none after"


def test_what_is_trained_is_left_alone():
    model = Tiny()
    freeze = FrozenModel(model, [model.model.diffusion_model.weight])
    assert model.model.diffusion_model.weight.requires_grad
    assert not model.model.diffusion_model.bias.requires_grad
    freeze.undo()
    assert model.model.diffusion_model.bias.requires_grad
