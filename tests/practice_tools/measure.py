"""How well the practice model serves: `PYTHONPATH=tests python -m practice_tools.measure`.

Trains embeddings on the sample concept with a bare loop of its own, at three learning rates and from five seeds,
and prints how much of the gap each closed; then lets the judge look at images sampled from true captions and
from a trained embedding. Independent of the training loops, so that a fault there cannot hide here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from lib_lrsched import practice
from lib_lrsched.practice.model import PracticeModel, load_model
from lib_lrsched.practice.sampling import sample
from lib_lrsched.practice.vocabulary import COLOURS, SHAPES
from practice_tools.captions import full_caption
from practice_tools.judge import Judge, Verdict, load_judge, to_tensor
from practice_tools.sample_concept import BACKGROUND, COLOUR, FOLDER, SHAPE, TRUE_CAPTION

TEMPLATES = Path(practice.__file__).with_name("templates")
CONCEPT = Verdict(SHAPE, COLOUR, BACKGROUND)
NAME = "my-concept"
PROMPT = f"a picture of a {NAME}"
RATES = (1e-5, 0.005, 0.5)
HELD_OUT_SEED = 4321
LOOKS_PER_IMAGE = 20  # timesteps, evenly spread, at which the held-out loss looks at each image


class HeldOut(NamedTuple):
    """Latents [B, 12, 16, 16] with timesteps [B] and noise that no training run sees."""

    latents: Tensor
    t: Tensor
    noise: Tensor


class Gap(NamedTuple):
    """Held-out losses with the generic word and with the true caption: where training starts and what it can reach."""

    untrained: float
    true: float

    def closed(self, trained: float) -> float:
        """1 where an embedding with this loss serves as well as the true caption, 0 where no better than at the start."""
        return (self.untrained - trained) / (self.untrained - self.true)


def concept_latents(model: PracticeModel, folder: Path = FOLDER) -> Tensor:
    """The noiseless latents [12, 12, 16, 16] of the sample concept."""
    images = [Image.open(path) for path in sorted(folder.glob("*.png"))]
    return model.encode_first_stage(to_tensor(images)).mean


def held_out(model: PracticeModel, latents: Tensor, seed: int = HELD_OUT_SEED) -> HeldOut:
    """Every image at LOOKS_PER_IMAGE timesteps, each with noise of its own."""
    generator = torch.Generator().manual_seed(seed)
    repeated = latents.repeat_interleave(LOOKS_PER_IMAGE, dim=0)
    spread = (torch.arange(LOOKS_PER_IMAGE) + 0.5) / LOOKS_PER_IMAGE * model.schedule.num_timesteps
    t = spread.long().repeat(len(latents))
    return HeldOut(repeated, t, torch.randn(repeated.shape, generator=generator))


def held_out_loss(model: PracticeModel, prompt: str, held: HeldOut) -> float:
    """The mean loss with this prompt."""
    with torch.no_grad():
        context = model.cond_stage_model([prompt])
        parts = [
            model.loss_at(x, context.expand(len(x), -1, -1), t, noise)
            for x, t, noise in zip(*(tensor.split(80) for tensor in held), strict=True)
        ]
    return float(torch.stack(parts).mean())


@contextmanager
def embedding_named(model: PracticeModel, name: str, vec: Tensor) -> Iterator[None]:
    """Within the block, the word `name` in a prompt stands for the vectors vec [n, token_width]."""
    words = model.cond_stage_model.embedding_db.word_embeddings
    words[name] = SimpleNamespace(name=name, vec=vec)
    try:
        yield
    finally:
        del words[name]


def train_embedding(model: PracticeModel, latents: Tensor, rate: float, seed: int, updates: int = 300) -> Tensor:
    """One vector [1, token_width], trained at batch 1 and a constant rate from the generic word.

    Draws from generators of its own and leaves no gradient on the model.
    """
    generator, random = torch.Generator().manual_seed(seed), Random(seed)
    templates = (TEMPLATES / "subject.txt").read_text(encoding="utf-8").splitlines()
    vec = model.cond_stage_model.encode_init_text("*", 1).requires_grad_()
    optimizer = torch.optim.AdamW([vec], lr=rate, weight_decay=0.0)
    with embedding_named(model, NAME, vec):
        for _ in range(updates):
            x = latents[random.randrange(len(latents))][None]
            t = torch.randint(model.schedule.num_timesteps, (1,), generator=generator)
            noise = torch.randn(x.shape, generator=generator)
            context = model.cond_stage_model([random.choice(templates).replace("[name]", NAME)])
            (vec.grad,) = torch.autograd.grad(model.loss_at(x, context, t, noise), vec)
            optimizer.step()
    return vec.detach()


def embedding_loss(model: PracticeModel, vec: Tensor, held: HeldOut) -> float:
    """The held-out loss with the vectors vec [n, token_width] in the place of the concept's name."""
    with embedding_named(model, NAME, vec):
        return held_out_loss(model, PROMPT, held)


def concept_gap(model: PracticeModel, held: HeldOut) -> Gap:
    """The gap that training an embedding of the sample concept is to close."""
    start = model.cond_stage_model.encode_init_text("*", 1)
    return Gap(embedding_loss(model, start, held), held_out_loss(model, TRUE_CAPTION, held))


def random_truths(count: int, seed: int) -> list[Verdict]:
    """Things to ask for: a shape in one colour on a background of another."""
    random = Random(seed)
    return [Verdict(random.choice(SHAPES), *random.sample(tuple(COLOURS), 2)) for _ in range(count)]


def share_right(judge: Judge, images: list[Image.Image], truths: list[Verdict]) -> float:
    """The share of images that show the right shape in the right colour."""
    told = judge.look(images)
    right = [a.shape == b.shape and a.colour == b.colour for a, b in zip(told, truths, strict=True)]
    return sum(right) / len(right)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command line."""
    parser = argparse.ArgumentParser(prog="practice_tools.measure", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=100)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    model, judge = load_model(), load_judge()
    vec = _print_gaps(model, given.seeds)
    _print_images(model, judge, given.images, vec)


def _print_gaps(model: PracticeModel, seeds: int) -> Tensor:
    """Prints the table; gives the vector trained last at the middle rate."""
    latents = concept_latents(model)
    held = held_out(model, latents)
    gap = concept_gap(model, held)
    print(f"held-out loss: generic word {gap.untrained:.4f}, true caption {gap.true:.4f}")
    kept = {}
    for rate in RATES:
        started = time.monotonic()
        trained = [train_embedding(model, latents, rate, seed) for seed in range(seeds)]
        each_s = (time.monotonic() - started) / seeds
        shares = (100 * gap.closed(embedding_loss(model, vec, held)) for vec in trained)
        print(f"rate {rate:g}: gap closed, in %: {'  '.join(f'{s:.1f}' for s in shares)}  ({each_s:.1f} s each)", flush=True)
        kept[rate] = trained[-1]
    return kept[RATES[1]]


def _print_images(model: PracticeModel, judge: Judge, count: int, vec: Tensor) -> None:
    truths = random_truths(count, seed=99)
    images = sample(model, [full_caption(*truth) for truth in truths], seed=1000)
    print(f"true captions: colour and shape right in {100 * share_right(judge, images, truths):.0f} % of {count}")
    with embedding_named(model, NAME, vec):
        images = sample(model, [PROMPT] * count, seed=2000)
    share = share_right(judge, images, [CONCEPT] * count)
    print(f"trained embedding: colour and shape right in {100 * share:.0f} % of {count}")


if __name__ == "__main__":
    main()
