"""What can be drawn and said: the colours, the shapes, and every word the text encoder knows.

The order of WORDS is part of the weights file: new words go to the end, and the weights must then be made again.
"""

from __future__ import annotations

COLOURS: dict[str, tuple[float, float, float]] = {  # RGB in [0, 1]
    "red": (0.86, 0.12, 0.12),
    "green": (0.13, 0.65, 0.2),
    "blue": (0.12, 0.25, 0.88),
    "yellow": (0.96, 0.87, 0.15),
    "purple": (0.5, 0.12, 0.62),
    "orange": (0.97, 0.53, 0.08),
    "white": (0.96, 0.96, 0.96),
    "black": (0.06, 0.06, 0.06),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring")
SIZES = ("small", "large")

GENERIC_WORD = "thing"  # stands for any subject; where a new embedding starts
PAD = ""
UNKNOWN = "?"

WORDS: tuple[str, ...] = (
    PAD,
    UNKNOWN,
    GENERIC_WORD,
    *COLOURS,
    *SHAPES,
    *SIZES,
    *("a", "an", "the", "on", "of", "background", "picture", "drawing", "photo", "image", "painting", "one"),
)
