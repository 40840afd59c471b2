"""How many files of a folder the host's data set will take: those that decode."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

_known: dict[tuple[str, int, int], bool] = {}
_lock = threading.Lock()
_counting: dict[str, threading.Lock] = {}
_KEPT = 50_000
NAMED = 3
"""So many of the files that are left out are named."""


def count_images(folder: str | os.PathLike[str], read: Callable[[str], Any] | None = None, enough: int | None = None) -> int:
    """Files in ``folder`` that decode as images; answers are remembered by path, time and size.

    Args:
        read: the host's own reader; by default PIL's.
        enough: stop counting here.

    Raises:
        OSError: the folder cannot be listed.
    """
    if enough is not None:
        return sum(islice((1 for good in _looked_at(folder, read) if good), enough))
    # One at a time: who asks while another counts would decode the same files again, and gets its answers instead.
    with _turn(folder):
        return sum(_looked_at(folder, read))


def count_in_time(folder: str | os.PathLike[str], read: Callable[[str], Any] | None, within_s: float) -> int | None:
    """As count_images, or None where that takes longer; called again, it continues where it was.

    Raises:
        OSError: the folder cannot be listed.
    """
    until, turn, count = time.monotonic() + within_s, _turn(folder), 0
    if not turn.acquire(timeout=within_s):
        return None
    try:
        for good in _looked_at(folder, read):
            count += good
            if time.monotonic() > until:
                return None
        return count
    finally:
        turn.release()


def left_out(listed: Iterable[str], taken: Iterable[str]) -> str:
    """What to say of the image files of a folder that the host's data set has silently left out; else empty.

    Args:
        listed: all files of the folder.
        taken: those that it could read.
    """
    images = [path for path in listed if Path(path).suffix.lower() in _endings()]
    read = set(taken)
    missing = sorted(Path(path).name for path in images if path not in read and Path(path).is_file())
    if not missing:
        return ""
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    verb = "cannot be read and is" if len(missing) == 1 else "cannot be read and are"
    return f"{len(missing)} of {len(images)} image files {verb} left out: {', '.join(missing[:NAMED])}{more}"


def _endings() -> set[str]:
    from PIL import Image

    return {*Image.registered_extensions(), ".avif", ".heic", ".heif", ".jxl"}


def _looked_at(folder: str | os.PathLike[str], read: Callable[[str], Any] | None) -> Iterator[bool]:
    """For every file that may be an image whether it is one."""
    with os.scandir(folder) as entries:
        for entry in entries:
            # The host tries every name in the folder; captions lie beside the images.
            if not entry.name.lower().endswith((".txt", ".caption")):
                good = is_image(entry.path, read)
                if good is not None:
                    yield good


def _turn(folder: str | os.PathLike[str]) -> threading.Lock:
    with _lock:
        if len(_counting) >= _KEPT:
            _counting.clear()
        return _counting.setdefault(str(Path(folder).absolute()), threading.Lock())


def is_image(path: str, read: Callable[[str], Any] | None = None) -> bool | None:
    """Whether a file decodes as an image; None for what is not a file, such as a folder, a pipe, or a link that leads in a circle.

    A pipe is never opened: that would wait for who writes into it.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 of thousands of files
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    key = (str(Path(path).absolute()), status.st_mtime_ns, status.st_size)
    with _lock:
        if key in _known:
            return _known[key]
    try:
        (read or read_image)(path).convert("RGB")
        good = True
    except Exception:  # noqa: BLE001 the host skips a file on any exception of any decoder
        good = False
    with _lock:
        if len(_known) >= _KEPT:
            _known.clear()
        _known[key] = good
    return good


def read_image(path: str) -> Any:
    """A PIL image, decoded."""
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        return image
