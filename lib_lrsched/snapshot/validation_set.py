"""The fixed set on which a run is validated, kept beside its snapshots, so that other images or captions leave it as it is.

    RUN/validation.safetensors     latents of its images; prompts, timesteps and the seed of its noise; the losses of the start

Runs of the same images have the same set, so that they can be compared.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lib_lrsched.errors import RunStateError
from lib_lrsched.storage.checked_fields import COUNT, TEXT, TEXTS, OtherVersionError, Rule, checked

from .snapshot import read_tensors, write_tensors

NAME = "validation.safetensors"
FORMAT = 1
MOST = 32
"""A set has so many samples; fewer images are used several times, at different timesteps."""

SEED = 20_259
"""Of the noise of a new set."""

_COUNTS = Rule("a list of whole numbers from 0", lambda value: isinstance(value, list) and all(map(COUNT.holds, value)))
_FIELDS = {"source": TEXT, "images": TEXTS, "seed": COUNT, "order": _COUNTS, "timesteps": _COUNTS, "prompts": TEXTS}


class Sample(NamedTuple):
    """One sample of the set: the number of its image, its timestep, its prompt with [name] for the name of what is trained."""

    image: int
    timestep: int
    prompt: str


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """See the module.

    Attributes:
        source: "validation" for the folder of that name, "training" for the images that are trained on.
        images: their names.
        latents: float [C, h, w] of each image, on the CPU: the mean of the encoder's distribution.
        samples: at most MOST.
        seed: of the noise.
        baseline: float32, the loss of each sample with what the run started from; None before it was measured.
    """

    source: str
    images: tuple[str, ...]
    latents: tuple[Tensor, ...]
    samples: tuple[Sample, ...]
    seed: int = SEED
    baseline: Tensor | None = None

    def noise(self) -> list[Tensor]:
        """The noise of each sample, of the shape and type of its latent; the global generators stay where they are."""
        generator = torch.Generator().manual_seed(self.seed)
        latents = [self.latents[one.image] for one in self.samples]
        return [torch.randn(latent.shape, generator=generator).to(latent) for latent in latents]


def samples(images: int, prompt: Sequence[Sequence[str]], timesteps: int) -> tuple[Sample, ...]:
    """The samples of a new set: evenly spread timesteps, each with the next image and the next of its prompts.

    Args:
        images: 1 to MOST.
        prompt: the prompts of each image, one of each line of the template.
        timesteps: of the model.

    >>> [one.timestep for one in samples(2, [["a"], ["b"]], 1000)][:3], samples(2, [["a"], ["b"]], 1000)[1]
    ([15, 46, 78], Sample(image=1, timestep=46, prompt='b'))
    """
    found = []
    for k in range(MOST):
        image = k % images
        lines = prompt[image]
        found.append(Sample(image, (2 * k + 1) * timesteps // (2 * MOST), lines[k % len(lines)]))
    return tuple(found)


def write(path: Path, made: ValidationSet) -> None:
    """Keeps a set.

    Raises:
        OSError: what was there is there.
    """
    order, timesteps, prompts = (list(column) for column in zip(*made.samples, strict=True))
    data = {"lrsched_validation": FORMAT, "source": made.source, "images": list(made.images), "seed": made.seed, "order": order,
            "timesteps": timesteps, "prompts": prompts}
    tensors = {f"latent.{n}": latent.contiguous() for n, latent in enumerate(made.latents)}
    write_tensors(path, data, tensors if made.baseline is None else {**tensors, "baseline": made.baseline.contiguous()})


def read(path: Path) -> ValidationSet | None:
    """The set that was kept; None where there is no such file.

    Raises:
        RunStateError: it is damaged; says what was expected where.
    """
    if not os.path.exists(path):  # noqa: PTH110 Path.exists() raises where a folder may not be looked into
        return None
    value, tensors = read_tensors(path)
    checked(value, {"lrsched_validation": COUNT}, path)
    if value["lrsched_validation"] != FORMAT:
        raise OtherVersionError(f"version {value['lrsched_validation']} of a validation set; update the extension to read it", path)
    data = checked(value, _FIELDS, path)
    latents = tuple(tensors.get(f"latent.{n}", torch.empty(0)) for n in range(len(data["images"])))
    if not latents or not all(one.dim() == 3 and one.is_floating_point() and bool(one.isfinite().all()) for one in latents):
        raise RunStateError("expected a latent of finite numbers for each image", path)
    lists = data["order"], data["timesteps"], data["prompts"]
    if {*map(len, lists)} != {len(lists[0])} or not 1 <= len(lists[0]) <= MOST or max(data["order"]) >= len(latents):
        raise RunStateError(f"expected image, timestep and prompt of 1 to {MOST} samples", path)
    found = tuple(Sample(*one) for one in zip(*lists, strict=True))
    baseline = tensors.get("baseline")
    if baseline is not None and (baseline.shape != (len(found),) or not bool(baseline.isfinite().all())):
        raise RunStateError("expected a finite loss of the start for each sample", path)
    return ValidationSet(data["source"], tuple(data["images"]), latents, found, data["seed"], baseline)
