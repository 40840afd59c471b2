"""The host's own files, replaced whole: a file is written beside its target, and what was there is kept as NAME.bak.

The host writes .pt and then .pt.optim straight over the old ones. Here its save function gets another name to write
to; the new files take their places when both are on the disk.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .atomic_files import replace, second_name, sync_file, sync_folder

T = TypeVar("T")

OPTIM = ".optim"
BACKUP = ".bak"
AVERAGE = "-ema"
"""Ends a name: the average of the weights that were trained under it."""
# No number of the process in it: torch writes the file's name into the file, and the same weights shall give the same bytes.
# No ending that the host would load an embedding or list a hypernetwork from.
TEMPORARY = ".lrsched-tmp"

_locks: dict[str, threading.Lock] = {}
_locks_lock = threading.Lock()


def save_whole(filename: str, save: Callable[[str], T], *, backup: bool, before: Callable[[Path], None] = lambda _: None) -> T:
    """Has ``save`` write a file, and beside it perhaps one with .optim added, and puts them where ``filename`` is.

    An .optim that was there and was not written anew belongs to other weights, and becomes a backup.

    Args:
        save: called with the name to write to.
        backup: keep what was there as NAME.bak.
        before: called with the new file, which keeps its time, when it is on the disk and not in its place yet.

    Raises:
        what ``save`` raises, or OSError: the files that were there are as they were.
    """
    target = Path(filename)
    with _lock_of(target):
        return _save_whole(target, save, backup, before)


def _save_whole(target: Path, save: Callable[[str], T], backup: bool, before: Callable[[Path], None]) -> T:
    temporary = target.with_name(f".{target.name}{TEMPORARY}")
    pairs = [(_beside(temporary, end), _beside(target, end)) for end in (OPTIM, "")]
    try:
        answer = save(str(temporary))
        if not temporary.exists():
            return answer  # it went elsewhere, as another extension's file of its own kind: what is here stays
        for written, _ in pairs:
            if written.exists():
                sync_file(written)
        before(temporary)
        for written, there in pairs:
            if backup and there.exists():
                _keep(there)
            if written.exists():
                replace(written, there)
            elif there.exists():  # only an .optim: its weights are replaced
                there.unlink()
    finally:
        for written, _ in pairs:
            written.unlink(missing_ok=True)
    sync_folder(target.parent)
    return answer


def has_backup(path: Path) -> bool:
    """Whether NAME.bak is there."""
    return _beside(path, BACKUP).exists()


def _lock_of(target: Path) -> threading.Lock:
    """Two trainings that save the same file do so one after the other."""
    with _locks_lock:
        return _locks.setdefault(str(target.absolute()), threading.Lock())


def rename_copy(filename: str, steps: int) -> Path | None:
    """A copy NAME-500.pt that holds another number of updates gets its true name; None where that is taken or it is gone."""
    path = Path(filename)
    name = re.sub(r"-[0-9]+$", f"-{steps}", path.stem)
    true = path.with_name(name + path.suffix)
    if not path.exists() or true.exists():
        return None
    for end in ("", OPTIM):
        if _beside(path, end).exists():
            _beside(path, end).replace(_beside(true, end))
    return true


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _keep(path: Path) -> None:
    second_name(path, _beside(path, BACKUP), TEMPORARY)


def embedding_file(embedding: Any, folder: str, name: str) -> Path:
    """The file an embedding was loaded from, or the one in ``folder`` that it will be saved to."""
    filename = getattr(embedding, "filename", None)
    return Path(filename) if filename else Path(folder) / f"{name}.pt"


def file_time(path: Path | None) -> int:
    """Modification time in nanoseconds; 0 where there is no file."""
    try:
        return 0 if path is None else path.stat().st_mtime_ns
    except OSError:
        return 0
