"""What is done to an optimizer and its tensors: rates in, gradients clipped, norms out."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .codec import copied
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

    The tensors are copied: an optimizer keeps changing what it is given.

    Raises:
        ValueError: entries that are not the state of these parameters.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    flags = [group for group in optimizer.param_groups for _ in group["params"]]
    check_state(type(optimizer).__name__, saved, parameters, flags)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": copied(saved["state"]), "param_groups": groups})


NEEDED = {
    "Adam": ("step", "exp_avg", "exp_avg_sq"), "AdamW": ("step", "exp_avg", "exp_avg_sq"),
    "RAdam": ("step", "exp_avg", "exp_avg_sq"), "SparseAdam": ("step", "exp_avg", "exp_avg_sq"),
    "NAdam": ("step", "mu_product", "exp_avg", "exp_avg_sq"), "Adamax": ("step", "exp_avg", "exp_inf"), "Adagrad": ("step", "sum"),
    "Adadelta": ("step", "square_avg", "acc_delta"), "RMSprop": ("step", "square_avg"), "Rprop": ("step", "prev", "step_size"),
    "ASGD": ("step", "eta", "mu", "ax"),
}  # fmt: skip
"""What torch's optimizers look for in a parameter's state, where it has any; an update without it is a KeyError."""

NEEDED_WITH = {"amsgrad": "max_exp_avg_sq", "centered": "grad_avg", "momentum": "momentum_buffer"}
NEVER_NEGATIVE = {"exp_avg_sq", "max_exp_avg_sq", "exp_inf", "sum", "square_avg", "acc_delta", "step_size", "eta"}
"""Squares and sizes: an update takes the root of some. One that has overflowed does no harm."""

SCALARS = {"step", "mu_product", "eta", "mu"}
"""One number for each parameter; torch has them as a number or a tensor of floats. All else has the parameter's shape."""

EAGER = {"Adagrad"}
"""These make every parameter's state when they are made, and never again."""


def check_state(name: str, saved: Any, parameters: Sequence[Tensor], flags: Sequence[Mapping[str, Any]] = ()) -> None:
    """Looks whether a state_dict holds a state with which an optimizer can update these parameters.

    Args:
        name: the optimizer's class.
        flags: the param group of each parameter, where it is known.

    Raises:
        ValueError: it does not; says what was expected where.
    """
    state = saved.get("state") if isinstance(saved, dict) else None
    if not isinstance(state, dict) or not set(state) <= set(range(len(parameters))):
        raise ValueError(f"expected the state of {len(parameters)} parameters")
    if name in EAGER and len(state) < len(parameters):
        raise ValueError(f"expected the state of all {len(parameters)} parameters, got that of {len(state)}")
    for index, entries in state.items():
        if not isinstance(entries, dict):
            raise ValueError(f"the state of parameter {index}: expected names and values")  # noqa: TRY004 of what was read
        _check_entries(index, entries, parameters[index].shape, name)
        asked = [flag for flag in NEEDED_WITH if flags and name != "SGD" and flags[index].get(flag)]  # SGD begins a momentum anew
        needed = [*NEEDED.get(name, ()), *(NEEDED_WITH[flag] for flag in asked)]
        missing = [] if not entries and name not in EAGER else [one for one in needed if one not in entries]
        if missing:
            raise ValueError(f"the state of parameter {index} has no {' and no '.join(missing)}, which {name} needs")
    for scalar in sorted(SCALARS & set(NEEDED.get(name, ()))):
        # torch looks at one parameter's and takes the others to be of its kind.
        if len({isinstance(entries[scalar], Tensor) for entries in state.values() if scalar in entries}) > 1:
            raise ValueError(f"expected {scalar} as a number for all parameters or as a tensor for all")


def _check_entries(index: int, entries: dict[Any, Any], shape: torch.Size, optimizer: str) -> None:
    where = f"the state of parameter {index}"
    for name, value in entries.items():
        if value is None and (optimizer, name) == ("SGD", "momentum_buffer"):
            continue  # it begins anew
        if name in NEEDED.get(optimizer, ()) or ((optimizer in NEEDED or optimizer == "SGD") and name in NEEDED_WITH.values()):
            _check_form(where, name, value, shape)
        ends = _ends(value, shape, where)
        if ends is not None:
            _check_range(where, name, *ends)


def _check_form(where: str, name: str, value: Any, shape: torch.Size) -> None:
    """Of an entry that torch computes with."""
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    found = f"one of {value.dtype} and shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r:.40}"
    if name in SCALARS:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number and not (is_float and value.numel() == 1):
            raise ValueError(f"{where}: expected a number or a tensor of one float for {name}, got {found}")
    elif not is_float or value.shape != shape:
        raise ValueError(f"{where}: expected a tensor of floats of shape {tuple(shape)} for {name}, got {found}")


def _ends(value: Any, shape: torch.Size, where: str) -> tuple[float, float] | None:
    """The least and the greatest number in an entry; None where it has none."""
    if value is None:
        return None
    if isinstance(value, Tensor) and (value.numel() == 1 or value.shape == shape):
        if not value.numel():
            return None
        plain = value.detach().double() if value.numel() == 1 else value.detach().float()
        low, high = (end.item() for end in torch.aminmax(plain))
        return low, high
    if isinstance(value, (bool, int, float)):
        try:
            return float(value), float(value)
        except OverflowError as error:
            raise ValueError(f"{where}: expected numbers of at most {sys.float_info.max:g}, got a larger one") from error
    raise ValueError(f"{where} is of another shape")


def _check_range(where: str, name: str, low: float, high: float) -> None:
    if name == "step" and (not isfinite(low) or low < 0 or low != int(low)):
        raise ValueError(f"{where}: expected a step, a whole number from 0, got {low:g}")
    if name in NEVER_NEGATIVE:
        if not low >= 0:
            raise ValueError(f"{where}: expected numbers from 0 for {name}, got {low:g}")
    elif not isfinite(low) or not isfinite(high):
        raise ValueError(f"{where}: expected finite numbers for {name}, got {low if not isfinite(low) else high:g}")


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


class Clipped(NamedTuple):
    """How the gradients of an update were clipped.

    Attributes:
        mode: "value" or "norm".
        threshold: of the true gradients.
        after: their norm after it, a float32 scalar on the CPU; None where it was not measured.
    """

    mode: str
    threshold: float
    after: Tensor | None = None

    def share(self, norm: float) -> float | None:
        """How much of the norm was cut, 0 to 1; None where that is not known.

        >>> Clipped("norm", 0.5).share(2.0 - 1e-6)
        0.75
        """
        if norm == 0.0:
            return 0.0
        if not isfinite(norm) or (self.mode != "norm" and self.after is None):
            return None
        left = self.threshold / (norm + 1e-6) if self.after is None else float(self.after) / norm
        return max(0.0, 1.0 - left)


class Seen(NamedTuple):
    """What the optimizer did at an update: its rate and the gradients' norm before clipping; None where it made none."""

    rate: float | None = None
    norm: Tensor | None = None
    clipped: Clipped | None = None


@dataclass(frozen=True)
class Told:
    """Who is told of an update.

    Attributes:
        first: nothing has been looked at; the rate may be changed.
        before: gradients are measured and clipped.
        after: the weights are new. What is done then belongs to the update.
        failed: what went wrong in ``first`` or ``before``; it is raised on, and ends the optimizer's step before it has begun.
    """

    first: Callable[[], None] = lambda: None
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    failed: Callable[[Exception], None] = lambda _: None


def is_one(count: int) -> bool:
    """A second norm costs microseconds for one tensor, and a fifth of a millisecond for thirty."""
    return count == 1


class StepHook:
    """Hooks on one optimizer: what it is about to do, seen and clipped at the last moment; and whether it did it.

    ``made`` counts its updates where they happen, as each ends. An update that began and did not end leaves ``is_whole`` False.

    There GradScaler has unscaled the gradients and has found no overflow, else the optimizer is not called. A fused
    optimizer is the exception: its gradients still carry ``grad_scale``, so the threshold is scaled instead.

    Args:
        limit: returns (mode, threshold) for the update about to be made, or None to leave gradients alone.
        told: who is told.
        is_compared: whether to measure what clipping by value leaves, given the number of tensors.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, limit: Limit, told: Told = Told(),
                 is_compared: Callable[[int], bool] = is_one) -> None:
        self.optimizer = optimizer
        self._seen = Seen()
        self._limit, self._is_compared = limit, is_compared
        self._told = told
        self._begun = self.made = 0
        self._hooks = (optimizer.register_step_pre_hook(self._before_step), optimizer.register_step_post_hook(self._after_step))

    def remove(self) -> None:
        """Take the hooks off the optimizer."""
        for hook in self._hooks:
            hook.remove()

    @property
    def rate(self) -> float | None:
        """Of the update that is being made; None between two."""
        return self._seen.rate

    def take(self) -> Seen:
        """The update since the last call.

        Norms are scalars on the CPU. On CUDA they are still on their way: read them after the next synchronisation that the
        loop makes by itself.
        """
        seen, self._seen = self._seen, Seen()
        return seen

    @property
    def is_whole(self) -> bool:
        """Whether every update that began has ended: weights and optimizer belong to the same update."""
        return self._begun == self.made

    def put_back(self) -> None:
        """What an update left half done has been undone."""
        self._begun = self.made

    def _after_step(self, _optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        self._told.after()
        self.made += 1  # last: what breaks off before this is an update that did not end

    def _before_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        try:
            self._told.first()
            self._look(optimizer)
            self._told.before()
        except Exception as error:
            self._told.failed(error)
            raise
        self._begun += 1  # last: nothing that goes wrong before this has touched the weights

    def _look(self, optimizer: torch.optim.Optimizer) -> None:
        rate, clipped = read_rate(optimizer), None
        self._seen = Seen(rate)
        grads = gradients(optimizer)
        scale = getattr(optimizer, "grad_scale", None)
        norm = total_norm(grads).detach()  # a gradient may have a graph of its own
        limit = self._limit()
        if limit is not None:
            with torch.no_grad():
                clipped = self._clip(grads, *limit, norm, scale)
        self._seen = Seen(rate, to_cpu(_unscaled(norm, scale)), clipped)

    def _clip(self, grads: list[Tensor], mode: str, threshold: float, norm: Tensor, scale: Tensor | None) -> Clipped:
        clip(grads, mode, threshold if scale is None else threshold * scale.to(norm.device), norm)
        after = total_norm(grads) if mode == "value" and self._is_compared(len(grads)) else None
        return Clipped(mode, threshold, None if after is None else to_cpu(_unscaled(after, scale)))


def _unscaled(norm: Tensor, scale: Tensor | None) -> Tensor:
    return norm if scale is None else norm / scale.to(norm.device)


def to_cpu(tensor: Tensor) -> Tensor:
    """Start the copy and do not wait for it: it is whole after the next synchronisation that the loop makes by itself."""
    if not tensor.is_cuda:  # elsewhere memory cannot be pinned everywhere
        return tensor if tensor.is_cpu else tensor.to("cpu")
    target = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return target.copy_(tensor, non_blocking=True)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the CPU there, without a wait."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


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
    return {name: _number(value) for name, value in state.items()}


def load_scaler(scaler: Any, state: dict[str, Any]) -> None:
    """Put back what scaler_state() or state_dict() gave.

    Raises:
        ValueError: as check_scaler().
    """
    check_scaler(state)
    scaler.load_state_dict(plain_scaler(state))


def check_scaler(state: Mapping[str, Any]) -> None:
    """Looks whether it is the state of a GradScaler, or of one that is switched off, which is empty.

    Raises:
        ValueError: it is not.
    """
    if not state:
        return
    for name in ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"):
        number = _number(state.get(name))
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not isfinite(number) or number < 0:
            raise ValueError(f"GradScaler: expected a number from 0 for {name}, got {number!r:.40}")
    if not _number(state["scale"]) > 0:
        raise ValueError("GradScaler: expected a scale above 0")


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


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


