"""Whether evenly spread timesteps, and an average of the weights, help: `PYTHONPATH=tests python -m practice_tools.timesteps`.

Pairs of trainings on the sample concept see the same images, prompts and noise; one has timesteps as they are drawn, the other
evenly spread ones. Both keep an average. Prints what share of the gap each closed on held-out noise, and the differences.
It takes an hour on one core.
"""

from __future__ import annotations

import argparse
from random import Random
from statistics import mean, stdev

import torch
from torch import Tensor

from lib_lrsched.practice.model import PracticeModel, load_model
from lib_lrsched.training.callbacks.spread_timesteps import spread
from lib_lrsched.training.callbacks.weight_average import decay_at
from practice_tools.measure import NAME, TEMPLATES, concept_gap, concept_latents, embedding_loss, embedding_named, held_out

RATES = (0.002, 0.005, 0.02)
UPDATES = 300
DECAY = 0.98
KINDS = ("drawn", "spread", "drawn, average", "spread, average")
DIFFERENCES = ((1, 0), (2, 0), (3, 2))  # of KINDS


def train(model: PracticeModel, latents: Tensor, rate: float, seed: int, *, is_spread: bool) -> tuple[Tensor, Tensor]:
    """One vector trained at batch 1 and a constant rate from the generic word, and its average."""
    generator, random = torch.Generator().manual_seed(seed), Random(seed)
    u = float(torch.rand((), generator=torch.Generator().manual_seed(seed + 10**6), dtype=torch.float64))
    templates = (TEMPLATES / "subject.txt").read_text(encoding="utf-8").splitlines()
    vec = model.cond_stage_model.encode_init_text("*", 1).requires_grad_()
    average, optimizer = vec.detach().clone(), torch.optim.AdamW([vec], lr=rate, weight_decay=0.0)
    with embedding_named(model, NAME, vec):
        for k in range(UPDATES):
            x = latents[random.randrange(len(latents))][None]
            t = torch.randint(model.num_timesteps, (1,), generator=generator)  # drawn also where it is thrown away
            t = torch.tensor(spread(u, k, 1, model.num_timesteps)) if is_spread else t
            noise = torch.randn(x.shape, generator=generator)
            context = model.cond_stage_model([random.choice(templates).replace("[name]", NAME)])
            (vec.grad,) = torch.autograd.grad(model.loss_at(x, context, t, noise), vec)
            optimizer.step()
            average.lerp_(vec.detach(), 1.0 - decay_at(k, DECAY))
    return vec.detach(), average


def main() -> None:
    """Entry point of the command line."""
    parser = argparse.ArgumentParser(prog="practice_tools.timesteps", description=__doc__)
    parser.add_argument("--pairs", type=int, default=60)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    model = load_model()
    latents = concept_latents(model)
    held = held_out(model, latents)
    gap = concept_gap(model, held)
    for rate in RATES:
        rows = []
        for seed in range(1000, 1000 + pairs):
            drawn, even = (train(model, latents, rate, seed, is_spread=is_spread) for is_spread in (False, True))
            vectors = (drawn[0], even[0], drawn[1], even[1])
            rows.append([100 * gap.closed(embedding_loss(model, vec, held)) for vec in vectors])
        for kind, closed in zip(KINDS, zip(*rows, strict=True), strict=True):
            print(f"{rate:g} {kind}: {mean(closed):.1f} +- {stdev(closed):.1f} %, worst {min(closed):.1f}")
        for new, old in DIFFERENCES:
            found = [row[new] - row[old] for row in rows]
            error = 1.96 * stdev(found) / len(found) ** 0.5
            better = sum(one > 0 for one in found)
            print(f"{rate:g} {KINDS[new]} - {KINDS[old]}: {mean(found):+.2f} +- {error:.2f}, better in {better}", flush=True)


if __name__ == "__main__":
    main()
