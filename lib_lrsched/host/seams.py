"""Replacing module globals so that they can be put back exactly.

A replacement carries what it replaced. Whoever replaced ours later keeps working after we are gone: then ours
stays where it is and passes everything through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

ORIGINAL = "__lrsched_original__"
"""Attribute of each replacement: what was there before. It survives a second import of this library."""


class Seam(NamedTuple):
    """A global of a module, and what makes its replacement from the original."""

    module: Any
    name: str
    wrap: Callable[[Any], Any]


class Patches:
    """The replacements of one installation."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, str, Any, Any]] = []

    def put(self, seams: list[Seam]) -> None:
        """Replace each; if one cannot be, none is."""
        try:
            for seam in seams:
                original = unwrapped(getattr(seam.module, seam.name))
                replacement = seam.wrap(original)
                setattr(replacement, ORIGINAL, (replacement, original))
                setattr(seam.module, seam.name, replacement)
                self._made.append((seam.module, seam.name, original, replacement))
        except BaseException:
            self.undo()
            raise

    def undo(self) -> list[str]:
        """Put back what was there. Returns the names that somebody else has replaced since."""
        left = []
        for module, name, original, replacement in reversed(self._made):
            if getattr(module, name, None) is replacement:
                setattr(module, name, original)
            else:
                left.append(f"{module.__name__}.{name}")
        self._made.clear()
        return left


def unwrapped(value: Any) -> Any:
    """What stands behind a replacement of ours that is still in place."""
    while (mark := getattr(value, ORIGINAL, None)) is not None and mark[0] is value:
        value = mark[1]
    return value
