"""Memory spent on speed: a run leaves the host's gradient checkpointing of the UNet out where there is room for it.

While it trains, the host lets the UNet's blocks forget what they compute and compute it again in the backward pass: a third
of the work, however much memory is free. What remembering takes is measured, not guessed. Four forward passes
over small latents, with autograd's own list of what it keeps, give the numbers of

    bytes = fixed + batch * (a + b * n + c * n * n)

for latents of n positions: feature maps grow with n, attention matrices with its square, copies of weights in another
dtype not at all. So the network, dtype, attention optimization and hypernetwork are those of the run.

The patch of the host sits on classes, so it is the same for all runs: one that is not alone keeps the checkpointing.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lib_lrsched.training.callback import Callback, Outcome, Training
from lib_lrsched.training.callbacks.freezing import switch_off_own, switch_on, unet_of
from lib_lrsched.training.settings import TRAINING_SPEED

from .seams import unwrapped
from .webui import Host

RESERVE = {"cuda": 1.5, "cpu": 2.0}
"""What must be free, as a multiple of what is kept: the backward pass has gradients beside it, at most those of the largest
attention, and on a CPU the whole system shares the memory and no error comes when it is gone."""

_lock = threading.RLock()
_live: list[Checkpointing] = []
_ran_out = threading.Event()
"""Set for good once CUDA has refused memory to a run without checkpointing: the estimate was wrong on this machine."""


class Need(NamedTuple):
    """What a UNet keeps for its backward pass, in bytes; see the formula above."""

    fixed: float
    a: float
    b: float
    c: float

    def bytes(self, batch: int, positions: int) -> float:
        return self.fixed + batch * (self.a + positions * (self.b + positions * self.c))


class LeaveOutCheckpointing(Callback):
    """Leaves the host's gradient checkpointing out of a training where there is room for it.

    The model has to be frozen: without checkpointing the gradients of one that is not take their memory too.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._checkpointing: Checkpointing | None = None

    def on_start(self, session: Training) -> None:
        if session.is_frozen and self._checkpointing is None:
            self._checkpointing = Checkpointing(self._host, session.reporter.protect, session.reporter.tell)

    def on_end(self, outcome: Outcome) -> None:  # noqa: ARG002 however it ended
        if self._checkpointing is not None:
            self._checkpointing.undo()


class Checkpointing:
    """The host's gradient checkpointing for the length of one run, after the host has switched it on.

    Args:
        host: its settings say what is wanted.
        guard: runs what must not raise into the host's loop.
        tell: a sentence for the run's log and the console.
    """

    def __init__(self, host: Host, guard: Callable[[Callable[[], None]], Any], tell: Callable[[str], None]) -> None:
        self._guard, self._tell = guard, tell
        self._module = host.checkpoint
        self._unet = unet_of(host.shared.sd_model)
        self.is_out = False
        self._switches: list[tuple[nn.Module, str]] = []
        self._need: Need | None = None
        self._largest = 0.0
        self._hook: Any = None
        self._failures = _failed_allocations()
        self._thread = threading.current_thread()
        with _lock:
            for other in [other for other in _live if other.has_been_left()]:
                other.undo()
            _live.append(self)
        guard(lambda: self._begin(host.settings().training_speed))

    def _begin(self, choice: str) -> None:
        with _lock:
            why = "" if choice == "exact" else self._why_not()
            if why:
                self._tell(f"gradient checkpointing of the UNet stays on: {why}")
            elif choice == "fast":
                self._leave_out()
                self._tell(f"gradient checkpointing of the UNet is left out: {TRAINING_SPEED} is fast")
            elif choice == "auto" and _ran_out.is_set():
                self._tell("gradient checkpointing of the UNet stays on: a training without it ran out of memory before")
            elif choice == "auto" and self._unet is not None:
                self._hook = self._unet.register_forward_pre_hook(self._look, with_kwargs=True)

    def undo(self) -> None:
        """The loop is over and the host has switched its checkpointing off; others may still need it. A second call is harmless."""
        with _lock:
            if self not in _live:
                return
            _live.remove(self)
            if self._hook is not None:
                self._hook.remove()
            switch_on(self._switches)
            self._switches = []
            if any(not other.is_out for other in _live):
                _switch(self._module, "add")
        failures = _failed_allocations() - self._failures
        if self.is_out and failures > 0:
            _ran_out.set()
            what = f'set {TRAINING_SPEED} to "auto" and start it again'
            if self._hook is not None:
                what = ('start it again, with checkpointing this time '
                        f'({TRAINING_SPEED} set to "exact" keeps it on after a restart as well)')
            self._tell(f"CUDA ran out of memory {failures} times while gradient checkpointing was left out: if training failed, "
                       f"{what}")

    def has_been_left(self) -> bool:
        """Whether its end was missed: a thread makes one training at a time."""
        return self._thread is threading.current_thread() or not self._thread.is_alive()

    def _why_not(self) -> str:
        if len(_live) > 1:
            return "another training is running"
        if _host_function(self._module, "add") is None or _host_function(self._module, "remove") is None:
            return f"another extension has replaced functions of {self._module.__name__}"
        if any(_checkpoints_always(module) for module in ([] if self._unet is None else self._unet.modules())):
            return "this UNet has blocks with a checkpointing of their own"
        return ""

    def _leave_out(self) -> None:
        _switch(self._module, "remove")
        self._switches = switch_off_own(self._unet)
        self.is_out = True

    def _put_back(self) -> None:
        switch_on(self._switches)
        self._switches = []
        _switch(self._module, "add")
        self.is_out = False

    def _look(self, unet: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Before each pass through the UNet: once, and again for latents that need more than any before."""
        if torch.is_grad_enabled() and args and isinstance(args[0], Tensor) and args[0].dim() == 4:
            self._guard(lambda: self._decide(unet, args, kwargs))

    def _decide(self, unet: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        with _lock:
            if len(_live) > 1:
                return
            if self._need is None:
                self._need = self._measured(unet, args, kwargs)
            batch, _, height, width = args[0].shape
            needed = self._need.bytes(batch, height * width)
            if needed <= self._largest:
                return
            was_first, self._largest = self._largest == 0.0, needed
            if was_first or self.is_out:
                self._weigh(needed, args[0].device)

    def _measured(self, unet: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Need:
        """As measure(); if that fails, the checkpointing stays and nothing is tried again."""
        measured = None
        self._leave_out()
        try:
            measured = measure(unet, args, kwargs)
        finally:
            self._put_back()
            if measured is None:
                self._hook.remove()
        return measured

    def _weigh(self, needed: float, device: torch.device) -> None:
        free, reserve = free_bytes(device), RESERVE.get(device.type, 1.0)
        if free is None:
            self._tell(f"gradient checkpointing of the UNet stays on: how much memory is free on {device.type} is not known; "
                       f'{TRAINING_SPEED} can be set to "fast"')
        elif needed * reserve <= free:
            if not self.is_out:
                self._leave_out()
            self._tell(f"gradient checkpointing of the UNet is left out: keeping what it computes takes {_size(needed)}, "
                       f"{_size(free)} are free")
        else:
            if self.is_out:
                self._put_back()
            self._tell(f"gradient checkpointing of the UNet stays on: keeping what it computes takes {_size(needed)}, and to be "
                       f"safe {_size(needed * reserve)} would have to be free; {_size(free)} are")


def measure(unet: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Need:
    """What this UNet keeps, found with small latents; ``args[0]`` is the latent [B, C, h, w] of a real pass.

    Random numbers are as before. The UNet's own forward is called, without its hooks.

    Raises:
        ValueError: it keeps nothing that grows with the latent.
    """
    known = {p.untyped_storage().data_ptr() for p in (*unet.parameters(), *unet.buffers())}
    low, middle, high = 64, 128, 256
    at_low, at_middle, at_high, twice = (
        _kept_bytes(unet, _small(args, args[0], shape), _small(kwargs, args[0], shape), known)
        for shape in ((1, 8, 8), (1, 8, 16), (1, 16, 16), (2, 8, 8))
    )
    slope, steeper = (at_middle - at_low) / (middle - low), (at_high - at_middle) / (high - middle)
    c = max((steeper - slope) / (high - low), 0.0)
    b = (at_high - at_low) / (high - low) - c * (high + low)
    if not b > 0:
        raise ValueError(f"what the UNet keeps does not grow with the latent: {at_low}, {at_middle}, {at_high} bytes")
    sample = twice - at_low
    return Need(at_low - sample, sample - low * (b + low * c), b, c)


def _kept_bytes(unet: nn.Module, args: Any, kwargs: Any, known: set[int]) -> int:
    kept: dict[int, tuple[int, Tensor]] = {}

    def pack(tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:  # the tensor is held, so that no other gets its place
            kept[storage.data_ptr()] = storage.nbytes(), tensor.detach()

    def unpack(_: None) -> Tensor:
        raise AssertionError("there is no backward pass here")

    devices = [args[0].device] if args[0].is_cuda else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        unet.forward(*args, **kwargs)
    return sum(size_bytes for size_bytes, _ in kept.values())


def _small(value: Any, latent: Tensor, shape: tuple[int, int, int]) -> Any:
    """An argument of the UNet for another batch and size: a latent of zeros, and for the rest of the batch its first."""
    if isinstance(value, tuple):
        return tuple(_small(one, latent, shape) for one in value)
    if isinstance(value, Mapping):
        return {name: _small(one, latent, shape) for name, one in value.items()}
    if value is latent:
        return latent.new_zeros((shape[0], latent.shape[1], *shape[1:])).requires_grad_()
    if not isinstance(value, Tensor) or value.dim() == 0 or value.shape[0] != latent.shape[0]:
        return value
    return value[:1].detach().repeat(shape[0], *[1] * (value.dim() - 1)).requires_grad_(value.requires_grad)


def free_bytes(device: torch.device) -> int | None:
    """Memory that a run could still take on a device; None where that cannot be known."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + unused)
    return _free_ram() if device.type == "cpu" else None


def _free_ram() -> int | None:
    try:
        import psutil
    except ImportError:
        try:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            return None
    found = int(psutil.virtual_memory().available)
    try:  # a container may have less
        most, used = (int(Path("/sys/fs/cgroup", name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):
        return found
    return min(found, most - used)


def _failed_allocations() -> int:
    """How often CUDA has refused memory so far."""
    if not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.memory_stats().get("num_ooms", 0))


def _host_function(module: ModuleType, name: str) -> Callable[[], Any] | None:
    """The host's own function behind the wrappers of ours and of others; None where it cannot be seen.

    Calling a wrapper instead would end the run: ours is the seam by which hooks.py learns that the loop is over.
    """
    found: Any = unwrapped(getattr(module, name, None))
    found = inspect.unwrap(found) if callable(found) else None
    return found if getattr(found, "__globals__", None) is vars(module) else None


def _switch(module: ModuleType, name: str) -> None:
    function = _host_function(module, name)
    if function is not None:
        function()


def _checkpoints_always(module: nn.Module) -> bool:
    """LDM's AttentionBlock, which SD's UNets do not use, has no switch."""
    return type(module).__name__ == "AttentionBlock" and type(module).__module__.startswith("ldm.")


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 2**30:.1f} GB" if size_bytes >= 2**28 else f"{size_bytes / 2**20:.0f} MB"
