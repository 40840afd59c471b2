"""Captions and prompt templates as the host reads them, and what is wrong with one that it cannot read.

The host opens captions as UTF-8 and templates in the encoding of the locale, both strictly: a file in another encoding ends the
preparation of the images with a UnicodeDecodeError that names no file.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CAPTIONS = "utf-8"

MOST_BYTES = 1_000_000
"""A caption is read in blocks of this size, and only the first is kept; a prompt has some hundred characters."""

_BOMS = (
    (b"\xef\xbb\xbf", "UTF-8 with a byte order mark"), (b"\xff\xfe\x00\x00", "UTF-32"), (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"),
)  # fmt: skip
_JAPANESE = re.compile("[\u3000-\u30ff\u4e00-\u9fff\uff01-\uff5e]")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_HALF_WIDTH = re.compile("[\uff61-\uff9f\ue000-\uf8ff]")

_known: dict[tuple[str, int, int], Trouble | None] = {}
_lock = threading.Lock()
_KEPT = 50_000


class Trouble(NamedTuple):
    """What is wrong with a text file. ``fatal`` says that the host fails at it; else it reads something that nobody meant."""

    fatal: bool
    what: str


def caption_trouble(path: str) -> Trouble | None:
    """What is wrong with a file as a caption; remembered by path, time and size. None where the host reads what was written."""
    try:
        status = os.stat(path)  # noqa: PTH116 called for thousands of files, every few seconds
    except OSError as error:
        return Trouble(True, f"cannot be read: {error.strerror or error}")
    if stat.S_ISDIR(status.st_mode):
        return Trouble(True, "is a folder, which the WebUI opens as a caption: give it another name")
    if not stat.S_ISREG(status.st_mode):
        return None  # a pipe is never opened, and is said of the folder; a caption that is /dev/null works
    key = path, status.st_mtime_ns, status.st_size
    with _lock:
        if key in _known:
            return _known[key]
    found = _caption_trouble(path)
    with _lock:
        if len(_known) >= _KEPT:
            _known.clear()
        _known[key] = found
    return found


def _caption_trouble(path: str) -> Trouble | None:
    try:
        with Path(path).open("rb") as file:
            text = _decoded(iter(lambda: file.read(MOST_BYTES), b""))
    except OSError as error:
        return Trouble(True, f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        return Trouble(True, f"is not UTF-8{likely(error.object)}, and the WebUI reads captions as UTF-8: save it as UTF-8")
    return unmeant(text)


def _decoded(blocks: Iterator[bytes]) -> str:
    """The beginning of a text in UTF-8 of which all has been looked at.

    Raises:
        UnicodeDecodeError: its ``object`` is the block that is no UTF-8, with what of a character stood before it.
    """
    decoder = codecs.getincrementaldecoder(CAPTIONS)()
    text = decoder.decode(next(blocks, b""))
    for block in blocks:
        decoder.decode(block)
    decoder.decode(b"", final=True)
    return text


def unmeant(text: str) -> Trouble | None:
    """Characters that an editor wrote and nobody sees: the host makes them part of the prompt."""
    if text.startswith(("\ufeff", "\u00ef\u00bb\u00bf")):
        return Trouble(False, "starts with a byte order mark, which becomes part of the prompt: save it as UTF-8 without BOM")
    if "\x00" in text:
        return Trouble(False, "has NUL characters (likely UTF-16), which become part of the prompt: save it as UTF-8")
    return None


def likely(data: bytes) -> str:
    """likely_encoding() as an insertion for a message; empty where there is no likely one."""
    name = likely_encoding(data)
    return f" (likely {name})" if name else ""


def likely_encoding(data: bytes) -> str:
    """A guess at the encoding of a text that is not UTF-8, for a message; empty where the bytes do not tell.

    >>> likely_encoding("un café".encode("cp1252")), likely_encoding("赤い花".encode("shift_jis"))
    ('Windows-1252 or Latin-1', 'Shift-JIS')
    """
    bom = next((name for start, name in _BOMS if data.startswith(start)), "")
    if bom:
        return bom
    if data.count(0) > len(data) // 5:
        return "UTF-16"
    text = _strictly(data, "cp932")
    if len(_JAPANESE.findall(text)) > len(_HALF_WIDTH.findall(text)):
        return "Shift-JIS"
    text = _strictly(data, "euc_jp")
    if _KANA.search(text):
        return "EUC-JP"  # without kana the same bytes may as well be Chinese
    return "" if text or _strictly(data, "gb2312") else "Windows-1252 or Latin-1"


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return ""
