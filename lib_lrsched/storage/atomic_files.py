"""Files that survive a kill, a full disk and a damaged neighbour: replaced whole, appended to by lines, set aside.

The manner of the whole replacement is that of pip's `adjacent_tmp_file`: a temporary file beside the target, fsync, replace.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

LEFTOVER_AGE_S = 3600.0
"""A temporary file older than this was left behind by a kill and is swept away."""

REPLACE_TRIES = 20
REPLACE_PAUSE_S = 0.02

_TAIL_BLOCK_BYTES = 65_536


def write_whole(path: Path, data: bytes) -> None:
    """Puts `data` where `path` is, so that a reader sees the old file or the new one, never a mixture.

    The folder is made where it is missing.

    Raises:
        OSError: nothing was changed at `path`; the temporary file is gone.
    """
    write_with(path, lambda temporary: temporary.write_bytes(data))


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """As write_whole, for a library that writes a file by its name: `write` gets the name of the temporary file.

    Raises:
        OSError, or what `write` raises: nothing was changed at `path`; the temporary file is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        write(temporary)
        sync_file(temporary)
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # there only where something was raised
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Brings a file that somebody has written from the system's buffers to the disk."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def numbered(folder: Path, suffix: str) -> list[tuple[int, Path]]:
    """Number and path of the files in a folder that are named by a number of 8 digits or more, the highest first."""
    try:
        found = [path for path in folder.iterdir() if path.suffix == suffix and re.fullmatch(r"[0-9]{8,18}", path.stem)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(((int(path.stem), path) for path in found), reverse=True)


def set_aside(path: Path) -> Path:
    """Renames a damaged file to the first free `NAME.damaged-1`, `-2`, ... and gives the new path.

    Raises:
        OSError: the file stays where it is.
    """
    number = 1
    while (target := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return path.replace(target)


class LineFile:
    """A file that only ever grows by whole lines; opened at the first `append`.

    What a kill left half written at the end is cut off when the file is opened. When a write fails half-way,
    the part that reached the file is cut off again, so that the next try starts on a line of its own.
    Where the file was deleted meanwhile, the next line begins a new one, and ``was_deleted`` says so.
    One thread at a time.
    """

    def __init__(self, path: Path, header: bytes) -> None:
        self.path = path
        self._header = header
        self._fd: int | None = None
        self._size_bytes = 0
        self._torn = False
        self.was_deleted = False

    def append(self, lines: bytes) -> None:
        """Adds whole lines, each ending with a newline.

        Raises:
            OSError: none of `lines` is in the file; the same call may be made again.
        """
        if self._fd is not None and os.fstat(self._fd).st_nlink == 0:
            # Somebody deleted it: what is written to it from here on would vanish with the last program that has it open.
            self.was_deleted = True
            os.close(self._fd)
            self._fd = None
        if self._fd is None:
            self._fd = self._open()
        if self._torn:
            os.ftruncate(self._fd, self._size_bytes)
        data = lines if self._size_bytes else self._header + lines
        self._torn = True
        try:
            write_all(self._fd, data)
        except OSError:
            self._cut()
            raise
        self._torn = False
        self._size_bytes += len(data)

    def sync(self) -> None:
        """Brings the lines from the system's buffers to the disk.

        Raises:
            OSError: some of them may not be there after a power cut.
        """
        if self._fd is not None:
            os.fsync(self._fd)

    def close(self) -> None:
        """Brings the lines from the system's buffers to the disk and closes. A later `append` opens again.

        Raises:
            OSError: the file is closed all the same.
        """
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        try:
            self._size_bytes = _whole_lines_bytes(fd)
            self._torn = self._size_bytes != os.fstat(fd).st_size
        except OSError:
            os.close(fd)
            raise
        return fd

    def _cut(self) -> None:
        assert self._fd is not None
        try:
            os.ftruncate(self._fd, self._size_bytes)
        except OSError:
            # The failed write is what gets reported; the next append cuts before it writes.
            return
        self._torn = False


def write_all(fd: int, data: bytes) -> None:
    """Writes all of `data`, however many calls the system wants for it.

    Raises:
        OSError: an unknown part of `data` is written.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _whole_lines_bytes(fd: int) -> int:
    """Length of the file up to and with its last newline."""
    end = os.lseek(fd, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _TAIL_BLOCK_BYTES)
        os.lseek(fd, start, os.SEEK_SET)
        newline = os.read(fd, end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def replace(source: Path, target: Path) -> None:
    """Renames a file over another; asked again while Windows says that another thread has the target open for reading."""
    if os.name == "nt" and any(_replaced(source, target) for _ in range(REPLACE_TRIES)):
        return
    source.replace(target)


def _replaced(source: Path, target: Path) -> bool:
    try:
        source.replace(target)
    except PermissionError:
        time.sleep(REPLACE_PAUSE_S)
        return False
    return True


def _sweep(path: Path) -> None:
    """Removes the temporary files that killed writers of `path` left beside it."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        if _age_s(leftover) > LEFTOVER_AGE_S:
            leftover.unlink(missing_ok=True)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        # Another process swept it first, or finished its own replacement.
        return 0.0


def second_name(path: Path, target: Path, ending: str = ".tmp") -> None:
    """A second name for a file as it is, in the place of what has that name; where a disk knows no such thing, a copy.

    Args:
        ending: of its name until it is there.
    """
    fresh = target.with_name(f"{target.name}{ending}")
    fresh.unlink(missing_ok=True)
    try:
        os.link(path, fresh)
    except OSError:
        shutil.copy2(path, fresh)
    replace(fresh, target)


def sync_folder(folder: Path) -> None:
    """Makes the new name durable. Windows cannot open folders and needs no such thing."""
    if os.name == "nt":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
