"""What training costs in a real WebUI, without us and with us: ``make bench-webui WEBUI_ROOT=...``.

Four ways to make an update, by turns in one process of the WebUI's own Python: as the WebUI does it; without the gradients that
nobody uses (training speed exact); with the fast attention besides; and without gradient checkpointing too (fast). The updates
are made here, step by step as the WebUI's two loops make them (prompt, ``model.forward``, backward, GradScaler, AdamW), with its
model, its text encoder and its sd_hijack_checkpoint; data set, previews and saving are left out. Two models: a tiny checkpoint,
and the same with a UNet of Stable Diffusion 1.5's size and random weights. On CUDA in float16 under autocast, as the WebUI trains.

Prints a table and exits with 1 where the full-size UNet misses a goal.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench_lines import MISSED, Goal
from bench_updates import EXACT, FAST, MEGABYTE, SAVING, SPEEDS, STOCK, device_name, head, measure, report

REPOSITORY = Path(__file__).resolve().parents[1]
GOALS = {EXACT: Goal(1.3, at_least=True), FAST: Goal(1.8, at_least=True)}
ON_CUDA = {FAST: Goal(2.0, at_least=True)}


def main() -> int:
    """Start this file again in the WebUI's Python, in the WebUI's folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each way, by turns")
    parser.add_argument("--threads", type=int, default=2, help="on a CPU")
    parser.add_argument("--cpu", action="store_true", help="processor time instead of the clock on the wall, on a busy machine")
    parser.add_argument("--models", nargs="*", default=["tiny", "full"], choices=["tiny", "full"])
    parser.add_argument("--kinds", nargs="*", default=["embedding", "hypernetwork"], choices=["embedding", "hypernetwork"])
    parser.add_argument("--pixels", type=int, help="side of an image; default 128 and 256 on a CPU, 512 on CUDA")
    parser.add_argument("--batch", type=int, nargs="*", help="images of an update; default 1 on a CPU, 1 and 4 on CUDA")
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

    webui = load_webui(given.inside)
    torch.set_num_threads(given.threads)
    device, verdicts = webui.devices.device, []
    is_cuda = device.type == "cuda"
    print(f"\nWebUI {webui.version}, torch {torch.__version__}, {device_name(device)}, weights {webui.devices.dtype}, "
          f"computing in {webui.devices.dtype_inference}, TF32 {torch.backends.cuda.matmul.allow_tf32}\n"
          f"updates by hand as in the WebUI's loops, medians of {given.rounds} each, by turns, in "
          f"{'processor time' if given.cpu else 'time on the wall'}", flush=True)
    for size in given.models:
        pixels = given.pixels or (512 if is_cuda else {"tiny": 128, "full": 256}[size])
        if size == "full":
            put_in_full_size(webui.model)
        count = sum(p.numel() for p in webui.model.model.diffusion_model.parameters())
        for batch in given.batch or ((1, 4) if is_cuda else (1,)):
            print(f"\n{size} UNet: {count / 1e6:.1f} million weights, {4 * count / MEGABYTE:,.0f} MB in float32; "
                  f"{pixels} x {pixels} pixels, batch {batch}")
            head()
            for kind in given.kinds:
                clock = time.process_time if given.cpu else time.perf_counter
                found = measure(Update(webui, kind, pixels, batch), given.rounds, clock)
                verdicts += report(kind, found, {} if size == "tiny" else ON_CUDA if is_cuda else GOALS)
    return 1 if MISSED in verdicts else 0


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

    def __init__(self, webui: Any, kind: str, pixels: int, batch: int) -> None:
        import torch

        self.webui, self.kind, self.model = webui, kind, webui.model
        self.device = webui.devices.device
        torch.manual_seed(5)
        self.x = torch.randn(batch, 4, pixels // 8, pixels // 8).to(self.device)
        database = webui.hijack.embedding_db
        if kind == "embedding":
            webui.shared.loaded_hypernetworks = []
            embedding = webui.Embedding(torch.randn(2, 768, device=self.device) * 0.05, "benchword", 0)
            embedding.vec.requires_grad_()
            database.register_embedding(embedding, webui.model)
            self.trained, self.prompts = [embedding.vec], ["a photo of benchword"] * batch
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
                self.context = webui.model.cond_stage_model(["a photo"] * batch).detach()
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-8, weight_decay=0.0)
        self.scaler = torch.cuda.amp.GradScaler(enabled=self.device.type == "cuda")

    def gradients(self) -> list[Any]:
        """Forward and backward with the same noise each time; leaves the gradients behind and gives copies of them."""
        import torch

        torch.manual_seed(11)
        # Scaled in half precision, or the small ones would be 0; by less than GradScaler's own begin, or some would overflow.
        self._backward(torch.cuda.amp.GradScaler(init_scale=1024.0, enabled=self.device.type == "cuda"))
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
            context = model.cond_stage_model(self.prompts) if self.kind == "embedding" else self.context
            loss = model.forward(self.x, context)[0]
            loss.item()
        scaler.scale(loss).backward()

    @contextmanager
    def variant(self, name: str) -> Iterator[None]:
        """What is in force during a run."""
        from lib_lrsched.host import webui as hosts
        from lib_lrsched.host.checkpointing import Checkpointing
        from lib_lrsched.host.fast_attention import FastAttention
        from lib_lrsched.training.callbacks.freezing import FrozenModel
        from lib_lrsched.training.settings import Settings

        webui = self.webui
        webui.checkpoint.add()
        freeze = None if name == STOCK else FrozenModel(webui.model, self.trained)
        settings = Settings(training_speed=SPEEDS[name])
        host: Any = SimpleNamespace(checkpoint=webui.checkpoint, shared=webui.shared, settings=lambda: settings,
                                    fast_attention=hosts.fast_attention(), autocast=webui.devices.autocast)
        attention = FastAttention(host, lambda said: None)
        run = None if name in (STOCK, SAVING) else Checkpointing(host, lambda action: action(), lambda said: None)
        try:
            yield
        finally:
            webui.checkpoint.remove()
            attention.undo()
            for one in (run, freeze):
                if one is not None:
                    one.undo()


if __name__ == "__main__":
    sys.exit(main())
