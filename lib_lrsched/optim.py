"""Everything that touches an optimizer or a tensor: rates in, gradients clipped, norms out.

With practice/ the only part of the library that imports torch. It knows no run and no host.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .codec import copied
from .plan_lr import PlanLR as PlanLR
from .plan_lr import write_momentum as write_momentum


def write_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set every param group's rate: ``rate`` times the group's ``lr_scale``, where it has one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


def read_rate(optimizer: torch.optim.Optimizer) -> float:
    """The rate of the first param group, as the optimizer holds it."""
    return float(optimizer.param_groups[0]["lr"])


def load_state(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Put back what an optimizer has learned, from its state_dict; its hyperparameters stay those it was made with.

    The tensors are copied: an optimizer goes on changing what it is given.

    Raises:
        ValueError: entries that are no state of these parameters.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = saved.get("state")
    if not isinstance(state, dict) or not set(state) <= set(range(len(parameters))):
        raise ValueError(f"expected the state of {len(parameters)} parameters")
    for index, entries in state.items():
        if not isinstance(entries, dict) or not all(_is_state(one, parameters[index]) for one in entries.values()):
            raise ValueError(f"the state of parameter {index} is of another shape")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": copied(state), "param_groups": groups})


def _is_state(value: Any, parameter: Tensor) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 or value.shape == parameter.shape
    return value is None or isinstance(value, (bool, int, float))


def restore_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Put back the momentum with which the optimizer was made; a loaded state has not changed that."""
    own = optimizer.defaults.get("betas", (None,))[0] if "betas" in optimizer.defaults else optimizer.defaults.get("momentum")
    if own is not None:
        write_momentum(optimizer, own)


def gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The gradients that the next update will use."""
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def total_norm(grads: list[Tensor]) -> Tensor:
    """Their common 2-norm, a float32 scalar on their device; 0 where there are none."""
    if not grads:
        return torch.zeros(())
    if len(grads) == 1:  # the same bits as below, without the norm of a norm
        return torch.linalg.vector_norm(grads[0])
    if hasattr(torch.nn.utils, "get_total_norm"):
        return torch.nn.utils.get_total_norm(grads)
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in grads]))


def clip(grads: list[Tensor], mode: str, limit: float | Tensor, norm: Tensor) -> None:
    """Clip in place: by value to [-limit, limit], or by norm to at most ``limit``.

    The formula of the norm is that of torch's clip_grad_norm_, limit / (norm + 1e-6) capped at 1, so that an unscaled run
    gives the same bits as the host's own clipping.
    """
    if mode == "value":
        ends: dict[str, Any] = {"min": -limit, "max": limit}  # numbers, or tensors on the gradients' device
        for grad in grads:
            grad.clamp_(**ends)
    elif mode == "norm":
        scale = _scale(norm, limit)
        for grad in grads:
            grad.mul_(scale if isinstance(scale, float) else scale.to(grad.device))


def _scale(norm: Tensor, limit: float | Tensor) -> Tensor | float:
    """By what to multiply the gradients. torch divides a number by a tensor in two steps, and a tensor by a tensor in one."""
    if isinstance(limit, Tensor):
        return limit.div(norm + 1e-6).clamp_(max=1.0)
    if norm.device.type == "cpu" and norm.dtype == torch.float32 and limit < _HUGE and isfinite(number := norm.item()):
        # The same bits with a tenth of the calls; on a device it would wait.
        return float(min(_ONE / (np.float32(number) + _TINY) * np.float32(limit), _ONE))
    return (norm + 1e-6).reciprocal_().mul_(limit).clamp_(max=1.0)


_ONE, _TINY, _HUGE = np.float32(1.0), np.float32(1e-6), 1e30

Limit = Callable[[], tuple[str, float] | None]
Guard = Callable[[Callable[[], None]], Any]


def call(action: Callable[[], None]) -> None:
    """The guard that guards nothing."""
    action()


class Gauge:
    """Hooks on one optimizer: what it is about to do, seen and clipped at the last moment; and whether it did it.

    ``made`` counts its updates where they happen, as each ends. An update that began and did not end leaves ``is_whole`` False.

    There GradScaler has unscaled the gradients and has found no overflow, else the optimizer is not called. A fused
    optimizer is the exception: its gradients still carry ``grad_scale``, so the threshold is scaled instead.

    Args:
        limit: returns (mode, threshold) for the update about to be made, or None to leave gradients alone.
        guard: calls what it is given; keeps exceptions away from the training loop.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, limit: Limit, guard: Guard = call) -> None:
        self.optimizer = optimizer
        self.rate: float | None = None
        self._limit = limit
        self._norm: Tensor | None = None
        self._guard = guard
        self._begun = self.made = 0
        self._hooks = (optimizer.register_step_pre_hook(self._before_step), optimizer.register_step_post_hook(self._after_step))

    def remove(self) -> None:
        """Take the hooks off the optimizer."""
        for hook in self._hooks:
            hook.remove()

    def take(self) -> tuple[float | None, Tensor | None]:
        """Rate and gradient norm of the update since the last call; (None, None) if the optimizer made none.

        The norm is a scalar on the CPU. On CUDA it is still on its way: read it after the next synchronisation that the
        loop makes by itself.
        """
        rate, norm = self.rate, self._norm
        self.rate = self._norm = None
        return rate, norm

    @property
    def is_whole(self) -> bool:
        """Whether every update that began has ended: weights and optimizer belong to the same update."""
        return self._begun == self.made

    def put_back(self) -> None:
        """What an update left half done has been undone."""
        self._begun = self.made

    def _after_step(self, _optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        self.made += 1

    def _before_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        self._guard(lambda: self._look(optimizer))
        self._begun += 1  # last: nothing that goes wrong before this has touched the weights

    def _look(self, optimizer: torch.optim.Optimizer) -> None:
        self.rate = read_rate(optimizer)
        grads = gradients(optimizer)
        scale = getattr(optimizer, "grad_scale", None)
        with torch.no_grad():
            norm = total_norm(grads)
            limit = self._limit()
            if limit is not None:
                mode, threshold = limit
                clip(grads, mode, threshold if scale is None else threshold * scale.to(norm.device), norm)
            if scale is not None:
                norm = norm / scale.to(norm.device)
        self._norm = to_cpu(norm)


def to_cpu(tensor: Tensor) -> Tensor:
    """Start the copy and do not wait for it: it is whole after the next synchronisation that the loop makes by itself."""
    if tensor.device.type != "cuda":  # elsewhere memory cannot be pinned everywhere
        return tensor.to("cpu")
    target = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return target.copy_(tensor, non_blocking=True)


def scaler_state(scaler: Any) -> dict[str, Any]:
    """As ``scaler.state_dict()``, which waits for the device to read two numbers: here they may be tensors."""
    scale, tracker = getattr(scaler, "_scale", None), getattr(scaler, "_growth_tracker", None)
    if not (scaler.is_enabled() and isinstance(scale, Tensor) and isinstance(tracker, Tensor)):
        return dict(scaler.state_dict())
    return {
        "scale": scale.clone(), "growth_factor": scaler.get_growth_factor(), "backoff_factor": scaler.get_backoff_factor(),
        "growth_interval": scaler.get_growth_interval(), "_growth_tracker": tracker.clone(),
    }


def plain_scaler(state: dict[str, Any]) -> dict[str, Any]:
    """What scaler_state() gave, as state_dict() has it: numbers; this waits for the device."""
    return {name: value.item() if isinstance(value, Tensor) else value for name, value in state.items()}


def load_scaler(scaler: Any, state: dict[str, Any]) -> None:
    """Put back what scaler_state() or state_dict() gave."""
    scaler.load_state_dict(plain_scaler(state))


def device_name(device: torch.device) -> str:
    """What a device is: another card gives other bits."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def digest(tensors: Iterable[Tensor]) -> str:
    """SHA-256 over shapes, types and bytes of tensors: the same weights have the same digest on every device."""
    total = hashlib.sha256()
    for tensor in tensors:
        plain = tensor.detach().to("cpu").contiguous()
        total.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
        total.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


