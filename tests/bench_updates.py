"""Ways to make the same update, compared: time, memory and gradients. Shared by bench_webui.py and bench_cuda.py.

Runs in the WebUI's Python too, so it imports nothing of ours when it is imported.
"""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from bench_lines import OPEN, Goal

STOCK, EXACT, SAVING, FAST = "the WebUI's own", "exact", "fast, checkpointing", "fast"
SPEEDS = {STOCK: "exact", EXACT: "exact", SAVING: "auto", FAST: "fast"}
"""The training speed of each way; SAVING is auto where there is no room, and without us there is none."""

VARIANTS = tuple(SPEEDS)
FEWEST = 3
"""Of fewer rounds nobody can say how large the noise is."""

MEGABYTE = 2**20
OUT_OF_MEMORY = torch.cuda.OutOfMemoryError


class Update(Protocol):
    """One update of something that is trained."""

    device: torch.device
    model: torch.nn.Module

    def variant(self, name: str) -> AbstractContextManager[None]:
        """Within it that way is in force."""

    def gradients(self) -> list[torch.Tensor]:
        """Forward and backward with the same noise each time; copies of the gradients, and none are left behind."""

    def make(self) -> None:
        """What the host's loop does between two calls of the scheduler."""


class Found(NamedTuple):
    """Of one way.

    Attributes:
        seconds: of an update, in each round.
        peak_bytes: above the loaded model; None where it cannot be seen.
        grad_bytes: gradients of weights that are not trained.
        distance: of the gradients from the stock ones; None where those are not known.
    """

    seconds: Sequence[float]
    peak_bytes: int | None
    grad_bytes: int
    distance: float | None


def measure(update: Update, rounds: int, clock: Callable[[], float] = time.perf_counter) -> dict[str, Found | None]:
    """Gradients first, of the same weights; then memory; then the time, by turns. None for a way that has not enough memory."""
    gradients: dict[str, Any] = {name: _if_it_fits(update, name, update.gradients) for name in VARIANTS}
    left = [name for name in VARIANTS if gradients[name] is not None]
    memory = {name: _if_it_fits(update, name, lambda: _memory(update)) for name in left}
    left = [name for name in left if memory[name] is not None]
    seconds: dict[str, list[float]] = {name: [] for name in left}
    warm_up = 1 if update.device.type == "cuda" else 0  # on a CPU the updates before were that
    for at in range(warm_up + rounds):
        for name in left:
            with update.variant(name):
                taken = timed(update.make, update.device, clock)
            if at >= warm_up:
                seconds[name].append(taken)
    update.model.zero_grad(set_to_none=True)
    found: dict[str, Found | None] = dict.fromkeys(VARIANTS)
    for name in left:
        apart = None if gradients[STOCK] is None else distance(gradients[name], gradients[STOCK])
        found[name] = Found(seconds[name], *memory[name], apart)
    return found


def _if_it_fits(update: Update, name: str, action: Callable[[], Any]) -> Any:
    try:
        update.model.zero_grad(set_to_none=True)
        with update.variant(name):
            return action()
    except OUT_OF_MEMORY:
        return None
    finally:
        gc.collect()
        if update.device.type == "cuda":
            torch.cuda.empty_cache()


def _memory(update: Update) -> tuple[int | None, int]:
    begin = reset_peak(update.device)
    update.make()
    update.make()
    most = None if begin is None else peak(update.device) - begin
    size = sum(p.grad.numel() * p.grad.element_size() for p in update.model.parameters() if p.grad is not None)
    update.model.zero_grad(set_to_none=True)
    return most, size


def distance(found: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> float:
    """The relative distance of all together (some tensors' gradients are zero but for rounding); 0 where all bits are equal."""
    apart = sum(float((one.double() - other.double()).square().sum()) for one, other in zip(found, reference))
    return (apart / sum(float(other.double().square().sum()) for other in reference)) ** 0.5


def timed(action: Callable[[], None], device: torch.device, clock: Callable[[], float]) -> float:
    if device.type != "cuda":
        begin = clock()
        action()
        return clock() - begin
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    first.record()
    action()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last) / 1000


def reset_peak(device: torch.device) -> int | None:
    """Forget the peak so far; returns the bytes in use, None where a peak cannot be seen (on a CPU: only Linux shows it)."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return resident("VmRSS")
    except OSError:
        return None


def peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else resident("VmHWM")


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {torch.cuda.get_device_properties(device).total_memory / 2**30:.0f} GB"
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"CPU {models[0] if models else ''} with {torch.get_num_threads()} threads"


def head() -> None:
    print(f"{'':<15} {'':<21} {'updates/s':>9} {'ratio':>7} {'peak above':>12} {'weight':>10} {'gradient against':>17}")
    print(f"{'':<15} {'':<21} {'':>9} {'':>7} {'the model':>12} {'gradients':>10} {'the WebUI’s own':>17}", flush=True)


def report(kind: str, found: Mapping[str, Found | None], goals: Mapping[str, Goal]) -> list[str]:
    """Prints a row for each way; gives the verdicts on the goals."""
    verdicts = []
    stock = found[STOCK]
    for name, one in found.items():
        if one is None:
            print(f"{kind:<15} {name:<21} out of memory", flush=True)
            continue
        ratios = [] if stock is None else [theirs / ours for theirs, ours in zip(stock.seconds, one.seconds)]
        goal = goals.get(name) if ratios else None
        verdicts += [] if goal is None else [goal.verdict(ratios) if len(ratios) >= FEWEST else OPEN]
        said = "" if goal is None else f"  {goal} {verdicts[-1]}"
        ratio = f"{statistics.median(ratios):.2f}x" if ratios else ""
        at_peak = "not seen" if one.peak_bytes is None else f"{one.peak_bytes / MEGABYTE:,.0f} MB"
        same = "" if one.distance is None else "equal" if one.distance == 0 else f"{one.distance:.1e}"
        print(f"{kind:<15} {name:<21} {1 / statistics.median(one.seconds):>9.3g} {ratio:>7} {at_peak:>12} "
              f"{one.grad_bytes / MEGABYTE:>7,.0f} MB {same:>17}{said}", flush=True)
    return verdicts
