"""The images the practice model knows: one coloured shape on a plain background, drawn from numbers.

Everything is a pure function of its arguments and the given generator. Shapes are signed distances (negative
inside), so their edges are smooth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lrsched.practice.vocabulary import COLOURS, SHAPES, SIZES

IMAGE_SIZE = 32  # pixels, each way
RADIUS = (0.62, 0.85)  # of half the image
OFF_CENTRE = 0.1  # at most, each way; more, and pretraining would have to be many times longer
SIZE_LIMITS = (0.69, 0.78)  # below the first a shape is called small, above the second large
COLOUR_JITTER = 0.04


@dataclass(frozen=True)
class Scenes:
    """B images as numbers: int64 [B] indices into SHAPES and COLOURS, float32 geometry in [-1, 1] coordinates."""

    shape: Tensor
    colour: Tensor
    background: Tensor
    centre: Tensor  # [B, 2]: x to the right, y down
    radius: Tensor  # [B]
    angle: Tensor  # [B], radians
    jitter: Tensor  # [B, 2, 3]: added to the RGB of shape and background

    def __len__(self) -> int:
        return len(self.shape)


def random_scenes(count: int, generator: torch.Generator) -> Scenes:
    """Scenes in which the shape lies inside the image and its colour differs from the background's."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    colour = torch.randint(len(COLOURS), (count,), generator=generator)
    offset = torch.randint(1, len(COLOURS), (count,), generator=generator)
    return Scenes(
        shape=torch.randint(len(SHAPES), (count,), generator=generator),
        colour=colour,
        background=(colour + offset) % len(COLOURS),
        centre=uniform(-OFF_CENTRE, OFF_CENTRE, 2),
        radius=uniform(*RADIUS),
        angle=uniform(-0.15, 0.15),
        jitter=uniform(-COLOUR_JITTER, COLOUR_JITTER, 2, 3),
    )


def concept_scenes(shape: str, colour: str, background: str, count: int, generator: torch.Generator) -> Scenes:
    """Random scenes of one shape in one pair of colours."""
    scenes = random_scenes(count, generator)
    names = list(COLOURS)
    return Scenes(
        torch.full((count,), SHAPES.index(shape)),
        torch.full((count,), names.index(colour)),
        torch.full((count,), names.index(background)),
        scenes.centre,
        scenes.radius,
        scenes.angle,
        scenes.jitter,
    )


def size_word(radius: float) -> str | None:
    """ "small", "large", or None for a shape in between."""
    if radius < SIZE_LIMITS[0]:
        return SIZES[0]
    return SIZES[1] if radius > SIZE_LIMITS[1] else None


def draw(scenes: Scenes, size: int = IMAGE_SIZE) -> Tensor:
    """Images float32 [B, 3, size, size] in [-1, 1]."""
    x, y = _local_coordinates(scenes, size)
    distances = torch.stack([distance(x, y) for distance in _DISTANCES])
    distance = distances[scenes.shape, torch.arange(len(scenes))] * scenes.radius[:, None, None]
    cover = (0.5 - distance * (size / 2)).clamp(0, 1)[:, None]
    palette = torch.tensor(list(COLOURS.values()))
    front = (palette[scenes.colour] + scenes.jitter[:, 0])[:, :, None, None]
    back = (palette[scenes.background] + scenes.jitter[:, 1])[:, :, None, None]
    return (cover * front + (1 - cover) * back).clamp(0, 1) * 2 - 1


def _local_coordinates(scenes: Scenes, size: int) -> tuple[Tensor, Tensor]:
    """Pixel centres [B, size, size] as seen from each shape: moved, turned, in units of its radius."""
    axis = (torch.arange(size) + 0.5) * (2 / size) - 1
    dx = axis[None, None, :] - scenes.centre[:, 0, None, None]
    dy = axis[None, :, None] - scenes.centre[:, 1, None, None]
    cos, sin = scenes.angle.cos()[:, None, None], scenes.angle.sin()[:, None, None]
    radius = scenes.radius[:, None, None]
    return (cos * dx + sin * dy) / radius, (cos * dy - sin * dx) / radius


def _circle(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(x, y) - 0.92


def _square(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.8


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    """Corner up; the distance to the nearest of the three sides."""
    slanted = x.abs() * math.cos(math.pi / 6) - (y - 0.2) * 0.5
    return torch.maximum(slanted, y - 0.2) - 0.55


def _cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    return torch.minimum(torch.maximum(x - 0.95, y - 0.3), torch.maximum(x - 0.3, y - 0.95))


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (torch.hypot(x, y) - 0.74).abs() - 0.22


_BY_NAME: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "ring": _ring,
}
_DISTANCES = [_BY_NAME[name] for name in SHAPES]
