"""Guessing what a misspelt name was meant to be, for error texts only."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, names: Iterable[str]) -> str:
    """``"; did you mean `cosine`?"`` or nothing.

    >>> nearest("cosin", ["cosine", "linear"])
    '; did you mean `cosine`?'
    >>> nearest("x" * 5000, ["cosine"])
    ''
    """
    if not 0 < len(word) <= 40:
        return ""
    found = get_close_matches(word.lower(), list(names), n=1, cutoff=0.6)
    return f"; did you mean `{found[0]}`?" if found else ""
