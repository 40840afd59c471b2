"""Text to tokens, in one pass over the text.

A token is a punctuation mark or a run of other characters. Which runs are numbers and which
are names is the parser's business: Python's float() reads more than any pattern here would.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from lib_lrsched.errors import ScheduleError

from ._characters import check_characters
from .tree import Span

MAX_SOURCE_CHARS = 400_000
"""Longer texts are refused before they are read: 10,000 items need about 200,000."""

TOKEN = re.compile(r"#[^\n]*|([,:()=%])|([^\s,:()=#%]+)")
"""A comment, a mark, or a run of other characters."""


Guess = Callable[[str], str | None]
"""What a word that stands in the place of a rate was meant to be, for the error's text; None where nobody knows."""


def no_guess(_: str) -> None:
    return None


class Tokens:
    """A position in a token list: check, take, expect.

    ``kind`` of the token at the position is its punctuation mark, ``"word"``, or ``""`` at
    the end of the text.
    """

    __slots__ = ("guess", "kinds", "position", "source", "starts", "texts")

    def __init__(self, source: str, guess: Guess = no_guess) -> None:
        if len(source) > MAX_SOURCE_CHARS:
            raise ScheduleError(
                f"a schedule has at most {MAX_SOURCE_CHARS} characters, this one has {len(source)}",
                source, (0, 1),
            )
        self.source = source
        self.guess = guess
        self.position = 0
        self.kinds: list[str] = []
        self.texts: list[str] = []
        self.starts: list[int] = []
        for match in TOKEN.finditer(source):
            mark, word = match.groups()
            if mark is None and word is None:
                continue
            self.kinds.append(mark or "word")
            self.texts.append(mark or word)
            self.starts.append(match.start())
        check_characters(source, zip(self.texts, self.starts))
        self.kinds.append("")
        self.texts.append("")
        self.starts.append(len(source))

    @property
    def kind(self) -> str:
        return self.kinds[self.position]

    @property
    def text(self) -> str:
        return self.texts[self.position]

    @property
    def start(self) -> int:
        return self.starts[self.position]

    @property
    def span(self) -> Span:
        start = self.starts[self.position]
        return start, start + len(self.texts[self.position])

    @property
    def last_stop(self) -> int:
        """Where the token before the position stops."""
        before = self.position - 1
        return self.starts[before] + len(self.texts[before]) if before >= 0 else 0

    def take(self, kind: str) -> bool:
        """Step over the next token if it is of this kind."""
        if self.kinds[self.position] != kind:
            return False
        self.position += 1
        return True

    def fail(self, message: str, span: Span | None = None, fix: str | None = None) -> NoReturn:
        raise ScheduleError(message, self.source, self.span if span is None else span, fix)
