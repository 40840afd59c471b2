"""How many files of a folder the host's data set will take: those that decode."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_known: dict[tuple[str, int, int], bool] = {}
_lock = threading.Lock()
_counting: dict[str, threading.Lock] = {}
_KEPT = 50_000


def count_pictures(folder: str | os.PathLike[str], read: Callable[[str], Any] | None = None, enough: int | None = None) -> int:
    """Files in ``folder`` that decode as pictures; answers are remembered by path, time and size.

    Args:
        read: the host's own reader; by default PIL's.
        enough: stop counting here.

    Raises:
        OSError: the folder cannot be listed.
    """
    count = 0
    # One at a time: who asks while another counts would decode the same files again, and gets its answers instead.
    with os.scandir(folder) as entries, _turn(folder):
        for entry in entries:
            if enough is not None and count >= enough:
                break
            # The host tries every name in the folder; captions lie beside the pictures.
            if not entry.name.lower().endswith((".txt", ".caption")) and entry.is_file():
                count += _decodes(entry, read or read_picture)
    return count


def _turn(folder: str | os.PathLike[str]) -> threading.Lock:
    with _lock:
        if len(_counting) >= _KEPT:
            _counting.clear()
        return _counting.setdefault(str(Path(folder).absolute()), threading.Lock())


def _decodes(entry: os.DirEntry[str], read: Callable[[str], Any]) -> bool:
    status = entry.stat()
    key = (str(Path(entry.path).absolute()), status.st_mtime_ns, status.st_size)
    with _lock:
        if key in _known:
            return _known[key]
    try:
        read(entry.path).convert("RGB")
        good = True
    except Exception:  # noqa: BLE001 the host skips a file on any exception of any decoder
        good = False
    with _lock:
        if len(_known) >= _KEPT:
            _known.clear()
        _known[key] = good
    return good


def read_picture(path: str) -> Any:
    """A PIL image, decoded."""
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        return image
