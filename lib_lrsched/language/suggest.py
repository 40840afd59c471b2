"""Guessing what a misspelt name was meant to be, for error texts and the corrected texts that they offer."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_NAME = 40

def nearest(word: str, names: Iterable[str]) -> str:
    """``"; did you mean `cosine`?"`` or nothing.

    >>> nearest("cosin", ["cosine", "linear"])
    '; did you mean `cosine`?'
    >>> nearest("x" * 5000, ["cosine"])
    ''
    """
    return question(closest(word, names))


def question(meant: str | None) -> str:
    return "" if meant is None else f"; did you mean `{meant}`?"


def closest(word: str, names: Iterable[str]) -> str | None:
    """The name that a word is a misspelling of, or None."""
    if not 0 < len(word) <= LONGEST_NAME:
        return None
    found = get_close_matches(word.lower(), list(names), n=1, cutoff=0.6)
    return found[0] if found else None


def replaced(source: str, span: tuple[int, int], text: str) -> str:
    """The source with another text at a span."""
    return source[: span[0]] + text + source[span[1] :]
