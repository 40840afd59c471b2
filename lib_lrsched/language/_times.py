"""Times as people write them elsewhere: `100 steps`, `3epochs`, `1k`. They are hints for errors, never words of the language."""

from __future__ import annotations

import re
from decimal import Decimal

UNITS = {
    "": ("step", "steps", "it", "its", "iter", "iters", "iterations", "update", "updates"),
    "ep": ("ep", "eps", "epoch", "epochs"),
    "img": ("img", "imgs", "image", "images", "pic", "pics", "pictures"),
    "%": ("percent", "pct"),
}
"""What this language writes, and what is written for it elsewhere; capitals do not matter."""

_BY_WORD = {word: unit for unit, words in UNITS.items() for word in words}
_TIME = re.compile(r"(\+?)(\d+(?:\.\d*)?|\.\d+)(k?)([a-z]*)")
_LONGEST = 40


def meant_time(text: str) -> str | None:
    """The time that was meant; None if the text is not a time.

    >>> meant_time("3epochs"), meant_time("1.5k"), meant_time("+100 Steps"), meant_time("500IMG"), meant_time("3 apples")
    ('3ep', '1500', '+100', '500img', None)
    """
    if len(text) > _LONGEST:
        return None
    found = _TIME.fullmatch("".join(text.lower().split()))
    if found is None or (found[4] and found[4] not in _BY_WORD):
        return None
    number = found[2]
    if found[3]:
        thousands = Decimal(number) * 1000
        if thousands != int(thousands):
            return None
        number = str(int(thousands))
    return found[1] + number + _BY_WORD.get(found[4], "")


def is_unit(word: str) -> bool:
    """Whether a word that stands after a number counts something."""
    return word.lower() in _BY_WORD or word.lower() == "k"
