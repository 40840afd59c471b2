"""What is said of an image in pretraining: full and partial descriptions, the generic word, and silence.

Leaving parts out is what later lets an embedding that starts at the generic word take their place, and leaving
everything out is what classifier-free guidance needs.
"""

from __future__ import annotations

from random import Random

from lib_lrsched.practice.vocabulary import COLOURS, GENERIC_WORD, SHAPES
from practice_tools.drawings import Scenes, size_word

CARRIERS = ("", "a picture of ", "a drawing of ", "a photo of ", "an image of ", "a painting of ", "the picture of ")
P_SILENT = 0.1
P_GENERIC = 0.15  # nothing but the generic word, as in the first step of training an embedding
P_SECOND = 0.15  # a second description behind a comma, as in a template with [filewords]
P_UNKNOWN = 0.05
_NAMES = tuple(COLOURS)


def caption(scenes: Scenes, index: int, random: Random) -> str:
    """A caption for one of the scenes; "" now and then."""
    if random.random() < P_SILENT:
        return ""
    parts = [_description(scenes, index, random)]
    if random.random() < P_SECOND:
        parts.insert(random.randrange(2), _description(scenes, index, random))
    return ", ".join(parts)


def full_caption(shape: str, colour: str, background: str) -> str:
    """Everything that the vocabulary can say of the colours and the shape."""
    return f"a picture of a {colour} {shape} on a {background} background"


def _description(scenes: Scenes, index: int, random: Random) -> str:
    words = _subject(scenes, index, random)
    if random.random() < P_UNKNOWN:
        words.insert(random.randrange(len(words) + 1), "unknown-word")
    article = random.choice(("a ", "a ", "a ", "the ", "one ", ""))
    return f"{random.choice(CARRIERS)}{article}{' '.join(words)}"


def _subject(scenes: Scenes, index: int, random: Random) -> list[str]:
    size = size_word(float(scenes.radius[index]))
    words = [size] if size and random.random() < 0.3 else []
    if random.random() < P_GENERIC:
        return [*words, GENERIC_WORD]
    if random.random() < 0.8:
        words.append(_NAMES[scenes.colour[index]])
    words.append(SHAPES[scenes.shape[index]] if random.random() < 0.9 else GENERIC_WORD)
    if random.random() < 0.6:
        words += ["on", "a", _NAMES[scenes.background[index]], "background"]
    return words
