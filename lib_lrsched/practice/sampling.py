"""Images from prompts: deterministic DDIM (Song et al. 2021) with classifier-free guidance (Ho and Salimans 2022)."""

from __future__ import annotations

from itertools import pairwise

import torch
from PIL import Image
from torch import Tensor

from lib_lrsched.practice.model import LATENT_CHANNELS, SHUFFLE, PracticeModel


def sample(
    model: PracticeModel,
    prompts: list[str],
    *,
    seed: int,
    steps: int = 20,
    cfg_scale: float = 3.0,
    width: int = 32,
    height: int = 32,
    negative_prompt: str = "",
) -> list[Image.Image]:
    """One RGB image per prompt. Image i starts from noise of its own, whatever the other prompts are.

    Draws from a generator of its own: torch's global state stays as it was. Raises ValueError for sizes that are
    not multiples of 4 and for fewer than 1 step.
    """
    _check(steps, width, height)
    if not prompts:
        return []
    device = next(model.parameters()).device
    noise = start_noise(len(prompts), seed, height, width).to(device)
    with torch.no_grad():
        positive = model.cond_stage_model(prompts)
        negative = model.cond_stage_model([negative_prompt] * len(prompts))
        latent = _ddim(model, noise, _Guidance(positive, negative, cfg_scale), steps)
        return to_images(model.decode_first_stage(latent))


def start_noise(count: int, seed: int, height: int, width: int) -> Tensor:
    """float32 [count, 12, height/2, width/2]; image i uses seed + i, as the host numbers a batch."""
    shape = (LATENT_CHANNELS, height // SHUFFLE, width // SHUFFLE)
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed + i)) for i in range(count)])


def to_images(pixels: Tensor) -> list[Image.Image]:
    """[B, 3, H, W] in [-1, 1] -> B RGB images."""
    levels = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to("cpu", torch.uint8)
    return [Image.fromarray(image.numpy()) for image in levels.permute(0, 2, 3, 1).contiguous()]


class _Guidance:
    """Predicts with and without the prompt and goes cfg_scale times the way from one to the other."""

    def __init__(self, positive: Tensor, negative: Tensor, cfg_scale: float) -> None:
        tokens = max(positive.shape[1], negative.shape[1])
        self.context = torch.cat([_tile(negative, tokens), _tile(positive, tokens)])
        self.cfg_scale = cfg_scale

    def predict(self, model: PracticeModel, latent: Tensor, t: Tensor) -> Tensor:
        both = model.apply_model(torch.cat([latent, latent]), torch.cat([t, t]), self.context)
        without, given = both.chunk(2)
        return without + self.cfg_scale * (given - without)


def _tile(context: Tensor, tokens: int) -> Tensor:
    """Repeats whole chunks until the context has this many tokens, so that both halves fit one batch."""
    repeats = -(-tokens // context.shape[1])
    return context.repeat(1, repeats, 1)[:, :tokens]


def _ddim(model: PracticeModel, latent: Tensor, guidance: _Guidance, steps: int) -> Tensor:
    times = torch.linspace(model.schedule.num_timesteps - 1, 0, steps + 1).round().long().tolist()
    for now, then in pairwise(times):
        t = torch.full((len(latent),), now, device=latent.device)
        clean, _ = model.schedule.split(latent, t, guidance.predict(model, latent, t))
        # Guidance overshoots, so the image is cut to its range, and the noise is what is then left of the latent:
        # the noise predicted with the overshoot would drive the colours the other way.
        clean = clean.clamp(-1, 1)
        noise = model.schedule.noise_in(latent, t, clean)
        latent = model.schedule.add_noise(clean, torch.full_like(t, then), noise)
    return latent


def _check(steps: int, width: int, height: int) -> None:
    if steps < 1:
        raise ValueError(f"sampling takes 1 or more steps, not {steps}")
    if width < 4 or height < 4 or width % 4 or height % 4:
        raise ValueError(f"width and height are multiples of 4, not {width}x{height}; the model was made for 32x32")
