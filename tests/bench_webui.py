"""What training costs in a real WebUI, without us and with us: ``make bench-webui WEBUI_ROOT=...``.

Three ways to make an update, by turns in one process of the WebUI's own Python: as the WebUI does it, without the gradients
that nobody uses, and without gradient checkpointing besides. The updates are made here, step by step as the WebUI's two loops
make them (prompt, ``model.forward``, backward, GradScaler, AdamW), with its model, its text encoder and its
sd_hijack_checkpoint; data set, previews and saving are left out. Two models: a tiny checkpoint, and the same with a UNet of
Stable Diffusion 1.5's size and random weights.

Prints a table and exits with 1 where the full-size UNet misses a demand.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
STOCK, CHECKPOINTED, KEPT = "the WebUI's own", "ours, checkpointing", "ours, without it"
VARIANTS = (STOCK, CHECKPOINTED, KEPT)
DEMANDS = {CHECKPOINTED: 1.3, KEPT: 1.8}
MEGABYTE = 2**20

clock: Callable[[], float] = time.perf_counter


def main() -> int:
    """Start this file again in the WebUI's Python, in the WebUI's folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each way, by turns")
    parser.add_argument("--threads", type=int, default=2, help="on a CPU")
    parser.add_argument("--cpu", action="store_true", help="processor time instead of the clock on the wall, on a busy machine")
    parser.add_argument("--models", nargs="*", default=["tiny", "full"], choices=["tiny", "full"])
    parser.add_argument("--kinds", nargs="*", default=["embedding", "hypernetwork"], choices=["embedding", "hypernetwork"])
    parser.add_argument("--pixels", type=int, help="side of an image; default 128 and 256 on a CPU, 512 on CUDA")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        return inside(given)
    sys.path.insert(0, str(REPOSITORY / "tests" / "webui"))
    import webui_checkout
    import webui_server

    if webui_checkout.no_checkout() or webui_checkout.webui_python() is None:
        print(webui_checkout.no_checkout() or "no Python for that WebUI; set WEBUI_PYTHON to it", file=sys.stderr)
        return 2
    cache = REPOSITORY / ".pytest_cache" / "d" / "webui"  # the lane's own
    cache.mkdir(parents=True, exist_ok=True)
    checkpoint = webui_server.make_checkpoint(cache)
    command = [webui_checkout.webui_python(), __file__, *sys.argv[1:], "--inside", checkpoint]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_NUM_THREADS": str(given.threads)}
    return subprocess.run(command, cwd=webui_checkout.ROOT, env=environment, check=False).returncode


# In the WebUI's Python ------------------------------------------------------------------------


def inside(given: Any) -> int:
    import torch

    global clock
    clock = time.process_time if given.cpu else clock
    webui = load_webui(given.inside)
    torch.set_num_threads(given.threads)
    device, met = webui.devices.device, True
    print(f"\nWebUI {webui.version}, torch {torch.__version__}, {device_name(device)}, weights {webui.devices.dtype}, "
          f"computing in {webui.devices.dtype_inference}, TF32 {torch.backends.cuda.matmul.allow_tf32}, batch 1\n"
          f"updates by hand as in the WebUI's loops, medians of {given.rounds} each, by turns, in "
          f"{'processor time' if given.cpu else 'time on the wall'}", flush=True)
    for size in given.models:
        pixels = given.pixels or (512 if device.type == "cuda" else {"tiny": 128, "full": 256}[size])
        if size == "full":
            put_in_full_size(webui.model)
        count = sum(p.numel() for p in webui.model.model.diffusion_model.parameters())
        size_mb = 4 * count / MEGABYTE
        print(f"\n{size} UNet: {count / 1e6:.1f} million weights, {size_mb:,.0f} MB in float32; {pixels} x {pixels} pixels")
        print(f"{'':<15} {'':<21} {'updates/s':>9} {'ratio':>7} {'peak above':>12} {'weight':>10} {'gradient against':>17}")
        print(f"{'':<15} {'':<21} {'':>9} {'':>7} {'the model':>12} {'gradients':>10} {'the WebUI’s own':>17}", flush=True)
        for kind in given.kinds:
            found = measure(Update(webui, kind, pixels), given.rounds)
            met &= report(kind, found, DEMANDS if size == "full" else {})
    return 0 if met else 1


def load_webui(checkpoint: Path) -> Any:
    """The WebUI's modules and its loaded model, started as far as training needs."""
    import torch

    on_cpu = [] if torch.cuda.is_available() else ["--use-cpu", "all", "--no-half", "--precision", "full"]
    data = checkpoint.parent / "bench-data"
    (data / "models").mkdir(parents=True, exist_ok=True)
    link = data / "models" / "Stable-diffusion"
    link.unlink(missing_ok=True)
    link.symlink_to(checkpoint)
    sys.argv[1:] = ["--skip-prepare-environment", "--no-hashing", "--disable-nan-check", "--data-dir", str(data), *on_cpu]
    sys.path[:0] = [os.getcwd(), str(REPOSITORY)]
    from modules import initialize

    initialize.imports()
    from modules import devices, launch_utils, sd_hijack, sd_hijack_checkpoint, sd_models, shared
    from modules.hypernetworks.hypernetwork import Hypernetwork
    from modules.textual_inversion.textual_inversion import Embedding

    sd_models.setup_model()
    sd_models.list_models()
    model = shared.sd_model
    sd_hijack.undo_optimizations()  # as around every training, unless a setting says otherwise
    return SimpleNamespace(
        devices=devices, checkpoint=sd_hijack_checkpoint, shared=shared, model=model, hijack=sd_hijack.model_hijack,
        Hypernetwork=Hypernetwork, Embedding=Embedding, version=launch_utils.git_tag(),
    )


def put_in_full_size(model: Any) -> None:
    """A UNet as configs/v1-inference.yaml has it, with random weights; its zero layers get numbers, or nothing would pass them."""
    import torch
    from ldm.util import instantiate_from_config
    from omegaconf import OmegaConf

    old = next(model.model.diffusion_model.parameters())
    model.model.diffusion_model = None
    torch.manual_seed(3)
    unet = instantiate_from_config(OmegaConf.load("configs/v1-inference.yaml").model.params.unet_config)
    with torch.no_grad():
        for parameter in unet.parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(0, 0.02)
    model.model.diffusion_model = unet.to(old.device, old.dtype).eval()


class Update:
    """One update of an embedding of two vectors, or of a hypernetwork of the WebUI's usual design."""

    def __init__(self, webui: Any, kind: str, pixels: int) -> None:
        import torch

        self.webui, self.kind = webui, kind
        self.device = webui.devices.device
        torch.manual_seed(5)
        self.x = torch.randn(1, 4, pixels // 8, pixels // 8).to(self.device)
        database = webui.hijack.embedding_db
        if kind == "embedding":
            webui.shared.loaded_hypernetworks = []
            embedding = webui.Embedding(torch.randn(2, 768, device=self.device) * 0.05, "benchword", 0)
            embedding.vec.requires_grad_()
            database.register_embedding(embedding, webui.model)
            self.trained, self.prompt = [embedding.vec], "a photo of benchword"
        else:
            channels = webui.model.model.diffusion_model.model_channels
            network = webui.Hypernetwork(
                name="bench", enable_sizes=[768, *(channels * times for times in (1, 2, 4))], layer_structure=[1, 2, 1],
                activation_func="linear", weight_init="Normal",
            )
            for pair in network.layers.values():
                for module in pair:
                    module.to(self.device)
            webui.shared.loaded_hypernetworks = [network]
            network.train()
            self.trained = network.weights()
            with webui.devices.autocast(), torch.no_grad():
                self.context = webui.model.cond_stage_model(["a photo"]).detach()
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-8, weight_decay=0.0)
        self.scaler = torch.cuda.amp.GradScaler(enabled=self.device.type == "cuda")

    def gradients(self) -> list[Any]:
        """Forward and backward with the same noise each time; leaves the gradients behind and gives copies of them."""
        import torch

        torch.manual_seed(11)
        self._backward(torch.cuda.amp.GradScaler(enabled=False))
        found = [tensor.grad.detach().clone() for tensor in self.trained]
        self.optimizer.zero_grad(set_to_none=True)
        return found

    def make(self) -> None:
        """What the loops do between two calls of the scheduler."""
        self._backward(self.scaler)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def _backward(self, scaler: Any) -> None:
        model = self.webui.model
        with self.webui.devices.autocast():
            context = model.cond_stage_model([self.prompt]) if self.kind == "embedding" else self.context
            loss = model.forward(self.x, context)[0]
            loss.item()
        scaler.scale(loss).backward()

    @contextmanager
    def variant(self, name: str) -> Iterator[None]:
        """What is in force during a run."""
        from lib_lrsched.host.checkpointing import Checkpointing
        from lib_lrsched.training.callbacks.freezing import FrozenModel
        from lib_lrsched.training.settings import Settings

        webui = self.webui
        webui.checkpoint.add()
        freeze = None if name == STOCK else FrozenModel(webui.model, self.trained)
        choice = "on" if name == KEPT else "off"
        host = SimpleNamespace(checkpoint=webui.checkpoint, shared=webui.shared, settings=lambda: Settings(free_memory=choice))
        run = Checkpointing(host, lambda action: action(), lambda said: None)
        try:
            yield
        finally:
            webui.checkpoint.remove()
            run.undo()
            if freeze is not None:
                freeze.undo()


class Found(NamedTuple):
    """Of one way: seconds of an update, peak above the loaded model, gradients of weights, distance to the stock gradient."""

    update_s: float
    peak_bytes: int | None
    grad_bytes: int
    distance: float


def measure(update: Update, rounds: int) -> dict[str, Found]:
    """Gradients first, of the same weights; then memory; then the time, by turns."""
    model = update.webui.model
    gradients, peaks, sizes = {}, {}, {}
    for name in VARIANTS:
        with update.variant(name):
            gradients[name] = update.gradients()
    for name in VARIANTS:
        model.zero_grad(set_to_none=True)
        with update.variant(name):
            begin = reset_peak(update.device)
            update.make()
            update.make()
            peaks[name] = None if begin is None else peak(update.device) - begin
        sizes[name] = sum(p.grad.numel() * p.grad.element_size() for p in model.parameters() if p.grad is not None)
    model.zero_grad(set_to_none=True)
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for at in range(rounds + 1):
        for name in VARIANTS:
            with update.variant(name):
                taken = timed(update.make, update.device)
            if at:  # the first round allocates what the others add to
                seconds[name].append(taken)
    model.zero_grad(set_to_none=True)
    apart = {name: distance(gradients[name], gradients[STOCK]) for name in VARIANTS}
    return {name: Found(statistics.median(seconds[name]), peaks[name], sizes[name], apart[name]) for name in VARIANTS}


def distance(found: list[Any], reference: list[Any]) -> float:
    """The relative distance of all together (some tensors' gradients are zero but for rounding); 0 where all bits are equal."""
    apart = sum(float((one.double() - other.double()).square().sum()) for one, other in zip(found, reference))
    return (apart / sum(float(other.double().square().sum()) for other in reference)) ** 0.5


def timed(action: Callable[[], None], device: Any) -> float:
    import torch

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


def reset_peak(device: Any) -> int | None:
    """Forget the peak so far; returns the bytes in use, None where a peak cannot be seen (on a CPU: only Linux shows it)."""
    import gc

    import torch

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


def peak(device: Any) -> int:
    import torch

    return torch.cuda.max_memory_allocated() if device.type == "cuda" else resident("VmHWM")


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def device_name(device: Any) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    models = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return f"CPU {models[0] if models else ''} with {torch.get_num_threads()} threads"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def report(kind: str, found: dict[str, Found], demands: dict[str, float]) -> bool:
    met = True
    for name, one in found.items():
        ratio = found[STOCK].update_s / one.update_s
        is_met = ratio >= demands.get(name, 0.0)
        met &= is_met
        at_peak = "not seen" if one.peak_bytes is None else f"{one.peak_bytes / MEGABYTE:,.0f} MB"
        verdict = "" if name not in demands else f"  >= {demands[name]}x {'ok' if is_met else 'MISSED'}"
        same = "equal" if one.distance == 0 else f"{one.distance:.1e}"
        print(f"{kind:<15} {name:<21} {1 / one.update_s:>9.3g} {ratio:>6.2f}x {at_peak:>12} {one.grad_bytes / MEGABYTE:>7,.0f} MB "
              f"{same:>17}{verdict}", flush=True)
    return met


if __name__ == "__main__":
    sys.exit(main())
