"""The images drawn during a run, with the host's effect on the random generators.

The host draws from torch's global generator; our sampler has its own, so what the host's does to the global ones
is done here: a seed and a sub-seed of -1 are drawn from Python's `random`, then the seed is set in torch. Whoever
wants the old state back has to keep it: the host's hypernetwork loop does, its textual inversion loop does not.
"""
from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from lib_lrsched.practice import images, sampling, shared

if TYPE_CHECKING:
    from lib_lrsched.practice.dataset import Batch

NEW_SEED_BELOW = 4294967294  # the host's
SAMPLERS = {"ddim": "DDIM"}


@dataclass(frozen=True)
class Prompt:
    """What to draw. Sizes in pixels; seed -1 means a new one."""

    prompt: str
    negative_prompt: str = ""
    steps: int = 20
    cfg_scale: float = 3.0
    seed: int = -1
    width: int = 32
    height: int = 32
    sampler: str = "DDIM"


@dataclass(frozen=True)
class Preview:
    """An image and the text that goes into its file."""

    image: Image.Image
    prompt: str
    infotext: str


def sampler_named(name: str) -> str:
    """The sampler of that name, in whatever case. Raises KeyError for one that the practice model has not."""
    if name.lower() not in SAMPLERS:
        raise KeyError(f"no sampler {name!r}; the practice model has {sorted(SAMPLERS.values())}")
    return SAMPLERS[name.lower()]


def chooser(width: int, height: int, fixed: Prompt | None) -> Callable[[Batch], Prompt]:
    """Chooses what a preview shows: the fixed prompt, else the first of the batch just trained on."""
    return lambda batch: Prompt(batch.cond_text[0], width=width, height=height) if fixed is None else fixed


def draw(wanted: Prompt) -> Preview:
    """Draws one image and leaves torch's global generator seeded with the image's seed. Raises KeyError as above."""
    sampler = sampler_named(wanted.sampler)
    seed = _seed(wanted.seed)
    _seed(-1)  # the sub-seed: never used here, drawn by the host for every image
    torch.manual_seed(seed)
    (image,) = sampling.sample(
        shared.sd_model,
        [wanted.prompt],
        seed=seed,
        steps=wanted.steps,
        cfg_scale=wanted.cfg_scale,
        width=wanted.width,
        height=wanted.height,
        negative_prompt=wanted.negative_prompt,
    )
    return Preview(image, wanted.prompt, _infotext(wanted, sampler, seed))


def with_embedding(preview: Preview, data: dict[str, Any]) -> dict[str, Any]:
    """Arguments for Image.save: the embedding in the text chunk of a PNG from which the WebUI loads it."""
    stored = base64.b64encode(json.dumps(data, default=_tensor_as_json).encode()).decode()
    return images.text_chunks("x.png", {"parameters": preview.infotext, "sd-ti-embedding": stored})


def _seed(seed: int) -> int:
    return random.randrange(NEW_SEED_BELOW) if seed == -1 else seed


def _infotext(wanted: Prompt, sampler: str, seed: int) -> str:
    lines = [wanted.prompt]
    if wanted.negative_prompt:
        lines.append(f"Negative prompt: {wanted.negative_prompt}")
    size = f"{wanted.width}x{wanted.height}"
    facts: Sequence[tuple[str, object]] = (
        ("Steps", wanted.steps),
        ("Sampler", sampler),
        ("CFG scale", wanted.cfg_scale),
        ("Seed", seed),
        ("Size", size),
    )
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in facts)])


def _tensor_as_json(value: Any) -> dict[str, Any]:
    return {"TORCHTENSOR": value.detach().cpu().tolist()}
