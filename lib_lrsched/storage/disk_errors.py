"""What to say of a file that cannot be written: why, and what mends it. The advice follows the error's number.

torch reports a failed write as a RuntimeError and safetensors as an error of its own, both without a number: it is read from
their words.
"""

from __future__ import annotations

import errno
import os
import re

_ROOM, _RIGHT = "make room", "give the user who runs this read and write access there"
_MENDS = {
    errno.ENOSPC: _ROOM, errno.EDQUOT: _ROOM, errno.EFBIG: _ROOM,
    errno.EACCES: _RIGHT, errno.EPERM: _RIGHT,
    errno.EROFS: "make the disk writable, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "create the folder again",
    errno.ENOTDIR: "move the file that is where a folder is expected",
    errno.EEXIST: "move the file that is where a folder is expected",
    errno.EISDIR: "move the folder that is where the file is expected",
    errno.EIO: "check that the disk is connected and works",
}  # fmt: skip
_NUMBERS = {os.strerror(number): number for number in _MENDS}


def number_of(error: BaseException) -> int:
    """The errno of a failed write; 0 where it is not known."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    text = str(error)
    if found := re.search(r"\bcode: ([0-9]+)", text):  # safetensors
        return int(found[1])
    if found := re.search(r"failed with strerror: (.+)", text):  # torch, at opening
        return _NUMBERS.get(found[1].strip(), 0)
    if re.search(r"Parent directory .* does not exist", text):
        return errno.ENOENT
    # What torch says when a write comes back short: it has no word for a full disk.
    return errno.ENOSPC if re.search(r"unexpected pos|file write failed|No space left", text) else 0


def is_full(error: BaseException) -> bool:
    """Whether a write failed for want of room, which no other input mends."""
    return isinstance(error, OSError) and _MENDS.get(number_of(error)) is _ROOM


def why(error: BaseException) -> str:
    """In the system's words where it has some."""
    number = number_of(error)
    return os.strerror(number) if number else getattr(error, "strerror", None) or str(error) or type(error).__name__


def mend(error: BaseException) -> str:
    """What to do about it; begins in lower case."""
    return _MENDS.get(number_of(error), "fix the cause")
