"""A small classifier of drawings: says which shape, in which colour, on which background an image shows.

Trained on the drawings alone, it has no part in the diffusion model and so can judge what that model samples.
`PYTHONPATH=tests python -m practice_tools.judge` makes its weights anew, from a seed, in a few minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from lib_lrsched.practice.vocabulary import COLOURS, SHAPES
from practice_tools.drawings import IMAGE_SIZE, Scenes, draw, random_scenes

_COUNTS = (len(SHAPES), len(COLOURS), len(COLOURS))
BLUR = 0.05  # standard deviation of the noise on training images, so that a sampled image is not a surprise


WEIGHTS = Path(__file__).with_name("judge.safetensors")


class Verdict(NamedTuple):
    """What one image shows, in words."""

    shape: str
    colour: str
    background: str


class Judge(nn.Module):
    """Images [B, 3, 32, 32] in [-1, 1] -> scores for shape, colour and background."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_halving(3, width), *_halving(width, 2 * width), *_halving(2 * width, 2 * width), nn.Flatten()
        )
        self.score = nn.Linear(2 * width * (IMAGE_SIZE // 8) ** 2, sum(_COUNTS))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on a CPU

    def forward(self, images: Tensor) -> list[Tensor]:
        """Three tensors of scores, [B, shapes], [B, colours] and [B, colours]."""
        return list(self.score(self.features(images)).split(_COUNTS, dim=1))

    def look(self, images: Sequence[Image.Image]) -> list[Verdict]:
        """One verdict per RGB image of 32x32 pixels."""
        with torch.no_grad():
            indices = [scores.argmax(dim=1).tolist() for scores in self(to_tensor(images))]
        names = tuple(COLOURS)
        return [Verdict(SHAPES[s], names[c], names[b]) for s, c, b in zip(*indices, strict=True)]


def _halving(width_in: int, width_out: int) -> list[nn.Module]:
    return [nn.Conv2d(width_in, width_out, 3, stride=2, padding=1), nn.GroupNorm(4, width_out), nn.SiLU()]


def to_tensor(images: Sequence[Image.Image]) -> Tensor:
    """RGB images of one size -> float32 [B, 3, H, W] in [-1, 1]."""
    levels = np.stack([np.asarray(image.convert("RGB")) for image in images])
    return torch.from_numpy(levels).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_judge(updates: int = 2000, batch: int = 64, seed: int = 7) -> Judge:
    """A trained judge. Leaves torch's global generator as it was."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = Judge()
    optimizer = torch.optim.AdamW(judge.parameters(), lr=3e-3)
    ramp = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    for _ in range(updates):
        scenes = random_scenes(batch, generator)
        images = draw(scenes)
        loss = _loss(judge, images + BLUR * torch.randn(images.shape, generator=generator), scenes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ramp.step()
    return judge.eval()


def _loss(judge: Judge, images: Tensor, scenes: Scenes) -> Tensor:
    truth = (scenes.shape, scenes.colour, scenes.background)
    losses = [functional.cross_entropy(s, t) for s, t in zip(judge(images), truth, strict=True)]
    return torch.stack(losses).sum()


def load_judge(weights: Path = WEIGHTS) -> Judge:
    """The trained judge, in eval mode. Raises FileNotFoundError where its weights are missing."""
    if not weights.is_file():
        raise FileNotFoundError(
            f"the judge's weights are not at {weights}; fetch the file from the repository, or make it "
            "with `PYTHONPATH=tests python -m practice_tools.judge`"
        )
    judge = Judge()
    judge.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
    return judge.eval()


def accuracy(judge: Judge, count: int = 500, seed: int = 1234) -> float:
    """The share of fresh drawings of which shape, colour and background are all told right."""
    scenes = random_scenes(count, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        told = [scores.argmax(dim=1) for scores in judge(draw(scenes))]
    truth = (scenes.shape, scenes.colour, scenes.background)
    right = torch.stack([a == b for a, b in zip(told, truth, strict=True)]).all(dim=0)
    return float(right.float().mean())


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command line."""
    parser = argparse.ArgumentParser(prog="practice_tools.judge", description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the file to write (default: %(default)s)")
    given = parser.parse_args(arguments)
    judge = train_judge()
    save_file({name: t.detach().half().contiguous() for name, t in judge.state_dict().items()}, given.out)
    print(f"wrote {given.out}: all three right on {100 * accuracy(load_judge(given.out)):.1f} % of 500 fresh drawings")


if __name__ == "__main__":
    main()
