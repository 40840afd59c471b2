"""Texts without the paths of folders in them: for what is passed on to others, where a path often has somebody's name in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

_END = r"\s'\"`<>|;,()\[\]"
_PATH = re.compile(
    rf"""(?<q>['"`])(?:file:/*)?(?:~[\w.-]*|[A-Za-z]:|\\\\)?[\\/][^'"`\n]*(?P=q)    # in quotes, with blanks in it
      | file:/+[^{_END}]+
      | (?<![\w:/.~])(?:~[\w.-]*/|/)[^{_END}/:][^{_END}:]*                           # POSIX
      | (?<![\w])[A-Za-z]:[\\/][^{_END}]*                                            # Windows
      | (?<![\w\\])\\\\[^{_END}]+                                                    # a share
    """.replace("?<q>", "?P<q>"),
    re.VERBOSE,
)


HOMES = ("home", "users")
"""Where systems keep the folders of persons."""


def own_name(path: str) -> str:
    """The last part of a path, whichever system's; of a person's own folder it is their name, and stays out.

    >>> own_name("/home/anna/cats/"), own_name("C:\\\\Users\\\\anna\\\\cats"), own_name("/home/anna")
    ('cats', 'cats', '~')
    """
    parts = [part.strip() for part in re.split(r"[\\/]", path.strip().rstrip("\\/"))]
    return "~" if len(parts) > 1 and parts[-2].lower() in HOMES else parts[-1]


def own_names(paths: Sequence[Any]) -> list[Any]:
    """Paths by their last parts; where two folders share one, they are numbered.

    >>> own_names(["/a/cats", "/b/cats", "/a/cats", None, "/a/dogs"])
    ['cats (1)', 'cats (2)', 'cats (1)', None, 'dogs']
    """
    names: dict[str, list[str]] = {}
    for path in paths:
        if isinstance(path, str) and path not in names.setdefault(own_name(path), []):
            names[own_name(path)].append(path)
    return [_numbered(own_name(path), names[own_name(path)], path) if isinstance(path, str) else path for path in paths]


def _numbered(name: str, folders: Sequence[str], path: str) -> str:
    return name if len(folders) == 1 else f"{name} ({folders.index(path) + 1})"


def without_paths(text: str, known: Iterable[str] = ()) -> str:
    """A text with each path in it cut down to its last part.

    Args:
        known: paths that may stand in it; they are found whatever characters they have.

    >>> without_paths("cannot be written to '/home/anna lee/sd/log': no space left; see https://example.org/a/b")
    "cannot be written to 'log': no space left; see https://example.org/a/b"
    """
    for path in sorted({one.strip().rstrip("\\/") for one in known}, key=len, reverse=True):
        if re.search(r"[\\/].", path):
            text = text.replace(path, own_name(path))
    return _PATH.sub(_own_name, text)


def _own_name(found: re.Match[str]) -> str:
    quote = found["q"] or ""
    return f"{quote}{own_name(found[0].strip(quote) if quote else found[0])}{quote}"
