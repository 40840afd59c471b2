"""The image sets of the evidence: the dozen of the sample concept, and twenty drawn like them, four of which may be held out."""

from __future__ import annotations

from pathlib import Path

import torch

from lib_lrsched.practice.sampling import to_images
from lib_lrsched.practice.vocabulary import GENERIC_WORD
from practice_tools import sample_concept
from practice_tools.drawings import concept_scenes, draw, size_word

from . import rows

COUNT, HELD_OUT, SEED = 20, 4, 20


def folders(root: Path) -> dict[str, Path]:
    """The folder of each set by its name; the twenty are drawn below ``root``."""
    found = {rows.DOZEN: sample_concept.FOLDER}
    parts = {rows.TWENTY: range(COUNT), rows.SIXTEEN: range(COUNT - HELD_OUT), rows.HELD_OUT: range(COUNT - HELD_OUT, COUNT)}
    for name, numbers in parts.items():
        found[name] = root / name
        _write(found[name], numbers)
    return found


def _write(folder: Path, numbers: range) -> None:
    """Images of the concept with captions beside them that do not name it, as practice_tools.sample_concept writes them."""
    concept = (sample_concept.SHAPE, sample_concept.COLOUR, sample_concept.BACKGROUND)
    scenes = concept_scenes(*concept, COUNT, torch.Generator().manual_seed(SEED))
    drawn = to_images(draw(scenes))
    folder.mkdir(parents=True, exist_ok=True)
    for i in numbers:
        drawn[i].save(folder / f"{i + 1:02}.png")
        words = ("a", size_word(float(scenes.radius[i])), GENERIC_WORD)
        (folder / f"{i + 1:02}.txt").write_text(" ".join(word for word in words if word), encoding="utf-8")
