"""The sample concept: a folder of a dozen images of one thing that has a true caption, to train on.

`PYTHONPATH=tests python -m practice_tools.sample_concept` draws it anew. The captions beside the images say what is there
without naming the concept: its name is for the embedding to learn.
"""

from __future__ import annotations

from pathlib import Path

import torch

from lib_lrsched import practice
from lib_lrsched.practice.sampling import to_images
from lib_lrsched.practice.vocabulary import GENERIC_WORD
from practice_tools.captions import full_caption
from practice_tools.drawings import concept_scenes, draw, size_word

FOLDER = Path(practice.__file__).with_name("concept")
SHAPE, COLOUR, BACKGROUND = "ring", "green", "purple"
TRUE_CAPTION = full_caption(SHAPE, COLOUR, BACKGROUND)
COUNT = 12
SEED = 12


def write(folder: Path = FOLDER) -> None:
    """Writes 01.png to 12.png and a caption 01.txt to 12.txt beside each."""
    scenes = concept_scenes(SHAPE, COLOUR, BACKGROUND, COUNT, torch.Generator().manual_seed(SEED))
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(to_images(draw(scenes))):
        words = ("a", size_word(float(scenes.radius[i])), GENERIC_WORD)
        image.save(folder / f"{i + 1:02}.png")
        caption = " ".join(word for word in words if word)
        (folder / f"{i + 1:02}.txt").write_text(caption, encoding="utf-8")


if __name__ == "__main__":
    write()
    print(f"wrote {COUNT} images with captions to {FOLDER}")
