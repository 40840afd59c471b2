"""The preview images that the host saved during a run: where each lies, and what it was when it was saved.

    RUN/images.jsonl     {"lrsched_images": 1}, then a line for each image; it only grows

The images are the host's and stay in its folders. A line is an image of the run as long as the file has the size and the digest of
that moment: another run of the same name and day writes over it. The number of an image is that of its line, and stays.
"""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lib_lrsched.errors import RunStateError

from .atomic_files import LineFile
from .checked_fields import BOOL, COUNT, POSITIVE, SECONDS, TEXT, load, stored

NAME = "images.jsonl"
FORMAT = 1
LARGEST_BYTES = 64 << 20
"""A larger file is no preview image."""

MAX_PROMPT_CHARS = 2_000


@dataclass(frozen=True)
class RunImage:
    """A preview image. ``step`` is updates made, ``path`` absolute; ``holds_embedding``: the embedding is in it."""

    step: int = field(metadata=stored(COUNT))
    path: str = field(metadata=stored(TEXT))
    prompt: str = field(metadata=stored(TEXT))
    width: int = field(metadata=stored(POSITIVE))
    height: int = field(metadata=stored(POSITIVE))
    holds_embedding: bool = field(metadata=stored(BOOL))
    time_s: float = field(metadata=stored(SECONDS))
    size_bytes: int = field(metadata=stored(COUNT))
    mtime_ns: int = field(metadata=stored(COUNT))
    digest: str = field(metadata=stored(TEXT))

    def data(self) -> bytes | None:
        """The bytes of the file; None where it is gone or another one by now."""
        try:
            if not self._has_its_size():
                return None
            data = Path(self.path).read_bytes()
        except (OSError, ValueError):
            return None
        return data if hashlib.sha256(data).hexdigest() == self.digest else None

    @property
    def is_there(self) -> bool:
        """Whether the file is the one that was saved; a file of the same time is not read."""
        try:
            return self._has_its_size() and (Path(self.path).stat().st_mtime_ns == self.mtime_ns or self.data() is not None)
        except (OSError, ValueError):
            return False

    def _has_its_size(self) -> bool:
        status = Path(self.path).stat()
        return stat.S_ISREG(status.st_mode) and status.st_size == self.size_bytes <= LARGEST_BYTES


class Recorded(NamedTuple):
    """The images of a run by their numbers, and how many lines could not be read."""

    images: dict[int, RunImage]
    unreadable: int = 0


def saved_image(path: Path, *, step: int, prompt: str, size: tuple[int, int], holds_embedding: bool, time_s: float) -> RunImage:
    """An image that was saved just now.

    Raises:
        OSError: it cannot be read.
    """
    status, data = path.stat(), path.read_bytes()
    return RunImage(step, str(path), prompt[:MAX_PROMPT_CHARS], *size, holds_embedding, time_s, len(data), status.st_mtime_ns,
                    hashlib.sha256(data).hexdigest())


class ImageLog:
    """What a training adds its images to."""

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path, json.dumps({"lrsched_images": FORMAT}).encode() + b"\n")

    def add(self, image: RunImage) -> None:
        """
        Raises:
            OSError: it is not recorded.
        """
        self._file.append(json.dumps(asdict(image)).encode() + b"\n")

    def close(self) -> None:
        self._file.close()


def recorded(path: Path) -> Recorded:
    """The images of a run, as its file has them. Whether they are still there is not looked at.

    Where a run went back, those of the updates that were undone are left out; so is one that was saved again after the same update.

    Raises:
        OSError: the file cannot be read.
        RunStateError: it is another version's.
    """
    try:
        first, *lines = path.read_bytes().split(b"\n")[:-1] or [b""]
    except (FileNotFoundError, NotADirectoryError):
        return Recorded({})
    _check_header(first, path)
    read = [_read(line, path) for line in lines]
    found = {index: image for index, image in enumerate(read) if image is not None}
    return Recorded(_lasting(found), sum(image is None for image in read))


def _check_header(line: bytes, path: Path) -> None:
    try:
        header: Any = json.loads(line)
    except ValueError:
        return  # the lines speak for themselves
    if isinstance(header, dict) and header.get("lrsched_images", FORMAT) != FORMAT:
        raise RunStateError(f"version {header['lrsched_images']!r:.20} of a list of images; update the extension to read it", path)


def _read(line: bytes, path: Path) -> RunImage | None:
    try:
        return load(RunImage, json.loads(line), path)
    except (ValueError, RecursionError, RunStateError):
        return None


def _lasting(found: dict[int, RunImage]) -> dict[int, RunImage]:
    rising: dict[bool, list[int]] = {False: [], True: []}
    for index, image in found.items():
        before = rising[image.holds_embedding]
        while before and found[before[-1]].step >= image.step:
            before.pop()
        before.append(index)
    return {index: found[index] for index in sorted([*rising[False], *rising[True]])}
