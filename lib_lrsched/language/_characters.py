"""Characters that a schedule does not have, and what was meant by them.

Text that was pasted from a web page, a PDF or a word processor looks right and is not: a minus that is not a minus, a
full-width colon, a byte order mark. An error that only quotes such text shows what looks right, so this one says the character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from lib_lrsched.errors import ScheduleError

_SUSPECT = re.compile(r"""[^\s\x21-\x7e]|["';`]""")

_MEANT = {
    **dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014\ufe63", "-"),
    **dict.fromkeys("\u3001\u060c\u201a;\uff1b\u061b", ","),
    **dict.fromkeys("\u2236\ua789", ":"),
    **dict.fromkeys("\u3002\u00b7\u066b", "."),
    "\u066a": "%",
    **dict.fromkeys("\"'`\u00b4\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb", ""),
    # Letters of Cyrillic and Greek that look like Latin ones: the "e" of 1e-3 above all.
    **dict(zip("\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0455\u0415\u03bf\u03b1\u03b5\u03bd", "aceopxyisEoaev")),
}
_QUOTES = frozenset(char for char, meant in _MEANT.items() if not meant)


class _Found(NamedTuple):
    char: str
    place: int
    meant: str | None  # "" where it is to be deleted, None where nobody can know


def check_characters(source: str, words: Iterable[tuple[str, int]]) -> None:
    """Refuse the first character outside comments that no schedule has. ``words`` are texts and where they start.

    Digits of any script pass: float() and int() read them, and so does the host.

    Raises:
        ScheduleError: with the text in which all such characters are replaced, where it is known by what.
    """
    if _SUSPECT.search(source) is None:
        return
    found = [
        _Found(match[0], start + match.start(), _meant(match[0]))
        for text, start in words for match in _SUSPECT.finditer(text) if not match[0].isdecimal()
    ]  # fmt: skip
    if found:
        first = found[0]
        raise ScheduleError(_message(first, len(found) - 1), source, (first.place, first.place + 1), _mended(source, found))


def _meant(char: str) -> str | None:
    if char in _MEANT:
        return _MEANT[char]
    # A byte order mark, a zero-width space, the NUL of a text in UTF-16, a variation selector.
    if unicodedata.category(char) in ("Cf", "Cc") or "\ufe00" <= char <= "\ufe0f":
        return ""
    plain = unicodedata.normalize("NFKC", char)
    plain = _MEANT.get(plain, plain)
    return plain if plain != char and plain.isascii() and plain.isprintable() else None


def _message(found: _Found, more: int) -> str:
    if found.meant:
        text = f"expected `{found.meant}`, got {character(found.char)}"
        text += "" if found.char.isascii() else ", which looks like it"
    elif found.meant is None:
        text = f"{character(found.char)} is not allowed in a schedule"
    elif found.char in _QUOTES:
        text = f"a schedule is written without quotes, got {character(found.char)}"
    else:
        text = f"there is {character(found.char)} here, which is invisible: delete it"
    return text + (f" (and {more} more such characters)" if more > 1 else " (and one more such character)" if more else "")


def character(char: str) -> str:
    r"""A character's name and code point.

    >>> character("\u2212"), character("\x00")
    ('MINUS SIGN (U+2212)', 'U+0000')
    """
    code = f"U+{ord(char):04X}"
    name = "BYTE ORDER MARK" if char == "\ufeff" else unicodedata.name(char, "")
    return f"{name} ({code})" if name else code


def _mended(source: str, found: list[_Found]) -> str | None:
    if any(one.meant is None for one in found):
        return None
    chars = list(source)
    for one in found:
        chars[one.place] = one.meant or ""
    return "".join(chars)
