"""Writes and reads .pt files that the WebUI loads too, whatever torch made them.

The WebUI's `modules/safe.py` refuses a zip member that it does not know, and newer versions of torch write such
members (`.format_version`, `.storage_alignment`, `.data/serialization_id`; v1.7 does not know `byteorder` either).
The file is therefore written with the members that all of them know.
"""
from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError  # type: ignore[attr-defined]  # made in Rust

KNOWN_MEMBER = re.compile(r"[^/]+/(data\.pkl|version|data/\d+)")  # the strictest of the WebUI's lists, v1.7's
BIG_ENDIAN_MEMBER = re.compile(r"[^/]+/byteorder")  # a reader assumes little endian where this is missing

NAME_CHARACTERS = "._- "  # besides letters and digits

DAMAGE: tuple[type[Exception], ...] = (
    pickle.UnpicklingError, RuntimeError, EOFError, LookupError, AssertionError, struct.error, TypeError, AttributeError,
    ValueError, ArithmeticError, MemoryError, ImportError, SafetensorError,
)  # fmt: skip
"""What reading a damaged file raises: torch's unpickler hardly checks what it reads."""

UNREADABLE: tuple[type[Exception], ...] = (OSError, *DAMAGE)
"""What the host's loaders raise for a file that cannot be used."""

PathLike = str | os.PathLike[str]


def save_pt(data: Any, path: PathLike) -> None:
    """Writes data as torch.save does, straight over an old file, as the host does: no copy of it is kept."""
    buffer = io.BytesIO()
    torch.save(data, buffer)
    Path(path).write_bytes(_without_unknown_members(buffer.getvalue()))


def load_pt(path: PathLike) -> Any:
    """What torch.save wrote, on the CPU; nothing but tensors, numbers, text and containers is unpickled.

    Raises ValueError for a file that holds anything else or is not a .pt file.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        raise ValueError(
            f"{os.fspath(path)} cannot be read: expected a .pt file with tensors, numbers and text only; "
            "it is damaged or holds code, put an intact copy in its place"
        ) from error


def safe_name(name: str) -> str:
    """The name without the characters that the host leaves out of file names."""
    return "".join(c for c in name if c.isalnum() or c in NAME_CHARACTERS)


def sha256(path: PathLike) -> str:
    """The file's SHA-256 in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def member_names(path: PathLike) -> list[str]:
    """The names of the file's zip members."""
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _without_unknown_members(archive: bytes) -> bytes:
    kept = io.BytesIO()
    # Stored, not compressed, as torch writes them: the tensors can be read in place.
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(kept, "w", zipfile.ZIP_STORED) as new:
        for name in filter(_is_kept, old.namelist()):
            new.writestr(name, old.read(name))
    return kept.getvalue()


def _is_kept(name: str) -> bool:
    if sys.byteorder == "big" and BIG_ENDIAN_MEMBER.fullmatch(name):
        return True
    return KNOWN_MEMBER.fullmatch(name) is not None
