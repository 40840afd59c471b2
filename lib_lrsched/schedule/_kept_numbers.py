"""Whether a corrected text still has the numbers of the text that it corrects: a fix throws away nothing that a person wrote."""

from __future__ import annotations

from collections import Counter

from lib_lrsched.language.tokenizer import TOKEN


def keeps_numbers(before: str, after: str) -> bool:
    """Whether each digit of a number in one text is in the other. Names and comments do not count, and order does not.

    >>> keeps_numbers("0,005:1k", "0.005:1000"), keeps_numbers("restarts(1, t_0=9)", "restarts(1, cycles=9)")
    (True, True)
    >>> keeps_numbers("warmup(0.005, 100), cosine(1e-5)", "warmup(0.005, 100)")
    False
    """
    return not _digits(before) - _digits(after)


def _digits(text: str) -> Counter[int]:
    found: Counter[int] = Counter()
    words = [match[0] for match in TOKEN.finditer(text) if match[0][0] != "#"]
    for word, following in zip(words, [*words[1:], ""]):
        if not word[0].isalpha() and following not in ("(", "="):
            found.update(int(char) for char in word if char.isdecimal())
    return found
