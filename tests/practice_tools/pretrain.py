"""Makes the practice model's weights: `PYTHONPATH=tests python -m practice_tools.pretrain --out weights.safetensors`.

Draws and captions images without end and trains the model on them; seeded, so that the same machine and torch
give the same file. Prints a line of progress every hundred updates.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file
from torch import Tensor

from lib_lrsched.practice.model import WEIGHTS, PracticeModel
from practice_tools.captions import caption
from practice_tools.drawings import draw, random_scenes

TOKEN_SHRINK = 20.0  # see rescale_tokens
EMA_DECAY = 0.999
REPORT_EVERY = 100


@dataclass(frozen=True)
class Settings:
    """How to pretrain. Rates are AdamW's, per update."""

    updates: int = 3200
    batch: int = 32
    peak_lr: float = 2e-3
    warmup: int = 200
    seed: int = 1


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command line."""
    parser = argparse.ArgumentParser(prog="practice_tools.pretrain", description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the file to write (default: %(default)s)")
    parser.add_argument("--updates", type=int, default=Settings.updates)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    model = pretrain(Settings(updates=given.updates, seed=given.seed))
    save(model, given.out)
    print(f"wrote {given.out}, {given.out.stat().st_size / 1e6:.1f} MB")


def pretrain(settings: Settings) -> PracticeModel:
    """A trained model: the moving average of the weights."""
    torch.manual_seed(settings.seed)
    model = PracticeModel()
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.peak_lr, betas=(0.9, 0.99), weight_decay=0.01)
    report = _Report(settings.updates)
    for step, (images, captions) in zip(range(settings.updates), batches(settings), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        loss = _loss(model, images, captions)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        _follow(average, model, min(EMA_DECAY, (1 + step) / (10 + step)))
        report.add(step, float(loss.detach()))
    rescale_tokens(average, TOKEN_SHRINK)
    return average


def learning_rate(step: int, settings: Settings) -> float:
    """Linear warm-up, then half a cosine down to 0 after the last update."""
    if step < settings.warmup:
        return settings.peak_lr * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.updates - settings.warmup)
    return settings.peak_lr * 0.5 * (1 + math.cos(math.pi * done))


def batches(settings: Settings) -> Iterator[tuple[Tensor, list[str]]]:
    """Images [batch, 3, 32, 32] with their captions, for ever; the same for the same seed."""
    generator = torch.Generator().manual_seed(settings.seed)
    random = Random(settings.seed)
    while True:
        scenes = random_scenes(settings.batch, generator)
        yield draw(scenes), [caption(scenes, i, random) for i in range(len(scenes))]


def rescale_tokens(model: PracticeModel, shrink: float) -> None:
    """Divides the token table and multiplies its gain: the same model, with smaller vectors to train.

    AdamW moves each number of an embedding by up to the rate per update, whatever its scale; the scale of the
    table therefore decides which rates are too small and which too large.
    """
    encoder = model.cond_stage_model
    with torch.no_grad():
        encoder.token_table.weight /= shrink
        encoder.token_gain *= shrink


def save(model: PracticeModel, path: Path) -> None:
    """Writes every tensor as float16 safetensors."""
    save_file({name: t.detach().half().contiguous() for name, t in model.state_dict().items()}, path)


def _loss(model: PracticeModel, images: Tensor, captions: list[str]) -> Tensor:
    """As PracticeModel.forward, with timesteps spread evenly over the batch, which makes for quieter gradients."""
    latent = model.get_first_stage_encoding(model.encode_first_stage(images))
    count, most = len(latent), model.schedule.num_timesteps
    t = ((torch.arange(count) + torch.rand(count)) * (most / count)).long().clamp(max=most - 1)
    return model.loss_at(latent, model.cond_stage_model(captions), t, torch.randn_like(latent))


def _follow(average: PracticeModel, model: PracticeModel, decay: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


class _Report:
    """Prints the mean loss and the time left, now and then."""

    def __init__(self, updates: int) -> None:
        self.updates = updates
        self.losses: list[float] = []
        self.started = time.monotonic()

    def add(self, step: int, loss: float) -> None:
        self.losses.append(loss)
        if (step + 1) % REPORT_EVERY and step + 1 != self.updates:
            return
        spent_s = time.monotonic() - self.started
        left_s = spent_s / (step + 1) * (self.updates - step - 1)
        mean = sum(self.losses) / len(self.losses)
        print(f"update {step + 1}/{self.updates}  loss {mean:.4f}  {spent_s:.0f} s, {left_s:.0f} s left", flush=True)
        self.losses.clear()


if __name__ == "__main__":
    main()
