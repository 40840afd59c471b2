"""torch's scaled_dot_product_attention in the UNet for the length of a training, whatever the host has chosen for images.

The host trains with plain attention, unless an option says otherwise: every layer makes a matrix of n x n numbers for n positions
of the latent and keeps it for the backward pass. torch's function makes none. It is put on the layers of the loaded UNet and
not on their class: there the host exchanges its own, around a training and by its settings.

Two trainings in two threads share one model. It has the fast attention while all of them want it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import nn

from lib_lrsched.training.callback import Callback, Outcome, Training
from lib_lrsched.training.callbacks.freezing import unet_of
from lib_lrsched.training.settings import TRAINING_SPEED

from . import attention
from .webui import Host

Forward = Callable[..., Any]

_lock = threading.RLock()
_layers: dict[int, _Layers] = {}
"""Of the models that are trained, by id."""


class UseFastAttention(Callback):
    """The fast attention for one training, where its settings want it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._attention: FastAttention | None = None

    def on_start(self, session: Training) -> None:
        if self._attention is None:
            self._attention = FastAttention(self._host, session.reporter.tell)

    def on_end(self, outcome: Outcome) -> None:  # noqa: ARG002 however it ended
        if self._attention is not None:
            self._attention.undo()


def name_of(host: Host) -> str:
    """The name of the attention with which a training that starts now computes."""
    fast = host.fast_attention if host.settings().training_speed != "exact" else None
    return attention.name_in_force(host.shared.sd_model) if fast is None else str(getattr(fast, "__name__", "forward"))


class FastAttention:
    """The fast attention for the length of one training, until ``undo``; or that it is to have the host's.

    Args:
        tell: a sentence for the run's log and the console.
    """

    def __init__(self, host: Host, tell: Callable[[str], None]) -> None:
        self._model = host.shared.sd_model
        self._thread = threading.current_thread()
        speed = host.settings().training_speed
        self.is_wanted = speed != "exact"
        with _lock:
            layers = _layers.setdefault(id(self._model), _Layers(self._model))
            layers.join(self)
            try:
                said = layers.start(host) if self.is_wanted else ""
            except BaseException:
                self.undo()
                raise
            self.is_wanted = layers.is_on  # fixed at the start, so that the message stays true
        if said:
            tell(f"attention of the UNet: {said}, because {TRAINING_SPEED} is {speed}" if layers.is_on else
                 f"attention of the UNet stays the WebUI's own: {said}")

    def undo(self) -> None:
        """The training is over. A second call does nothing."""
        with _lock:
            layers = _layers.get(id(self._model))
            if layers is not None and layers.leave(self):
                del _layers[id(self._model)]

    def has_been_left(self) -> bool:
        """Whether its end was missed: a thread makes one training at a time."""
        return self._thread is threading.current_thread() or not self._thread.is_alive()


class _Layers:
    """The attention layers of one model, and the trainings on it."""

    def __init__(self, model: Any) -> None:
        self.model = model  # held, so that no other gets its id
        self.is_on = False
        self._trainings: list[FastAttention] = []
        self._replaced: list[tuple[nn.Module, Forward]] = []

    def join(self, one: FastAttention) -> None:
        self._trainings = [*(other for other in self._trainings if not other.has_been_left()), one]
        self._look()

    def leave(self, one: FastAttention) -> bool:
        """Whether that was the last."""
        if one in self._trainings:
            self._trainings.remove(one)
            self._look()
        if not self._trainings:
            self._put_back()
        return not self._trainings

    def start(self, host: Host) -> str:
        """Give the layers the fast attention; says which of them have it, or why none."""
        if not self._replaced:
            self._replace(host.fast_attention)
        self._look()
        if not self._replaced or not self.is_on:
            return self._why_not(host.fast_attention)
        trouble = self._trouble(host)
        if trouble:
            self._put_back()
        return trouble or self._which()

    def _look(self) -> None:
        self.is_on = bool(self._replaced) and all(one.is_wanted for one in self._trainings)

    def _replace(self, fast: Forward | None) -> None:
        if fast is None or not hasattr(torch.nn.functional, "scaled_dot_product_attention"):
            return
        for layer in self._all():
            if "forward" not in vars(layer):
                layer.forward = replacement = self._replacement(layer, fast)
                self._replaced.append((layer, replacement))

    def _all(self) -> list[nn.Module]:
        unet = unet_of(self.model)
        return [] if unet is None else [module for module in unet.modules() if attention.is_attention(module)]

    def _which(self) -> str:
        others = len(self._all()) - len(self._replaced)
        where = f", but for {others} layers that another extension has replaced" if others else ""
        return f"torch's scaled_dot_product_attention{where}"

    def _why_not(self, fast: Forward | None) -> str:
        if self._replaced:
            return "another training is running, which is to be exact"
        if fast is None or not hasattr(torch.nn.functional, "scaled_dot_product_attention"):
            return "this version of the WebUI, or of torch, has no other"
        return "another extension has replaced its layers" if self._all() else "this UNet has none of the usual kind"

    def _replacement(self, layer: nn.Module, fast: Forward) -> Forward:
        kind = type(layer)

        @wraps(fast)
        def attention_forward(*args: Any, **kwargs: Any) -> Any:
            # Where another extension has put its own over this one it stays, and passes on to what the host has chosen.
            return (fast if self.is_on else kind.forward)(layer, *args, **kwargs)

        return attention_forward

    def _trouble(self, host: Host) -> str:
        """What is wrong with the gradient of the fast attention here; with a hypernetwork in it, it is another function."""
        if getattr(host.shared, "loaded_hypernetworks", None):
            return ""
        with host.autocast():
            return attention.trouble(self.model, torch.device(host.shared.device))

    def _put_back(self) -> None:
        self.is_on = False
        for layer, replacement in self._replaced:
            if vars(layer).get("forward") is replacement:
                del layer.forward
        self._replaced = []
