"""What training costs on this machine's card: ``make bench-cuda``, and with ``WEBUI_ROOT=...`` the WebUI's own UNet as well.

Trains the practice host on the card as the WebUI trains: float16 autocast with GradScaler, 512 x 512 pixels, batch 1 and 4, plain
attention. Whole trainings of its embedding loop, with all hooks: without the extension, and with it at the training speeds exact
and fast. For each the updates per second, the peak of memory, and how often an update waits for the card, by torch's debug mode.

    updates/s   of the last updates of a training; the first ones make room and find GradScaler's scale
    waits       of an update. With us one more: we read the loss right before the loop does; and those of every comparison with
                the start. That nothing else waits is what tests/test_cuda.py proves.

Says so and does nothing where torch sees no card. ``--device cpu`` runs all of it, small, to see that it runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from bench_lines import MISSED, Goal  # noqa: E402
from bench_updates import MEGABYTE, OUT_OF_MEMORY, device_name, peak, reset_peak  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402

from lib_lrsched.host import hooks  # noqa: E402
from lib_lrsched.practice import loop, service, shared, unet  # noqa: E402
from lib_lrsched.practice.host import practice_host  # noqa: E402
from lib_lrsched.training.settings import Settings  # noqa: E402

STOCK, EXACT, FAST = "without us", "exact", "fast"
WAYS = (STOCK, EXACT, FAST)
GOALS = {FAST: Goal(2.0, at_least=True)}

class Found(NamedTuple):
    """Of one training: seconds between its later updates, peak above the loaded model, waits of an update."""

    seconds: list[float]
    peak_bytes: int | None
    waits: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=60, help="of each training; the later half is measured")
    parser.add_argument("--pixels", type=int, help="side of an image; default 512, on a CPU 64")
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no CUDA device here: there is nothing to measure")
        return 0
    shared.device = device = torch.device(given.device)
    pixels = given.pixels or (512 if device.type == "cuda" else 64)
    print(f"torch {torch.__version__}, {device_name(device)}, {half(device)} under autocast\n"
          f"practice host, {pixels} x {pixels} pixels")
    verdicts = [verdict for batch in given.batch for verdict in report(batch, trainings(pixels, batch, given.updates))]
    if os.environ.get("WEBUI_ROOT"):
        verdicts += [MISSED] * (subprocess.run([sys.executable, str(ROOT / "tests" / "bench_webui.py"), "--models", "full"],
                                               check=False).returncode == 1)
    return 1 if MISSED in verdicts else 0


def half(device: torch.device) -> torch.dtype:
    """What is computed in: the WebUI's type on a card; a CPU has no GradScaler for it."""
    return torch.float16 if device.type == "cuda" else torch.bfloat16


def trainings(pixels: int, batch: int, updates: int) -> dict[str, Found | None]:
    """Each way once with few updates, which does not count; then by turns. None for one that has not enough memory."""
    found: dict[str, Found | None] = {}
    with tempfile.TemporaryDirectory() as folder, as_the_webui_trains():
        root = Path(folder)
        draw_images(root / "data", 2 * batch, pixels)
        service.open_at(root)
        shared.opts.practice_quiet = True
        shared.opts.save_training_settings_to_txt = False  # into a folder that only the hooks make
        for way in WAYS:
            train = partial(training, root, way, pixels, batch)
            try:
                train(f"warm-{way}", 4)
                found[way] = train(f"{way}-{batch}", updates)
            except OUT_OF_MEMORY:
                found[way] = None
                torch.cuda.empty_cache()
    return found


def training(root: Path, way: str, pixels: int, batch: int, name: str, updates: int) -> Found:
    """One training of a new embedding."""
    name = name.replace(" ", "-")
    if way != STOCK:
        settings = Settings(training_speed=way, autosave_every=0, autosave_minutes=0.0)
        hooks.install(practice_host(root, lambda: settings))
    service.create("embedding", name)
    begin = reset_peak(shared.device)
    try:
        with watched() as marks:
            service.train("embedding", name, "0.005", updates, data=root / "data", width=pixels, height=pixels, batch=batch, seed=1)
    finally:
        hooks.uninstall()
    if len(marks) < updates:  # the host prints what was raised, and swallows it
        raise OUT_OF_MEMORY(f"{len(marks)} of {updates} updates")
    most = None if begin is None else peak(shared.device) - begin
    later = marks[updates // 2 :]
    waits = (later[-1].waits - later[0].waits) / (len(later) - 1)
    return Found([after.at_s - before.at_s for before, after in pairwise(later)], most, waits)


class Mark(NamedTuple):
    """When a micro-batch begins, and how often the device had been waited for by then."""

    at_s: float
    waits: int


@contextmanager
def watched() -> Iterator[list[Mark]]:
    """A mark for each micro-batch."""
    marks: list[Mark] = []
    waits = 0
    original = loop.model_loss

    def model_loss(*args: Any, **kwargs: Any) -> Tensor:
        marks.append(Mark(time.perf_counter(), waits))
        return original(*args, **kwargs)

    def noticed(message: Warning | str, *_: Any, **__: Any) -> None:
        nonlocal waits
        waits += "synchroniz" in str(message)

    loop.model_loss = model_loss
    try:
        with warnings.catch_warnings(), debug_mode():
            warnings.simplefilter("always")
            warnings.showwarning = noticed
            yield marks
    finally:
        loop.model_loss = original


@contextmanager
def debug_mode() -> Iterator[None]:
    """torch warns of every wait."""
    if not torch.cuda.is_available():
        yield
        return
    torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextmanager
def as_the_webui_trains() -> Iterator[None]:
    """Half precision under autocast, a GradScaler for it, and the attention that LDM writes out."""
    device, original, scaler, forward = shared.device, loop.model_loss, loop.grad_scaler, unet.CrossAttention.forward

    def model_loss(*args: Any, **kwargs: Any) -> Tensor:
        with torch.autocast(device.type, half(device)):
            return original(*args, **kwargs)

    loop.model_loss = model_loss
    loop.grad_scaler = grad_scaler(device)
    unet.CrossAttention.forward = plain_attention_forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        loop.model_loss, loop.grad_scaler, unet.CrossAttention.forward = original, scaler, forward  # type: ignore[method-assign]


def grad_scaler(device: torch.device) -> Callable[[], Any]:
    enabled = device.type == "cuda"
    if hasattr(torch.amp, "GradScaler"):
        return lambda: torch.amp.GradScaler(device.type, enabled=enabled)
    return lambda: torch.cuda.amp.GradScaler(enabled=enabled)


def plain_attention_forward(self: Any, x: Tensor, context: Tensor | None = None) -> Tensor:
    """softmax(q k' / sqrt(d)) v as LDM computes it: the whole matrix is there, and kept for the backward pass."""
    context_k, context_v = unet.apply_hypernetworks(self.hypernetworks, x if context is None else context)
    q, k, v = self._split(self.to_q(x)), self._split(self.to_k(context_k)), self._split(self.to_v(context_v))
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)
    return self.to_out((weights @ v).transpose(1, 2).reshape(x.shape))


def draw_images(folder: Path, count: int, pixels: int) -> None:
    folder.mkdir()
    noise = np.random.default_rng(5)
    for number in range(count):
        Image.fromarray(noise.integers(0, 256, (pixels, pixels, 3), dtype=np.uint8)).save(folder / f"{number}.png")


def report(batch: int, found: dict[str, Found | None]) -> list[str]:
    """Prints the rows of a batch size; gives the verdicts."""
    print(f"{f'batch {batch}':<15} {'':<12} {'updates/s':>9} {'ratio':>7} {'peak above the model':>21} {'waits':>7}", flush=True)
    verdicts, stock = [], found[STOCK]
    for way, one in found.items():
        if one is None:
            print(f"{'':<15} {way:<12} out of memory")
            continue
        median = statistics.median(one.seconds)
        ratios = [] if stock is None else [statistics.median(stock.seconds) / seconds for seconds in one.seconds]
        goal = GOALS.get(way) if ratios and shared.device.type == "cuda" else None
        verdicts += [] if goal is None else [goal.verdict(ratios)]
        said = "" if goal is None else f"  {goal} {verdicts[-1]}"
        at_peak = "not seen" if one.peak_bytes is None else f"{one.peak_bytes / MEGABYTE:,.0f} MB"
        ratio = f"{statistics.median(ratios):.2f}x" if ratios else ""
        print(f"{'':<15} {way:<12} {1 / median:>9.3g} {ratio:>7} {at_peak:>21} {one.waits:>7.2f}{said}", flush=True)
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
