"""For the length of a run, nothing but the trained weights asks for gradients.

The host leaves the UNet, the text encoder and the VAE as they are loaded: every update computes gradients for all of their
weights and adds them up, and nobody ever reads or clears them. Switching that off changes no bit of what is
trained while the host's gradient checkpointing is on: it recomputes in the same order.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lib_lrsched.training.callback import Callback, Outcome, Training

OWN_SWITCHES = ("checkpoint", "use_checkpoint")
"""LDM's own gradient checkpointing, by the names that its transformer and residual blocks have for it."""


class _Held(NamedTuple):
    """A frozen model: how many runs hold it, the parameters and switches to put back, the hook on its UNet's input."""

    runs: int
    parameters: tuple[nn.Parameter, ...]
    switches: list[tuple[nn.Module, str]]
    hook: Any


_lock = threading.Lock()
_frozen: dict[int, _Held] = {}


class FrozenModel:
    """Freezes a model until ``undo``; two runs on one model hold it together.

    Args:
        model: the host's loaded model; ``model.model.diffusion_model`` is its UNet.
        trained: the tensors that are trained; those that are parameters of the model stay as they are.
    """

    def __init__(self, model: nn.Module, trained: list[Tensor]) -> None:
        self._model: nn.Module | None = model
        with _lock:
            held = _frozen.get(id(model))
            _frozen[id(model)] = _freeze(model, trained) if held is None else held._replace(runs=held.runs + 1)

    def undo(self) -> None:
        """Let go of the model; the last one puts back what was there. A second call does nothing."""
        model, self._model = self._model, None
        if model is None:
            return
        with _lock:
            held = _frozen.pop(id(model))
            if held.runs > 1:
                _frozen[id(model)] = held._replace(runs=held.runs - 1)
                return
        if held.hook is not None:
            held.hook.remove()
        for parameter in held.parameters:
            parameter.requires_grad_(True)
        switch_on(held.switches)


class Freezing(Callback):
    """Freezes the host's model for the length of a training, where the settings want it."""

    def __init__(self) -> None:
        self._frozen: FrozenModel | None = None

    def on_start(self, session: Training) -> None:
        if session.host.settings().freeze and self._frozen is None:
            self._frozen = FrozenModel(session.host.shared.sd_model, session.trainee.tensors())
        session.is_frozen = self._frozen is not None

    def on_end(self, outcome: Outcome) -> None:  # noqa: ARG002 however it ended
        if self._frozen is not None:
            self._frozen.undo()


def unet_of(model: Any) -> nn.Module | None:
    """The UNet of the host's model; None where it lies elsewhere."""
    unet = getattr(getattr(model, "model", None), "diffusion_model", None)
    return unet if isinstance(unet, nn.Module) else None


def switch_off_own(unet: nn.Module | None) -> list[tuple[nn.Module, str]]:
    """Switch LDM's own gradient checkpointing off, which SD 2 configs switch on; returns what to hand to ``switch_on``.

    While the host's is on it is hidden. Where the host's goes (at the end of another run, too) it would come to light, and
    it fails on frozen weights: it asks for the gradient of every parameter.
    """
    modules = () if unet is None else unet.modules()
    found = [(module, name) for module in modules for name in OWN_SWITCHES if getattr(module, name, None) is True]
    for module, name in found:
        setattr(module, name, False)
    return found


def switch_on(switches: list[tuple[nn.Module, str]]) -> None:
    """Undo ``switch_off_own``."""
    for module, name in switches:
        setattr(module, name, True)


def _freeze(model: nn.Module, trained: list[Tensor]) -> _Held:
    kept = {id(tensor) for tensor in trained}
    parameters = tuple(p for p in model.parameters() if p.requires_grad and id(p) not in kept)
    for parameter in parameters:
        parameter.requires_grad_(False)
    unet = unet_of(model)
    hook = None if unet is None else unet.register_forward_pre_hook(_ask_for_gradient)
    return _Held(1, parameters, switch_off_own(unet), hook)


def _ask_for_gradient(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Make the UNet's input require a gradient.

    The host's gradient checkpointing is the reentrant kind: where no input of a block asks for a gradient, it records
    nothing, and a hypernetwork inside the block would get none.
    """
    if not args or not torch.is_grad_enabled() or not isinstance(args[0], Tensor) or not args[0].is_floating_point():
        return None
    return (args[0].detach().requires_grad_(), *args[1:])
